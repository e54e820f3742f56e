"""News of money, whoever brings it, in whatever order, changes things once."""

import random

import pytest
import sqlalchemy as sa

from shop.catalog.models import Seller
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.incidents.models import Incident, Severity
from shop.jobs.models import Job
from shop.orders.lifecycle import Actor, Who, advance
from shop.orders.models import Order, OrderStatus, PaymentStatus
from shop.payments import attempts, recording, refunds
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import AttemptStatus, Payment, PaymentEvent, Refund, RefundStatus
from shop.payments.refunds import RefundLine
from shop.payments.statements import matching
from shop.stock.models import MovementReason, StockLevel, StockMovement
from tests.factories import make_order, make_product
from tests.payments.transfers import by_hand

#: A rule whose statements the other tests, and the histories, bring to the second database.
on_one = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def in_request(app):
    """Attempts build addresses of pages."""
    with app.test_request_context(base_url=app.extensions["settings"].public_url):
        yield


@pytest.fixture
def placed(shop):
    """An order whose payment is open."""
    return db.session.get_one(Order, shop.scene("recording_placed", lambda: make_order().id))


def news(payment, kind=EventKind.CAPTURED, **more):
    values = {
        "reference": payment.reference, "amount_minor": payment.amount_minor, "currency": payment.currency,
        "event_id": f"evt-{kind}-{more.get('refund_gateway_id')}", **more,
    }  # fmt: skip
    return GatewayEvent(kind, **values)


def take(payment, event, source="webhook"):
    with transaction():
        return recording.record(event, payment.gateway, source)


def only(model):
    db.session.expire_all()
    return db.session.scalars(sa.select(model)).one()


def issues():
    return sorted(db.session.scalars(sa.select(Incident.fingerprint)))


def kinds_of_jobs():
    return set(db.session.scalars(sa.select(Job.kind)))


def test_a_payment_confirms_stock_counts_sales_and_asks_for_parcel_and_mail(app):
    ball = make_product(stock=5)
    order = make_order(lines={ball: 2})
    assert take(only(Payment), news(only(Payment))) == "captured"
    order = only(Order)
    assert (order.status, order.payment_status) == (OrderStatus.PAID, PaymentStatus.PAID)
    level = only(StockLevel)
    assert (level.on_hand, level.reserved) == (3, 0)
    sale = db.session.scalars(sa.select(StockMovement).filter_by(reason=MovementReason.SALE)).one()
    assert sale.delta == -2
    assert (only(Seller).sales_count, only(Seller).sales_minor) == (2, 99_800)
    assert {"delivery.create_shipment", "messaging.tell"} <= kinds_of_jobs()


def test_the_same_news_by_every_road_counts_once(placed, app):
    payment = only(Payment)
    assert take(payment, news(payment), "webhook") == "captured"
    for source in ("webhook", "return", "sweep") * 2:
        assert take(payment, news(payment), source) == "nothing", source
    captures = db.session.scalars(sa.select(PaymentEvent).filter_by(kind="captured")).all()
    assert len(captures) == 1


@on_one
@pytest.mark.forces("mismatch")
def test_a_wrong_currency_changes_no_state_and_calls_a_person(placed, app):
    payment = only(Payment)
    assert take(payment, news(payment, currency="USD")) == "mismatch"
    order = only(Order)
    assert order.status == OrderStatus.PENDING_PAYMENT
    assert "wrong currency" in order.attention
    assert issues() == [f"mismatch:{payment.reference}"]
    assert only(Payment).captured_minor == 0


@pytest.mark.forces("short")
def test_too_little_leaves_the_order_unpaid_with_an_incident(placed, app):
    payment = only(Payment)
    assert take(payment, news(payment, amount_minor=100)) == "short"
    order = only(Order)
    assert (order.status, order.payment_status) == (
        OrderStatus.PENDING_PAYMENT, PaymentStatus.PARTIALLY_PAID,
    )  # fmt: skip
    assert only(Payment).captured_minor == 100
    assert only(Incident).severity == Severity.CRITICAL


@on_one
@pytest.mark.forces("overpaid")
def test_too_much_pays_and_the_excess_can_be_refunded(placed, app):
    payment = only(Payment)
    take(payment, news(payment, amount_minor=payment.amount_minor + 500))
    assert only(Order).payment_status == PaymentStatus.PAID
    assert issues() == [f"overpaid:{payment.reference}"]
    with transaction():
        refunds.request_refund(payment.id, 500, [], "excess", "user:1")
    assert only(Order).status == OrderStatus.PAID


@on_one
def test_a_declined_try_on_an_open_page_is_a_line_in_the_timeline_only(placed, app):
    payment = only(Payment)
    take(payment, news(payment, EventKind.TRY_FAILED, failure_words="Card declined"))
    assert only(Order).status == OrderStatus.PENDING_PAYMENT
    assert only(Payment).status == AttemptStatus.OPEN


