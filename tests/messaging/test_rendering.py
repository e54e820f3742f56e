"""Each message says the same in HTML and in text, states what is in the database, and lets nothing in."""

import html
import re
from datetime import UTC, datetime

import pytest

from shop.config import ROOT
from shop.database import transaction
from shop.extensions import db
from shop.messaging.channels.base import Outgoing
from shop.messaging.channels.smtp import compose
from shop.messaging.events import EVENTS
from shop.messaging.languages import LANGUAGES, first_offered, language_of, languages_of
from shop.messaging.overrides import channels_of
from shop.messaging.placeholders import fault_in, placeholders_of
from shop.messaging.rendering import Block, render, render_plain, render_sms, whatsapp
from shop.messaging.sms_text import length_of
from shop.messaging.whatsapp_templates import WHATSAPP
from shop.messaging.wordings import PARTS, WORDINGS, Words, filled_in
from shop.orders.models import Order
from shop.preferences import LANGUAGES as OFFERED
from shop.preferences import change
from shop.providers import ProviderRefused
from tests import factories
from tests.messaging import scenes
from tests.messaging.scenes import NASTY, RIGHT_TO_LEFT, make_shipment

ONLY_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
CLIPPED_AT = 100_000
"""Bytes of HTML; Gmail cuts mails off at 102 kB."""


def as_text(page: str) -> str:
    """What a reader sees of the HTML, links with their addresses."""
    page = re.sub(r"(?s)<head>.*?</head>|<div [^>]*display:\s*none.*?</div>", " ", page)
    page = re.sub(r'<a [^>]*href="([^"]+)"[^>]*>', r" \1 ", page)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


@pytest.fixture
def order(shop) -> Order:
    key = shop.scene(
        "by transfer", lambda: factories.make_order(lines=2, method="bank_transfer").id
    )
    return db.session.get_one(Order, key)


@pytest.fixture
def cases(shop):
    """A rich order, a poor one, and things beside orders: by name, what a message is about."""

    def make():
        return scenes.rich(), scenes.poor(), scenes.subjects()

    rich, poor, subjects = shop.scene("messages", make)

    def of(template):
        if template in subjects:
            return [(subjects[template], {})]
        return [
            (rich.order_id, rich.context),
            (poor.order_id, {**poor.context, "amount_minor": 100}),
        ]

    return of


@ONLY_SQLITE
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_mail_is_whole_in_every_language_and_says_the_same_twice(cases, app, language):
    root = app.extensions["settings"].public_url
    for template in WORDINGS:
        if language in languages_of(template, "email"):
            for about, context in cases(template):
                check_mail(render(template, about, context, language), root, language)


def check_mail(message, root, language):
    """The promises that hold for every mail."""
    shown, text = as_text(message.html), " ".join(message.text.split())
    typed = NASTY.replace("{number}", "")
    for said in (message.subject, message.preheader, shown, text):
        assert not re.search(r"\{[a-z_]*\}", said.replace(NASTY, typed)), said
    assert f'<html lang="{language}"' in message.html
    assert "<script" not in message.html
    assert "style=" in message.html
    assert not re.search(r"<(style|link|iframe|form|object)\b", message.html)
    assert len(message.html.encode()) < CLIPPED_AT
    assert all(re.search(r"\balt=", image) for image in re.findall(r"<img[^>]*>", message.html))
    for address in re.findall(r'(?:href|src)="([^"]*)"', message.html):
        assert html.unescape(address).startswith(root), address
    for address in re.findall(r"https?://[^\s,]+", text):
        assert address.startswith(root)
        assert address in shown, f"{address} stands in the text only"
    for fact in re.findall(
        r"[₹$€][\d.,]*\d|\d[\d.,\u00a0\u202f]*\d[\u00a0](?:kr|INR|₹)|2\d{3}\.\d{3}|AWB\d+",
        message.text,
    ):
        assert " ".join(fact.split()) in shown, f"{fact} stands in the text only"
    for fact in re.findall(r"₹[\d,.]*\d|AWB\d+", shown):
        assert fact in text, f"{fact} stands in the HTML only"
    assert "\n" not in message.subject
    assert not re.search(r" [,.।](\s|$)|,\.", message.subject + message.preheader + text)


@ONLY_SQLITE
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sms_is_short_and_whole_in_every_language(cases, configure, language):
    configure(public_url="https://halflong.example")
    for template in (name for name in WORDINGS if "sms" in channels_of(name)):
        for about, context in cases(template):
            text = render_sms(template, about, context, language)
            assert not re.search(r"[{}]|\s{2}|\n", text.replace(NASTY, ""))
            assert "https://halflong.example/" in text
            length = length_of(text)
            alphabet, most = ("UCS-2", 3) if language == "hi" else ("GSM-7", 1)
            assert length.alphabet == alphabet, text
            assert length.parts <= most, f"{length}: {text}"


