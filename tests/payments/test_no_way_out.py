"""Every state has an end: what could stand for ever comes to one, and one bad order stops no other."""

import pytest
import sqlalchemy as sa

from shop.clock import in_future, utcnow
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import Actor, Who, advance
from shop.orders.models import Order, OrderStatus, PaymentStatus
from shop.payments import attempts, recording, refunds
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import AttemptStatus, Payment, Refund
from shop.payments.reconciling import packed, unpacked
from shop.payments.refunds import RefundLine
from shop.payments.statements import matching
from shop.stock.models import Reservation, StockLevel
from tests.factories import make_order, make_product
from tests.payments.conftest import let_only_money_move
from tests.payments.transfers import by_hand

#: A rule whose statements the other tests, and the histories, bring to the second database.
on_one = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


STAFF = Actor(Who.ADMIN, "user:1")


@pytest.fixture(autouse=True)
def in_request(app):
    """Attempts build addresses of pages."""
    with app.test_request_context(base_url=app.extensions["settings"].public_url):
        yield


@pytest.fixture
def begin(shop):
    """`begin(make)` copies the order that `make()` brings about where only money moves."""

    def begun(make):
        def made():
            let_only_money_move()
            return make().id

        return db.session.get_one(Order, shop.scene(f"no_way_out_{make.__name__}", made))

    return begun


def for_the_last():
    """An order of the last ball."""
    return make_order(lines={make_product(stock=1): 1})


def paid_for():
    """A paid order."""
    return make_order("paid")


def only(model):
    db.session.expire_all()
    return db.session.scalars(sa.select(model)).one()


def take(payment, kind, **more):
    values = {
        "reference": payment.reference,
        "amount_minor": payment.amount_minor,
        "currency": "INR",
    }
    key = payment.gateway
    with transaction():
        return recording.record(GatewayEvent(kind, **{**values, **more}), key, "webhook")


def run(kind, run_money):
    with transaction():
        enqueue(kind)
    run_money()


def never_opened():
    """An attempt whose opening got no answer, at a gateway that never heard of it."""
    order = for_the_last()
    with transaction() as session:
        session.execute(
            sa.update(Payment).values(status=AttemptStatus.UNKNOWN, gateway_id=None, next_step={})
        )
        session.execute(sa.text("DELETE FROM sandbox_payments"))
    return order


@on_one
def test_an_opening_that_is_refused_when_repeated_ends_and_frees_the_stock(
    begin, run_money, monkeypatch
):
    from shop.payments.gateways.sandbox import Sandbox
    from shop.providers import ProviderRefused

    order = begin(never_opened)

    def refused(self, request):
        raise ProviderRefused("expires_at must be at least 30 minutes ahead")

    monkeypatch.setattr(Sandbox, "open", refused)
    with transaction():
        db.session.execute(sa.update(Reservation).values(expires_at=utcnow()))
    run("stock.expire_holds", run_money)
    assert only(Payment).status == AttemptStatus.FAILED
    assert only(Order).status == OrderStatus.PAYMENT_FAILED
    assert only(StockLevel).reserved == 0
    monkeypatch.undo()
    attempts.pay(order.id, "bank_transfer")


def test_an_opening_of_unknown_outcome_is_repeated_with_its_own_key(begin, run_money):
    begin(never_opened)
    with transaction():
        db.session.execute(sa.update(Payment).values(ask_at=utcnow()))
    run("payments.ask_due", run_money)
    assert only(Payment).status == AttemptStatus.OPEN
    assert only(Payment).gateway_id


@on_one
def test_a_gateway_that_never_answers_again_is_not_asked_for_ever(begin, run_money):
    begin(for_the_last)
    with transaction():
        db.session.execute(
            sa.update(Payment).values(
                ask_at=utcnow(), created_at=in_future(hours=-73), gateway_id="sbx_gone"
            )
        )
        db.session.execute(sa.text("DELETE FROM sandbox_payments"))
    run("payments.ask_due", run_money)
    assert only(Payment).ask_at is None
    assert only(Payment).status == AttemptStatus.EXPIRED


def late_order(stock=1):
    """An order that was paid when its goods were gone."""
    ball = make_product(stock=stock)
    order = make_order(lines={ball: 1})
    payment = attempts.latest(order.id)
    with transaction():
        from shop.stock import ledger, reservations
        from shop.stock.models import MovementReason, ReservationState

        reservations.release(order.id, ReservationState.EXPIRED)
        ledger.move(ball.variants[0].id, -stock, MovementReason.WRITE_OFF, "system")
        from shop.sandbox import gateway as sandbox

        sandbox.pay(sandbox.find(payment.reference, lock=True), webhooks=0)
    take(payment, EventKind.CAPTURED)
    return db.session.get_one(Order, order.id, populate_existing=True)


def test_a_disputed_late_order_does_not_stop_the_others(money_alone, run_money):
    first, second = late_order(), late_order()
    with transaction():
        advance(db.session.get_one(Order, first.id), "cancelled", STAFF)
    take(attempts.latest(first.id), EventKind.DISPUTE_OPENED, dispute_gateway_id="du_1")
    with transaction():
        db.session.execute(sa.update(Order).values(late_money_due_at=utcnow()))
    run("payments.late_money_default", run_money)
    second = db.session.get_one(Order, second.id, populate_existing=True)
    assert second.status == OrderStatus.CANCELLED
    assert second.payment_status == PaymentStatus.REFUNDED
    failed = db.session.scalar(
        sa.select(sa.func.count(Job.id)).where(Job.status == JobStatus.FAILED)
    )
    assert failed == 0


