"""A customer's own orders, as cards headed by what matters now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from babel.dates import format_date
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import selectinload

from shop.clock import local
from shop.delivery.models import Shipment
from shop.delivery.story import coming_back
from shop.extensions import db
from shop.orders.lifecycle import MOVING
from shop.orders.models import Order, OrderStatus

S = OrderStatus
PAGE = 10

TABS: dict[str, tuple[str, frozenset[OrderStatus]]] = {
    "": ("All", frozenset(OrderStatus)),
    "way": (
        "On the way",
        frozenset({
            S.PAID, S.PROCESSING, S.READY_FOR_SHIPMENT, S.SHIPPED, S.IN_TRANSIT, S.OUT_FOR_DELIVERY,
        }),
    ),
    "pay": ("To pay", frozenset({S.PENDING_PAYMENT, S.PAYMENT_FAILED})),
    "returns": ("Returns", frozenset({S.RETURNED, S.PARTIALLY_REFUNDED, S.REFUNDED})),
}  # fmt: skip
"""The tabs by their name in the address, each with its words and states."""

HEADLINES = {
    S.PAYMENT_FAILED: "The payment did not go through",
    S.PAID: "We have your order",
    S.PROCESSING: "Packing now",
    S.READY_FOR_SHIPMENT: "Packed, waiting for the courier",
    S.SHIPPED: "On the way",
    S.IN_TRANSIT: "On the way",
    S.OUT_FOR_DELIVERY: "Out for delivery",
    S.DELIVERED: "Delivered",
    S.CANCELLED: "Cancelled",
    S.RETURNED: "Came back to us",
    S.PARTIALLY_REFUNDED: "Part of it refunded",
    S.REFUNDED: "Refunded",
    S.DISPUTED: "In question with your bank",
}


@dataclass(frozen=True)
class Card:
    """One order: its headline, what is in it in a few words, and the one thing to do next."""

    order: Order
    headline: str
    contents: str
    pictures: Sequence[str]
    action: str
    is_coming_back: bool


@dataclass(frozen=True)
class Listing:
    """One page of cards, and how many orders each tab has."""

    cards: list[Card]
    counts: dict[str, int]
    first: int
    last: int
    total: int
    has_more: bool


def orders_of(user_id: int, tab: str, page: int) -> Listing:
    """The person's orders in this tab, latest first. Five statements, however many orders."""
    by_status = dict(
        db.session.execute(
            select(Order.status, func.count())
            .where(Order.user_id == user_id)
            .group_by(Order.status)
        ).all()
    )
    counts = {
        name: sum(by_status.get(status, 0) for status in states)
        for name, (_words, states) in TABS.items()
    }
    found = _page_of(user_id, TABS[tab][1], page)
    arrivals = _arrivals([order.id for order in found])
    returning = coming_back(order.id for order in found if order.status in MOVING)
    first = (page - 1) * PAGE + 1
    return Listing(
        cards=[
            _card(order, arrivals.get(order.id, (None, None)), order.id in returning)
            for order in found
        ],
        counts=counts,
        first=first if found else 0,
        last=first + len(found) - 1 if found else 0,
        total=counts[tab],
        has_more=first + len(found) - 1 < counts[tab],
    )


def claim_guest_orders(user_id: int, email: str) -> None:
    """The address is proven to be the person's: what was ordered with it as a guest is theirs (S56)."""
    db.session.execute(
        update(Order)
        .where(Order.user_id.is_(None), func.lower(Order.email) == email)
        .values(user_id=user_id)
        .execution_options(synchronize_session=False)
    )


def _page_of(user_id: int, states: frozenset[OrderStatus], page: int) -> list[Order]:
    mine: ColumnElement[bool] = Order.user_id == user_id
    wanted = select(Order).where(mine, Order.status.in_(states)).options(selectinload(Order.lines))
    return list(
        db.session.scalars(
            wanted.order_by(Order.placed_at.desc(), Order.id.desc())
            .limit(PAGE)
            .offset((page - 1) * PAGE)
        )
    )


def _arrivals(order_ids: list[int]) -> dict[int, tuple[datetime | None, datetime | None]]:
    """(expected, delivered) of each order: the last of its parcels."""
    rows = db.session.execute(
        select(Shipment.order_id, func.max(Shipment.estimated_at), func.max(Shipment.delivered_at))
        .where(Shipment.order_id.in_(order_ids))
        .group_by(Shipment.order_id)
    )
    return {order_id: (expected, delivered) for order_id, expected, delivered in rows}


def _card(
    order: Order, arrival: tuple[datetime | None, datetime | None], is_coming_back: bool
) -> Card:
    return Card(
        order=order,
        headline="Coming back to us" if is_coming_back else headline(order, *arrival),
        contents=_contents([line.name for line in order.lines]),
        pictures=[line.picture for line in order.lines if line.picture][:3],
        action=_action(order),
        is_coming_back=is_coming_back,
    )


def headline(order: Order, expected: datetime | None, delivered: datetime | None) -> str:
    """The one thing the customer wants to know now."""
    if order.status == S.PENDING_PAYMENT:
        by_bank = order.payment_method == "bank_transfer"
        return "Waiting for your bank transfer" if by_bank else "Waiting for your payment"
    if delivered and order.status in {S.DELIVERED, S.ARCHIVED}:
        return f"Delivered {format_date(local(delivered), 'd MMMM', locale='en_GB')}"
    if expected and order.status in {S.SHIPPED, S.IN_TRANSIT}:
        return f"Arriving {format_date(local(expected), 'EEEE d MMMM', locale='en_GB')}"
    return HEADLINES.get(order.status, "Completed")


def _contents(names: list[str]) -> str:
    """The first two by name, the rest counted."""
    if len(names) <= 2:
        return " and ".join(names)
    rest = len(names) - 2
    return f"{names[0]}, {names[1]} and {'one' if rest == 1 else rest} more"


def _action(order: Order) -> str:
    """The words of the card's one button; all lead to the order's page."""
    if order.status in TABS["pay"][1]:
        return "See bank details" if order.payment_method == "bank_transfer" else "Pay now"
    if order.status in {S.SHIPPED, S.IN_TRANSIT, S.OUT_FOR_DELIVERY}:
        return "Track"
    return "Details"
