"""Money beyond what an order costs: how much it is, and giving it back."""

from sqlalchemy import Select, func, select
from sqlalchemy.orm import aliased

from shop.errors import Refused
from shop.extensions import db
from shop.orders.locking import lock_order
from shop.orders.models import Order, OrderStatus
from shop.payments import refunds
from shop.payments.models import Dispute, DisputeStatus, Payment
from shop.payments.refundable import left_to_refund
from shop.payments.status import kept_minor

DISPUTED = aliased(Payment)
_LOST = (
    select(func.coalesce(func.sum(Dispute.amount_minor), 0))
    .join(DISPUTED, Dispute.payment_id == DISPUTED.id)
    .where(DISPUTED.order_id == Order.id, Dispute.status == DisputeStatus.LOST)
    .correlate(Order)
    .scalar_subquery()
)
KEPT = func.sum(Payment.captured_minor - Payment.refund_held_minor) - _LOST


def overpaid() -> Select[int, int]:
    """Marked orders with more money than they cost: order id and excess in minor units.

    A cancelled order's money goes back anyhow. An order whose mark a person took off is left alone.
    """
    return (
        select(Order.id, (KEPT - Order.total_minor).label("excess_minor"))
        .join(Payment, Payment.order_id == Order.id)
        .where(Order.attention.is_not(None), Order.status != OrderStatus.CANCELLED)
        .group_by(Order.id, Order.total_minor)
        .having(Order.total_minor < KEPT)
    )


def excess_minor(order: Order) -> int:
    """What the order has beyond its total, refunds under way and lost money taken off; 0 when nothing."""
    return max(0, kept_minor(order.id) - order.total_minor)


def give_back_excess(order_id: int, actor: str, seen_minor: int | None = None) -> int:
    """Refund what is too much, the newest money first. Returns how much, in minor units.

    In the caller's transaction. `seen_minor` is the amount that the person saw on the button.
    Raises Refused when there is nothing too much, or another amount by now.
    """
    order = lock_order(order_id)
    whole = left = excess_minor(order)
    if not whole or order.status == OrderStatus.CANCELLED:
        raise Refused("This order has no money too much any more.")
    if seen_minor is not None and seen_minor != whole:
        raise Refused("The excess is another by now. Look again.")
    payments = db.session.scalars(
        select(Payment).where(Payment.order_id == order.id).order_by(Payment.id.desc())
    )
    for payment in payments.all():
        amount = min(left, left_to_refund(payment) or 0)
        if amount > 0:
            refunds.request_refund(
                payment.id, amount, [], "paid more than asked", actor, follows_order=False
            )
            left -= amount
    if left == whole:
        raise Refused("That money is disputed. Wait for the outcome before you refund.")
    if not left:
        order.attention = None
    return whole - left
