"""The message log and the words of messages: who sees them, what is checked, what comes back."""

import re

import pytest

from shop.audit.models import AuditEntry
from shop.database import transaction
from shop.extensions import db
from shop.jobs.models import Job
from shop.messaging.models import MessageWording, Notification, NotificationStatus
from shop.messaging.rendering import render
from shop.orders.models import Order
from tests import factories
from tests.messaging.scenes import NASTY

WORDS = "/admin/messages/words"
CONFIRMED = f"{WORDS}/order_confirmed/email/en"


@pytest.fixture
def order(shop):
    key = shop.scene("paid-for-one", lambda: factories.make_order("paid", lines=1).id)
    return db.session.get_one(Order, key)


@pytest.fixture
def told(shop, run_jobs):
    """Such an order's confirmation, which was sent."""

    def tell():
        order_id = factories.make_order("paid", lines=1).id
        run_jobs(kinds="messaging.")
        return order_id

    order_id = shop.scene("paid-for-one-and-told", tell)
    wanted = db.select(Notification).filter_by(template="order_confirmed", order_id=order_id)
    return db.session.scalars(wanted).one()


def changed(**parts):
    """The form's fields, as it is opened, with some parts changed."""
    fields = {
        "version": "0", "subject": "We have your order {number}", "preheader": "{how_paid} {next}",
        "headline": "Thank you, {first_name}", "sentence": "{how_paid} {next}",
        "button": "Track your order", "caption": "What you ordered",
    }  # fmt: skip
    return {**fields, **parts}


def as_it_stands(row_id, **values):
    with transaction() as session:
        row = session.get_one(Notification, row_id)
        for name, value in values.items():
            setattr(row, name, value)


# The log.


def test_the_log_lists_messages_and_finds_them_by_order_address_and_state(told, staff):
    row, order = told, db.session.get_one(Order, told.order_id)
    browser = staff("support")
    assert row.subject in browser.get("/admin/messages").text
    assert row.subject in browser.get(f"/admin/messages?q={order.number}").text
    assert row.subject in browser.get("/admin/messages?q=asha@&channel=email&status=sent").text
    assert "No messages here" in browser.get("/admin/messages?q=nobody@").text
    assert "No uncertain messages" in browser.get("/admin/messages?status=uncertain").text
    assert "No messages here" in browser.get("/admin/messages?template=order_shipped").text


def test_a_long_log_goes_on_where_it_stopped(app, staff, order):
    with transaction() as session:
        for number in range(30):
            session.add(
                Notification(
                    order_id=order.id, template="order_shipped", channel="sms", recipient="+919812345678",
                    dedupe_key=f"log:{number}", subject=f"Number {number:02d}", context={},
                )
            )  # fmt: skip
    browser = staff("support")
    first = browser.get("/admin/messages?channel=sms").text
    assert "Number 29" in first
    assert "Number 04" not in first
    older = re.search(r'href="([^"]+)" rel="next"', first)[1].replace("&amp;", "&")
    assert "channel=sms" in older
    assert "Number 04" in browser.get(older).text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_message_is_shown_with_its_mail_in_a_frame_of_its_own_policy(told, staff):
    row = told
    browser = staff("support")
    shown = browser.get(f"/admin/messages/{row.id}")
    assert f'src="/admin/messages/{row.id}/mail"' in shown.text
    assert "frame-src 'self'" in shown.headers["Content-Security-Policy"]
    mail = browser.get(f"/admin/messages/{row.id}/mail")
    assert mail.text == row.body_html
    policy = mail.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_who_may_not_see_addresses_sees_no_messages(told, staff):
    row = told
    browser = staff("fulfilment")
    for path in ("/admin/messages", f"/admin/messages/{row.id}", f"/admin/messages/{row.id}/mail"):
        assert browser.get(path).status_code == 403


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_link_into_an_account_is_shown_to_nobody(app, staff):
    with transaction() as session:
        row = Notification(
            template="password_reset", channel="email", recipient="a@b.example", dedupe_key="secret",
            body_text="https://shop.example/account/reset/abc", body_html="<p>/account/reset/abc",
            status=NotificationStatus.SENT, context={},
        )  # fmt: skip
        session.add(row)
        session.flush()
        row_id = row.id
    browser = staff("owner")
    assert "account/reset" not in browser.get(f"/admin/messages/{row_id}").text
    assert browser.get(f"/admin/messages/{row_id}/mail").status_code == 404
    page = f"/admin/messages/{row_id}"
    assert browser.send(f"{page}/resend").status_code == 404


