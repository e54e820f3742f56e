"""What the visitor picks on the pretend gateway's page, and what becomes of the order."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.queue import enqueue
from shop.orders.models import Order, OrderStatus, PaymentStatus
from shop.payments import attempts
from shop.payments.models import AttemptStatus, Payment, PaymentEvent, Refund
from shop.preferences import change
from shop.stock.models import StockLevel
from shop.webhooks.models import WebhookEvent
from tests.factories import make_order
from tests.payments.conftest import let_only_money_move
from tests.payments.scenes import seen_afresh

#: A rule whose statements the other tests, and the histories, bring to the second database.
on_one = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def make_placed() -> int:
    let_only_money_move()
    return make_order().id


@pytest.fixture
def placed(shop: Any, live: str) -> tuple[Order, Payment]:
    """An order that waits on the pretend gateway's page."""
    order = db.session.get_one(Order, shop.scene("at_the_sandbox", make_placed))
    payment = attempts.latest(order.id)
    assert payment
    return order, payment


@pytest.fixture
def pick(client: Any, placed: tuple[Order, Payment]) -> Callable[..., Any]:
    """Pick an outcome on the page."""

    def picked(outcome: str, **more: str) -> Any:
        return client.send(f"/sandbox/pay/{placed[1].gateway_id}", {"outcome": outcome, **more})

    return picked


@pytest.fixture
def paid(shop: Any, live: str, client: Any, run_news: Any) -> tuple[Order, Payment]:
    """An order that was approved there, copied."""

    def make() -> int:
        order_id = make_placed()
        client.send(f"/sandbox/pay/{attempts.latest(order_id).gateway_id}", {"outcome": "ok"})
        run_news()
        return order_id

    order = db.session.get_one(Order, shop.scene("paid_at_the_sandbox", make))
    payment = attempts.latest(order.id)
    assert payment
    return order, payment


@pytest.fixture
def afresh(placed: tuple[Order, Payment]) -> Callable[[], tuple[Order, Payment]]:
    """Order and attempt as they stand now."""

    def read() -> tuple[Order, Payment]:
        db.session.rollback()
        for row in placed:
            db.session.refresh(row)
        return placed

    return read


def start(kind: str) -> None:
    with transaction():
        enqueue(kind)


def reserved() -> int:
    return sum(level.reserved for level in db.session.scalars(sa.select(StockLevel)))


def captures() -> int:
    """How often money was counted."""
    events = db.session.scalars(sa.select(PaymentEvent).where(PaymentEvent.kind == "captured"))
    return len(events.all())


def test_approve(pick: Any, afresh: Any, run_news: Any) -> None:
    pick("ok")
    run_news()
    order, payment = afresh()
    assert (payment.status, payment.captured_minor) == (AttemptStatus.CAPTURED, order.total_minor)
    assert order.payment_status == PaymentStatus.PAID
    assert reserved() == 0


def test_approve_and_send_the_webhook_twice(pick: Any, afresh: Any, run_news: Any) -> None:
    pick("twice")
    run_news()
    order, payment = afresh()
    assert payment.captured_minor == order.total_minor
    assert captures() == 1
    (event,) = db.session.scalars(sa.select(WebhookEvent))
    assert event.repeats == 1


@on_one
def test_decline(pick: Any, afresh: Any, run_news: Any) -> None:
    pick("decline", reason="insufficient_funds")
    run_news()
    order, payment = afresh()
    assert order.status == OrderStatus.PAYMENT_FAILED
    assert payment.failure_words == "There was not enough money in the account."


@on_one
def test_cancel_and_go_back_leaves_the_page_open(pick: Any, afresh: Any, run_news: Any) -> None:
    assert pick("abandon").location.startswith(attempts_return(afresh()[1]))
    run_news()
    order, payment = afresh()
    assert (order.status, payment.status) == (OrderStatus.PENDING_PAYMENT, AttemptStatus.OPEN)
    assert reserved() == 2


@on_one
def test_a_page_left_for_good_gives_the_stock_back(
    pick: Any, afresh: Any, run_news: Any, turn_clock: Any
) -> None:
    pick("abandon")
    turn_clock(minutes=11)
    start("stock.expire_holds")
    run_news()
    order, payment = afresh()
    assert order.status == OrderStatus.PAYMENT_FAILED
    assert payment.status in {AttemptStatus.EXPIRED, AttemptStatus.CANCELLED}
    assert reserved() == 0


def test_no_webhook_at_all_and_no_return(
    pick: Any, afresh: Any, run_news: Any, turn_clock: Any
) -> None:
    pick("no_webhook")
    run_news()
    assert afresh()[0].paid_at is None
    turn_clock(minutes=3)
    start("payments.ask_due")
    run_news()
    assert afresh()[0].paid_at


@on_one
def test_the_webhook_before_the_return(pick: Any, afresh: Any, run_news: Any, client: Any) -> None:
    waiting = pick("webhook_first")
    run_news()
    assert afresh()[0].paid_at
    assert client.get(waiting.location).location.startswith(attempts_return(afresh()[1]))
    assert captures() == 1


@on_one
def test_left_pending_then_paid(pick: Any, afresh: Any, run_news: Any) -> None:
    pick("pending")
    run_news()
    assert afresh()[0].status == OrderStatus.PENDING_PAYMENT
    run_news(ahead=61)
    run_news()
    assert afresh()[0].paid_at


@pytest.mark.parametrize(
    ("engine", "policy"),
    [
        ("sqlite", "accept"),
        ("sqlite", "refund"),
        pytest.param("postgresql", "accept", marks=pytest.mark.pg),
    ],
    indirect=["engine"],
)
def test_paid_after_the_hold_had_expired(
    pick: Any, afresh: Any, run_news: Any, turn_clock: Any, policy: str
) -> None:
    with transaction():
        change("late_policy", policy, None)
    pick("late")
    turn_clock(minutes=11)
    start("stock.expire_holds")
    run_news()
    assert reserved() == 0
    turn_clock(minutes=2)
    run_news()
    order, payment = afresh()
    assert payment.captured_minor == order.total_minor
    assert captures() == 1
    assert db.session.scalars(sa.select(Incident)).first()
    if policy == "accept":
        assert order.paid_at


def test_a_refund_from_the_gateways_side(paid: Any, run_news: Any, client: Any) -> None:
    order, payment = paid
    client.send(f"/sandbox/payments/{payment.gateway_id}/refund")
    run_news()
    seen_afresh(order, payment)
    assert payment.refunded_minor == order.total_minor
    assert order.payment_status == PaymentStatus.REFUNDED
    assert len(db.session.scalars(sa.select(Refund)).all()) == 1


@pytest.mark.parametrize(
    ("engine", "verdict", "ends"),
    [
        ("sqlite", "win", False),
        ("sqlite", "lose", True),
        pytest.param("postgresql", "lose", True, marks=pytest.mark.pg),
    ],
    indirect=["engine"],
)
def test_a_dispute(paid: Any, run_news: Any, client: Any, verdict: str, ends: bool) -> None:
    order, payment = paid
    client.send(f"/sandbox/payments/{payment.gateway_id}/dispute")
    run_news()
    seen_afresh(order)
    assert order.status == OrderStatus.DISPUTED
    client.send(f"/sandbox/payments/{payment.gateway_id}/{verdict}")
    run_news()
    seen_afresh(order)
    assert (order.status == OrderStatus.REFUNDED) == ends


def attempts_return(payment: Payment) -> str:
    """Where the page sends the browser."""
    from shop.config import settings

    return f"{settings().public_url}/pay/sandbox/return?reference={payment.reference}"
