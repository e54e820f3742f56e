"""What is sold: products, their variants and prices, and where they stand in the shop."""

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop.database import BigId, Row, stored


class Seller(Row):
    """Whose goods are sold. The counters follow paid order lines; `flask shop audit` recounts them."""

    __tablename__ = "sellers"

    name: Mapped[str] = mapped_column(String(120), unique=True)
    email: Mapped[str] = mapped_column(String(254), default="")
    #: Of each sale, in basis points (10000 is all).
    payout_share_bp: Mapped[int] = mapped_column(default=10_000)
    #: Units paid and not given back.
    sales_count: Mapped[int] = mapped_column(BigId, default=0)
    #: Their worth in minor units of the shop's currency.
    sales_minor: Mapped[int] = mapped_column(BigId, default=0)


class Category(Row):
    """A shelf; shelves stand on shelves."""

    __tablename__ = "categories"

    parent_id: Mapped[int | None] = mapped_column(ForeignKey("categories.id"), index=True)
    name: Mapped[str] = mapped_column(String(80))
    slug: Mapped[str] = mapped_column(String(80), unique=True)
    position: Mapped[int] = mapped_column(default=0)


class Brand(Row):
    """Who made it."""

    __tablename__ = "brands"

    name: Mapped[str] = mapped_column(String(80))
    slug: Mapped[str] = mapped_column(String(80), unique=True)
    position: Mapped[int] = mapped_column(default=0)


class ProductStatus(StrEnum):
    """Only active products are shown and sold."""

    DRAFT = "draft"
    ACTIVE = "active"
    ARCHIVED = "archived"


class Product(Row):
    """One thing on the shelf, in one or more variants."""

    __tablename__ = "products"
    __table_args__ = (
        Index("ix_products_shelf", "status", "category_id", "id"),
        Index("ix_products_maker", "status", "brand_id", "id"),
        Index("ix_products_updated_at", "updated_at"),
    )

    seller_id: Mapped[int] = mapped_column(ForeignKey("sellers.id"), index=True)
    category_id: Mapped[int] = mapped_column(ForeignKey("categories.id"), index=True)
    brand_id: Mapped[int] = mapped_column(ForeignKey("brands.id"), index=True)
    name: Mapped[str] = mapped_column(String(160))
    slug: Mapped[str] = mapped_column(String(160), unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    #: One line under the name on a card ("Box of 3, seamless").
    summary: Mapped[str] = mapped_column(String(160), default="")
    status: Mapped[ProductStatus] = mapped_column(
        stored(ProductStatus), default=ProductStatus.DRAFT
    )
    tax_class: Mapped[str] = mapped_column(String(20), default="standard")
    #: Ordered pairs for the page: {"play": {"Speed": 78, …}, "spec": [["Plies", "5"], …]}.
    facts: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    #: Name, brand, category and description, folded to plain lower-case letters.
    search_text: Mapped[str] = mapped_column(Text, default="")
    #: Orders the listing "most played" first.
    popularity: Mapped[int] = mapped_column(default=0, index=True)

    variants: Mapped[list["Variant"]] = relationship(
        back_populates="product", order_by="Variant.position"
    )
    pictures: Mapped[list["Picture"]] = relationship(order_by="Picture.position")
    brand: Mapped[Brand] = relationship()
    category: Mapped[Category] = relationship()


class Variant(Row):
    """What is put in a cart and counted in stock."""

    __tablename__ = "variants"
    __table_args__ = (
        CheckConstraint(
            "weight_grams >= 0 AND length_mm >= 0 AND width_mm >= 0 AND height_mm >= 0", name="size"
        ),
        Index("ix_variants_updated_at", "updated_at"),
    )

    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), index=True)
    sku: Mapped[str] = mapped_column(String(60), unique=True)
    #: {"Handle": "Flared"}; empty for a product with one variant.
    options: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    weight_grams: Mapped[int] = mapped_column(default=0)
    length_mm: Mapped[int] = mapped_column(default=0)
    width_mm: Mapped[int] = mapped_column(default=0)
    height_mm: Mapped[int] = mapped_column(default=0)
    hsn_code: Mapped[str] = mapped_column(String(12), default="")
    position: Mapped[int] = mapped_column(default=0)

    product: Mapped[Product] = relationship(back_populates="variants")

    @property
    def options_text(self) -> str:
        """The choice in words: "Flared, 2.0 mm"."""
        return ", ".join(self.options.values())


class VariantPrice(Row):
    """What a variant costs in one currency."""

    __tablename__ = "variant_prices"
    __table_args__ = (
        UniqueConstraint("variant_id", "currency"),
        CheckConstraint("amount_minor >= 0", name="amount"),
        CheckConstraint(
            "compare_at_minor IS NULL OR compare_at_minor > amount_minor", name="compare_at"
        ),
        Index("ix_variant_prices_updated_at", "updated_at"),
    )

    variant_id: Mapped[int] = mapped_column(ForeignKey("variants.id"))
    currency: Mapped[str] = mapped_column(String(3))
    amount_minor: Mapped[int] = mapped_column(BigId)
    #: The price before (MRP), shown struck through.
    compare_at_minor: Mapped[int | None] = mapped_column(BigId)


class Picture(Row):
    """A product's picture; `storage_key` is its path below static/img or the file store."""

    __tablename__ = "pictures"
    __table_args__ = (Index("ix_pictures_updated_at", "updated_at"),)

    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), index=True)
    storage_key: Mapped[str] = mapped_column(String(200))
    alt_text: Mapped[str] = mapped_column(String(200), default="")
    position: Mapped[int] = mapped_column(default=0)
    #: Widths (px) that were made.
    sizes: Mapped[list[int]] = mapped_column(JSON, default=list)
