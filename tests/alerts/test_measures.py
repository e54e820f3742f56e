"""Every figure counts what its words say, and reads no table from end to end."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from shop.alerts import measures, pace
from shop.alerts.measures import Measured
from shop.alerts.models import ErrorCount
from shop.clock import in_future, utcnow
from shop.database import insert_ignore, transaction
from shop.delivery.models import Shipment, ShipmentStatus, Step
from shop.extensions import db
from shop.messaging.models import Notification, NotificationStatus
from shop.orders.models import Order
from shop.payments.models import AttemptStatus, Dispute, Payment
from shop.stock.models import Reservation, ReservationState, StockLevel
from shop.webhooks.models import WebhookEvent, WebhookStatus
from tests.factories import make_order, make_product

TABLES = {
    "orders", "payments", "reservations", "shipments", "notifications", "webhook_events",
    "error_counts", "disputes", "stock_levels",
}  # fmt: skip


@pytest.fixture
def order(shop, app):
    """An order that was paid, from which rows are copied."""
    order_id = shop.scene("one_paid", lambda: make_order("paid").id)
    return db.session.get_one(Order, order_id)


def copies(model, first, changes):
    """Rows like the first, each with its own values."""
    columns = [column.key for column in sa.inspect(model).mapper.column_attrs if column.key != "id"]
    values = {name: getattr(first, name) for name in columns}
    with transaction() as session:
        session.execute(sa.insert(model), [{**values, **change} for change in changes])


def payment_rows(order, *statuses, minutes=5, gateway="sandbox", words=None):
    first = db.session.scalars(sa.select(Payment).order_by(Payment.id)).first()
    copies(
        Payment, first,
        [
            {
                "status": status, "created_at": in_future(minutes=-minutes), "gateway_id": None,
                "gateway": gateway,
                "reference": f"{minutes}-{number}", "idempotency_key": f"{minutes}-{number}",
                # One live attempt a part is all that the table allows.
                "part_id": first.part_id, "captured_minor": 0, "failure_words": words,
            }
            for number, status in enumerate(statuses)
        ],
    )  # fmt: skip


@pytest.mark.breaks_books
def test_payments_that_failed_or_were_never_answered_have_not_succeeded(order):
    a = AttemptStatus
    assert measures.payments() == Measured(100.0, 1)
    payment_rows(order, a.FAILED, a.UNKNOWN, a.CAPTURED)
    assert measures.payments() == Measured(50.0, 4)
    payment_rows(order, a.EXPIRED, a.CANCELLED, a.SUPERSEDED, minutes=6)
    payment_rows(order, a.FAILED, a.FAILED, minutes=61)
    payment_rows(order, a.FAILED, minutes=7, gateway="bank_transfer")
    assert measures.payments() == Measured(50.0, 4)


@pytest.mark.breaks_books
@pytest.mark.parametrize("status", ["open", "expired", "cancelled", "superseded"])
def test_a_payment_that_was_declined_on_the_gateways_page_has_not_succeeded(order, status):
    payment_rows(order, AttemptStatus(status), gateway="stripe", words="Your card was declined.")
    assert measures.payments() == Measured(50.0, 2)
    # Its one word for a request that the shopper let be.
    if status != "open":
        payment_rows(order, AttemptStatus(status), gateway="swish", words="It timed out", minutes=6)
        assert measures.payments() == Measured(50.0, 2)


def webhook(status, seconds_ago, number, source="stripe"):
    received_at = in_future(seconds=-seconds_ago)
    return {
        "source": source, "event_id": f"e{number}", "kind": "x", "raw_body": b"", "headers": {},
        "received_at": received_at, "status": status, "processed_at": received_at,
    }  # fmt: skip


def test_webhooks_fail_when_they_failed_or_wait_for_two_minutes(app):
    s = WebhookStatus
    told = [
        (s.PROCESSED, 10), (s.IGNORED, 10), (s.FAILED, 10), (s.RECEIVED, 10), (s.RECEIVED, 130),
        (s.FAILED, 3700), (s.PROCESSED, 3700),
    ]  # fmt: skip
    with transaction():
        for number, (status, ago) in enumerate(told):
            insert_ignore(WebhookEvent, webhook(status, ago, number))
    assert measures.webhooks() == Measured(50.0, 4)


def test_receipts_of_messages_hide_no_gateways_failures(app):
    s = WebhookStatus
    told = [(s.FAILED, "stripe"), (s.PROCESSED, "stripe"), (s.FAILED, "delivery/sandbox")]
    told += [(s.PROCESSED, "messages/twilio")] * 8
    with transaction():
        for number, (status, source) in enumerate(told):
            insert_ignore(WebhookEvent, webhook(status, 10, number, source))
    assert measures.webhooks(2) == Measured(50.0, 2)
    # Where nobody has told enough, the largest sample stands there.
    assert measures.webhooks(100) == Measured(0.0, 8)


def test_a_receipt_that_waits_for_its_message_does_not_fail(app):
    with transaction():
        for number, ago in enumerate((130, 590)):
            waiting = webhook(WebhookStatus.RECEIVED, ago, number, "messages/twilio")
            insert_ignore(WebhookEvent, waiting)
        insert_ignore(WebhookEvent, webhook(WebhookStatus.IGNORED, 600, 2, "messages/twilio"))
    assert measures.webhooks() == Measured(0.0, 1)
    with transaction():
        insert_ignore(WebhookEvent, webhook(WebhookStatus.RECEIVED, 610, 3, "messages/twilio"))
    assert measures.webhooks() == Measured(50.0, 2)


@pytest.mark.breaks_books
def test_holds_that_expired_are_set_against_those_that_were_paid(order):
    first = db.session.scalars(sa.select(Reservation)).first()
    with transaction() as session:
        session.execute(sa.delete(Reservation).where(Reservation.id != first.id))
    assert measures.holds() == Measured(0.0, 1)
    variants = [make_product().variants[0].id for _ in range(4)]
    s = ReservationState
    copies(
        Reservation, first,
        [
            {"variant_id": variants[0], "state": s.EXPIRED, "created_at": utcnow()},
            {"variant_id": variants[1], "state": s.ACTIVE, "created_at": utcnow()},
            {"variant_id": variants[2], "state": s.CANCELLED, "created_at": utcnow()},
            {"variant_id": variants[3], "state": s.EXPIRED, "created_at": in_future(hours=-25)},
        ],
    )  # fmt: skip
    assert measures.holds() == Measured(50.0, 2)


def parcel(order, number, **values):
    made = {"order_id": order.id, "courier": "sandbox", "created_at": in_future(minutes=-20)}
    return Shipment(**made, sequence=number, reference=f"r{number}", **values)


@pytest.mark.breaks_books
def test_a_parcel_fails_when_it_is_not_made_within_a_quarter_of_an_hour(order):
    s = ShipmentStatus
    with transaction() as session:
        session.add_all(
            [
                parcel(order, 11, step=Step.LABELLED, status=s.PICKUP_SCHEDULED),
                parcel(order, 12, step=Step.RESERVED),
                parcel(order, 13, step=Step.AWB_ASSIGNED),
                # Moved by hand: it is on its way, whatever step the courier was asked for.
                parcel(order, 14, step=Step.RESERVED, status=s.IN_TRANSIT),
                parcel(order, 15, step=Step.RESERVED, status=s.CANCELLED),
            ]
        )
        late = parcel(order, 16)
        late.created_at = utcnow()
        session.add(late)
    assert measures.shipments() == Measured(50.0, 4)


def test_errors_of_the_last_five_minutes_are_added_up(app):
    minute = utcnow().replace(second=0, microsecond=0)
    told = (("web", 0, 3), ("job", 0, 2), ("web", 4, 2), ("web", 6, 50))
    with transaction() as session:
        for source, ago, count in told:
            minute_at = minute - timedelta(minutes=ago)
            session.add(ErrorCount(source=source, minute_at=minute_at, count=count))
    assert measures.errors() == Measured(7, 7)


def test_mails_fail_when_they_failed_or_wait_for_five_minutes(app):
    s = NotificationStatus
    told = [
        (s.SENT, 1, "email"), (s.DELIVERED, 1, "email"), (s.FAILED, 1, "email"), (s.QUEUED, 1, "email"),
        (s.QUEUED, 6, "email"), (s.SUPPRESSED, 1, "email"), (s.FAILED, 1, "sms"), (s.FAILED, 61, "email"),
    ]  # fmt: skip
    with transaction() as session:
        for number, (status, minutes, channel) in enumerate(told):
            session.add(
                Notification(
                    template="x", channel=channel, recipient="a@b.example", dedupe_key=str(number),
                    status=status, created_at=in_future(minutes=-minutes),
                )
            )  # fmt: skip
    assert measures.mails() == Measured(50.0, 4)


@pytest.mark.breaks_books
def test_disputes_without_evidence_and_low_variants_are_counted(order):
    payment = db.session.scalars(sa.select(Payment)).one()
    low = make_product(stock=2).variants[0].id
    with transaction() as session:
        session.execute(
            sa.update(StockLevel).where(StockLevel.variant_id != low).values(low_threshold=0)
        )
        for number, sent in enumerate((None, None, utcnow())):
            session.add(
                Dispute(payment_id=payment.id, gateway_id=str(number), amount_minor=1, evidence_sent_at=sent)
            )  # fmt: skip
    assert measures.disputes() == Measured(2, 2)
    assert measures.low_stock() == Measured(1, 1)


@pytest.mark.breaks_books
def test_the_pace_is_told_by_the_middle_and_the_slow_end(order, prefer):
    now = utcnow()
    with transaction() as session:
        session.execute(sa.update(Order).values(paid_at=now - timedelta(seconds=10)))
        session.add(parcel(order, 1, step=Step.LABELLED, made_at=now - timedelta(seconds=8)))
        for number, seconds in enumerate((1, 2, 3)):
            event = webhook(WebhookStatus.PROCESSED, 60, number)
            event["processed_at"] = event["received_at"] + timedelta(seconds=seconds)
            insert_ignore(WebhookEvent, event)
    found = pace.paces()
    assert found.webhooks == pace.Pace(2.0, 3.0, 3)
    assert found.shipments == pace.Pace(2.0, 2.0, 1)
    prefer(auto_ship="false")
    assert pace.shipment_pace() == pace.Pace(None, None, 0)