@on_one
@pytest.mark.forces("refund_failed")
def test_units_of_a_failed_refund_are_not_put_back_twice(money_alone):
    ball = make_product(stock=5, price=10_000)
    order = make_order("paid", lines={ball: 3})
    payment = attempts.latest(order.id)
    with transaction():
        refund = refunds.request_refund(
            payment.id, 10_000, [RefundLine(order.lines[0].id, 1, 10_000, True)], "x", "user:1"
        )
        key = refund.idempotency_key
    take(payment, EventKind.REFUND_FAILED, refund_key=key)
    with transaction():
        advance(db.session.get_one(Order, order.id), "cancelled", STAFF)
    assert only(StockLevel).on_hand == 5


@pytest.mark.forces("cash_for_cancelled")
def test_cash_for_a_cancelled_order_is_recorded_and_told(money_alone):
    from shop.incidents.models import Incident

    order = make_order("processing", method="cod", lines={make_product(stock=3): 1})
    with transaction():
        advance(db.session.get_one(Order, order.id), "cancelled", STAFF)
    with transaction():
        found = db.session.get_one(Order, order.id)
        assert recording.record_cash(found, found.total_minor, "courier:sandbox") == "captured"
    order = only(Order)
    assert order.payment_status == PaymentStatus.PAID
    assert "cancelled order" in order.attention
    assert db.session.scalar(sa.select(sa.func.count(Incident.id))) == 1


def test_short_money_goes_back_when_the_rest_does_not_come(money_alone, run_money):
    make_order(method="bank_transfer")
    payment = only(Payment)
    with transaction():
        matching.confirm(payment.id, by_hand(100), "user:1")
    with transaction() as session:
        session.execute(sa.update(Reservation).values(expires_at=utcnow()))
    run("stock.expire_holds", run_money)
    assert only(Order).status == OrderStatus.CANCELLED
    assert only(Refund).amount_minor == 100


@on_one
def test_a_disputed_payment_is_not_refunded_beside(begin):
    order = begin(paid_for)
    payment = attempts.latest(order.id)
    take(payment, EventKind.DISPUTE_OPENED, dispute_gateway_id="du_1")
    with pytest.raises(Refused, match="disputed"), transaction():
        refunds.request_refund(payment.id, 100, [], "x", "user:1")
    take(payment, EventKind.DISPUTE_LOST, dispute_gateway_id="du_1")
    with pytest.raises(Refused, match="Not more than"), transaction():
        refunds.request_refund(payment.id, 100, [], "x", "user:1")


@on_one
def test_the_stock_of_a_shopper_who_waits_for_late_money_cannot_be_held_again(begin):
    order = begin(late_order)
    with pytest.raises(Refused, match="no longer waits"):
        attempts.renew_hold(order.id)


@on_one
def test_a_hold_is_renewed_ten_times_a_day_and_not_for_ever(begin):
    order = begin(for_the_last)
    for _ in range(15):
        attempts.renew_hold(order.id)
    with pytest.raises(Refused, match="Too many"):
        attempts.renew_hold(order.id)


def test_one_strange_event_does_not_stop_the_comparison(begin, run_money):
    """A refund of money that was never counted is a fault of its own; the next one is taken in."""
    first, second = begin(paid_for), paid_for()
    one, two = attempts.latest(first.id), attempts.latest(second.id)
    strange = GatewayEvent(
        EventKind.REFUND_SUCCEEDED, reference=one.reference, amount_minor=10**9, currency="INR",
        refund_gateway_id="re_1",
    )  # fmt: skip
    usual = GatewayEvent(
        EventKind.REFUND_SUCCEEDED, reference=two.reference, amount_minor=two.amount_minor,
        currency="INR", refund_gateway_id="re_2",
    )  # fmt: skip
    with transaction():
        for number, event in enumerate((strange, usual)):
            enqueue(
                "payments.take_in", {"gateway": "sandbox", "news": packed(event)}, key=str(number)
            )
    run_money()
    assert (
        db.session.get_one(Order, second.id, populate_existing=True).status == OrderStatus.REFUNDED
    )
    assert (
        db.session.get_one(Order, first.id, populate_existing=True).status != OrderStatus.REFUNDED
    )


@on_one
def test_news_survives_being_carried_by_a_job():
    event = GatewayEvent(
        EventKind.DISPUTE_OPENED, reference="R", amount_minor=5, currency="INR",
        occurred_at=utcnow(), evidence_due_at=utcnow(), refs={"payment_intent": "pi_1"},
    )  # fmt: skip
    assert unpacked(packed(event)) == event


@on_one
def test_a_cart_that_late_money_turned_into_its_order_is_no_cart_any_more(begin):
    from shop.cart.models import Cart

    order = begin(for_the_last)
    with transaction():
        advance(db.session.get_one(Order, order.id), "expired", Actor(Who.SYSTEM, "system"))
    assert only(Cart).ordered_at is None
    payment = attempts.latest(order.id)
    assert take(payment, EventKind.CAPTURED) == "late"
    assert only(Cart).ordered_at is not None


def test_money_for_an_archived_order_takes_it_out_and_takes_the_stock_again(money_alone):
    order = make_order("cancelled", lines={make_product(stock=1): 1})
    with transaction():
        advance(db.session.get_one(Order, order.id), "archived", STAFF)
    assert take(attempts.latest(order.id), EventKind.CAPTURED) == "late"
    assert only(Order).status == OrderStatus.PAID
    assert only(StockLevel).on_hand == 0
