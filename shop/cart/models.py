"""Carts: of a browser (token in a cookie) or of a signed-in customer."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shop.database import BigId, Row, UtcDateTime
from shop.extensions import db


class Cart(Row):
    """What somebody may want to buy. Nothing in it is held."""

    __tablename__ = "carts"
    __table_args__ = (
        Index(
            "uq_carts_user", "user_id", unique=True,
            sqlite_where=db.text("ordered_at IS NULL AND user_id IS NOT NULL"),
            postgresql_where=db.text("ordered_at IS NULL AND user_id IS NOT NULL"),
        ),
    )  # fmt: skip

    #: SHA-256 of the cookie's token.
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    currency: Mapped[str] = mapped_column(String(3))
    #: Set when it became an order; cancelling the unpaid order clears it.
    ordered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CartLine(Row):
    """A variant, how many, and the price the shopper last saw."""

    __tablename__ = "cart_lines"
    __table_args__ = (
        UniqueConstraint("cart_id", "variant_id"),
        CheckConstraint("quantity > 0", name="quantity"),
    )

    cart_id: Mapped[int] = mapped_column(ForeignKey("carts.id", ondelete="CASCADE"))
    variant_id: Mapped[int] = mapped_column(ForeignKey("variants.id"), index=True)
    quantity: Mapped[int]
    price_seen_minor: Mapped[int] = mapped_column(BigId)
