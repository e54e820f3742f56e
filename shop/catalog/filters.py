"""What a reader of the listing asked for: read from the address, and written back to one."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from werkzeug.datastructures import MultiDict

from shop.catalog.shelves import Shelf, Shelves
from shop.errors import NotFound
from shop.money import MoneyError, parse_minor

SORTS = {
    "popular": "Most played",
    "price": "Price, low to high",
    "price-desc": "Price, high to low",
    "newest": "Newest",
}
LAST_PAGE = 10_000


class NoSuchShelf(NotFound):
    """There is no such category or brand. It may have a new name."""


@dataclass(frozen=True)
class Filters:
    """One wish. Slugs in the shop's order; prices as typed and in minor units."""

    query: str = ""
    categories: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()
    low: str = ""
    high: str = ""
    low_minor: int | None = None
    high_minor: int | None = None
    in_stock: bool = False
    sort: str = "popular"
    page: int = 1
    #: What is wrong with the prices, in words.
    price_fault: str = ""

    @property
    def is_common(self) -> bool:
        """True for what many readers ask alike; such results are worth keeping."""
        return not (self.query or self.low or self.high)

    @property
    def narrows(self) -> bool:
        """True when any filter is set."""
        return bool(
            self.query or self.categories or self.brands or self.low or self.high or self.in_stock
        )

    def address(self) -> str:
        """The one address of this wish."""
        pairs = [
            ("q", self.query),
            *[("category", slug) for slug in self.categories],
            *[("brand", slug) for slug in self.brands],
            ("min", self.low),
            ("max", self.high),
            ("in_stock", "1" if self.in_stock else ""),
            ("sort", self.sort if self.sort != "popular" else ""),
            ("page", str(self.page) if self.page > 1 else ""),
        ]
        query = urlencode([(name, value) for name, value in pairs if value])
        return f"/products?{query}" if query else "/products"

    def on_page(self, page: int) -> "Filters":
        """The same wish, another page."""
        return replace(self, page=page)

    def chips(self, shelves: Shelves) -> list[tuple[str, str]]:
        """Each filter in words, with the address without it."""
        first = self.on_page(1)
        found: list[tuple[str, Filters]] = []
        if self.query:
            found.append((f"“{self.query}”", replace(first, query="")))
        for slug in self.categories:
            rest = tuple(other for other in self.categories if other != slug)
            found.append((shelves.category_of_slug[slug].name, replace(first, categories=rest)))
        for slug in self.brands:
            rest = tuple(other for other in self.brands if other != slug)
            found.append((shelves.brand_of_slug[slug].name, replace(first, brands=rest)))
        if self.low or self.high:
            words = f"{self.low or '0'} to {self.high}" if self.high else f"From {self.low}"
            found.append((words, replace(first, low="", high="", low_minor=None, high_minor=None)))
        if self.in_stock:
            found.append(("In stock now", replace(first, in_stock=False)))
        return [(words, other.address()) for words, other in found]


def read_filters(arguments: MultiDict[str, str], shelves: Shelves, currency: str) -> Filters:
    """What the address asks for. Raises NoSuchShelf; other nonsense is left aside."""
    low, low_minor, low_wrong = _price(arguments.get("min", ""), currency)
    high, high_minor, high_wrong = _price(arguments.get("max", ""), currency)
    sort = arguments.get("sort", "")
    page = arguments.get("page", "")
    return Filters(
        query=" ".join(arguments.get("q", "").replace("\0", "").split())[:100],
        categories=_known(arguments.getlist("category"), shelves.category_of_slug),
        brands=_known(arguments.getlist("brand"), shelves.brand_of_slug),
        low=low,
        high=high,
        low_minor=low_minor,
        high_minor=high_minor,
        in_stock=arguments.get("in_stock") == "1",
        sort=sort if sort in SORTS else "popular",
        page=min(int(page), LAST_PAGE)
        if page.isascii() and page.isdigit() and page.strip("0")
        else 1,
        price_fault=low_wrong or high_wrong,
    )


def _known(slugs: Iterable[str], shelves: dict[str, Shelf]) -> tuple[str, ...]:
    asked = {slug for slug in slugs if slug}
    if not asked <= shelves.keys():
        raise NoSuchShelf(asked=sorted(asked - shelves.keys())[:3])
    return tuple(slug for slug in shelves if slug in asked)


def _price(typed: str, currency: str) -> tuple[str, int | None, str]:
    """(as typed, in minor units, what is wrong)."""
    written = typed.strip()[:20]
    if not written:
        return "", None, ""
    try:
        return written, parse_minor(written, currency), ""
    except MoneyError as error:
        return written, None, str(error)
