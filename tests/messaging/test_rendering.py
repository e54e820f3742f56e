"""Each mail says the same in HTML and in text, states what is in the database, and lets nothing in."""

import html
import re

import pytest

from shop.database import transaction
from shop.delivery.models import Shipment, ShipmentLine, ShipmentStatus, Step
from shop.extensions import db
from shop.messaging.channels.base import Outgoing
from shop.messaging.channels.smtp import compose
from shop.messaging.events import EVENTS
from shop.messaging.rendering import render
from shop.messaging.wordings import WORDINGS
from shop.orders.models import Order
from shop.providers import ProviderRefused
from tests import factories

NASTY = "<script>alert(1)</script> {number} {{ 7*7 }}"


def as_text(page: str) -> str:
    """What a reader sees of the HTML, links with their addresses."""
    page = re.sub(r"(?s)<head>.*?</head>|<div [^>]*display:\s*none.*?</div>", " ", page)
    page = re.sub(r'<a [^>]*href="([^"]+)"[^>]*>', r" \1 ", page)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def make_shipment(order: Order, **more: object) -> Shipment:
    values = {
        "courier": "sandbox", "reference": order.number, "awb": "AWB123456789",
        "courier_name": "Swift Parcels", "status": ShipmentStatus.PICKED_UP, "step": Step.LABELLED,
    }  # fmt: skip
    with transaction() as session:
        shipment = Shipment(order_id=order.id, **{**values, **more})
        session.add(shipment)
        session.flush()
        line = session.get_one(Order, order.id).lines[0]
        line.shipped_quantity += 1
        session.add(ShipmentLine(shipment_id=shipment.id, order_line_id=line.id, quantity=1))
    return shipment


@pytest.fixture
def order(app) -> Order:
    return factories.make_order(lines=2, method="bank_transfer")


@pytest.mark.parametrize("template", WORDINGS)
def test_every_mail_has_both_twins_with_the_same_facts(order, template):
    make_shipment(order)
    message = render(template, order.id, {"amount_minor": 12_300})

    shown, text = as_text(message.html), message.text
    assert "{" not in message.subject + shown + text
    assert "style=" in message.html
    assert "<style" not in message.html
    assert "<link" not in message.html
    facts = set(re.findall(r"₹[\d,.]*\d|https?://\S+[\w-]|2\d{3}\.\d{3}|AWB\d+", text))
    facts |= {
        line.removeprefix("- ").split(",")[0] for line in text.splitlines() if line.startswith("- ")
    }
    assert facts
    for fact in facts:
        assert fact in shown, f"{fact} stands in the text only"
    for fact in re.findall(r"₹[\d,.]*\d|AWB\d+", shown):
        assert fact in text, f"{fact} stands in the HTML only"


def test_every_event_has_words_and_all_words_have_an_event():
    told = {telling.template for tellings in EVENTS.values() for telling in tellings}
    assert told == set(WORDINGS)


def test_a_confirmation_states_the_order(order):
    order = db.session.get_one(Order, order.id)
    message = render("order_confirmed", order.id, {})
    assert message.subject == f"We have your order {order.number}"
    assert "Thank you, Asha" in message.text
    for line in order.lines:
        assert f"- {line.name}, quantity {line.quantity}: ₹499.00" in message.text
    assert "12 MG Road\nBengaluru 560001, Karnataka, India" in message.text
    assert f"/orders/{order.token}" in message.text


def test_a_bank_transfer_is_asked_for_with_the_rows_of_its_attempt(order):
    message = render("payment_instructions", order.id, {})
    order = db.session.get_one(Order, order.id)
    assert re.fullmatch(rf"Send ₹[\d,.]+ by \w+ \d+ \w+ for order {order.number}", message.subject)
    assert re.search(r"Reference: [A-Z2-9]{4}-[A-Z2-9]{4}-[A-Z2-9]\n", message.text)
    assert "Pay by: " in message.text
    assert "Account: Example Bank" in message.text


def test_a_failed_payment_comes_with_a_link_to_try_again(app):
    order = factories.make_order()
    message = render("payment_failed", order.id, {})
    assert (
        f"Try again:\n{app.extensions['settings'].public_url}/orders/{order.token}/pay"
        in message.text
    )
    assert "Your items are held until" in message.text


def test_a_shipped_mail_names_the_parcel_and_what_is_in_it(order, app):
    shipment = make_shipment(order)
    message = render("order_shipped", order.id, {"shipment_id": shipment.id})
    assert "Courier: Swift Parcels" in message.text
    assert "Tracking number: AWB123456789" in message.text
    assert f"{app.extensions['settings'].public_url}/track/AWB123456789" in message.text
    assert message.text.count("\n- ") == 1


def test_links_come_from_the_public_address_whatever_the_request_says(order, app):
    with app.test_request_context(base_url="http://evil.example"):
        message = render("order_confirmed", order.id, {})
    assert "evil.example" not in message.text + message.html


@pytest.mark.parametrize("template", WORDINGS)
def test_a_script_in_a_name_is_text(app, template):
    order = factories.make_order(
        lines={factories.make_product(NASTY): 1}, address={"recipient": NASTY, "line1": NASTY}
    )
    make_shipment(order, courier_name=NASTY)
    message = render(template, order.id, {})
    assert "<script" not in message.html
    assert "49" not in re.findall(r"\{\{.*?\}\}", message.html)
    if "address" in WORDINGS[template].sections:
        assert "&lt;script&gt;alert(1)&lt;/script&gt; {number} {{ 7*7 }}" in message.html


def test_a_line_break_in_a_name_breaks_no_line(app):
    order = factories.make_order(address={"recipient": "Asha\r\nBcc: all@evil.example"})
    message = render("admin_new_order", order.id, {})
    assert "\n" not in message.subject
    assert "\nBcc:" not in message.text


@pytest.mark.parametrize(
    "change",
    [
        {"recipient": "a@b.example\r\nBcc: all@evil.example"},
        {"recipient": "a@b.example, c@d.example"},
        {"recipient": "nobody"},
        {"subject": "Hello\nBcc: all@evil.example"},
        {"message_id": "<a@b>\r\nBcc: all@evil.example"},
    ],
)
def test_a_header_that_could_carry_another_is_refused(app, change):
    good = {
        "recipient": "a@b.example", "message_id": "<a@b.example>", "subject": "Hello",
        "text": "Hello", "html": "<p>Hello",
    }  # fmt: skip
    compose(Outgoing(**good))
    with pytest.raises(ProviderRefused):
        compose(Outgoing(**{**good, **change}))


def test_a_mail_carries_the_headers_of_an_order_mail(app):
    mail = compose(Outgoing("a@b.example", "<id@shop.example>", "Hello ₹1", "text", "<p>html"))
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Reply-To"] == "help@halflong.example"
    assert mail["Message-ID"] == "<id@shop.example>"
    assert mail["Date"]
    assert "List-Unsubscribe" not in mail
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
