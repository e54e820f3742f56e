"""Periodic work goes through all that waits, page by page: what stays waiting keeps nobody from their turn."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from shop.cart.models import Cart, CartLine
from shop.clock import in_future, local, utcnow
from shop.database import transaction
from shop.delivery.models import Shipment, ShipmentStatus, Step
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs import runner
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.messaging.models import CartReminder, Notification
from shop.orders.models import Order, OrderStatus, PaymentStatus
from shop.payments.models import (
    AttemptStatus,
    Dispute,
    PartStatus,
    Payment,
    PaymentPart,
    Refund,
    RefundStatus,
)  # fmt: skip
from shop.payments.statements.models import BankStatementLine
from shop.returns.models import ReturnRequest, ReturnShipment, ReturnState
from shop.stock.models import Reservation
from shop.webhooks.models import WebhookEvent
from tests.factories import make_order

LONG_AGO = timedelta(days=100)
ORDERS = 3
pytestmark = pytest.mark.breaks_books  # rows are planted without the money that belongs to them


def put(model: Any, **values: Any) -> None:
    db.session.execute(sa.update(model).values(**values))


def add(make: Callable[[Payment], Any]) -> None:
    """A row for each of the orders."""
    db.session.add_all(map(make, db.session.scalars(sa.select(Payment)).all()))


def old() -> Any:
    return utcnow() - LONG_AGO


# --- what waits ------------------------------------------------------------------------------


def attempts_to_ask() -> None:
    put(Payment, ask_at=utcnow())


def _refund(payment: Payment, status: RefundStatus) -> Refund:
    return Refund(
        payment_id=payment.id, order_id=payment.order_id, amount_minor=1, status=status, actor="system",
        idempotency_key=f"r{payment.id}", sent_at=old(), created_at=old(),
    )  # fmt: skip


def refunds_unanswered() -> None:
    add(lambda payment: _refund(payment, RefundStatus.SENT))


def refunds_by_hand() -> None:
    put(Payment, gateway="bank_transfer")
    add(lambda payment: _refund(payment, RefundStatus.REQUESTED))


def holds_over() -> None:
    put(Reservation, expires_at=old())


def orders_unpaid() -> None:
    put(Payment, status=AttemptStatus.FAILED)
    put(Order, expires_at=old())


def late_money() -> None:
    put(Order, late_money_due_at=old())


def instalments_due() -> None:
    put(PaymentPart, due_at=in_future(hours=1))
    add(
        lambda payment: PaymentPart(
            order_id=payment.order_id, sequence=2, amount_minor=1, status=PartStatus.PAID
        )
    )


def money_unmatched() -> None:
    add(
        lambda payment: BankStatementLine(
            booked_on=local(old()).date(), amount_minor=5, currency="INR", sameness=str(payment.id)
        )
    )


def money_too_much() -> None:
    put(Order, attention="paid twice")
    put(Payment, status=AttemptStatus.CAPTURED, captured_minor=10**9, captured_at=old())


def disputes_open() -> None:
    add(
        lambda payment: Dispute(
            payment_id=payment.id, gateway_id="d", amount_minor=1, evidence_due_at=utcnow()
        )
    )


def _paid(**more: Any) -> None:
    values = {"status": OrderStatus.PAID, "payment_status": PaymentStatus.PAID, "updated_at": old()}
    put(Order, **values | more)


def _parcel(payment: Payment, **more: Any) -> Shipment:
    values = {"order_id": payment.order_id, "reference": str(payment.order_id)}
    times = {"created_at": old(), "updated_at": old(), "status_at": old()}
    return Shipment(courier="sandbox", **values, **times, **more)


def orders_not_begun() -> None:
    _paid()


def parcels_half_made() -> None:
    _paid()
    add(lambda payment: _parcel(payment, step=Step.ORDERED))


def orders_finished() -> None:
    _paid(status=OrderStatus.DELIVERED)


def parcels_quiet() -> None:
    add(lambda p: _parcel(p, status=ShipmentStatus.IN_TRANSIT, awb=f"A{p.id}"))


def papers_of_old() -> None:
    add(lambda p: _parcel(p, status=ShipmentStatus.DELIVERED, label_key=f"labels/none-{p.id}.pdf"))


def _return(payment: Payment, state: ReturnState) -> ReturnRequest:
    return ReturnRequest(
        order_id=payment.order_id, reference=f"RET{payment.id}", reason="broken", state=state,
        state_at=old(), deadline_at=old(),
    )  # fmt: skip


def returns_silent() -> None:
    def made(payment: Payment) -> ReturnShipment:
        return ReturnShipment(
            request=_return(payment, ReturnState.ON_ITS_WAY), courier="sandbox", awb=f"B{payment.id}",
            created_at=old(),
        )  # fmt: skip

    add(made)


def returns_never_sent() -> None:
    add(lambda payment: _return(payment, ReturnState.APPROVED))


def returns_unanswered() -> None:
    add(lambda payment: _return(payment, ReturnState.REQUESTED))


def returns_on_their_way() -> None:
    add(lambda payment: _return(payment, ReturnState.ON_ITS_WAY))


def messages_stuck() -> None:
    add(
        lambda payment: Notification(
            order_id=payment.order_id, template="order_confirmed", channel="email", recipient="a@b.example",
            dedupe_key=str(payment.id), updated_at=old(),
        )
    )  # fmt: skip


def carts_left() -> None:
    put(Cart, ordered_at=None)
    put(CartLine, updated_at=in_future(hours=-30))
    carts = db.session.scalars(sa.select(Cart.id)).all()
    db.session.add_all(CartReminder(cart_id=key, email=f"{key}@b.example") for key in carts)


def messages_of_providers() -> None:
    add(
        lambda payment: WebhookEvent(
            source="sandbox", event_id=str(payment.id), raw_body=b"{}", received_at=old()
        )
    )


# --- what is seen of its being looked at -------------------------------------------------------


def jobs(kind: str) -> Callable[[], int]:
    return lambda: db.session.query(Job).filter_by(kind=kind, status=JobStatus.QUEUED).count()


def incidents() -> int:
    return db.session.query(Incident).count()


def archived() -> int:
    return db.session.query(Order).filter_by(status=OrderStatus.ARCHIVED).count()


def without_papers() -> int:
    return db.session.query(Shipment).filter_by(label_key=None).count()


@dataclass(frozen=True)
class Sweep:
    """A periodic job, where the size of its page stands, and what shows that it looked."""

    kind: str
    size: str
    waiting: Callable[[], None]
    looked_at: Callable[[], int]


SWEEPS = (
    Sweep("payments.ask_due", "payments.jobs.PAGE", attempts_to_ask, jobs("payments.verify")),
    Sweep("payments.ask_refunds", "payments.jobs.PAGE", refunds_unanswered, jobs("payments.verify")),
    Sweep("stock.expire_holds", "payments.jobs.PAGE", holds_over, jobs("stock.end_hold")),
    Sweep("orders.cancel_unpaid", "payments.jobs.PAGE", orders_unpaid, jobs("orders.expire")),
    Sweep("payments.late_money_default", "payments.jobs.PAGE", late_money, jobs("payments.return_late_money")),
    Sweep("payments.remind", "payments.instalments.PAGE", instalments_due, jobs("messaging.tell")),
    Sweep("payments.forgotten_money", "payments.desk_jobs.PAGE", money_unmatched, incidents),
    Sweep("payments.forgotten_money", "payments.desk_jobs.PAGE", refunds_by_hand, incidents),
    Sweep("payments.forgotten_money", "payments.desk_jobs.PAGE", money_too_much, jobs("payments.return_excess")),
    Sweep("payments.remind_evidence", "payments.desk_jobs.PAGE", disputes_open, incidents),
    Sweep("orders.unstick", "checkout.sweeps.PAGE", orders_not_begun, jobs("delivery.create_shipment")),
    Sweep("orders.unstick", "checkout.sweeps.PAGE", parcels_half_made, jobs("delivery.create_shipment")),
    Sweep("orders.archive", "checkout.sweeps.PAGE", orders_finished, archived),
    Sweep("delivery.poll", "delivery.asking.PAGE", parcels_quiet, jobs("delivery.track")),
    Sweep("returns.poll", "returns.jobs.PAGE", returns_silent, jobs("returns.track")),
    Sweep("returns.sweep", "returns.jobs.PAGE", returns_never_sent, jobs("returns.lapse")),
    Sweep("returns.sweep", "returns.jobs.PAGE", returns_unanswered, incidents),
    Sweep("returns.sweep", "returns.jobs.PAGE", returns_on_their_way, incidents),
    Sweep("messaging.sweep", "messaging.jobs.PAGE", messages_stuck, jobs("messaging.send")),
    Sweep("messaging.left_carts", "messaging.cart_reminders.AT_ONCE", carts_left, jobs("messaging.tell")),
    Sweep("webhooks.sweep", "webhooks.jobs.PAGE", messages_of_providers, jobs("webhooks.process")),
    Sweep("retention.run", "delivery.papers.MOST_AT_ONCE", papers_of_old, without_papers),
)  # fmt: skip


@pytest.fixture
def three_orders(shop: Any) -> None:
    """Not paid, and no job waits."""

    def made() -> None:
        for _ in range(ORDERS):
            make_order(lines=1)
        with transaction() as session:
            session.execute(sa.delete(Job))

    shop.scene("three-orders-that-wait", made)


def run_all(kind: str) -> int:
    """Put the periodic job in and run it, and what it asks for of its own kind. Returns how many."""
    with transaction():
        enqueue(kind, key="slot")
    count = 0
    waiting = sa.select(Job.id).filter_by(kind=kind, status=JobStatus.QUEUED)
    while job_id := db.session.scalar(waiting):
        assert runner.run(job_id, "test")
        count += 1
    return count


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.waiting.__name__)
def test_what_waits_beyond_a_full_page_has_its_turn_in_the_same_run(
    three_orders: None, monkeypatch: pytest.MonkeyPatch, sweep: Sweep
) -> None:
    monkeypatch.setattr(f"shop.{sweep.size}", ORDERS - 1)
    with transaction():
        sweep.waiting()
    assert run_all(sweep.kind) == 2
    assert sweep.looked_at() == ORDERS
