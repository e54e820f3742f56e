"""Sweeps over orders that look at several capabilities at once."""

from sqlalchemy import select

from shop.clock import in_future
from shop.delivery.models import Shipment
from shop.extensions import db
from shop.jobs.handlers import Policy, Work, handles
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import SYSTEM, advance
from shop.orders.models import Order, OrderStatus
from shop.preferences import preference

PAGE = 200
SWEEP = Policy(limit=30, attempts=3, base=5, cap=60, incident=("delivery", "medium"))


@handles("orders.unstick", SWEEP)
def unstick(work: Work) -> None:
    """Paid for 15 minutes and no parcel begun: ask for it again, where parcels are booked by themselves."""
    if not preference("auto_ship"):
        return
    begun = select(Shipment.id).where(Shipment.order_id == Order.id)
    stuck = db.session.scalars(
        select(Order.id)
        .where(
            Order.status.in_([OrderStatus.PAID, OrderStatus.PROCESSING]),
            Order.updated_at < in_future(minutes=-15),
            Order.attention.is_(None),
            ~begun.exists(),
        )
        .order_by(Order.id)
        .limit(PAGE)
    ).all()
    for order_id in stuck:
        enqueue("delivery.create_shipment", {"order_id": order_id}, key=str(order_id))


@handles("orders.archive", SWEEP)
def archive(work: Work) -> None:
    """Finished orders that nothing has changed for 90 days (a preference)."""
    old = db.session.scalars(
        select(Order)
        .where(
            Order.status.in_(
                [
                    OrderStatus.DELIVERED, OrderStatus.CANCELLED, OrderStatus.REFUNDED,
                    OrderStatus.PARTIALLY_REFUNDED, OrderStatus.RETURNED,
                ]
            ),
            Order.updated_at < in_future(hours=-24 * preference("archive_days")),
            Order.attention.is_(None),
        )
        .order_by(Order.id)
        .limit(PAGE)
        .with_for_update()
    ).all()  # fmt: skip
    for order in old:
        advance(order, "archived", SYSTEM)
