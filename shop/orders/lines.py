"""Reading an order's lines without loading them."""

from sqlalchemy import select

from shop.extensions import db
from shop.orders.models import OrderLine


def quantities(order_id: int) -> dict[int, int]:
    """How many of each variant the order has: {variant_id: units}."""
    rows = db.session.execute(
        select(OrderLine.variant_id, OrderLine.quantity).where(OrderLine.order_id == order_id)
    )
    return dict(rows.all())


def line_ids(order_id: int) -> dict[int, int]:
    """Which line holds which variant: {variant_id: order_line_id}."""
    rows = db.session.execute(
        select(OrderLine.variant_id, OrderLine.id).where(OrderLine.order_id == order_id)
    )
    return dict(rows.all())
