"""SMS and WhatsApp: with consent, at decent hours, each once, and never again when nobody knows."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs import runner
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.messaging import consents, resending, switches
from shop.messaging.channels.base import Receipt, ReceiptStatus
from shop.messaging.models import Notification, NotificationStatus
from shop.messaging.receipts import apply_receipt
from shop.orders.lifecycle import SYSTEM, advance
from shop.orders.models import Order, OrderEvent
from shop.preferences import change
from shop.providers import OutcomeUnknown
from tests import factories
from tests.simulators import twilio as stand_in

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

NUMBER = "+919812345678"


@pytest.fixture
def awake(app) -> None:
    """No quiet hours: the tests run at any time of the day."""
    with transaction():
        change("quiet_from", "")


@pytest.fixture
def order(shop, app, configure) -> Order:
    """Of somebody who ticked the box for news, on SMS and WhatsApp; no mail server."""
    configure(sms_channel="twilio", whatsapp_channel="cloud", messages_dry_run=True)

    def make() -> int:
        return factories.make_order(news_by=("sms", "whatsapp")).id

    return db.session.get_one(Order, shop.scene("ordered with news", make))


@pytest.fixture
def twilio(configure) -> Iterator[stand_in.Twilio]:
    """Twilio as it answers, and nothing of WhatsApp."""
    with_faults = stand_in.Twilio()
    configure(
        sms_channel="twilio", whatsapp_channel="", messages_dry_run=False,
        twilio_account_sid=stand_in.ACCOUNT, twilio_auth_token=stand_in.TOKEN,
        twilio_sms_from=stand_in.SMS_FROM, twilio_api_base=with_faults.api,
    )  # fmt: skip
    yield with_faults
    with_faults.stop()


def by(channel: str, messages: Callable[..., list[Notification]]) -> list[Notification]:
    return [row for row in messages("order_confirmed") if row.channel == channel]


def incidents() -> list[str]:
    db.session.rollback()
    return [one.fingerprint.partition(":")[0] for one in db.session.scalars(db.select(Incident))]


def test_one_event_goes_by_every_way_that_was_agreed_to(order, awake, tell, run_jobs, messages):
    tell("order_confirmed", order.id)
    run_jobs()
    rows = {row.channel: row for row in messages("order_confirmed")}
    assert set(rows) == {"email", "sms", "whatsapp"}
    assert {row.status for row in rows.values()} == {NotificationStatus.SENT}
    assert rows["sms"].recipient == rows["whatsapp"].recipient == NUMBER
    assert order.number in rows["sms"].body_text
    assert rows["sms"].provider == "twilio"
    assert rows["sms"].provider_id.startswith("dry-run-")
    told = rows["whatsapp"].context["whatsapp"]
    assert told["template"] == "order_confirmation"
    assert [name for name, _ in told["parameters"]] == [
        "orderNumber", "orderAmount", "estimatedDelivery", "trackingUrl",
    ]  # fmt: skip
    assert dict(told["parameters"])["estimatedDelivery"] == "3-5 business days"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_timeline_shows_three_digits_of_a_number(order, awake, tell, run_jobs):
    tell("order_confirmed", order.id)
    run_jobs()
    lines = db.session.scalars(
        db.select(OrderEvent.text).filter_by(order_id=order.id, kind="message")
    ).all()
    assert any(text.startswith("SMS to …678: ") for text in lines)
    assert not any(NUMBER in text for text in lines)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_without_a_word_nothing_rings(app, configure, awake, tell, run_jobs, messages):
    configure(sms_channel="twilio", whatsapp_channel="cloud", messages_dry_run=True)
    order = factories.make_order(lines=1)
    tell("order_confirmed", order.id)
    run_jobs()
    assert {row.channel for row in messages()} == {"email"}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_kind_that_nobody_carries_is_not_made(order, awake, configure, tell, run_jobs, messages):
    configure(sms_channel="", whatsapp_channel="")
    tell("order_confirmed", order.id)
    run_jobs()
    assert {row.channel for row in messages()} == {"email"}


@sqlite_only
def test_a_row_that_the_owner_switched_off_is_not_made(order, awake, tell, run_jobs, messages):
    with transaction():
        switches.switch("order_confirmed", "sms", False, None, "user:1")
    tell("order_confirmed", order.id)
    run_jobs()
    assert {row.channel for row in messages()} == {"email", "whatsapp"}


@sqlite_only
def test_who_wrote_stop_meanwhile_is_left_alone(order, awake, tell, run_jobs, messages):
    tell("order_confirmed", order.id)
    runner.run_next("test")
    with transaction():
        consents.suppress("sms", NUMBER, "opted_out", "STOP")
    run_jobs()
    [row] = by("sms", messages)
    assert row.status == NotificationStatus.SUPPRESSED
    assert row.error == "its owner asked for no more messages"
    assert by("whatsapp", messages)[0].status == NotificationStatus.SENT

    tell("order_shipped", order.id)
    run_jobs()
    later = [row for row in messages("order_shipped") if row.channel == "sms"]
    assert [row.status for row in later] == [NotificationStatus.SUPPRESSED]


def test_at_night_it_waits_for_the_morning_and_mail_does_not(
    order, turn_clock, tell, run_jobs, messages
):
    # 22:30 in Kolkata.
    tonight = (utcnow() + timedelta(days=1)).replace(hour=17, minute=0, second=0, microsecond=0)
    turn_clock(tonight)
    tell("order_confirmed", order.id)
    run_jobs()
    [sms] = by("sms", messages)
    assert sms.status == NotificationStatus.QUEUED
    morning = tonight.replace(hour=2, minute=30) + timedelta(days=1)
    assert morning <= sms.not_before < morning + timedelta(minutes=10)
    assert by("email", messages)[0].status == NotificationStatus.SENT
    with transaction():
        enqueue("messaging.sweep")
    run_jobs(ahead=3_600)
    assert by("sms", messages)[0].status == NotificationStatus.QUEUED, "the sweep lets it rest"
    run_jobs(ahead=10 * 3_600)
    assert by("sms", messages)[0].status == NotificationStatus.SENT


@sqlite_only
def test_what_is_untrue_by_the_morning_is_not_sent(order, turn_clock, tell, run_jobs, messages):
    turn_clock((utcnow() + timedelta(days=1)).replace(hour=17))
    tell("payment_failed", order.id)
    run_jobs()
    with transaction():
        advance(db.session.get_one(Order, order.id), "expired", SYSTEM)
    run_jobs(ahead=10 * 3_600)
    row = next(row for row in messages("payment_failed") if row.channel == "sms")
    assert (row.status, row.error) == (
        NotificationStatus.SUPPRESSED, "no longer true when its turn came",
    )  # fmt: skip


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_twilio_is_handed_it_once_and_its_id_is_kept(
    order, awake, twilio, tell, run_jobs, messages
):
    tell("order_confirmed", order.id)
    run_jobs()
    [sent] = twilio.messages.values()
    [row] = by("sms", messages)
    assert row.provider_id == sent.id
    assert sent.text == row.body_text


def test_an_answer_that_was_lost_is_asked_for_and_not_sent_again(
    order, awake, twilio, tell, run_jobs, messages
):
    twilio.fault("half_body")
    tell("order_confirmed", order.id)
    run_jobs()
    assert by("sms", messages)[0].status == NotificationStatus.UNCERTAIN
    run_jobs(ahead=60)
    [row] = by("sms", messages)
    assert row.status == NotificationStatus.SENT
    assert [row.provider_id] == list(twilio.messages)
    run_jobs(ahead=7 * 3_600)
    assert len(twilio.messages) == 1
    assert incidents() == []


@pytest.mark.forces("message_uncertain")
def test_one_that_the_provider_does_not_have_stays_uncertain_until_a_person_decides(
    order, awake, twilio, tell, run_jobs, messages
):
    twilio.fault("refuse", status=500)
    tell("order_confirmed", order.id)
    run_jobs()
    run_jobs(ahead=3_600)
    assert by("sms", messages)[0].status == NotificationStatus.UNCERTAIN
    assert incidents() == []
    run_jobs(ahead=7 * 3_600)
    assert incidents() == ["message_uncertain"]
    assert twilio.messages == {}, "never repeated by itself"

    with transaction():
        resending.resend(by("sms", messages)[0].id, "user:1")
    run_jobs()
    assert len(twilio.messages) == 1
    assert [row.status for row in by("sms", messages)] == [
        NotificationStatus.SUPPRESSED, NotificationStatus.SENT,
    ]  # fmt: skip


def test_the_sweep_asks_again_about_what_is_uncertain(
    order, awake, twilio, tell, run_jobs, messages
):
    twilio.fault("half_body")
    twilio.fault("refuse", method="GET", status=404)
    tell("order_confirmed", order.id)
    run_jobs()
    run_jobs(ahead=60)
    row_id = by("sms", messages)[0].id
    with transaction():
        found = db.session.get_one(Notification, row_id)
        found.status, found.updated_at = (
            NotificationStatus.UNCERTAIN,
            utcnow() - timedelta(minutes=11),
        )
        found.provider_id = None
        enqueue("messaging.sweep")
    run_jobs(ahead=120)
    assert by("sms", messages)[0].status == NotificationStatus.SENT
    assert len(twilio.messages) == 1


def test_one_that_rested_overnight_is_asked_about_since_it_was_taken_up(
    order, awake, twilio, tell, run_jobs, messages
):
    twilio.fault("half_body")
    twilio.fault("refuse", method="GET", status=404)
    tell("order_confirmed", order.id)
    run_jobs()
    run_jobs(ahead=60)
    with transaction():
        found = db.session.get_one(Notification, by("sms", messages)[0].id)
        assert found.status == NotificationStatus.UNCERTAIN
        found.created_at = utcnow() - timedelta(hours=11)
        found.updated_at = utcnow() - timedelta(minutes=11)
        enqueue("messaging.sweep")
    run_jobs(ahead=120)
    assert by("sms", messages)[0].status == NotificationStatus.SENT


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_one_that_the_provider_says_it_did_not_deliver_is_told_of(
    order, awake, twilio, tell, run_jobs, messages
):
    twilio.fault("half_body")
    tell("order_confirmed", order.id)
    run_jobs()
    for one in twilio.messages.values():
        one.status = "undelivered"
        one.more["code"] = 30007
    run_jobs(ahead=60)
    assert by("sms", messages)[0].status == NotificationStatus.FAILED
    assert incidents() == ["message_undelivered"]


@sqlite_only
def test_the_message_of_another_is_not_taken_for_a_doubtful_one(
    order, awake, twilio, tell, run_jobs, messages
):
    twilio.fault("half_body")
    tell("order_confirmed", order.id)
    runner.run_next("test")
    while not twilio.messages:
        runner.run_next("test")
    [made] = twilio.messages
    with transaction() as session:
        session.add(
            Notification(
                order_id=order.id, template="order_confirmed", channel="sms", recipient=NUMBER,
                dedupe_key="another", provider="twilio", provider_id=made,
                status=NotificationStatus.SENT, context={},
            )
        )  # fmt: skip
    run_jobs(ahead=60)
    doubtful = next(row for row in by("sms", messages) if row.dedupe_key != "another")
    assert (doubtful.status, doubtful.provider_id) == (NotificationStatus.UNCERTAIN, None)


def test_where_nobody_can_be_asked_a_receipt_ends_the_doubt(
    order, awake, tell, run_jobs, messages, monkeypatch
):
    def lost(_self: object, _message: object) -> str:
        raise OutcomeUnknown("no answer")

    monkeypatch.setattr("shop.messaging.channels.whatsapp_cloud.WhatsAppCloud.send", lost)
    tell("order_confirmed", order.id)
    run_jobs()
    run_jobs(ahead=60)
    [row] = by("whatsapp", messages)
    assert row.status == NotificationStatus.UNCERTAIN
    job = db.session.scalars(db.select(Job).filter_by(kind="messaging.send", key=str(row.id))).all()
    assert [one.status for one in job] == [JobStatus.SUCCEEDED], "there is nothing more to try"
    receipt = Receipt(
        "e1", "wamid.1", ReceiptStatus.DELIVERED, message_id=row.message_id or "", kind="whatsapp",
        occurred_at=datetime.now(UTC),
    )  # fmt: skip
    with transaction():
        assert apply_receipt(receipt, "cloud")
    [row] = by("whatsapp", messages)
    assert (row.status, row.provider_id) == (NotificationStatus.DELIVERED, "wamid.1")
    run_jobs(ahead=7 * 3_600)
    assert incidents() == []


class Killed(BaseException):
    """The process dies; nothing after it runs."""


def test_a_kill_between_sending_and_noting_sends_no_second_sms(
    app, order, awake, twilio, tell, run_jobs, messages, monkeypatch
):
    def died(*_anything: object) -> None:
        raise Killed

    with transaction():
        consents.suppress("email", order.email, "by_hand")
    tell("order_confirmed", order.id)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "_recorded", died)
        with pytest.raises(Killed), app.app_context():
            while runner.run_next("doomed"):
                continue
    db.session.rollback()
    runner.release("doomed")
    run_jobs()
    run_jobs(ahead=60)
    assert len(twilio.messages) == 1
    assert by("sms", messages)[0].status == NotificationStatus.SENT


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_number_that_does_not_exist_is_marked_and_tried_no_more(
    order, awake, twilio, tell, run_jobs, messages
):
    with transaction():
        db.session.get_one(Order, order.id).phone = "+15005550001"
        consents.grant("sms", "+15005550001", "transactional", "checkout")
    tell("order_confirmed", order.id)
    run_jobs()
    assert by("sms", messages)[0].status == NotificationStatus.FAILED
    assert consents.is_suppressed("sms", "+15005550001") == "bounced"
    tell("order_shipped", order.id)
    run_jobs()
    row = next(row for row in messages("order_shipped") if row.channel == "sms")
    assert (row.status, row.error) == (NotificationStatus.SUPPRESSED, "this address bounced")