def test_an_uncertain_message_arrived_or_is_sent_anew_and_both_are_written_down(told, staff):
    row_id = told.id
    as_it_stands(row_id, status=NotificationStatus.UNCERTAIN, error="no answer")
    browser = staff("support")
    page = f"/admin/messages/{row_id}"
    assert "It arrived" in browser.get(page).text
    assert browser.send(f"{page}/arrived").status_code == 303
    db.session.rollback()
    assert db.session.get_one(Notification, row_id).status == NotificationStatus.DELIVERED
    assert browser.send(f"{page}/arrived").status_code == 409

    as_it_stands(row_id, status=NotificationStatus.UNCERTAIN)
    sent = browser.send(f"{page}/resend")
    assert sent.status_code == 303
    assert sent.headers["Location"] != page
    db.session.rollback()
    assert db.session.get_one(Notification, row_id).status == NotificationStatus.SUPPRESSED
    actions = set(db.session.scalars(db.select(AuditEntry.action)))
    assert {"message.arrived", "message.resent"} <= actions


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_unknown_message_is_not_found(app, staff):
    browser = staff("support")
    for path in ("/admin/messages/999", "/admin/messages/999/mail"):
        assert browser.get(path).status_code == 404


# The words.


def test_saved_words_are_what_the_next_message_says(order, staff):
    browser = staff("manager")
    answer = browser.send(CONFIRMED, changed(subject="Got it: {number}  <b>&\n now"))
    assert answer.status_code == 303
    message = render("order_confirmed", order.id, {})
    assert message.subject == f"Got it: {order.number} <b>& now"
    assert "<b>" not in message.html
    assert "Track your order" in message.text
    entry = db.session.scalars(db.select(AuditEntry).filter_by(action="wording.changed")).one()
    assert entry.subject == "wording:order_confirmed:email:en"
    assert entry.after == {"subject": "Got it: {number} <b>& now"}
    assert "Got it" not in render("order_confirmed", order.id, {}, "sv").subject


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_words_that_cannot_be_filled_are_refused_beside_their_field(app, staff):
    browser = staff("manager")
    answer = browser.send(CONFIRMED, changed(subject="Hello {numbr}"))
    assert answer.status_code == 422
    beside = re.search(r'id="e-subject"[^>]*>(.*?)</p>', answer.text, re.S)[1]
    assert "{numbr} is no placeholder of this message. Did you mean {number}?" in beside
    assert 'value="Hello {numbr}"' in answer.text
    assert 'value="Track your order"' in answer.text
    assert db.session.scalar(db.select(MessageWording.id)) is None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_template_in_the_words_is_only_text(order, staff):
    browser = staff("manager")
    assert browser.send(CONFIRMED, changed(headline="{{ 7*7 }}")).status_code == 422
    assert browser.send(CONFIRMED, changed(headline="{% if x %}")).status_code == 422
    assert browser.send(CONFIRMED, changed(headline="%s %(a)s ${x")).status_code == 422
    assert browser.send(CONFIRMED, changed(headline="%s %(a)s $x")).status_code == 303
    assert "%s %(a)s $x" in render("order_confirmed", order.id, {}).text


def test_the_built_in_words_come_back_and_so_do_the_earlier_ones(order, staff):
    browser = staff("manager")
    browser.send(CONFIRMED, changed(headline="First"))
    browser.send(CONFIRMED, changed(headline="Second", version="1"))
    assert browser.send(f"{CONFIRMED}/reset", {"version": "2"}).status_code == 303
    assert "Thank you, Asha" in render("order_confirmed", order.id, {}).text
    page = browser.get(CONFIRMED).text
    assert "First" in page
    assert "Second" in page
    browser.send(f"{CONFIRMED}/restore", {"version": "3", "wanted": "1"})
    assert "First" in render("order_confirmed", order.id, {}).text
    assert db.session.scalar(db.select(db.func.count(MessageWording.id))) == 4


