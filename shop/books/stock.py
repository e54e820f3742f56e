"""Proofs about stock."""

from collections.abc import Iterator

from sqlalchemy import func, select

from shop.extensions import db
from shop.orders.models import OrderLine
from shop.stock.models import (
    MovementReason,
    Reservation,
    ReservationState,
    StockLevel,
    StockMovement,
)


def levels() -> Iterator[str]:
    """I9: 0 ≤ reserved ≤ on_hand."""
    for level in db.session.execute(
        select(StockLevel.variant_id, StockLevel.reserved, StockLevel.on_hand).where(
            (StockLevel.reserved < 0)
            | (StockLevel.on_hand < 0)
            | (StockLevel.reserved > StockLevel.on_hand)
        )
    ):
        yield f"stock_levels:{level.variant_id} reserved {level.reserved} of {level.on_hand} on hand"


def sums() -> Iterator[str]:
    """I10: reserved is the sum of active reservations, on_hand of movements."""
    held = _by_variant(
        select(Reservation.variant_id, func.sum(Reservation.quantity))
        .where(Reservation.state == ReservationState.ACTIVE)
        .group_by(Reservation.variant_id)
    )
    moved = _by_variant(
        select(StockMovement.variant_id, func.sum(StockMovement.delta)).group_by(
            StockMovement.variant_id
        )
    )
    for level in db.session.execute(
        select(StockLevel.variant_id, StockLevel.reserved, StockLevel.on_hand)
    ):
        if level.reserved != held.pop(level.variant_id, 0):
            yield f"stock_levels:{level.variant_id} reserved is not the sum of its reservations"
        if level.on_hand != moved.pop(level.variant_id, 0):
            yield f"stock_levels:{level.variant_id} on hand is not the sum of its movements"
    for variant_id in {**held, **moved}:
        yield f"stock_levels:{variant_id} has no row, but reservations or movements"


def sales() -> Iterator[str]:
    """I11: each confirmed reservation has one sale of its quantity; restocks stay below it."""
    sold, put_back = _movements(MovementReason.SALE), _movements(MovementReason.RESTOCK)
    confirmed = db.session.execute(
        select(OrderLine.id, Reservation.quantity)
        .join(
            Reservation,
            (Reservation.order_id == OrderLine.order_id)
            & (Reservation.variant_id == OrderLine.variant_id),
        )
        .where(Reservation.state == ReservationState.CONFIRMED)
    )
    for line_id, quantity in confirmed:
        if -sold.pop(line_id, 0) != quantity:
            yield f"order_lines:{line_id} is confirmed for {quantity}, its sales differ"
        if put_back.pop(line_id, 0) > quantity:
            yield f"order_lines:{line_id} was put back more often than sold"
    yield from (f"order_lines:{line} was sold without a reservation" for line in sold)
    yield from (f"order_lines:{line} was put back without a sale" for line in put_back)


def _movements(reason: MovementReason) -> dict[int, int]:
    return _by_variant(
        select(StockMovement.order_line_id, func.sum(StockMovement.delta))
        .where(StockMovement.reason == reason, StockMovement.order_line_id.is_not(None))
        .group_by(StockMovement.order_line_id)
    )


def _by_variant(query: object) -> dict[int, int]:
    return {row[0]: int(row[1]) for row in db.session.execute(query)}  # type: ignore[call-overload]
