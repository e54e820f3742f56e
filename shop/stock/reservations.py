"""Holding stock for orders, and letting it go.

No unit is sold that is not there: a hold is one conditional update of the level, never a read
followed by a write, and the table's checks are the last fence. Locks are taken by variant id.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import bindparam, insert, select, update

from shop.clock import utcnow
from shop.database import rows_changed, table_of
from shop.errors import Refused
from shop.extensions import db
from shop.stock.crossings import came_back, ran_low
from shop.stock.models import (
    MovementReason,
    Reservation,
    ReservationState,
    StockLevel,
    StockMovement,
)  # fmt: skip


class OutOfStock(Refused):
    """Something in your cart has sold out."""

    status = 409

    def __init__(self, left: dict[int, int]) -> None:
        super().__init__()
        #: What is left of each variant that there is not enough of: {variant_id: units}.
        self.left = left


def hold(order_id: int, quantities: Mapping[int, int], until: datetime) -> None:
    """Hold all of it for the order until the moment given, or nothing: raises OutOfStock.

    The caller's transaction must roll back on OutOfStock; that undoes the holds made before it.
    """
    short = [
        variant_id
        for variant_id in sorted(quantities)
        if not _take(variant_id, quantities[variant_id])
    ]
    if short:
        raise OutOfStock(free_units(short))
    db.session.execute(
        insert(table_of(Reservation)),
        [
            {
                "order_id": order_id,
                "variant_id": variant_id,
                "quantity": quantity,
                "expires_at": until,
            }
            for variant_id, quantity in sorted(quantities.items())
        ],
    )


_LEVELS = table_of(StockLevel).c
_TAKE = (
    update(table_of(StockLevel))
    .where(
        _LEVELS.variant_id == bindparam("variant"),
        _LEVELS.on_hand - _LEVELS.reserved >= bindparam("units"),
    )
    .values(reserved=_LEVELS.reserved + bindparam("units"))
)


def _take(variant_id: int, quantity: int) -> bool:
    result = db.session.execute(_TAKE, {"variant": variant_id, "units": quantity})
    return rows_changed(result) > 0


def free_units(variant_ids: Iterable[int]) -> dict[int, int]:
    """What can still be sold of each variant; 0 for one that has no level."""
    wanted = list(variant_ids)
    rows = db.session.execute(
        select(StockLevel.variant_id, StockLevel.on_hand - StockLevel.reserved).where(
            StockLevel.variant_id.in_(wanted)
        )
    )
    found = dict(rows.all())
    return {variant_id: found.get(variant_id, 0) for variant_id in wanted}


def extend(order_id: int, until: datetime) -> int:
    """Let the order's active holds last until then. Returns how many there are."""
    result = db.session.execute(
        update(Reservation)
        .where(Reservation.order_id == order_id, Reservation.state == ReservationState.ACTIVE)
        .values(expires_at=until, updated_at=utcnow())
        .execution_options(synchronize_session="fetch")
    )
    return rows_changed(result)


def release(order_id: int, as_state: ReservationState) -> int:
    """End the order's active holds as expired or cancelled. Returns how many ended here."""
    ended = _end(order_id, as_state)
    for variant_id, quantity in ended:
        _change_level(variant_id, reserved=-quantity, on_hand=0)
    return len(ended)


def confirm(order_id: int, line_of_variant: Mapping[int, int], actor: str) -> int:
    """Turn the order's active holds into sales: the units leave the shelf, the ledger says so.

    `line_of_variant` maps variant ids to order line ids. Returns how many holds were confirmed.
    """
    ended = _end(order_id, ReservationState.CONFIRMED)
    for variant_id, quantity in ended:
        _change_level(variant_id, reserved=-quantity, on_hand=-quantity)
    if ended:
        db.session.execute(
            db.insert(StockMovement),
            [
                {
                    "variant_id": variant_id, "delta": -quantity, "reason": MovementReason.SALE,
                    "order_line_id": line_of_variant[variant_id], "actor": actor,
                }
                for variant_id, quantity in ended
            ],
        )  # fmt: skip
    return len(ended)


def _end(order_id: int, state: ReservationState) -> list[tuple[int, int]]:
    """End active holds by one conditional update, so that each ends once (reliability.md, I12)."""
    rows = db.session.execute(
        update(Reservation)
        .where(Reservation.order_id == order_id, Reservation.state == ReservationState.ACTIVE)
        .values(state=state, updated_at=utcnow())
        .returning(Reservation.variant_id, Reservation.quantity)
        .execution_options(synchronize_session="fetch")
    ).all()
    return sorted((variant_id, quantity) for variant_id, quantity in rows)


def _change_level(variant_id: int, *, reserved: int, on_hand: int) -> None:
    """Add both to the level; whoever waits for it to fill, or to run low, hears of it."""
    now = db.session.execute(
        update(StockLevel)
        .where(StockLevel.variant_id == variant_id)
        .values(
            reserved=StockLevel.reserved + reserved,
            on_hand=StockLevel.on_hand + on_hand,
            updated_at=utcnow(),
        )
        .returning(StockLevel.on_hand, StockLevel.reserved, StockLevel.low_threshold)
        .execution_options(synchronize_session=False)
    ).one()
    free = now.on_hand - now.reserved
    came_back(variant_id, free - on_hand + reserved, free)
    ran_low(variant_id, now.on_hand - on_hand, now.on_hand, now.low_threshold)


def has_active_hold(order_id: int) -> bool:
    """True while the order's stock is held."""
    return _has(order_id, ReservationState.ACTIVE)


def was_confirmed(order_id: int) -> bool:
    """True when the order's units were sold."""
    return _has(order_id, ReservationState.CONFIRMED)


def _has(order_id: int, state: ReservationState) -> bool:
    found = select(Reservation.id).where(
        Reservation.order_id == order_id, Reservation.state == state
    )
    return db.session.scalar(found.limit(1)) is not None


def hold_ends_at(order_id: int) -> datetime | None:
    """When the order's active hold ends."""
    return db.session.scalar(
        select(db.func.min(Reservation.expires_at)).where(
            Reservation.order_id == order_id, Reservation.state == ReservationState.ACTIVE
        )
    )