def test_who_saves_over_a_colleagues_words_is_told(app, staff):
    one, other = staff("manager"), staff("owner")
    one.send(CONFIRMED, changed(headline="Mine"))
    answer = other.send(CONFIRMED, changed(headline="Yours"))
    assert answer.status_code == 409
    assert "Somebody changed these words meanwhile" in answer.text
    assert 'value="Yours"' in answer.text
    db.session.rollback()
    row = db.session.scalars(db.select(MessageWording)).one()
    assert row.parts == {"headline": "Mine"}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_saving_nothing_new_writes_nothing(app, staff):
    assert staff("manager").send(CONFIRMED, changed()).status_code == 303
    assert db.session.scalar(db.select(MessageWording.id)) is None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_editor_shows_what_each_placeholder_becomes(order, staff):
    page = staff("manager").get(f"{CONFIRMED}?order={order.number}").text
    assert "{number}" in page
    assert order.number in page
    assert "The order&#39;s number." in page


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_unsaved_words_are_previewed_by_the_real_renderer(order, staff):
    browser = staff("manager")
    url = f"{CONFIRMED}/preview"
    fields = changed(headline="Try me {number}", order=order.number)
    mail = browser.send(url, fields)
    assert f"Try me {order.number}" in mail.text
    assert "sandbox" in mail.headers["Content-Security-Policy"]
    text = browser.send(url, {**fields, "as": "text"}).text
    assert f"Try me {order.number}" in text
    assert f"We have your order {order.number}" in text
    wrong = browser.send(url, changed(headline="{nope}")).text
    assert "Headline: {nope} is no placeholder" in wrong
    assert db.session.scalar(db.select(MessageWording.id)) is None
    saved = browser.get(f"{url}?order={order.number}").text
    assert "Thank you, Asha" in saved


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_sms_and_whatsapp_are_previewed_with_their_length_and_parameters(order, staff):
    browser = staff("manager")
    sms = browser.get(f"{WORDS}/order_confirmed/sms/en/preview").text
    assert "GSM-7" in sms
    assert f"order {order.number} is confirmed" in sms
    typed = browser.send(
        f"{WORDS}/order_confirmed/sms/hi/preview", {"text": "ऑर्डर {number}"},
    ).text  # fmt: skip
    assert f"ऑर्डर {order.number}" in typed
    assert "UCS-2: 14 places, 1 part<" in typed
    sent = browser.get(f"{WORDS}/order_confirmed/whatsapp/en/preview").text
    named = re.findall(
        r"order_confirmation|orderNumber|orderAmount|estimatedDelivery|trackingUrl", sent
    )
    assert named == [
        "order_confirmation", "orderNumber", "orderAmount", "estimatedDelivery", "trackingUrl",
    ]  # fmt: skip


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_another_name_of_a_whatsapp_template_is_kept_and_checked(order, staff):
    browser = staff("manager")
    url = f"{WORDS}/order_confirmed/whatsapp/en"
    bad = browser.send(url, {"version": "0", "name": "order confirmation!"})
    assert bad.status_code == 422
    browser.send(url, {"version": "0", "name": "order_confirmation_v2"})
    assert "order_confirmation_v2" in browser.get(f"{url}/preview").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_language_that_is_not_approved_is_said_to_be_left_out(app, staff):
    browser = staff("manager")
    page = browser.get(f"{WORDS}/order_confirmed/whatsapp/hi").text
    assert "Hindi is not among the languages" in page
    assert "is not among" not in browser.get(f"{WORDS}/order_confirmed/whatsapp/en").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_without_an_order_there_is_nothing_to_preview_and_the_page_says_so(app, staff):
    browser = staff("manager")
    assert "nothing yet to show this message with" in browser.get(CONFIRMED).text
    assert "nothing yet to show this message with" in browser.get(f"{CONFIRMED}/preview").text
    answer = browser.send(f"{CONFIRMED}/test", {"version": "0"})
    assert answer.status_code == 422


def test_a_test_goes_to_who_asks_for_it_and_to_nobody_else(order, staff, run_jobs, smtp_server):
    browser = staff("manager")
    before = db.session.scalar(db.select(db.func.max(Job.id))) or 0
    answer = browser.send(f"{CONFIRMED}/test", {"order": order.number})
    assert answer.status_code == 303
    run_jobs(kinds="messaging.try_out")
    added = db.session.scalars(db.select(Job.kind).where(Job.id > before)).all()
    assert added == ["messaging.try_out"]
    [mail] = smtp_server.messages
    assert mail["To"] == browser.user_email
    assert mail["Subject"] == f"[Test] We have your order {order.number}"
    row = db.session.scalars(db.select(Notification).order_by(Notification.id.desc())).first()
    assert row.order_id is None
    assert row.body_text is None
    assert row.status == NotificationStatus.SENT


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_test_without_a_number_to_send_it_to_is_refused(order, staff, configure):
    configure(sms_channel="twilio")
    url = f"{WORDS}/order_confirmed/sms/en"
    answer = staff("manager").send(f"{url}/test", {"version": "0"})
    assert answer.status_code == 422
    assert "no telephone number" in answer.text
    assert db.session.scalar(db.select(Job.id).filter_by(kind="messaging.try_out")) is None


def test_a_message_is_switched_off_and_the_confirmation_never(app, staff):
    browser = staff("manager")
    form = {"event": "order_shipped", "channel": "email", "on": "no"}
    assert browser.send(f"{WORDS}/switch", form).status_code == 303
    assert re.search(r'aria-label="Switch on Order shipped by Mail"', browser.get(WORDS).text)
    refused = browser.send(f"{WORDS}/switch", {**form, "event": "order_confirmed"})
    assert refused.status_code == 422


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_list_marks_what_is_changed(app, staff):
    browser = staff("manager")
    assert "English, changed" not in browser.get(WORDS).text
    browser.send(CONFIRMED, changed(headline="Mine"))
    assert 'aria-label="Order confirmed, Mail, English, changed"' in browser.get(WORDS).text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_words_are_for_managers_and_owners(app, staff):
    for role in ("support", "fulfilment"):
        browser = staff(role)
        assert browser.get(WORDS).status_code == 403
        assert browser.get(CONFIRMED).status_code == 403


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_words_that_do_not_exist_are_not_found(app, staff):
    browser = staff("manager")
    for path in (
        "nope/email/en", "order_confirmed/fax/en", "order_confirmed/email/de",
        "admin_new_order/email/sv", "order_link/sms/en",
    ):  # fmt: skip
        assert browser.get(f"{WORDS}/{path}").status_code == 404
        assert browser.get(f"{WORDS}/{path}/preview").status_code == 404


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_markup_in_an_orders_names_is_text_on_the_editors_page(app, staff):
    factories.make_order(address={"recipient": NASTY})
    assert "<script>alert" not in staff("manager").get(CONFIRMED).text
