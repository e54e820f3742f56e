"""What delivery costs: the zone of a place, its methods, and which of their rows counts.

A shop without zones of its own delivers everywhere at the prices of its preferences.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import func, select

from shop.accounts.addresses import country_name
from shop.extensions import db
from shop.pages import day
from shop.shipping_prices import live_quotes
from shop.shipping_prices.days import arrives, today, working_days_after
from shop.shipping_prices.goods import Goods
from shop.shipping_prices.live_quotes import NEWEST, LiveWish, Told
from shop.shipping_prices.models import Basis, ShippingRate, ShippingZone
from shop.shipping_prices.places import Place, listed, matches, plain

PREFERENCES = ("free_shipping_minor", "standard_shipping_minor", "express_shipping_minor")
"""What a shop without zones charges."""

METHODS = {"standard": ("Standard", 3, 5), "express": ("Express", 1, 2)}
"""Its methods: key → (label, fastest, slowest) in working days."""

EVERYWHERE = "*"

HAS_ZONES = select(ShippingZone.id).where(ShippingZone.is_active).exists()
"""A column for statements that are asked anyway: a shop without zones pays no statement for them."""

ZONE_COUNTRIES = (
    select(func.aggregate_strings(ShippingZone.countries, ","))
    .where(ShippingZone.is_active)
    .scalar_subquery()
)
"""The same with their countries, joined by commas; NULL for a shop without zones."""


@dataclass(frozen=True)
class Rate:
    """A delivery method with its price (minor units) and the expected days in words."""

    key: str
    label: str
    when: str
    price_minor: int
    #: The last day on which it should arrive.
    by: date
    #: The courier's own price.
    is_live: bool = False


@dataclass(frozen=True)
class Offer:
    """What a place is offered: methods, or why there are none."""

    rates: Sequence[Rate]
    #: In the shopper's words; empty when there are methods.
    refusal: str = ""
    #: The name of the zone; empty for the shop without zones.
    zone: str = ""
    #: What to ask the courier, when its price is wanted and not known; the rates are the table's.
    wish: LiveWish | None = None
    #: Names the courier's answer that these prices come from.
    token: str = ""
    #: From what worth the cheapest method is free; 0 when it never is, or is not known.
    free_from_minor: int = 0

    @property
    def is_by_courier(self) -> bool:
        """Whether a price of the courier's own is among these, or is wanted."""
        return self.wish is not None or bool(self.token)


NOTHING = Offer([])
"""For an empty cart."""


@dataclass(frozen=True)
class Row:
    """A row of the table of prices."""

    method: str
    label: str
    basis: str
    up_to: int | None
    currency: str
    price_minor: int
    free_from_minor: int | None
    days_from: int
    days_to: int
    is_live: bool

    def holds(self, goods: Goods) -> bool:
        """Whether the goods are within its bound."""
        measured = goods.weight_grams if self.basis == Basis.WEIGHT else goods.value_minor
        return self.currency == goods.currency and (self.up_to is None or measured <= self.up_to)

    def price_of(self, goods: Goods, price_minor: int) -> int:
        """That price, or nothing for goods worth enough."""
        free = self.free_from_minor is not None and goods.value_minor >= self.free_from_minor
        return 0 if free else price_minor


@dataclass(frozen=True)
class Zone:
    """A zone with its rows."""

    id: int
    name: str
    countries: Sequence[str]
    patterns: Sequence[str]
    rows: list[Row] = field(default_factory=list)

    def is_in(self, country: str) -> bool:
        """Whether any of the country belongs to it."""
        return country in self.countries or EVERYWHERE in self.countries

    def holds(self, place: Place) -> bool:
        """Whether the place belongs to it."""
        if not self.is_in(place.country):
            return False
        return not self.patterns or matches(place.postal_code, self.patterns)


def offer(
    place: Place, goods: Goods, chosen: Mapping[str, int], has_zones: bool, token: str = ""
) -> Offer:
    """The methods for these goods to this place. No statement without zones, one with them.

    `chosen` holds the preferences named above, `token` the courier's answer that the page shows.
    """
    if not has_zones:
        return built_in(goods, chosen)
    wish = _wish(place, goods)
    zones, told = read_zones(wish, token)
    zone = zone_of(zones, place)
    if zone is None:
        return Offer([], _not_served(zones, place))
    rows = _counting(zone, goods)
    if not rows:
        words = f"We cannot deliver this much to {place.words} yet. Order less, or write to us."
        return Offer([], words, zone.name)
    if not any(row.is_live for row in rows):
        wish = told = None
    return _priced(zone, rows, place, goods, wish, told)


def built_in(goods: Goods, chosen: Mapping[str, int]) -> Offer:
    """What a shop without zones offers."""
    free_from = chosen["free_shipping_minor"]
    prices = {
        "standard": 0 if goods.value_minor >= free_from else chosen["standard_shipping_minor"],
        "express": chosen["express_shipping_minor"],
    }
    rates = [
        _rate(key, label, first, last, prices[key]) for key, (label, first, last) in METHODS.items()
    ]
    return Offer(rates, free_from_minor=free_from)


