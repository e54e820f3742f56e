"""The listing: which products, in which order, and how many there are behind each filter.

Three statements whatever the number of rows: the counts, the page's cards, and (elsewhere) the
stamp. Columns are read, never entities.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select

from shop.catalog import search
from shop.catalog.filters import Filters
from shop.catalog.models import Picture, Product, ProductStatus, Variant, VariantPrice
from shop.catalog.shelves import Shelf, Shelves
from shop.extensions import db
from shop.money import MAX_MINOR
from shop.stock.models import StockLevel

PAGE_SIZE = 24
FEW_LEFT = 3
PLAY_NUMBERS = ("Speed", "Spin", "Control")


@dataclass(frozen=True)
class Card:
    """A product as it stands in a grid. Amounts in minor units."""

    slug: str
    name: str
    brand: str
    summary: str
    picture: str
    #: ("Speed", 78) and so on; empty for what does not play.
    play: Sequence[tuple[str, int]]
    #: The cheapest variant's; None when it has no price in this currency.
    price_minor: int | None
    before_minor: int | None
    has_several_prices: bool
    #: Units that can still be sold, of all variants.
    free: int
    #: The only variant; None when the shopper must choose one.
    variant_id: int | None

    @property
    def saving_percent(self) -> int:
        """How much cheaper it is than before, rounded down."""
        if not self.before_minor or self.price_minor is None:
            return 0
        return (self.before_minor - self.price_minor) * 100 // self.before_minor

    @property
    def is_few(self) -> bool:
        """True when the last ones are going."""
        return 0 < self.free <= FEW_LEFT


@dataclass
class Counts:
    """How many products each filter would show, the other filters staying as they are."""

    total: int = 0
    in_stock: int = 0
    categories: dict[int, int] = field(default_factory=dict)
    brands: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """A page of results."""

    filters: Filters
    cards: Sequence[Card]
    counts: Counts

    @property
    def first(self) -> int:
        """The number of the first card."""
        return (self.filters.page - 1) * PAGE_SIZE + 1

    @property
    def last(self) -> int:
        """The number of the last card."""
        return self.first + len(self.cards) - 1

    @property
    def previous(self) -> str | None:
        """The address of the page before."""
        return (
            self.filters.on_page(self.filters.page - 1).address() if self.filters.page > 1 else None
        )

    @property
    def next(self) -> str | None:
        """The address of the page after."""
        if self.last >= self.counts.total:
            return None
        return self.filters.on_page(self.filters.page + 1).address()


def find(filters: Filters, shelves: Shelves, currency: str) -> Listing:
    """What the filters ask for. Two statements."""
    counts = count(filters, shelves, currency)
    return Listing(filters, _cards_of_page(filters, shelves, currency), counts)


def _from_prices(currency: str) -> Any:
    """The lowest price of every product, grouped: far cheaper than looking each one up."""
    return (
        select(Variant.product_id, func.min(VariantPrice.amount_minor).label("amount_minor"))
        .join(VariantPrice, VariantPrice.variant_id == Variant.id)
        .where(VariantPrice.currency == currency)
        .group_by(Variant.product_id)
    )


def _is_available() -> ColumnElement[bool]:
    return Product.id.in_(
        select(Variant.product_id)
        .join(StockLevel, StockLevel.variant_id == Variant.id)
        .where(StockLevel.on_hand > StockLevel.reserved)
    )


def _conditions(filters: Filters, currency: str) -> list[ColumnElement[bool]]:
    """What restricts every count: words and prices."""
    found: list[ColumnElement[bool]] = [Product.status == ProductStatus.ACTIVE]
    if filters.query:
        found.append(search.matches(filters.query))
    if filters.low_minor is not None or filters.high_minor is not None:
        price = func.min(VariantPrice.amount_minor)
        fitting = _from_prices(currency).with_only_columns(Variant.product_id)
        fitting = fitting.having(
            price >= (filters.low_minor or 0),
            price <= (MAX_MINOR if filters.high_minor is None else filters.high_minor),
        )
        found.append(Product.id.in_(fitting))
    return found


def _chosen(filters: Filters, shelves: Shelves) -> tuple[set[int], set[int]]:
    """The ids of the chosen categories, with all below them, and of the chosen brands."""
    categories = shelves.below(shelves.category_of_slug[slug].id for slug in filters.categories)
    return categories, {shelves.brand_of_slug[slug].id for slug in filters.brands}


def count(filters: Filters, shelves: Shelves, currency: str) -> Counts:
    """All counts from one grouped statement: the groups are few whatever the number of products."""
    inner = (
        select(Product.category_id, Product.brand_id, _is_available().label("available"))
        .where(*_conditions(filters, currency))
        .subquery()
    )
    groups = db.session.execute(
        select(inner.c.category_id, inner.c.brand_id, inner.c.available, func.count()).group_by(
            inner.c.category_id, inner.c.brand_id, inner.c.available
        )
    )
    chosen_categories, chosen_brands = _chosen(filters, shelves)
    counts = Counts()
    of_category: dict[int, int] = {}
    for category_id, brand_id, available, many in groups:
        in_category = not chosen_categories or category_id in chosen_categories
        in_brand = not chosen_brands or brand_id in chosen_brands
        counted = bool(available) or not filters.in_stock
        if in_brand and counted:
            of_category[category_id] = of_category.get(category_id, 0) + many
        if in_category and counted:
            counts.brands[brand_id] = counts.brands.get(brand_id, 0) + many
        if in_category and in_brand:
            counts.total += many if counted else 0
            counts.in_stock += many if available else 0
    for shelf_id in shelves.categories:
        counts.categories[shelf_id] = sum(
            of_category.get(below, 0) for below in shelves.below([shelf_id])
        )
    return counts


def _cards_of_page(filters: Filters, shelves: Shelves, currency: str) -> list[Card]:
    found = select(Product).where(*_conditions(filters, currency))
    categories, brands = _chosen(filters, shelves)
    if categories:
        found = found.where(Product.category_id.in_(categories))
    if brands:
        found = found.where(Product.brand_id.in_(brands))
    if filters.in_stock:
        found = found.where(_is_available())
    prices = _from_prices(currency).subquery()
    if filters.sort.startswith("price"):
        found = found.outerjoin(prices, prices.c.product_id == Product.id)
    key, is_falling = {
        "popular": (Product.popularity, True),
        "newest": (Product.id, True),
        "price": (prices.c.amount_minor, False),
        "price-desc": (prices.c.amount_minor, True),
    }[filters.sort]
    return cards(
        found, key, is_falling, shelves, currency,
        limit=PAGE_SIZE, offset=(filters.page - 1) * PAGE_SIZE,
    )  # fmt: skip


def cards(
    found: Select[Any],
    key: Any,
    is_falling: bool,
    shelves: Shelves,
    currency: str,
    *,
    limit: int,
    offset: int = 0,
) -> list[Card]:
    """The cards of the products found (a select of Product), ordered by `key`. One statement."""
    chosen = found.with_only_columns(
        Product.id, Product.slug, Product.name, Product.summary, Product.facts, Product.brand_id,
        key.label("sort_key"),
    )  # fmt: skip
    order = key.desc().nulls_last() if is_falling else key.asc().nulls_last()
    page = chosen.order_by(order, Product.id.desc()).limit(limit).offset(offset).subquery()
    picture = (
        select(Picture.storage_key)
        .where(Picture.product_id == page.c.id)
        .order_by(Picture.position, Picture.id)
        .limit(1)
        .scalar_subquery()
    )
    sorted_key = page.c.sort_key.desc() if is_falling else page.c.sort_key.asc()
    rows = db.session.execute(
        select(
            page, picture.label("picture"), Variant.id.label("variant_id"),
            VariantPrice.amount_minor, VariantPrice.compare_at_minor,
            (StockLevel.on_hand - StockLevel.reserved).label("free"),
        )
        .outerjoin(Variant, Variant.product_id == page.c.id)
        .outerjoin(
            VariantPrice,
            (VariantPrice.variant_id == Variant.id) & (VariantPrice.currency == currency),
        )
        .outerjoin(StockLevel, StockLevel.variant_id == Variant.id)
        .order_by(sorted_key.nulls_last(), page.c.id.desc(), Variant.position, Variant.id)
    )  # fmt: skip
    return [_card(list(of_one), shelves) for _id, of_one in groupby(rows, key=lambda row: row.id)]


def _card(rows: Sequence[Row[Any]], shelves: Shelves) -> Card:
    """One product from the rows of its variants."""
    head = rows[0]
    priced = [row for row in rows if row.amount_minor is not None]
    cheapest = min(priced, key=lambda row: row.amount_minor, default=None)
    play = (head.facts or {}).get("play", {})
    return Card(
        slug=head.slug,
        name=head.name,
        brand=shelves.brands[head.brand_id].name,
        summary=head.summary,
        picture=head.picture or "",
        play=[(name, play[name]) for name in PLAY_NUMBERS if name in play],
        price_minor=cheapest.amount_minor if cheapest else None,
        before_minor=cheapest.compare_at_minor if cheapest else None,
        has_several_prices=len({row.amount_minor for row in priced}) > 1,
        free=sum(max(0, row.free or 0) for row in rows),
        variant_id=head.variant_id if len(rows) == 1 and priced else None,
    )


@dataclass(frozen=True)
class Choice:
    """One box of the filter form."""

    shelf: Shelf
    count: int
    is_chosen: bool
    depth: int = 0


def category_choices(listing: Listing, shelves: Shelves) -> list[Choice]:
    """The departments, and below a chosen one what stands on it."""
    chosen = {shelves.category_of_slug[slug].id for slug in listing.filters.categories}
    opened = {step.id for category_id in chosen for step in shelves.path(category_id)}

    def level(shelves_here: Iterable[Shelf], depth: int) -> list[Choice]:
        found = []
        for shelf in shelves_here:
            count = listing.counts.categories.get(shelf.id, 0)
            found.append(Choice(shelf, count, shelf.id in chosen, depth))
            if shelf.id in opened:
                found += level(shelves.children(shelf.id), depth + 1)
        return found

    return level(shelves.top, 0)


def brand_choices(listing: Listing, shelves: Shelves) -> list[Choice]:
    """The brands."""
    return [
        Choice(shelf, listing.counts.brands.get(shelf.id, 0), shelf.slug in listing.filters.brands)
        for shelf in shelves.brands.values()
    ]
