"""Proofs about stock."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Select, Subquery, and_, func, select

from shop.books.reading import stream
from shop.orders.lifecycle import DONE, MOVING, PACKING
from shop.orders.models import Order, OrderEvent, OrderLine, OrderStatus
from shop.stock.models import (
    MovementReason,
    Reservation,
    ReservationState,
    StockLevel,
    StockMovement,
)

SOLD = frozenset({*PACKING, *MOVING, *DONE, OrderStatus.PARTIALLY_REFUNDED})
"""States that an order reaches by being sold; cancelled and refunded it may be without."""

SALE_EVENTS = (
    "payment_succeeded",
    "nothing_to_pay",
    "pay_on_delivery_accepted",
    "replacement_made",
)
"""The steps that confirm an order's stock."""


BEYOND_HAND = select(StockLevel.variant_id, StockLevel.reserved, StockLevel.on_hand).where(
    (StockLevel.reserved < 0) | (StockLevel.reserved > StockLevel.on_hand)
)
HELD = (
    select(Reservation.variant_id, func.sum(Reservation.quantity))
    .where(Reservation.state == ReservationState.ACTIVE)
    .group_by(Reservation.variant_id)
)
MOVED = select(StockMovement.variant_id, func.sum(StockMovement.delta)).group_by(
    StockMovement.variant_id
)
LEVELS = select(StockLevel.variant_id, StockLevel.reserved, StockLevel.on_hand)


def levels(connection: Connection) -> Iterator[str]:
    """I9: 0 ≤ reserved ≤ on_hand (and so neither is negative)."""
    for level in connection.execute(BEYOND_HAND):
        yield f"stock_levels:{level.variant_id} reserved {level.reserved} of {level.on_hand} on hand"


def sums(connection: Connection) -> Iterator[str]:
    """I10: reserved is the sum of active reservations, on_hand of movements."""
    held, moved = _by_variant(connection, HELD), _by_variant(connection, MOVED)
    for level in stream(connection, LEVELS):
        if level.reserved != held.pop(level.variant_id, 0):
            yield f"stock_levels:{level.variant_id} reserved is not the sum of its reservations"
        if level.on_hand != moved.pop(level.variant_id, 0):
            yield f"stock_levels:{level.variant_id} on hand is not the sum of its movements"
    for variant_id in {**held, **moved}:
        yield f"stock_levels:{variant_id} has no row, but reservations or movements"


def _by_variant(connection: Connection, query: Any) -> dict[int, int]:
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def _moved(reason: MovementReason) -> Subquery:
    return (
        select(StockMovement.order_line_id.label("line_id"), func.sum(StockMovement.delta).label("units"))
        .where(StockMovement.reason == reason, StockMovement.order_line_id.is_not(None))
        .group_by(StockMovement.order_line_id)
        .subquery()
    )  # fmt: skip


def _has_event(*kinds: str) -> Any:
    return (
        select(OrderEvent.id)
        .where(
            OrderEvent.order_id == Order.id,
            OrderEvent.kind.in_(kinds),
            OrderEvent.to_status.is_not(None),
        )
        .exists()
    )


def _sold_lines() -> Select[Any]:
    """Each line with what was sold, put back and confirmed of it, and how its order stands."""
    sold, put_back = _moved(MovementReason.SALE), _moved(MovementReason.RESTOCK)
    return (
        select(
            OrderLine.id, OrderLine.quantity, Order.status, Order.status_before, Order.sales_counted_at,
            _has_event(*SALE_EVENTS).label("was_accepted"), _has_event("corrected").label("was_corrected"),
            func.coalesce(-sold.c.units, 0).label("sold"),
            func.coalesce(put_back.c.units, 0).label("put_back"),
            func.coalesce(Reservation.quantity, 0).label("confirmed"),
        )
        .join(Order, OrderLine.order_id == Order.id)
        .outerjoin(sold, sold.c.line_id == OrderLine.id)
        .outerjoin(put_back, put_back.c.line_id == OrderLine.id)
        .outerjoin(
            Reservation,
            and_(
                Reservation.order_id == OrderLine.order_id,
                Reservation.variant_id == OrderLine.variant_id,
                Reservation.state == ReservationState.CONFIRMED,
            ),
        )
    )  # fmt: skip


SOLD_LINES = _sold_lines()


def sales(connection: Connection) -> Iterator[str]:
    """I11: a sold order's lines have each a sale of their quantity; restocks stay within it.

    Sales and confirmed reservations are the same units.
    """
    for line in stream(connection, SOLD_LINES):
        if _is_sold(line) and line.sold != line.quantity:
            yield f"order_lines:{line.id} is sold, its sale is of {line.sold} units, not {line.quantity}"
        if line.sold != line.confirmed:
            yield f"order_lines:{line.id} is confirmed for {line.confirmed}, its sales are of {line.sold}"
        if line.put_back > line.sold:
            yield f"order_lines:{line.id} had {line.put_back} put back of {line.sold} sold"


def _is_sold(line: Any) -> bool:
    """By its timeline; or by state and counters, unless those were corrected by hand (no stock moves)."""
    if line.was_accepted:
        return True
    if line.was_corrected:
        return False
    stands = line.status
    if stands in {OrderStatus.DISPUTED, OrderStatus.ARCHIVED}:
        stands = line.status_before
    return stands in SOLD or line.sales_counted_at is not None
