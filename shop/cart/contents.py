"""What is in a cart, as it would be sold now: prices and stock are read anew each time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, case, func, select

from shop.cart.models import Cart, CartLine
from shop.catalog.models import Brand, Picture, Product, ProductStatus, Variant, VariantPrice
from shop.catalog.tax import rate_bp
from shop.extensions import db
from shop.money import format_minor, tax_included
from shop.preferences import preferences
from shop.shipping_prices.goods import Goods, Size, packed
from shop.shipping_prices.tariff import ZONE_COUNTRIES
from shop.stock.models import StockLevel

FEW_LEFT = 3


def since(moment: datetime) -> int:
    """A moment as a whole number that a form can carry: microseconds since 1970."""
    return round(moment.timestamp() * 1_000_000)


@dataclass(frozen=True)
class Line:
    """One line. Amounts in minor units of the cart's currency."""

    id: int
    variant_id: int
    slug: str
    sku: str
    name: str
    options: str
    picture: str
    quantity: int
    #: None when it is not sold any more.
    price_minor: int | None
    price_seen_minor: int
    #: Units that can still be sold.
    free: int
    tax_rate_bp: int
    #: When it was first put in, in microseconds since 1970.
    since: int
    weight_grams: int
    size_mm: Size

    @property
    def total_minor(self) -> int:
        """Price times quantity; nothing for what is not sold."""
        return (self.price_minor or 0) * self.quantity

    @property
    def is_sold(self) -> bool:
        """False when the product was taken out of the shop."""
        return self.price_minor is not None

    @property
    def is_short(self) -> bool:
        """True when there are not as many as the line says."""
        return self.is_sold and self.quantity > self.free

    @property
    def full_name(self) -> str:
        """Brand, name and choice: "Kazemori Tidal 05, Red, 2.0 mm"."""
        return f"{self.name}, {self.options}" if self.options else self.name


@dataclass(frozen=True)
class Contents:
    """The cart's page. Amounts in minor units."""

    currency: str
    lines: Sequence[Line]
    line_limit: int
    #: Standard delivery is free from here; 0 where that depends on the zone.
    free_from_minor: int
    hold_minutes: int
    #: Where the shop's own zones lie; None without zones.
    zone_countries: str | None

    @property
    def count(self) -> int:
        """Units in all."""
        return sum(line.quantity for line in self.lines)

    @property
    def subtotal_minor(self) -> int:
        """What the lines cost."""
        return sum(line.total_minor for line in self.lines)

    @property
    def goods(self) -> Goods:
        """What would be delivered."""
        sold = [line for line in self.lines if line.is_sold]
        items = [(line.quantity, line.weight_grams, line.size_mm) for line in sold]
        return packed(items, self.subtotal_minor, self.currency)

    @property
    def tax_minor(self) -> int:
        """The tax inside it."""
        return sum(tax_included(line.total_minor, line.tax_rate_bp) for line in self.lines)

    @property
    def moved(self) -> list[str]:
        """Prices that changed since they were put in, in words."""
        return [
            f"The price of {line.full_name} changed from "
            f"{format_minor(line.price_seen_minor, self.currency)} to "
            f"{format_minor(line.price_minor, self.currency)} since you added it."
            for line in self.lines
            if line.price_minor is not None and line.price_minor != line.price_seen_minor
        ]


def read(cart: Cart | None, currency: str) -> Contents:
    """The cart's lines in the order in which they were put in. Two statements."""
    chosen = preferences("line_limit", "free_shipping_minor", "hold_minutes")
    rows = _rows(cart.id, cart.currency) if cart else []
    zone_countries = rows[0].zone_countries if rows else None
    return Contents(
        currency=cart.currency if cart else currency,
        lines=[_line(row) for row in rows],
        line_limit=chosen["line_limit"],
        free_from_minor=chosen["free_shipping_minor"] if zone_countries is None else 0,
        hold_minutes=chosen["hold_minutes"],
        zone_countries=zone_countries,
    )


_PRICED = (VariantPrice.variant_id == Variant.id) & (VariantPrice.currency == bindparam("currency"))
_COST = case(
    (Product.status == ProductStatus.ACTIVE, CartLine.quantity * VariantPrice.amount_minor), else_=0
)
_TOTALS = (
    select(func.sum(CartLine.quantity), func.sum(_COST))
    .join(Variant, Variant.id == CartLine.variant_id)
    .join(Product, Product.id == Variant.product_id)
    .outerjoin(VariantPrice, _PRICED)
    .where(CartLine.cart_id == bindparam("cart_id"))
)


def totals(cart_id: int, currency: str) -> tuple[int, int]:
    """(units in all, what they cost in minor units): all that a toast needs, in one statement."""
    units, minor = db.session.execute(_TOTALS, {"cart_id": cart_id, "currency": currency}).one()
    return int(units or 0), int(minor or 0)


_LINES = (
    select(
        CartLine.id, CartLine.created_at, CartLine.variant_id, CartLine.quantity,
        CartLine.price_seen_minor, Product.slug, Product.name, Product.status, Product.tax_class,
        Brand.name.label("brand"), Variant.sku, Variant.options, VariantPrice.amount_minor,
        (StockLevel.on_hand - StockLevel.reserved).label("free"),
        select(Picture.storage_key)
        .where(Picture.product_id == Product.id)
        .order_by(Picture.position, Picture.id)
        .limit(1)
        .correlate(Product)
        .scalar_subquery()
        .label("picture"),
        Variant.weight_grams, Variant.length_mm, Variant.width_mm, Variant.height_mm,
        ZONE_COUNTRIES.label("zone_countries"),
    )
    .join(Variant, Variant.id == CartLine.variant_id)
    .join(Product, Product.id == Variant.product_id)
    .join(Brand, Brand.id == Product.brand_id)
    .outerjoin(VariantPrice, _PRICED)
    .outerjoin(StockLevel, StockLevel.variant_id == Variant.id)
    .where(CartLine.cart_id == bindparam("cart_id"))
    .order_by(CartLine.created_at, CartLine.id)
)  # fmt: skip


def _rows(cart_id: int, currency: str) -> Sequence[Any]:
    return db.session.execute(_LINES, {"cart_id": cart_id, "currency": currency}).all()


def _line(row: Row[Any]) -> Line:
    return Line(
        id=row.id,
        variant_id=row.variant_id,
        slug=row.slug,
        sku=row.sku,
        name=f"{row.brand} {row.name}",
        options=", ".join((row.options or {}).values()),
        picture=row.picture or "",
        quantity=row.quantity,
        price_minor=row.amount_minor if row.status == ProductStatus.ACTIVE else None,
        price_seen_minor=row.price_seen_minor,
        free=max(0, row.free or 0),
        tax_rate_bp=rate_bp(row.tax_class),
        since=since(row.created_at),
        weight_grams=row.weight_grams,
        size_mm=(row.length_mm, row.width_mm, row.height_mm),
    )
