"""Money that comes when its hold has ended: the stock is taken again, or it goes back."""

import pytest
import sqlalchemy as sa

from shop.clock import utcnow
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.orders.models import Order, OrderStatus, PaymentStatus
from shop.payments import attempts, recording
from shop.payments.models import AttemptStatus, Payment, Refund, RefundStatus
from shop.preferences import change
from shop.sandbox import gateway as sandbox
from shop.stock import ledger
from shop.stock.models import Reservation, StockLevel
from tests.factories import make_order, make_product, pay
from tests.payments.test_recording import (
    in_request,
    issues,
    make_for_the_last,
    news,
    on_one,
    only,
    placed,
    take,
)

__all__ = ["in_request", "placed"]


def expire(run_money):
    """The hold's time passes; the sandbox's page is ended at its side."""
    with transaction():
        db.session.execute(sa.update(Reservation).values(expires_at=utcnow()))
        enqueue("stock.expire_holds")
    run_money()


@pytest.fixture
def expired(shop, run_money):
    """An order of the last ball, whose hold has ended."""

    def make():
        order_id = make_for_the_last()
        expire(run_money)
        return order_id

    return db.session.get_one(Order, shop.scene("recording_expired", make))


@on_one
def test_the_hold_ends_when_the_gateway_has_ended_its_page(expired):
    assert only(StockLevel).reserved == 0
    assert only(Payment).status in {AttemptStatus.CANCELLED, AttemptStatus.EXPIRED}
    assert only(Order).status == OrderStatus.PAYMENT_FAILED


@on_one
def test_money_that_was_quicker_than_the_end_of_the_hold_is_kept(placed, app, run_money):
    with transaction():
        sandbox.pay(sandbox.find(only(Payment).reference, lock=True), webhooks=0)
    expire(run_money)
    assert only(Payment).status == AttemptStatus.CAPTURED
    assert only(Order).paid_at is not None


def test_late_money_takes_the_stock_again_while_it_is_there(expired):
    payment = only(Payment)
    assert take(payment, news(payment)) == "late"
    assert only(Order).status == OrderStatus.PAID
    assert only(StockLevel).on_hand == 0
    assert f"late_money:{only(Order).id}" in issues()


@pytest.fixture
def late_and_gone(shop, run_money):
    """An order that was paid when another had bought the last ball."""

    def make():
        ball = make_product(stock=1)
        first = make_order(lines={ball: 1})
        expire(run_money)
        second = make_order(lines={ball: 1})
        pay(second)
        pay(first)
        return first.id

    return db.session.get_one(Order, shop.scene("recording_late_and_gone", make))


def test_late_money_for_what_is_gone_waits_for_a_person_with_a_deadline(late_and_gone):
    order = late_and_gone
    assert order.late_money_due_at > utcnow()
    assert order.attention
    assert order.status == OrderStatus.PAYMENT_FAILED
    with pytest.raises(Refused, match="Not everything is in stock"), transaction():
        recording.decide_late(order.id, "accept", "user:1")
    with transaction():
        ledger.receive(order.lines[0].variant_id, 1, "user:1")
    with transaction():
        recording.decide_late(order.id, "accept", "user:1")
    assert db.session.get_one(Order, order.id).status == OrderStatus.PAID


def test_late_money_that_nobody_decided_goes_back_in_full(late_and_gone, run_money):
    order = late_and_gone
    with transaction():
        db.session.execute(
            sa.update(Order).where(Order.id == order.id).values(late_money_due_at=utcnow())
        )
        enqueue("payments.late_money_default")
    run_money()
    order = db.session.get_one(Order, order.id, populate_existing=True)
    assert order.status == OrderStatus.CANCELLED
    assert order.payment_status == PaymentStatus.REFUNDED
    assert only(Refund).status == RefundStatus.SUCCEEDED


@on_one
def test_the_refund_policy_sends_late_money_back_at_once(expired, run_money):
    with transaction():
        change("late_policy", "refund")
    pay(expired)
    run_money()
    assert only(Order).status == OrderStatus.CANCELLED
    assert only(Order).payment_status == PaymentStatus.REFUNDED


@on_one
def test_money_for_a_cancelled_order_is_recorded_first_always(app, run_money):
    ball = make_product(stock=1)
    order = make_order("cancelled", lines={ball: 1})
    run_money()
    payment = attempts.latest(order.id)
    assert take(payment, news(payment)) == "late"
    assert only(Order).status == OrderStatus.PAID
    assert only(Payment).captured_minor == payment.amount_minor