@ONLY_SQLITE
@pytest.mark.parametrize("language", LANGUAGES)
def test_whatsapp_gets_every_parameter_in_its_order_and_none_empty(cases, language):
    with transaction():
        change("whatsapp_languages", ", ".join(LANGUAGES))
    for template in (name for name in WORDINGS if "whatsapp" in channels_of(name)):
        for about, context in cases(template):
            made = whatsapp(template, about, context, language)
            assert made.language == language
            for name, value in made.parameters:
                assert value.strip(), f"{template} {name}"
                assert not re.search(r"[\n\t]| {5}", value)
                assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name)


@ONLY_SQLITE
def test_the_agreed_whatsapp_templates_have_their_names_and_parameters(order):
    for template, name, parameters in (
        ("order_confirmed", "order_confirmation", "orderNumber orderAmount estimatedDelivery trackingUrl"),
        ("order_shipped", "shipment_created", "orderNumber awb courierName trackingLink"),
        ("out_for_delivery", "out_for_delivery", "orderNumber courierName trackingLink"),
        ("order_delivered", "delivered", "orderNumber orderUrl"),
    ):  # fmt: skip
        made = whatsapp(template, order.id, {})
        assert (made.name, " ".join(key for key, _ in made.parameters)) == (name, parameters)


@ONLY_SQLITE
def test_a_parcel_without_a_day_is_expected_when_the_shop_says(order):
    def expected(language="en"):
        return dict(whatsapp("order_confirmed", order.id, {}, language).parameters)[
            "estimatedDelivery"
        ]

    assert expected() == "3-5 business days"
    with transaction():
        change("whatsapp_languages", "en, sv")
    assert expected("sv") == "3-5 vardagar"
    with transaction():
        change("estimated_delivery", "before the weekend")
    assert expected("sv") == "before the weekend"
    make_shipment(order, estimated_at=order.placed_at)
    assert re.fullmatch(r"\w+day \d+ \w+", expected())


@ONLY_SQLITE
def test_whatsapp_speaks_only_the_languages_that_are_approved(order):
    assert whatsapp("order_confirmed", order.id, {}, "sv").language == "en"
    with transaction():
        change("whatsapp_languages", "hi, sv")
    assert whatsapp("order_confirmed", order.id, {}, "sv").language == "sv"
    assert whatsapp("order_confirmed", order.id, {}, "fr").language == "hi"


@ONLY_SQLITE
def test_amounts_and_days_are_written_as_the_language_does(app):
    order = factories.make_order(lines=1)
    shipment = make_shipment(order, estimated_at=datetime(2026, 11, 24, 12, tzinfo=UTC))
    for language, subject, amount, day in (
        ("en", "We have your order", "₹598.00", "Tuesday"),
        ("sv", "Vi har din beställning", "598,00\u00a0INR", "tisdag"),
        ("fr", "Nous avons votre commande", "598,00\u00a0₹", "mardi"),
        ("hi", "हमें आपका ऑर्डर", "₹598.00", "मंगलवार"),
    ):
        message = render("order_confirmed", order.id, {"shipment_id": shipment.id}, language)
        assert message.subject.startswith(subject)
        assert amount in message.text, language
        assert day in message.text, language


@ONLY_SQLITE
def test_a_reader_of_another_language_gets_the_shops_own(app):
    assert language_of("sv_SE") == "sv"
    assert language_of("hi-IN") == "hi"
    assert language_of("de_DE") == "en"
    with transaction():
        change("default_language", "fr")
    assert language_of("") == "fr"
    assert language_of("en_IN") == "en"


def test_the_first_language_of_a_browser_that_is_offered_counts():
    assert first_offered(["de-DE", "sv-SE", "en"]) == "sv_SE"
    assert first_offered(["de", "xx"]) == ""


def test_each_language_has_all_messages_and_all_phrases_and_no_unknown_placeholder():
    english = LANGUAGES["en"]
    assert tuple(LANGUAGES) == OFFERED
    for code, language in LANGUAGES.items():
        if code != "en":
            assert set(language.mail) == {
                name for name in WORDINGS if not name.startswith("admin_")
            }
            missing = set(english.phrases) - set(language.phrases)
            assert not missing, f"{code} lacks {sorted(missing)}"
        assert set(language.sms) == set(english.sms)
        for template, words in language.sms.items():
            assert not fault_in("text", words, placeholders_of(template)), f"{code} {template}"
        for name in set(language.phrases) & set(english.phrases):
            places = [set(re.findall(r"{\w+}", one.phrases[name])) for one in (language, english)]
            assert places[0] == places[1], f"{code} {name}"


