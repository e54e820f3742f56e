"""The estimate by postal code that product and cart show: one sentence, or why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import request

from shop.accounts.addresses import COUNTRIES, country_name, rules_of
from shop.limits import TooMany, count_try
from shop.money import format_minor
from shop.pages import day
from shop.preferences import preferences
from shop.shipping_prices import live_quotes, tariff
from shop.shipping_prices.deliver_to import Asked
from shop.shipping_prices.goods import Goods
from shop.shipping_prices.live_quotes import LiveWish
from shop.shipping_prices.places import Place, listed
from shop.shipping_prices.tariff import Offer, Rate


@dataclass(frozen=True)
class Estimate:
    """What stands around the field of the postal code."""

    place: Place
    #: What the country calls its codes.
    label: str
    #: (code, name) of the countries to choose from; none where there is one only.
    countries: Sequence[tuple[str, str]]
    #: What is wrong with the code, or that nobody delivers there.
    error: str = ""
    #: "Delivers to 560001 by Tue 24 Nov, ₹99", then the other methods.
    sentences: Sequence[str] = ()
    #: What is offered there; None while nothing was typed.
    offer: Offer | None = None

    @property
    def is_numeric(self) -> bool:
        """Whether the codes are digits."""
        return rules_of(self.place.country).is_numeric and not self.countries

    @property
    def code(self) -> str:
        """What stands in the field."""
        return self.place.postal_code


def estimate(asked: Asked, goods: Goods, zone_countries: str | None) -> Estimate:
    """The estimate for these goods. No statement until a code is typed.

    `zone_countries` is tariff.ZONE_COUNTRIES, read along with something else. The courier is asked
    only for a code typed just now; no transaction may be open.
    """
    countries = choices(zone_countries)
    place = _among(asked.place, countries)
    label = rules_of(place.country).postal_label
    if not asked.is_known:
        return Estimate(place, label, countries, asked.error)
    offer = _offer(place, goods, zone_countries is not None, asked.is_new)
    if not offer.rates:
        return Estimate(place, label, countries, offer.refusal, offer=offer)
    return Estimate(place, label, countries, "", sentences(place, offer, goods.currency), offer)


def choices(zone_countries: str | None) -> list[tuple[str, str]]:
    """The countries to choose from, for a shop whose own zones lie in more than one."""
    if zone_countries is None:
        return []
    codes = list(dict.fromkeys(listed(zone_countries)))
    if tariff.EVERYWHERE in codes:
        codes = list(dict.fromkeys([*codes, *COUNTRIES]))
        codes.remove(tariff.EVERYWHERE)
    return [(code, country_name(code)) for code in codes] if len(codes) > 1 else []


def _among(place: Place, countries: Sequence[tuple[str, str]]) -> Place:
    """Nobody chose the country that an empty form begins with: it is one to which the shop delivers."""
    if place.postal_code or not countries or place.country in dict(countries):
        return place
    return Place(countries[0][0])


def _offer(place: Place, goods: Goods, has_zones: bool, may_ask: bool) -> Offer:
    chosen = {} if has_zones else preferences(*tariff.PREFERENCES)
    found = tariff.offer(place, goods, chosen, has_zones)
    if found.wish is None or not may_ask:
        return found
    token = asked_token(found.wish)
    return tariff.offer(place, goods, chosen, has_zones, token) if token else found


def asked_token(wish: LiveWish) -> str:
    """Ask the courier and name its answer; empty for who has asked too often."""
    try:
        count_try("live_rates", f"address:{request.remote_addr}")
    except TooMany:
        return ""
    return live_quotes.ask(wish).token


def sentences(place: Place, offer: Offer, currency: str) -> list[str]:
    """The cheapest method first, then the others."""
    first, *others = sorted(offer.rates, key=lambda rate: (rate.price_minor, rate.by))
    told = [f"Delivers to {place.words} by {day(first.by)}, {_price(first, currency)}"]
    return told + [f"{one.label} by {day(one.by)}, {_price(one, currency)}" for one in others]


def _price(rate: Rate, currency: str) -> str:
    return format_minor(rate.price_minor, currency).removesuffix(".00") if rate.price_minor else "free"  # fmt: skip
