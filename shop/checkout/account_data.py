"""Everything that is kept about a customer, as they may take it away (security.md, S85)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import selectinload

from shop.accounts import people
from shop.accounts.models import Address, SignIn, User
from shop.cart.models import Cart, CartLine
from shop.delivery.models import Shipment
from shop.errors import Refused
from shop.extensions import db
from shop.incidents.forgetting import erase as erase_contacts
from shop.incidents.models import Incident
from shop.messaging.forgetting import erase as erase_wishes
from shop.messaging.forgetting import erase_messages, kept_about
from shop.messaging.models import Notification
from shop.orders.models import Order, OrderEvent
from shop.payments.models import Payment
from shop.returns.forgetting import erase_returns, returns_of

PERSON = ("email", "email_confirmed_at", "name", "phone", "role", "locale", "created_at")
ADDRESS = (
    "recipient", "phone", "line1", "line2", "landmark", "city", "state", "postal_code", "country",
    "kind", "is_default",
)  # fmt: skip
SIGN_IN = ("created_at", "last_seen_at", "expires_at", "revoked_at", "address", "user_agent")
ORDER = (
    "number", "placed_at", "status", "email", "phone", "currency", "subtotal_minor", "discount_minor",
    "shipping_minor", "fee_minor", "tax_minor", "tax_included_minor", "total_minor",
    "shipping_address", "billing_address", "shipping_label", "payment_method",
)  # fmt: skip
LINE = ("name", "sku", "options", "quantity", "unit_price_minor", "total_minor", "refunded_minor")
PAYMENT = ("reference", "gateway", "method", "amount_minor", "captured_minor", "refunded_minor",
           "currency", "status", "payer_email", "payer_phone", "created_at", "captured_at")  # fmt: skip
SHIPMENT = ("awb", "courier_name", "status", "estimated_at", "delivered_at")
EVENT = ("kind", "text", "occurred_at")
INCIDENT = ("issue", "created_at", "resolved_at")
MESSAGE = (
    "template", "channel", "recipient", "subject", "body_text", "sent_at", "delivered_at", "read_at",
)  # fmt: skip
WISHES = {
    "consents": ("recipient", "channel", "purpose", "state", "source", "at"),
    "stock_alerts": ("variant_id", "email", "state", "created_at", "ended_at"),
    "cart_reminders": ("cart_id", "email", "created_at", "told_at"),
}


class StaffStay(Refused):
    """An account of the staff is closed by an owner of the shop, not from here."""


def everything_about(user_id: int) -> dict[str, Any]:
    """The person's data as plain JSON: moments in ISO 8601 (UTC), money in minor units."""
    person = db.session.get_one(User, user_id)
    orders = db.session.scalars(
        select(Order)
        .filter_by(user_id=user_id)
        .options(selectinload(Order.lines))
        .order_by(Order.id)
    ).all()
    ids = [order.id for order in orders]
    told = (Notification.user_id == user_id) | Notification.order_id.in_(ids)
    return {
        "profile": _plain(person, PERSON),
        "addresses": _rows(select(Address).filter_by(user_id=user_id), ADDRESS),
        "sign_ins": _rows(select(SignIn).filter_by(user_id=user_id), SIGN_IN),
        "cart": _cart_of(user_id),
        "orders": _orders(orders, ids),
        "returns": returns_of(ids),
        "incidents": _rows(select(Incident).where(Incident.order_id.in_(ids)), INCIDENT),
        "messages": _rows(select(Notification).where(told), MESSAGE),
        **{
            what: _rows(query, WISHES[what])
            for what, query in kept_about(user_id, person.email, person.phone).items()
        },
    }


def _orders(orders: Sequence[Order], ids: list[int]) -> list[dict[str, Any]]:
    payments = _by_order(select(Payment).where(Payment.order_id.in_(ids)), PAYMENT)
    shipments = _by_order(select(Shipment).where(Shipment.order_id.in_(ids)), SHIPMENT)
    shown = OrderEvent.for_customer
    events = _by_order(select(OrderEvent).where(OrderEvent.order_id.in_(ids), shown), EVENT)
    return [
        {
            **_plain(order, ORDER),
            "lines": [_plain(line, LINE) for line in order.lines],
            "payments": payments.get(order.id, []),
            "shipments": shipments.get(order.id, []),
            "timeline": events.get(order.id, []),
        }
        for order in orders
    ]


def _cart_of(user_id: int) -> list[dict[str, Any]]:
    lines = (
        select(CartLine.variant_id, CartLine.quantity)
        .join(Cart, Cart.id == CartLine.cart_id)
        .where(Cart.user_id == user_id, Cart.ordered_at.is_(None))
    )
    return [dict(row) for row in db.session.execute(lines).mappings()]


def _rows(query: Any, names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [_plain(row, names) for row in db.session.scalars(query)]


def _by_order(query: Any, names: tuple[str, ...]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in db.session.scalars(query):
        found.setdefault(row.order_id, []).append(_plain(row, names))
    return found


def _plain(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _value(getattr(row, name)) for name in names}


def _value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def erase(user_id: int) -> None:
    """Blank the person and drop their open cart. Orders stay, with what book-keeping needs.

    Raises StaffStay.
    """
    person = db.session.get_one(User, user_id)
    if person.is_staff:
        raise StaffStay
    erase_wishes(user_id, person.email, person.phone)
    db.session.execute(delete(Cart).where(Cart.user_id == user_id, Cart.ordered_at.is_(None)))
    ordered = db.session.scalars(select(Order.id).filter_by(user_id=user_id)).all()
    erase_returns(ordered)
    erase_contacts(ordered)
    erase_messages(user_id, person.email, person.phone, ordered)
    people.blank(user_id)
