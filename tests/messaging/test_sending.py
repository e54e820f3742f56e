"""One message for one event, order and channel, however often it is asked for and wherever it is cut."""

from datetime import timedelta

import pytest

from shop.admin import incident_remedies
from shop.audit.models import AuditEntry
from shop.clock import utcnow
from shop.database import transaction
from shop.errors import Conflict, Refused
from shop.extensions import db
from shop.incidents.models import Incident, Severity
from shop.jobs import runner
from shop.jobs.handlers import why_no_retry
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.messaging import resending
from shop.messaging.channels.base import Receipt, ReceiptStatus
from shop.messaging.jobs import Send
from shop.messaging.models import Notification, NotificationStatus
from shop.messaging.receipts import apply_receipt
from shop.orders.lifecycle import SYSTEM, advance
from shop.orders.models import Order, OrderEvent
from shop.providers import reset_lines
from tests import factories

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def order(shop) -> Order:
    """An unpaid order whose own jobs are done with: a test runs those of its messages."""
    return db.session.get_one(Order, shop.scene("an order without jobs", make_order))


def make_order() -> int:
    order_id = factories.make_order(lines=1).id
    with transaction() as session:
        session.execute(db.delete(Job))
    return order_id


def incidents() -> list[Incident]:
    db.session.rollback()
    return list(db.session.scalars(db.select(Incident).order_by(Incident.id)))


def job(kind: str) -> Job:
    db.session.rollback()
    return db.session.scalars(db.select(Job).filter_by(kind=kind).order_by(Job.id.desc())).first()


def test_an_event_becomes_one_mail_in_both_twins_and_the_timeline_says_so_without_the_address(
    order, tell, run_jobs, smtp_server, messages
):
    tell("order_confirmed", order.id)
    run_jobs()

    [mail] = smtp_server.messages
    [row] = messages("order_confirmed")
    assert mail["To"] == order.email
    assert mail["Subject"] == row.subject == f"We have your order {order.number}"
    assert mail["Message-ID"] == row.message_id
    assert mail.get_body(("plain",)).get_content().splitlines() == row.body_text.splitlines()
    assert "Thank you, Asha" in mail.get_body(("html",)).get_content()
    assert row.status == NotificationStatus.SENT
    assert row.sent_at
    assert row.provider_id == "taken"
    text = db.session.scalar(
        db.select(OrderEvent.text).filter_by(order_id=order.id, kind="message")
    )
    assert text == f"Mail to a…@s….example: We have your order {order.number}"


def test_telling_twice_sends_once(order, tell, run_jobs, smtp_server):
    tell("order_confirmed", order.id)
    tell("order_confirmed", order.id)
    run_jobs()
    tell("order_confirmed", order.id)
    run_jobs()
    assert len(smtp_server.messages) == 1