def make_for_the_last():
    """An order of the last ball."""
    return make_order(lines={make_product(stock=1): 1}).id


def test_a_failed_attempt_keeps_the_hold_and_mails_once(shop):
    shop.scene("recording_last", make_for_the_last)
    payment = only(Payment)
    event = news(payment, EventKind.FAILED, failure_words="Declined: insufficient funds")
    assert take(payment, event) == "failed"
    assert take(payment, event) == "nothing"
    assert only(Order).status == OrderStatus.PAYMENT_FAILED
    assert only(StockLevel).reserved == 1
    mails = db.session.scalars(sa.select(Job.key).filter_by(kind="messaging.tell")).all()
    assert mails == [f"payment_failed:{payment.id}"]


@pytest.mark.forces("second")
def test_a_retry_by_another_method_ends_the_first_and_both_paid_refunds_the_second(
    placed, app, run_money
):
    first = only(Payment)
    attempts.pay(placed.id, "bank_transfer")
    db.session.expire_all()
    payments = db.session.scalars(sa.select(Payment).order_by(Payment.id)).all()
    assert [p.status for p in payments] == [AttemptStatus.SUPERSEDED, AttemptStatus.OPEN]
    second_id = payments[1].id
    with transaction():
        matching.confirm(second_id, by_hand(payments[1].amount_minor), "user:1")
    assert only(Order).status == OrderStatus.PAID
    first = db.session.get_one(Payment, first.id)
    assert take(first, news(first)) == "second"
    refund = only(Refund)
    assert refund.payment_id == first.id
    assert refund.amount_minor == first.amount_minor
    assert f"second:{first.reference}" in issues()
    assert only(Order).payment_status == PaymentStatus.PAID


@on_one
def test_five_attempts_are_the_most(placed, app):
    for _ in range(4):
        payment = attempts.latest(placed.id)
        take(payment, news(payment, EventKind.FAILED))
        attempts.pay(placed.id, "sandbox")
    payment = attempts.latest(placed.id)
    take(payment, news(payment, EventKind.FAILED))
    with pytest.raises(Refused, match="tried 5 times"):
        attempts.pay(placed.id, "sandbox")


@on_one
def test_while_an_attempt_may_still_succeed_no_second_is_opened(placed, app):
    with transaction():
        db.session.execute(sa.update(Payment).values(status=AttemptStatus.UNKNOWN))
    with pytest.raises(Refused, match="still asking"):
        attempts.pay(placed.id, "bank_transfer")


# --- refunds ---------------------------------------------------------------------------------


@pytest.fixture
def paid(shop):
    """A paid order of three, of five that were there, and its payment."""

    def make():
        return make_order("paid", lines={make_product(stock=5, price=10_000): 3}).id

    order_id = shop.scene("recording_paid", make)
    return db.session.get_one(Order, order_id), attempts.latest(order_id)


def test_a_part_refund_holds_first_and_moves_lines_sales_and_status(paid, app, run_money):
    order, payment = paid
    line = order.lines[0]
    with transaction():
        refunds.request_refund(
            payment.id, 10_000, [RefundLine(line.id, 1, 10_000, restock=True)], "scratched", "user:1"
        )  # fmt: skip
    assert only(Payment).refund_held_minor == 10_000
    assert only(Payment).refunded_minor == 0
    run_money()
    assert only(Refund).status == RefundStatus.SUCCEEDED
    assert only(Order).payment_status == PaymentStatus.PARTIALLY_REFUNDED
    assert only(Seller).sales_count == 2
    assert only(StockLevel).on_hand == 3


@on_one
def test_never_more_than_came_in_however_many_ask(paid, app):
    order, payment = paid
    with transaction():
        refunds.request_refund(payment.id, payment.amount_minor - 100, [], "a", "user:1")
    with pytest.raises(Refused, match=r"Not more than ₹1\.00"), transaction():
        refunds.request_refund(payment.id, 200, [], "b", "user:1")
    line = order.lines[0]
    with pytest.raises(Refused), transaction():
        refunds.request_refund(payment.id, 100, [RefundLine(line.id, 9, 100)], "c", "user:1")
    for amount in (0, -5):
        with pytest.raises(Refused), transaction():
            refunds.request_refund(payment.id, amount, [], "d", "user:1")


def test_a_failed_refund_gives_the_hold_and_the_lines_back(paid, app):
    order, payment = paid
    line = order.lines[0]
    with transaction():
        refund = refunds.request_refund(
            payment.id, 10_000, [RefundLine(line.id, 1, 10_000)], "x", "user:1"
        )
        key = refund.idempotency_key
    take(payment, news(payment, EventKind.REFUND_FAILED, refund_key=key, failure_words="closed"))
    assert only(Payment).refund_held_minor == 0
    assert db.session.get_one(type(line), line.id).refunded_quantity == 0
    assert "A refund failed" in only(Order).attention