def read_zones(wish: LiveWish | None = None, token: str = "") -> tuple[list[Zone], Told | None]:
    """The zones that count, in their order, with their rows, and what the courier told of this wish. One statement."""
    found: dict[int, Zone] = {}
    told: Told | None = None
    for row in db.session.execute(_ZONES, live_quotes.named(wish, token)):
        zone = found.get(row.zone_id)
        if zone is None:
            countries, patterns = listed(row.countries), listed(row.postal_codes)
            zone = found[row.zone_id] = Zone(row.zone_id, row.name, countries, patterns)
        if row.method is not None:
            zone.rows.append(
                Row(
                    row.method, row.label, row.basis, row.up_to, row.currency, row.price_minor,
                    row.free_from_minor, row.days_from, row.days_to, row.is_live,
                )
            )  # fmt: skip
        told = told or live_quotes.told_of(row, token)
    return list(found.values()), told


_ZONES = (
    select(
        ShippingZone.id.label("zone_id"), ShippingZone.name, ShippingZone.countries,
        ShippingZone.postal_codes, ShippingRate.method, ShippingRate.label, ShippingRate.basis,
        ShippingRate.up_to, ShippingRate.currency, ShippingRate.price_minor,
        ShippingRate.free_from_minor, ShippingRate.days_from, ShippingRate.days_to,
        ShippingRate.is_live, NEWEST.c.token, NEWEST.c.outcome, NEWEST.c.offers, NEWEST.c.created_at,
    )
    .outerjoin(ShippingRate, ShippingRate.zone_id == ShippingZone.id)
    .outerjoin(NEWEST, ShippingRate.is_live.is_(True))
    .where(ShippingZone.is_active)
    .order_by(ShippingZone.position, ShippingZone.id, ShippingRate.id)
)  # fmt: skip


def zone_of(zones: Iterable[Zone], place: Place) -> Zone | None:
    """The first zone that holds the place."""
    return next((zone for zone in zones if zone.holds(place)), None)


def _not_served(zones: Iterable[Zone], place: Place) -> str:
    if not any(zone.is_in(place.country) for zone in zones):
        return f"We do not deliver to {country_name(place.country)} yet."
    if not plain(place.postal_code):
        return f"Enter your {place.code_label} to see how we deliver and what it costs."
    return f"We cannot deliver to {place.words} yet. Try another address."


def _counting(zone: Zone, goods: Goods) -> list[Row]:
    """Of each method the row with the lowest bound that holds the goods."""
    best: dict[str, Row] = {}
    for row in zone.rows:
        held = best.get(row.method)
        if row.holds(goods) and (held is None or _bound(row) < _bound(held)):
            best[row.method] = row
    return [best[method] for method in dict.fromkeys(row.method for row in zone.rows) if method in best]  # fmt: skip


def _bound(row: Row) -> float:
    return float("inf") if row.up_to is None else row.up_to


def _priced(
    zone: Zone, rows: list[Row], place: Place, goods: Goods, wish: LiveWish | None, told: Told | None
) -> Offer:  # fmt: skip
    """The rows with their own prices, the live ones with the courier's where it has told one."""
    rates = [rate for row in rows if (rate := _rate_of(row, rows, goods, told)) is not None]
    if not rates:
        words = f"We cannot deliver to {place.words} yet. Try another address."
        if goods.collect:
            words = f"No courier takes cash at {place.words}. Choose another way to pay."
        return Offer([], words, zone.name, token=told.token if told else "")
    free_from = min(rows, key=lambda row: row.price_minor).free_from_minor
    return Offer(
        rates, "", zone.name, wish if told is None else None, told.token if told else "", free_from or 0
    )  # fmt: skip


def _wish(place: Place, goods: Goods) -> LiveWish | None:
    code = plain(place.postal_code)
    if not code:
        return None
    return LiveWish(
        place.country, code, goods.weight_grams, goods.size_mm, goods.value_minor, goods.currency,
        goods.collect,
    )  # fmt: skip


def _rate_of(row: Row, rows: Sequence[Row], goods: Goods, told: Told | None) -> Rate | None:
    """The row as it is offered; None for a live one that no courier keeps."""
    is_told = row.is_live and told is not None and told.outcome != "failed"
    if not is_told or told is None:
        price_minor = row.price_of(goods, row.price_minor)
        return _rate(row.method, row.label, row.days_from, row.days_to, price_minor)
    latest = working_days_after(today(), row.days_to)
    in_time = [one for one in told.offers if one.by is None or one.by <= latest]
    slowest = max((one for one in rows if one.is_live), key=lambda one: one.days_to)
    offers = in_time or (told.offers if row == slowest else [])
    if not offers:
        return None
    best = min(offers, key=lambda one: one.price_minor)
    by = best.by or latest
    price_minor = row.price_of(goods, best.price_minor)
    return Rate(row.method, row.label, f"Arrives by {day(by)}", price_minor, by, is_live=True)


def _rate(key: str, label: str, days_from: int, days_to: int, price_minor: int) -> Rate:
    first, last = (working_days_after(today(), days) for days in (days_from, days_to))
    return Rate(key, label, arrives(first, last), price_minor, last)