def test_two_refunds_are_two_mails(order, tell, run_jobs, smtp_server):
    for refund_id in (1, 2, 1):
        tell("refunded", order.id, refund_id=refund_id, amount_minor=100 * refund_id)
    run_jobs()
    subjects = [mail["Subject"] for mail in smtp_server.messages]
    assert subjects == ["₹1.00 is on its way back", "₹2.00 is on its way back"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_owner_hears_of_a_new_order(order, tell, run_jobs, smtp_server, app):
    tell("admin_new_order", order.id)
    run_jobs()
    [mail] = smtp_server.messages
    assert mail["To"] == "owner@halflong.example"
    public_url = app.extensions["settings"].public_url
    assert f"{public_url}/admin/orders/{order.number}" in mail.get_body(("plain",)).get_content()


def test_what_is_no_longer_true_is_not_sent(order, tell, run_jobs, smtp_server, messages):
    tell("payment_failed", order.id)
    with transaction():
        advance(db.session.get_one(Order, order.id), "expired", SYSTEM)
    run_jobs(kinds="messaging.")
    [row] = messages("payment_failed")
    assert row.status == NotificationStatus.SUPPRESSED
    assert [mail["Subject"] for mail in smtp_server.messages] == [
        f"Order {order.number} is cancelled"
    ]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_without_a_mail_server_it_stays_in_the_mailbox(order, tell, run_jobs, messages):
    tell("order_confirmed", order.id)
    run_jobs()
    assert messages("order_confirmed")[0].status == NotificationStatus.SENT


class Killed(BaseException):
    """The process dies; nothing after it runs."""


def kill_after_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    def died(*_anything: object) -> None:
        raise Killed

    monkeypatch.setattr(runner, "_recorded", died)


def run_until_killed(app) -> None:
    def work() -> None:
        with app.app_context():
            while runner.run_next("doomed"):
                continue

    with pytest.raises(Killed):
        work()
    db.session.rollback()
    runner.release("doomed")


@pytest.mark.forces("message_repeated")
def test_a_kill_between_sending_and_noting_repeats_once_at_most(
    app, order, tell, run_jobs, smtp_server, messages, monkeypatch
):
    tell("order_confirmed", order.id)
    with monkeypatch.context() as patch:
        kill_after_sending(patch)
        run_until_killed(app)
        assert messages("order_confirmed")[0].status == NotificationStatus.SENDING
        run_until_killed(app)
    run_jobs()

    assert len(smtp_server.messages) == 2, "two deaths in a row still make one repeat"
    assert len({mail["Message-ID"] for mail in smtp_server.messages}) == 1
    assert messages("order_confirmed")[0].status == NotificationStatus.UNCERTAIN
    [incident] = incidents()
    assert incident.severity == Severity.LOW
    assert "may have gone twice" in incident.issue
    assert incident.context["orderId"] == order.number


@sqlite_only
def test_after_one_kill_the_repeat_is_noted_as_sent(
    app, order, tell, run_jobs, smtp_server, messages, monkeypatch
):
    tell("order_confirmed", order.id)
    with monkeypatch.context() as patch:
        kill_after_sending(patch)
        run_until_killed(app)
    run_jobs()
    assert len(smtp_server.messages) == 2
    assert messages("order_confirmed")[0].status == NotificationStatus.SENT
    assert len(incidents()) == 1


def test_another_job_for_a_message_that_is_being_sent_stands_back(
    order, tell, run_jobs, smtp_server, messages
):
    tell("order_confirmed", order.id)
    runner.run_next("test")
    [row] = messages("order_confirmed")
    with transaction():
        db.session.get_one(Notification, row.id).status = NotificationStatus.SENDING
    run_jobs()
    assert smtp_server.messages == []
    assert job("messaging.send").status == JobStatus.QUEUED


@sqlite_only
def test_a_server_that_is_down_is_tried_again_without_doubt(
    order, tell, run_jobs, start_server, messages
):
    server = start_server()
    server.controller.stop()
    tell("order_confirmed", order.id)
    run_jobs()
    [row] = messages("order_confirmed")
    assert row.status == NotificationStatus.QUEUED
    assert "cannot be reached" in row.error
    again = start_server()
    run_jobs(ahead=60)
    assert len(again.taken) == 1
    assert incidents() == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_greylisting_waits_a_quarter_of_an_hour(order, tell, run_jobs, start_server, messages):
    server = start_server()
    server.rcpt = ["450 4.2.0 greylisted, come back later"]
    tell("order_confirmed", order.id)
    run_jobs()
    waiting = job("messaging.send")
    assert waiting.status == JobStatus.QUEUED
    assert waiting.run_at > utcnow() + timedelta(minutes=14)
    run_jobs(ahead=1000)
    assert len(server.taken) == 1
    assert messages("order_confirmed")[0].status == NotificationStatus.SENT
    assert incidents() == []


@pytest.mark.parametrize(
    ("event", "severity"), [("order_confirmed", Severity.MEDIUM), ("admin_new_order", Severity.LOW)]
)
def test_a_refused_recipient_fails_at_once_and_opens_one_incident(
    order, tell, run_jobs, start_server, messages, event, severity
):
    server = start_server()
    server.rcpt = ["550 5.1.1 no such user"]
    tell(event, order.id)
    run_jobs()
    [row] = messages(event)
    assert row.status == NotificationStatus.FAILED
    assert "550" in row.error
    [incident] = incidents()
    assert incident.severity == severity
    assert incident.context["orderId"] == order.number
    assert incident.order_id == order.id
    assert job("messaging.send").status == JobStatus.FAILED


def test_a_cut_after_the_final_dot_is_repeated_once_under_the_same_id(
    order, tell, run_jobs, start_server, messages
):
    server = start_server()
    server.cut_after_message = True
    tell("order_confirmed", order.id)
    run_jobs()
    assert messages("order_confirmed")[0].status == NotificationStatus.SENDING
    run_jobs(ahead=120)
    assert len(server.taken) == 2
    first, second = (envelope.content for envelope in server.taken)
    assert first.split(b"Message-ID:")[1].split()[0] == second.split(b"Message-ID:")[1].split()[0]
    assert messages("order_confirmed")[0].status == NotificationStatus.SENT
    assert len(incidents()) == 1


def test_what_nobody_is_at_is_swept_up(order, app, run_jobs, smtp_server):
    with transaction() as session:
        for number, minutes in enumerate((11, 9)):
            session.add(
                Notification(
                    order_id=order.id, template="order_confirmed", channel="email",
                    recipient=order.email, dedupe_key=f"lost:{number}",
                    context={"event": "order_confirmed"},
                    updated_at=utcnow() - timedelta(minutes=minutes),
                )
            )  # fmt: skip
        enqueue("messaging.sweep")
    run_jobs()
    assert len(smtp_server.messages) == 1


def test_a_person_may_send_it_once_more(order, tell, run_jobs, smtp_server, messages):
    tell("order_confirmed", order.id)
    run_jobs()
    [first] = messages()
    for _ in range(2):
        with transaction():
            resending.resend(first.id, "user:1")
        run_jobs()
    assert len(smtp_server.messages) == 3
    keys = [row.dedupe_key for row in messages()]
    assert [key.partition(":resend")[2] for key in keys] == ["", "-1", "-2"]
    audited = db.session.scalars(db.select(AuditEntry).filter_by(action="message.resent")).all()
    assert [(entry.actor, entry.subject) for entry in audited] == [
        ("user:1", f"order:{order.number}")
    ] * 2


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_message_that_is_resent_says_what_is_true_now(
    order, tell, run_jobs, smtp_server, messages
):
    tell("order_confirmed", order.id)
    run_jobs()
    with transaction():
        db.session.get_one(Order, order.id).email = "new@shopper.example"
    [first] = messages()
    with transaction():
        resending.resend(first.id, "user:1")
    run_jobs()
    assert smtp_server.messages[-1]["To"] == "new@shopper.example"


def test_resending_takes_what_failed_off_its_list(order, tell, run_jobs, start_server, messages):
    server = start_server()
    server.rcpt = ["550 5.1.1 no such user"]
    tell("order_confirmed", order.id)
    run_jobs()
    with transaction():
        resending.resend(messages()[0].id, "user:1")
    run_jobs()
    assert [row.status for row in messages()] == [
        NotificationStatus.SUPPRESSED,
        NotificationStatus.SENT,
    ]


def test_a_message_that_failed_is_sent_anew_and_its_job_is_not_retried(
    order, tell, run_jobs, start_server, messages
):
    server = start_server()
    server.rcpt = ["550 5.1.1 no such user"]
    tell("order_confirmed", order.id)
    run_jobs()
    given_up = job("messaging.send")
    with transaction():
        assert runner.retry(given_up.id) is False, "it would send nothing"
    assert "Send the message again" in why_no_retry(given_up.kind, given_up.payload)
    [incident] = incidents()
    with transaction():
        remedy = incident_remedies.apply(incident, "user:1")
    assert remedy.words == "Send the message again"
    run_jobs()
    assert len(server.taken) == 1
    assert incident_remedies.remedy_of(incidents()[0]) is None


def test_a_message_that_is_under_way_is_not_sent_once_more(order, tell, run_jobs, messages):
    tell("order_confirmed", order.id)
    runner.run_next("test")
    [first] = messages()
    with pytest.raises(Conflict), transaction():
        resending.resend(first.id, "user:1")
    run_jobs()
    with transaction():
        resending.resend(first.id, "user:1")
    with pytest.raises(Conflict), transaction():
        resending.resend(first.id, "user:1")
    run_jobs()
    assert len(messages()) == 2


@pytest.mark.forces("channel_broken")
def test_a_channel_that_lets_nobody_in_holds_all_its_mail_under_one_incident(
    order, tell, run_jobs, start_server, messages
):
    server = start_server()
    server.mail = ["535 5.7.8 Authentication credentials invalid"] * 4
    tell("order_confirmed", order.id)
    tell("admin_new_order", order.id)
    run_jobs()
    run_jobs(ahead=1_000)
    assert {row.status for row in messages()} == {NotificationStatus.QUEUED}
    [incident] = incidents()
    assert incident.severity == Severity.HIGH
    assert incident.fingerprint == "channel_broken:email:smtp"
    assert incident.repeats == 3
    run_jobs(ahead=2_000)
    assert {row.status for row in messages()} == {NotificationStatus.SENT}
    assert len(server.taken) == 2


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_after_a_day_a_channel_that_is_broken_fails_its_messages(
    order, tell, run_jobs, start_server, messages
):
    server = start_server()
    server.mail = ["535 5.7.8 Authentication credentials invalid"] * 2
    tell("order_confirmed", order.id)
    run_jobs()
    run_jobs(ahead=25 * 3_600)
    assert messages()[0].status == NotificationStatus.FAILED


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_server_that_is_away_for_hours_loses_no_mail(
    order, tell, run_jobs, start_server, messages
):
    server = start_server()
    server.controller.stop()
    tell("order_confirmed", order.id)
    for hours in (*range(4), *range(4, 20, 4)):
        reset_lines()
        run_jobs(ahead=hours * 3_600)
    assert messages()[0].status == NotificationStatus.QUEUED
    waiting = job("messaging.send")
    assert waiting.attempts < waiting.max_attempts
    assert [one.fingerprint for one in incidents()] == ["channel_broken:email:smtp"]
    again = start_server()
    reset_lines()
    run_jobs(ahead=21 * 3_600)
    assert len(again.taken) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_about_something_that_is_gone_is_not_sent(app, run_jobs, smtp_server):
    with transaction() as session:
        row = Notification(
            subject_kind="cart_reminder", subject_id=999, template="abandoned_cart", channel="email",
            recipient="asha@shopper.example", dedupe_key="abandoned_cart:999:email",
            context={"event": "abandoned_cart"}, purpose="reminders",
        )  # fmt: skip
        session.add(row)
        session.flush()
        row_id = row.id
        enqueue("messaging.send", {"notification_id": row_id}, key=str(row_id))
    run_jobs()
    found = db.session.get_one(Notification, row_id)
    assert (found.status, found.error) == (
        NotificationStatus.SUPPRESSED, "what it is about is gone",
    )  # fmt: skip
    with pytest.raises(Refused), transaction():
        resending.resend(row_id, "user:1")


def test_a_receipt_that_is_quicker_than_the_answer_stands(
    order, tell, run_jobs, smtp_server, messages, monkeypatch
):
    record = Send.record

    def after_a_receipt(self, work, request, answer):
        receipt = Receipt(
            "e1", "", ReceiptStatus.FAILED, message_id=request.message.message_id, kind="email",
            error="554 spam",
        )  # fmt: skip
        apply_receipt(receipt, "ses")
        record(self, work, request, answer)

    monkeypatch.setattr(Send, "record", after_a_receipt)
    tell("order_confirmed", order.id)
    run_jobs()
    [row] = messages()
    assert (row.status, row.error, row.provider_id) == (
        NotificationStatus.FAILED, "554 spam", "taken",
    )  # fmt: skip
