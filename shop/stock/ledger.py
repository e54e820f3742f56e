"""Changing what is on the shelf: each change is a movement and a new count, in one transaction."""

from collections.abc import Sequence

from sqlalchemy import func, select, update

from shop.audit import recording as audit
from shop.clock import utcnow
from shop.database import insert_ignore, rows_changed
from shop.errors import Refused
from shop.extensions import db
from shop.stock.crossings import came_back, ran_low
from shop.stock.models import MovementReason, StockLevel, StockMovement


class NotOnShelf(Refused):
    """There are not that many on the shelf, or they are held for orders."""


def receive(variant_id: int, quantity: int, actor: str, note: str = "") -> None:
    """Goods came in."""
    move(variant_id, quantity, MovementReason.RECEIVE, actor, note)


def move(variant_id: int, delta: int, reason: MovementReason, actor: str, note: str = "") -> None:
    """Change on_hand by delta and write why. Raises NotOnShelf rather than go below what is held."""
    if delta == 0:
        return
    before = db.session.scalar(
        select(StockLevel.on_hand).where(StockLevel.variant_id == variant_id)
    )
    if before is None:
        insert_ignore(StockLevel, {"variant_id": variant_id, "on_hand": 0, "reserved": 0})
    result = db.session.execute(
        update(StockLevel)
        .where(
            StockLevel.variant_id == variant_id,
            StockLevel.on_hand + delta >= StockLevel.reserved,
        )
        .values(on_hand=StockLevel.on_hand + delta, updated_at=utcnow())
        .execution_options(synchronize_session="fetch")
    )
    if not rows_changed(result):
        raise NotOnShelf(variant=variant_id, delta=delta)
    _tell(variant_id, delta)
    db.session.add(
        StockMovement(variant_id=variant_id, delta=delta, reason=reason, actor=actor, note=note)
    )
    audit.write(
        actor, f"stock.{reason.value}", f"variant:{variant_id}",
        {"on_hand": before or 0}, {"delta": delta, "note": note},
    )  # fmt: skip


def units_out(order_line_id: int) -> int:
    """How many units of an order line were sold and not put back."""
    moved = select(func.coalesce(func.sum(StockMovement.delta), 0)).where(
        StockMovement.order_line_id == order_line_id
    )
    return -int(db.session.scalar(moved) or 0)


def units_back(order_line_ids: Sequence[int]) -> dict[int, int]:
    """How many units of each of these order lines were put back on the shelf, whatever for.

    A line of which none came back is not in it.
    """
    back = (
        select(StockMovement.order_line_id, func.sum(StockMovement.delta))
        .where(
            StockMovement.order_line_id.in_(order_line_ids),
            StockMovement.reason == MovementReason.RESTOCK,
        )
        .group_by(StockMovement.order_line_id)
    )
    rows = db.session.execute(back)
    return {line_id: int(units) for line_id, units in rows if line_id is not None}


def restock_line(
    variant_id: int, order_line_id: int, quantity: int, sequence: int, actor: str
) -> int:
    """Put sold units back, once for each (line, sequence), never more than were sold and not put back.

    Returns how many went back; 0 when that was done before. The order's row is locked.
    """
    units = min(quantity, units_out(order_line_id))
    if units <= 0:
        return 0
    made = insert_ignore(
        StockMovement,
        {
            "variant_id": variant_id, "delta": units, "reason": MovementReason.RESTOCK,
            "order_line_id": order_line_id, "sequence": sequence, "actor": actor,
        },
    )  # fmt: skip
    if made is None:
        return 0
    db.session.execute(
        update(StockLevel)
        .where(StockLevel.variant_id == variant_id)
        .values(on_hand=StockLevel.on_hand + units, updated_at=utcnow())
        .execution_options(synchronize_session="fetch")
    )
    _tell(variant_id, units)
    return units


def _tell(variant_id: int, delta: int) -> None:
    """Whoever waits for this shelf to fill, or to run low, hears of it."""
    level = select(StockLevel.on_hand, StockLevel.reserved, StockLevel.low_threshold)
    on_hand, reserved, threshold = db.session.execute(
        level.where(StockLevel.variant_id == variant_id)
    ).one()
    came_back(variant_id, on_hand - delta - reserved, on_hand - reserved)
    ran_low(variant_id, on_hand - delta, on_hand, threshold)