@pytest.mark.parametrize("template", WORDINGS)
def test_the_built_in_words_would_pass_the_check_that_the_owners_must_pass(template):
    known = placeholders_of(template)
    said = {code: language.mail.get(template) for code, language in LANGUAGES.items()}
    for code, words in {**said, "en": WORDINGS[template]}.items():
        for part in PARTS if words else ():
            value = getattr(words, part)
            if part == "caption" and not value:
                continue
            assert not fault_in(part, value, known), f"{code} {part}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("Hello {numbr}", "Did you mean {number}?"),
        ("Hello {number", "A { has no } after it."),
        ("Hello number}", "A } has no { before it."),
        ("Hello {}", "There is no name between { and }."),
        ("Hello {number.__class__}", "Write {number}."),
        ("Hello {number!r:>99}", "Write {number}."),
        ("Hello {number[0]}", "Write {number}."),
        ("Hello {0}", "only a name may stand between the braces"),
        ("Hello {{number}}", "A { has no } after it."),
        ("Hello {awb}", "{awb} is no placeholder of this message."),
        ("  ", "This cannot be empty."),
        ("x" * 151, "At most 150 characters; this has 151."),
        ("Hello \u202e{number}", "There is a sign in it that cannot be shown."),
    ],
)
def test_what_may_not_stand_in_words_is_said_in_the_owners_words(words, said):
    assert said in fault_in("subject", words.strip(), placeholders_of("order_confirmed"))


def test_words_left_alone_by_an_empty_fact_are_tidied():
    assert filled_in("{a}, {b}. {c}", {"a": "Swift", "b": "", "c": ""}) == "Swift."
    assert filled_in("{a} , {b}", {"a": "1\u00a0384", "b": "x"}) == "1\u00a0384, x"


def test_a_value_is_never_read_as_words():
    assert filled_in("Hi {a}", {"a": "{b} {{ 7*7 }} {a.__class__}", "b": "no"}) == (
        "Hi {b} {{ 7*7 }} {a.__class__}"
    )


@pytest.mark.parametrize(
    ("text", "alphabet", "places", "parts"),
    [
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("€" * 80, "GSM-7", 160, 1),
        ("å" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3),
        ("न" * 70, "UCS-2", 70, 1),
        ("न" * 71, "UCS-2", 71, 2),
        ("🏓", "UCS-2", 2, 1),
    ],
)
def test_the_length_of_an_sms_is_counted_as_operators_do(text, alphabet, places, parts):
    found = length_of(text)
    assert (found.alphabet, found.places, found.parts) == (alphabet, places, parts)


@ONLY_SQLITE
def test_a_mail_beside_orders_has_tables_and_takes_braces_as_they_are(app):
    words = Words("Two {things}", "", "Two {things}", "Look <b>", "Open")
    wording = WORDINGS["order_link"].with_words(words)
    rows = (("Orders", "3", ""), ("Incident 7 <b>", "{x.y}", "https://shop.example/7"))
    blocks = (Block("Today", rows, note="Nothing else."), Block("Tomorrow"))
    message = render_plain(
        wording.with_words({"sections": ()}), "https://shop.example", "From {shop_name}.", blocks
    )
    assert message.subject == "Two {things}"
    assert "<b>" not in message.html
    for fact in ("Today", "Nothing else.", "Orders", "3", "{x.y}", "https://shop.example/7"):
        assert fact in message.text
        assert fact in html.unescape(message.html)
    assert "From Halflong." in message.text


@ONLY_SQLITE
def test_the_texts_to_submit_name_every_template_and_parameter(app):
    page = (ROOT / "docs/whatsapp-templates.md").read_text(encoding="utf-8")
    for approved in WHATSAPP.values():
        [part] = re.findall(rf"(?ms)^## {approved.name}$(.*?)(?=^## |\Z)", page)
        told = re.findall(r"\{\{(\d)\}\} `(\w+)`", part)
        wanted = [(str(place), name) for place, (name, _) in enumerate(approved.parameters, 1)]
        assert told == wanted, approved.name
        assert approved.category in part
        for language in LANGUAGES:
            [text] = re.findall(rf"(?m)^- {language}: (.*)$", part)
            assert set(re.findall(r"\{\{(\d)\}\}", text)) == {place for place, _ in wanted}


def test_every_event_has_words_for_its_channels_and_all_words_have_an_event():
    told = {telling.template for tellings in EVENTS.values() for telling in tellings}
    assert told == set(WORDINGS)
    for tellings in EVENTS.values():
        for telling in tellings:
            assert telling.channel in channels_of(telling.template), telling


