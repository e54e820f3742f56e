"""Changing what is on the shelf: each change is a movement and a new count, in one transaction."""

from sqlalchemy import select, update

from shop.audit import recording as audit
from shop.clock import utcnow
from shop.database import insert_ignore
from shop.errors import Refused
from shop.extensions import db
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
    if not result.rowcount:  # type: ignore[attr-defined]
        raise NotOnShelf(variant=variant_id, delta=delta)
    db.session.add(
        StockMovement(variant_id=variant_id, delta=delta, reason=reason, actor=actor, note=note)
    )
    audit.write(
        actor, f"stock.{reason.value}", f"variant:{variant_id}",
        {"on_hand": before or 0}, {"delta": delta, "note": note},
    )  # fmt: skip


def restock_line(
    variant_id: int, order_line_id: int, quantity: int, sequence: int, actor: str
) -> bool:
    """Put sold units back, once for each (line, sequence). False when that was done before."""
    made = insert_ignore(
        StockMovement,
        {
            "variant_id": variant_id, "delta": quantity, "reason": MovementReason.RESTOCK,
            "order_line_id": order_line_id, "sequence": sequence, "actor": actor,
        },
    )  # fmt: skip
    if made is None:
        return False
    db.session.execute(
        update(StockLevel)
        .where(StockLevel.variant_id == variant_id)
        .values(on_hand=StockLevel.on_hand + quantity, updated_at=utcnow())
        .execution_options(synchronize_session="fetch")
    )
    return True