@on_one
@pytest.mark.forces("refund_waits")
def test_a_refund_that_waits_for_a_person_is_told_once_and_goes_on(paid, app):
    _order, payment = paid
    with transaction():
        key = refunds.request_refund(payment.id, 10_000, [], "x", "user:1").idempotency_key
    waits = news(
        payment, EventKind.REFUND_PENDING, refund_key=key, failure_words="no account", event_id=None
    )
    assert [take(payment, waits), take(payment, waits)] == ["refund_waits", "nothing"]
    assert only(Payment).refund_held_minor == 10_000
    assert only(Order).attention == "A refund waits: no account"
    assert only(Incident).repeats == 0
    done = news(payment, EventKind.REFUND_SUCCEEDED, refund_key=key, amount_minor=10_000)
    assert take(payment, done) == "refunded"
    assert only(Refund).failure_words is None


@on_one
def test_a_refund_made_at_the_gateway_is_taken_in_once(paid, app):
    _order, payment = paid
    event = news(
        payment, EventKind.REFUND_SUCCEEDED, refund_gateway_id="re_1", amount_minor=payment.amount_minor
    )  # fmt: skip
    assert take(payment, event) == "refunded"
    assert take(payment, event) == "nothing"
    assert only(Order).status == OrderStatus.REFUNDED
    assert only(Refund).actor == "gateway:sandbox"


def test_cancelling_a_paid_order_refunds_and_restocks_all(paid, app, run_money):
    order, _payment = paid
    with transaction():
        advance(db.session.get_one(Order, order.id), "cancelled", Actor(Who.ADMIN, "user:1"))
    run_money()
    assert only(Order).status == OrderStatus.CANCELLED
    assert only(Order).payment_status == PaymentStatus.REFUNDED
    assert only(StockLevel).on_hand == 5


def test_a_bank_refund_waits_for_a_person(app, run_money):
    order = make_order("paid", method="bank_transfer")
    payment = attempts.latest(order.id)
    with transaction():
        refund_id = refunds.request_refund(payment.id, 500, [], "x", "user:1").id
    run_money()
    assert only(Refund).status == RefundStatus.SENT
    with transaction():
        refunds.mark_done(refund_id, "user:1", "OUT-1")
    assert only(Refund).status == RefundStatus.SUCCEEDED


# --- disputes --------------------------------------------------------------------------------


def test_a_dispute_holds_the_order_and_winning_brings_it_back(paid, app):
    _order, payment = paid
    opened = news(payment, EventKind.DISPUTE_OPENED, dispute_gateway_id="du_1")
    assert take(payment, opened) == "dispute_opened"
    assert take(payment, opened) == "nothing"
    assert only(Order).status == OrderStatus.DISPUTED
    assert only(Order).payment_status == PaymentStatus.DISPUTED
    take(payment, news(payment, EventKind.DISPUTE_WON, dispute_gateway_id="du_1"))
    assert only(Order).status == OrderStatus.PAID
    assert only(Order).payment_status == PaymentStatus.PAID


@pytest.mark.parametrize(
    ("told", "end"), [("before", OrderStatus.REFUNDED), ("after", OrderStatus.CANCELLED)]
)
def test_losing_a_dispute_whose_opening_was_missed_ends_refunded(placed, app, told, end):
    """The payment is told before that, or after it: then the order was never paid."""
    payment = attempts.latest(placed.id)
    events = [news(payment), news(payment, EventKind.DISPUTE_LOST, dispute_gateway_id="du_1")]
    for event in events if told == "before" else reversed(events):
        take(payment, event)
    assert only(Order).status == end
    assert only(Order).payment_status == PaymentStatus.REFUNDED


@pytest.mark.parametrize(
    ("engine", "seed"),
    [
        ("sqlite", 0),
        ("sqlite", 1),
        ("sqlite", 2),
        pytest.param("postgresql", 3, marks=pytest.mark.pg),
        # The refunds and the end of the dispute are told before the payment.
        pytest.param("postgresql", 22, marks=pytest.mark.pg),
    ],
    indirect=["engine"],
)
def test_news_in_any_order_ends_with_right_books(paid, app, seed):
    _order, payment = paid
    part = payment.amount_minor // 3
    states = (EventKind.CAPTURED, EventKind.FAILED, EventKind.EXPIRED, EventKind.PENDING)
    events = [
        *(news(payment, kind) for kind in states),
        news(payment, EventKind.REFUND_SUCCEEDED, refund_gateway_id="re_1", amount_minor=part),
        news(payment, EventKind.REFUND_FAILED, refund_gateway_id="re_1", amount_minor=part),
        news(payment, EventKind.REFUND_SUCCEEDED, refund_gateway_id="re_2", amount_minor=part),
        news(payment, EventKind.DISPUTE_OPENED, dispute_gateway_id="du_1"),
        news(payment, EventKind.DISPUTE_WON, dispute_gateway_id="du_1"),
    ] * 2
    random.Random(seed).shuffle(events)
    for event in events:
        take(payment, event)
    assert only(Payment).captured_minor == payment.amount_minor
