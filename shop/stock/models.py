"""How many there are, who holds them, and every change of it."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shop.database import Row, UtcDateTime, stored
from shop.extensions import db


class StockLevel(Row):
    """One variant's count. What can still be sold is on_hand − reserved."""

    __tablename__ = "stock_levels"
    __table_args__ = (
        CheckConstraint("on_hand >= 0", name="on_hand"),
        CheckConstraint("reserved >= 0 AND reserved <= on_hand", name="reserved"),
        Index("ix_stock_levels_updated_at", "updated_at"),
        # Those to refill: menu, dashboard and alerts count them.
        Index(
            "ix_stock_levels_low", "id",
            sqlite_where=db.text("on_hand - reserved <= low_threshold"),
            postgresql_where=db.text("on_hand - reserved <= low_threshold"),
        ),
    )  # fmt: skip

    variant_id: Mapped[int] = mapped_column(ForeignKey("variants.id"), unique=True)
    on_hand: Mapped[int] = mapped_column(default=0)
    #: The sum of active reservations.
    reserved: Mapped[int] = mapped_column(default=0)
    low_threshold: Mapped[int] = mapped_column(default=3)

    @property
    def free(self) -> int:
        """Units that can still be sold."""
        return self.on_hand - self.reserved


class ReservationState(StrEnum):
    """A reservation ends once."""

    ACTIVE = "active"
    CONFIRMED = "confirmed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Reservation(Row):
    """Units of a variant held for an order until it is paid or the hold ends."""

    __tablename__ = "reservations"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity"),
        Index(
            "uq_reservations_live", "order_id", "variant_id", unique=True,
            sqlite_where=db.text("state IN ('active', 'confirmed')"),
            postgresql_where=db.text("state IN ('active', 'confirmed')"),
        ),
        Index(
            "ix_reservations_expiry", "expires_at",
            sqlite_where=db.text("state = 'active'"),
            postgresql_where=db.text("state = 'active'"),
        ),
        Index("ix_reservations_variant", "variant_id", "state"),
        # How many of the last day's expired: the alerts ask every minute.
        Index("ix_reservations_created", "created_at", "state"),
    )  # fmt: skip

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    variant_id: Mapped[int] = mapped_column(ForeignKey("variants.id"))
    quantity: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    state: Mapped[ReservationState] = mapped_column(
        stored(ReservationState), default=ReservationState.ACTIVE
    )


class MovementReason(StrEnum):
    """Why on_hand changed."""

    RECEIVE = "receive"
    SALE = "sale"
    RESTOCK = "restock"
    ADJUST = "adjust"
    WRITE_OFF = "write_off"


class StockMovement(Row):
    """One change of on_hand. Append-only (trigger); on_hand is the sum of its deltas, always."""

    __tablename__ = "stock_movements"
    __table_args__ = (
        CheckConstraint("delta <> 0", name="delta"),
        UniqueConstraint("order_line_id", "reason", "sequence"),
        Index("ix_stock_movements_variant", "variant_id", "id"),
    )

    variant_id: Mapped[int] = mapped_column(ForeignKey("variants.id"))
    delta: Mapped[int]
    reason: Mapped[MovementReason] = mapped_column(stored(MovementReason))
    order_line_id: Mapped[int | None] = mapped_column(ForeignKey("order_lines.id"))
    #: Tells restocks of one line apart: each names the refund or the cancelling that caused it.
    sequence: Mapped[int] = mapped_column(default=0)
    actor: Mapped[str] = mapped_column(String(80), default="system")
    note: Mapped[str] = mapped_column(String(300), default="")
