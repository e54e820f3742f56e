"""Locking an order's row: whoever changes an order, its money or its parcels takes this lock first."""

from sqlalchemy import select

from shop.errors import NotFound
from shop.extensions import db
from shop.orders.models import Order


def lock_order(order_id: int | None) -> Order:
    """The order, locked until the caller's transaction ends, and read afresh. Raises NotFound."""
    order = db.session.scalars(
        select(Order)
        .where(Order.id == order_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if order is None:
        raise NotFound("There is no such order.")
    return order
