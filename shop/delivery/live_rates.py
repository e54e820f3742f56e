"""What the shop's courier would charge for a parcel: how shop/shipping_prices asks it."""

from collections.abc import Sequence
from datetime import date, timedelta

from flask import Flask

from shop.clock import local
from shop.config import settings
from shop.delivery.couriers import COURIERS, courier
from shop.delivery.couriers.base import LiveRate, NotServed, RateWish
from shop.shipping_prices import live_quotes
from shop.shipping_prices.days import today
from shop.shipping_prices.live_quotes import LiveOffer, LiveWish, NobodyCarries


def init_app(app: Flask) -> None:
    """The checkout and the estimates ask here."""
    live_quotes.register(app, ask)


def ask(wish: LiveWish) -> Sequence[LiveOffer]:
    """The carriers' prices; none where the shop's courier has no prices of its own.

    Raises NobodyCarries, and shop.providers' errors.
    """
    key = settings().courier
    if key not in COURIERS:
        return []
    length, width, height = wish.size_mm
    asked = RateWish(
        wish.postal_code, wish.country, wish.band_grams, length, width, height, wish.goods_minor, wish.currency,
        wish.collect,
    )  # fmt: skip
    try:
        rates = courier(key).rates(asked)
    except NotServed as error:
        raise NobodyCarries from error
    return [LiveOffer(rate.price_minor, _arrival(rate)) for rate in rates]


def _arrival(rate: LiveRate) -> date | None:
    """The day by which this carrier would bring it, as far as it says."""
    if rate.estimated_at is not None:
        return local(rate.estimated_at).date()
    if rate.estimated_days is not None:
        return today() + timedelta(days=rate.estimated_days)
    return None
