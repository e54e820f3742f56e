"""Whether the catalogue changed since a page was made: one cheap statement, and what hangs on it.

Who deletes a row here (a picture, a price) must touch its product, since a deletion leaves no
newer `updated_at` behind. Nothing in the shop deletes products, variants or stock levels.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from flask import current_app
from sqlalchemy import func, select

from shop.catalog.models import Brand, Category, Picture, Product, Variant, VariantPrice
from shop.clock import utcnow
from shop.config import ROOT, settings
from shop.extensions import db
from shop.preferences import PREFERENCES, Setting
from shop.shipping_prices.tariff import ZONE_COUNTRIES
from shop.stock.models import StockLevel

T = TypeVar("T")

SHELVES = (Category, Brand)
GOODS = (Product, Variant, VariantPrice, Picture, StockLevel)

NEWEST = select(
    *(select(func.max(table.updated_at)).scalar_subquery() for table in (*SHELVES, *GOODS)),
    select(Setting.value).where(Setting.key == "free_shipping_minor").scalar_subquery(),
    ZONE_COUNTRIES,
)
"""The newest change of each table, from its index, and what pages show of delivery."""

SETTLING = timedelta(seconds=20)
"""Longer than any transaction lasts: see `read_stamp`."""

SLICE_SECONDS = 2
MOST_KEPT = 200


@dataclass(frozen=True)
class Stamp:
    """The catalogue's state: equal texts mean equal pages."""

    #: Of categories and brands.
    shelves: str
    #: Of everything that a catalogue page shows.
    goods: str
    #: Standard delivery is free from here; 0 where that depends on the zone.
    free_shipping_minor: int
    #: Where the shop's own zones lie; None without zones.
    zone_countries: str | None


def read_stamp() -> Stamp:
    """The state now (one statement).

    Two transactions may commit in another order than their `updated_at` tell, and the later
    commit would then be hidden behind the newer moment. So while the newest change is fresh,
    the stamp also changes every two seconds; once it is older than any transaction, it stands.
    """
    *moments, free_from, zone_countries = db.session.execute(NEWEST).one()
    free_shipping_minor = _free_from(free_from) if zone_countries is None else 0
    shelves = _text(moments[: len(SHELVES)])
    goods = f"{shelves} {_text(moments[len(SHELVES) :])} {free_shipping_minor} {zone_countries}"
    return Stamp(shelves, goods, free_shipping_minor, zone_countries)


def _free_from(stored: str | None) -> int:
    row = PREFERENCES["free_shipping_minor"]
    found: int = row.default if stored is None else row.read(stored)
    return found


def _text(moments: Sequence[datetime | None]) -> str:
    known = [moment for moment in moments if moment is not None]
    now = utcnow()
    unsettled = bool(known) and now - max(known) < SETTLING
    beat = f"~{int(now.timestamp()) // SLICE_SECONDS}" if unsettled else ""
    return ",".join(str(moment.timestamp()) if moment else "-" for moment in moments) + beat


def remembered(what: str, stamp: str, make: Callable[[], T]) -> T:
    """What `make` returned last time under this stamp, else made now and kept by this process.

    For what is the same for every reader. Nothing personal may be kept here.
    """
    kept: dict[str, tuple[str, Any]] = current_app.extensions.setdefault("catalogue", {})
    held = kept.get(what)
    if held is not None and held[0] == stamp:
        value: T = held[1]
        return value
    made = make()
    if len(kept) >= MOST_KEPT:
        kept.clear()
    kept[what] = (stamp, made)
    return made


@cache
def _build() -> str:
    """The templates and assets of this release: a new release must not answer "not modified"."""
    found = hashlib.sha256()
    for folder, pattern in (
        ("templates", "*.html"),
        ("static/css", "*.css"),
        ("static/js", "*.js"),
    ):
        for path in sorted((ROOT / folder).rglob(pattern)):
            found.update(path.read_bytes())
    return found.hexdigest()


def page_version(stamp: Stamp, asked: str) -> str:
    """What an anonymous reader's page depends on, all of it: for its ETag."""
    own = settings()
    return "|".join(
        (_build(), own.shop_name, own.support_email, own.default_currency, stamp.goods, asked)
    )
