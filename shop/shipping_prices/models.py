"""Where the shop delivers, what that costs, and prices that a courier has just told."""

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop.database import BigId, Row, stored


class Basis(StrEnum):
    """What decides which row of a method counts: the parcel's weight or the goods' value."""

    WEIGHT = "weight"
    VALUE = "value"


class ShippingZone(Row):
    """Places with the same prices. The first one by position that holds a place counts for it."""

    __tablename__ = "shipping_zones"
    __table_args__ = (CheckConstraint("position >= 0", name="position"),)

    name: Mapped[str] = mapped_column(String(80), unique=True)
    position: Mapped[int] = mapped_column(default=0)
    #: Country codes, "IN, NG"; "*" is every country.
    countries: Mapped[str] = mapped_column(Text)
    #: "5600??, 19*"; empty is everywhere in the countries.
    postal_codes: Mapped[str] = mapped_column(Text, default="")
    is_active: Mapped[bool] = mapped_column(default=True)

    rates: Mapped[list["ShippingRate"]] = relationship(
        order_by="ShippingRate.id", cascade="all, delete-orphan", back_populates="zone"
    )


class ShippingRate(Row):
    """A method's price up to a bound. Of the rows of one method the lowest bound that holds counts."""

    __tablename__ = "shipping_rates"
    __table_args__ = (
        CheckConstraint(
            "price_minor >= 0 AND (free_from_minor IS NULL OR free_from_minor >= 0)", name="amounts"
        ),
        CheckConstraint("up_to IS NULL OR up_to > 0", name="up_to"),
        CheckConstraint("days_from >= 0 AND days_to >= days_from", name="days"),
    )

    zone_id: Mapped[int] = mapped_column(
        ForeignKey("shipping_zones.id", ondelete="CASCADE"), index=True
    )
    #: "standard": what an order remembers.
    method: Mapped[str] = mapped_column(String(40))
    label: Mapped[str] = mapped_column(String(80))
    basis: Mapped[Basis] = mapped_column(stored(Basis), default=Basis.WEIGHT)
    #: Grams, or minor units of the currency, this included; None is without end.
    up_to: Mapped[int | None] = mapped_column(BigId)
    currency: Mapped[str] = mapped_column(String(3))
    price_minor: Mapped[int] = mapped_column(BigId)
    #: Goods of this worth travel free; None is never.
    free_from_minor: Mapped[int | None] = mapped_column(BigId)
    #: Working days, fastest and slowest.
    days_from: Mapped[int]
    days_to: Mapped[int]
    #: The courier's own price counts, and this one when it tells none.
    is_live: Mapped[bool] = mapped_column(default=False)

    zone: Mapped[ShippingZone] = relationship(back_populates="rates")


class LiveQuote(Row):
    """What the courier told for one way and weight. Kept for a day; counts for minutes."""

    __tablename__ = "live_quotes"
    __table_args__ = (Index("ix_live_quotes_way", "way", "id"),)

    #: Country, postal code, weight band, currency, cash or not: the same for every shopper who asks for it.
    way: Mapped[str] = mapped_column(String(80))
    #: Names this answer in the checkout's form.
    token: Mapped[str] = mapped_column(String(43), unique=True)
    #: told, failed (the shop's table counts) or not_served.
    outcome: Mapped[str] = mapped_column(String(16))
    #: [{"price_minor", "by" (a day, or null)}]
    offers: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
