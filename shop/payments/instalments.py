"""Parts that are due later: a pay link before each date, reminders, and what follows when none comes."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, select

from shop.clock import in_future, utcnow
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.handlers import Policy, Work, handles
from shop.jobs.queue import enqueue
from shop.jobs.sweeping import next_page
from shop.money import format_minor
from shop.orders.lifecycle import SYSTEM, advance
from shop.orders.locking import lock_order
from shop.orders.models import Order
from shop.payments.models import PartStatus, PaymentPart
from shop.payments.parts import OVER
from shop.payments.status import refresh
from shop.preferences import preferences

PAGE = 200
SWEEP = Policy(limit=30, attempts=5, base=5, cap=60, incident=("payment", "medium"))
DAY = timedelta(days=1)


@handles("payments.remind", SWEEP)
def remind(work: Work) -> None:
    """Who paid a first part is told of the next: before its day, on it, and after it; each once."""
    chosen = preferences("instalment_notice_days", "instalment_grace_days")
    grace = chosen["instalment_grace_days"] * DAY
    until = in_future(hours=24 * chosen["instalment_notice_days"])
    for part in next_page(work, _due_until(until), PAGE):
        if part.due_at + grace <= utcnow():
            enqueue("payments.miss_instalment", {"part_id": part.id}, key=str(part.id))
            continue
        wish = {"event": "instalment_due", "order_id": part.order_id, "part_id": part.id}
        stage = stage_of(part.due_at)
        enqueue("messaging.tell", {**wish, "stage": stage}, key=f"instalment:{part.id}:{stage}")


def _due_until(moment: datetime) -> Select[int, int, datetime | None]:
    return (
        select(PaymentPart.id, PaymentPart.order_id, PaymentPart.due_at)
        .join(Order, PaymentPart.order_id == Order.id)
        .where(
            PaymentPart.status == PartStatus.DUE,
            PaymentPart.due_at <= moment,
            Order.status.not_in(OVER),
            Order.late_money_due_at.is_(None),
            Order.attention.is_(None),
            _something_was_paid(),
        )
    )


def _something_was_paid() -> ColumnElement[bool]:
    """Who never began to pay is not reminded: such an order is cancelled by its own sweep."""
    paid = select(PaymentPart.id).where(
        PaymentPart.order_id == Order.id, PaymentPart.status == PartStatus.PAID
    )
    return paid.correlate(Order).exists()


def stage_of(due_at: datetime) -> str:
    """ "soon" before the day, "today" on it, "late" after it."""
    if utcnow() >= due_at + DAY:
        return "late"
    return "today" if utcnow() >= due_at else "soon"


@handles("payments.miss_instalment", SWEEP)
def miss(work: Work) -> None:
    """The days of grace are over: what has not left is cancelled and paid back; else a person acts."""
    part = db.session.get_one(PaymentPart, work.payload["part_id"])
    order = lock_order(part.order_id)
    db.session.refresh(part)
    if part.status != PartStatus.DUE or order.status in OVER:
        return
    if order.is_unpaid:
        advance(order, "expired", SYSTEM, text="Cancelled: an instalment was not paid in time")
        refresh(order)
        return
    amount = format_minor(part.amount_minor, order.currency)
    order.attention = f"An instalment of {amount} is overdue, and the goods have been sold"
    open_incident(
        About(
            issue=f"Order {order.number}: an instalment of {amount} was not paid in time",
            category=Category.PAYMENT,
            severity=Severity.HIGH,
            order_id=order.id,
            context={
                "orderId": order.number, "customerId": order.user_id, "amount": part.amount_minor,
                "currency": order.currency, "customerEmail": order.email,
                "customerPhone": order.phone, "deliveryStage": order.status.value,
            },
        ),
        f"instalment:{part.id}",
    )  # fmt: skip
