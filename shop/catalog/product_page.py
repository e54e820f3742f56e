"""One product's page: its variants with price and stock, its pictures, and what goes with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from shop.catalog.listing import PLAY_NUMBERS, Card, cards
from shop.catalog.models import Picture, Product, ProductStatus, Variant, VariantPrice
from shop.catalog.shelves import Shelf, Shelves
from shop.catalog.tax import rate_bp
from shop.errors import NotFound
from shop.extensions import db
from shop.shipping_prices.goods import Goods, Size, packed
from shop.stock.models import StockLevel

FEW_ENOUGH_TO_SAY = 10
MOST_PAIRED = 4


class NoSuchProduct(NotFound):
    """This product is not sold here, or not any more."""


@dataclass(frozen=True)
class Choice:
    """A variant as a tile. Amounts in minor units."""

    id: int
    sku: str
    options: str
    price_minor: int | None
    before_minor: int | None
    #: Units that can still be sold.
    free: int
    weight_grams: int
    size_mm: Size

    @property
    def is_sold(self) -> bool:
        """True when it can be put in a cart now."""
        return self.free > 0 and self.price_minor is not None


@dataclass(frozen=True)
class ProductPage:
    """Everything the page shows."""

    slug: str
    name: str
    brand: Shelf
    description: str
    tax_rate_bp: int
    path: Sequence[Shelf]
    #: ("Handle",) or ("Colour", "Thickness"): what there is to choose.
    axes: Sequence[str]
    choices: Sequence[Choice]
    chosen: Choice | None
    #: (storage key, words for who cannot see it)
    pictures: Sequence[tuple[str, str]]
    play: Sequence[tuple[str, int]]
    spec: Sequence[tuple[str, str]]
    returns: str
    pairs: Sequence[Card]

    @property
    def full_name(self) -> str:
        """Brand and name."""
        return f"{self.brand.name} {self.name}"

    @property
    def stock_words(self) -> str:
        """The stock line of the chosen variant."""
        if self.chosen is None or self.chosen.price_minor is None:
            return "Not sold at the moment"
        where = f" in {self.chosen.options}" if len(self.choices) > 1 else ""
        if self.chosen.free == 0:
            return f"Sold out{where}"
        if self.chosen.free <= FEW_ENOUGH_TO_SAY:
            return f"In stock, {self.chosen.free} left{where}"
        return "In stock"


def goods_of(found: ProductPage, currency: str) -> Goods | None:
    """One unit of the chosen variant as a parcel; None when it is not sold."""
    choice = found.chosen
    if choice is None or choice.price_minor is None or not choice.is_sold:
        return None
    return packed([(1, choice.weight_grams, choice.size_mm)], choice.price_minor, currency)


def load(slug: str, sku: str, shelves: Shelves, currency: str) -> ProductPage:
    """The page of an active product with this variant chosen. Two statements.

    An unknown sku chooses the first variant that is in stock. Raises NoSuchProduct.
    """
    rows = db.session.execute(_statement(slug, currency)).all()
    if not rows:
        raise NoSuchProduct(slug=slug[:80])
    head = rows[0]
    facts = head.facts or {}
    choices = _choices(rows)
    play = facts.get("play", {})
    return ProductPage(
        slug=head.slug,
        name=head.name,
        brand=shelves.brands[head.brand_id],
        description=head.description,
        tax_rate_bp=rate_bp(head.tax_class),
        path=shelves.path(head.category_id),
        axes=list(head.options or {}),
        choices=choices,
        chosen=_chosen(choices, sku),
        pictures=list(
            dict.fromkeys((row.storage_key, row.alt_text) for row in rows if row.storage_key)
        ),
        play=[(name, play[name]) for name in PLAY_NUMBERS if name in play],
        spec=[(name, words) for name, words in facts.get("spec", [])],
        returns=facts.get("returns", "Return it unused within 30 days."),
        pairs=_pairs(head, facts.get("pairs", []), shelves, currency),
    )


def _statement(slug: str, currency: str) -> Any:
    """Variants × pictures of one product: a dozen rows, one statement."""
    return (
        select(
            Product.id, Product.slug, Product.name, Product.description, Product.facts,
            Product.brand_id, Product.category_id, Product.tax_class,
            Variant.id.label("variant_id"), Variant.sku, Variant.options,
            VariantPrice.amount_minor, VariantPrice.compare_at_minor,
            (StockLevel.on_hand - StockLevel.reserved).label("free"),
            Variant.weight_grams, Variant.length_mm, Variant.width_mm, Variant.height_mm,
            Picture.storage_key, Picture.alt_text,
        )
        .outerjoin(Variant, Variant.product_id == Product.id)
        .outerjoin(
            VariantPrice,
            (VariantPrice.variant_id == Variant.id) & (VariantPrice.currency == currency),
        )
        .outerjoin(StockLevel, StockLevel.variant_id == Variant.id)
        .outerjoin(Picture, Picture.product_id == Product.id)
        .where(Product.slug == slug, Product.status == ProductStatus.ACTIVE)
        .order_by(Variant.position, Variant.id, Picture.position, Picture.id)
    )  # fmt: skip


def _choices(rows: Sequence[Row[Any]]) -> list[Choice]:
    found: dict[int, Choice] = {}
    for row in rows:
        if row.variant_id is not None and row.variant_id not in found:
            found[row.variant_id] = Choice(
                row.variant_id, row.sku, ", ".join((row.options or {}).values()),
                row.amount_minor, row.compare_at_minor, max(0, row.free or 0),
                row.weight_grams, (row.length_mm, row.width_mm, row.height_mm),
            )  # fmt: skip
    return list(found.values())


def _chosen(choices: Sequence[Choice], sku: str) -> Choice | None:
    asked = [choice for choice in choices if choice.sku == sku]
    on_shelf = [choice for choice in choices if choice.is_sold]
    return next(iter([*asked, *on_shelf, *choices]), None)


def _pairs(head: Row[Any], slugs: Sequence[str], shelves: Shelves, currency: str) -> list[Card]:
    """What the product names as its company; else what is popular on other shelves."""
    found = select(Product).where(Product.status == ProductStatus.ACTIVE, Product.id != head.id)
    if slugs:
        found = found.where(Product.slug.in_(slugs[:MOST_PAIRED]))
    else:
        found = found.where(Product.category_id != head.category_id)
    return cards(found, Product.popularity, True, shelves, currency, limit=MOST_PAIRED)
