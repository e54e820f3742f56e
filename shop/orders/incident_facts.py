"""What an order tells about itself when an incident names it."""

from typing import Any

from sqlalchemy import select

from shop.extensions import db
from shop.incidents.facts import tells_about
from shop.orders.models import Order


@tells_about("order_id")
def of_order(order_id: int) -> dict[str, Any]:
    """Number, customer, amount (minor units of its currency) and stage."""
    row = db.session.execute(
        select(
            Order.number, Order.user_id, Order.total_minor, Order.currency, Order.email,
            Order.phone, Order.status,
        ).where(Order.id == order_id)
    ).one_or_none()  # fmt: skip
    if row is None:
        return {}
    return {
        "orderId": row.number, "customerId": row.user_id, "amount": row.total_minor,
        "currency": row.currency, "customerEmail": row.email, "customerPhone": row.phone,
        "deliveryStage": row.status.value,
    }  # fmt: skip