def test_a_confirmation_states_the_order(order):
    order = db.session.get_one(Order, order.id)
    message = render("order_confirmed", order.id, {})
    assert message.subject == f"We have your order {order.number}"
    assert "Thank you, Asha" in message.text
    for line in order.lines:
        assert f"- {line.name}, quantity {line.quantity}: ₹499.00" in message.text
    assert "12 MG Road\nBengaluru 560001, Karnataka, India" in message.text
    assert f"/orders/{order.token}" in message.text


@ONLY_SQLITE
def test_a_bank_transfer_is_asked_for_with_the_rows_of_its_attempt(order):
    message = render("payment_instructions", order.id, {})
    order = db.session.get_one(Order, order.id)
    assert re.fullmatch(rf"Send ₹[\d,.]+ by \w+ \d+ \w+ for order {order.number}", message.subject)
    assert re.search(r"Reference: [A-Z2-9]{4}-[A-Z2-9]{4}-[A-Z2-9]\n", message.text)
    assert "Pay by: " in message.text
    assert "Account: Example Bank" in message.text


@ONLY_SQLITE
def test_a_failed_payment_comes_with_a_link_to_try_again(app):
    order = factories.make_order()
    message = render("payment_failed", order.id, {})
    assert (
        f"Try again:\n{app.extensions['settings'].public_url}/orders/{order.token}/pay"
        in message.text
    )
    assert "Your items are held until" in message.text


@ONLY_SQLITE
def test_a_shipped_mail_names_the_parcel_and_what_is_in_it(order, app):
    shipment = make_shipment(order)
    message = render("order_shipped", order.id, {"shipment_id": shipment.id})
    assert "Courier: Swift Parcels" in message.text
    assert "Tracking number: AWB123456789" in message.text
    assert f"{app.extensions['settings'].public_url}/track/AWB123456789" in message.text
    assert message.text.count("\n- ") == 1


@ONLY_SQLITE
def test_links_come_from_the_public_address_whatever_the_request_says(order, app):
    with app.test_request_context(base_url="http://evil.example"):
        message = render("order_confirmed", order.id, {})
    assert "evil.example" not in message.text + message.html


@ONLY_SQLITE
def test_markup_and_placeholders_in_names_are_text(app):
    order = factories.make_order(
        lines={factories.make_product(NASTY): 1}, address={"recipient": NASTY, "line1": NASTY}
    )
    make_shipment(order, courier_name=NASTY)
    message = render("order_shipped", order.id, {})
    assert "<script" not in message.html
    assert "49" not in re.findall(r"\{\{.*?\}\}", message.html)
    assert message.html.count("&lt;script&gt;alert(1)&lt;/script&gt; {number} {{ 7*7 }}") >= 3


@ONLY_SQLITE
def test_a_name_of_the_other_direction_stands_apart_from_its_line(app):
    order = factories.make_order(address={"recipient": RIGHT_TO_LEFT})
    assert f"<bdi>{RIGHT_TO_LEFT}</bdi>" in render("order_confirmed", order.id, {}).html


@ONLY_SQLITE
def test_a_line_break_in_a_name_breaks_no_line(app):
    order = factories.make_order(address={"recipient": "Asha\r\nBcc: all@evil.example"})
    message = render("admin_new_order", order.id, {})
    assert "\n" not in message.subject
    assert "\nBcc:" not in message.text


@ONLY_SQLITE
def test_a_header_that_could_carry_another_is_refused(app):
    good = {
        "recipient": "a@b.example", "message_id": "<a@b.example>", "subject": "Hello",
        "text": "Hello", "html": "<p>Hello",
    }  # fmt: skip
    compose(Outgoing(**good))
    for spoilt in (
        {"recipient": "a@b.example\r\nBcc: all@evil.example"},
        {"recipient": "a@b.example, c@d.example"},
        {"recipient": "nobody"},
        {"subject": "Hello\nBcc: all@evil.example"},
        {"message_id": "<a@b>\r\nBcc: all@evil.example"},
    ):
        with pytest.raises(ProviderRefused):
            compose(Outgoing(**{**good, **spoilt}))


@ONLY_SQLITE
def test_the_link_to_a_number_that_staff_typed_leads_to_its_page(client, order):
    shipment = make_shipment(order, awb="No.55/7#3")
    message = render("order_shipped", order.id, {"shipment_id": shipment.id})
    (path,) = set(re.findall(r"https?://[^/\s]+(/track/\S+)", message.text))
    assert client.get(path).status_code == 200


@ONLY_SQLITE
def test_a_mail_carries_the_headers_of_an_order_mail(app):
    mail = compose(Outgoing("a@b.example", "<id@shop.example>", "Hello ₹1", "text", "<p>html"))
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Reply-To"] == "help@halflong.example"
    assert mail["Message-ID"] == "<id@shop.example>"
    assert mail["Date"]
    assert "List-Unsubscribe" not in mail
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
