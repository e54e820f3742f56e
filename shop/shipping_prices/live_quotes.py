"""The courier's own prices: asked with no transaction open, kept, and read back while placing.

The courier stands later in the order of the parts, so it registers how it is asked. What it told
is kept by way (place, weight band, cash or not) for every shopper, and by token for the one whose
page shows it: placing reads the row, so that no price comes from a form and no call is made in a transaction.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import structlog
from flask import Flask, current_app
from sqlalchemy import bindparam, delete, select

from shop.clock import in_future, utcnow
from shop.database import end_reading, transaction
from shop.extensions import db
from shop.providers import ProviderError
from shop.shipping_prices.models import LiveQuote

log = structlog.get_logger()

BAND_GRAMS = 500
"""Couriers price by steps of half a kilogram."""

VOLUMETRIC_DIVISOR = 5000
"""Cubic centimetres that count as a kilogram."""

HELD_MINUTES = 30
"""So long a page may be filled in at the price that it shows."""

FRESH_SECONDS = {"told": 600, "not_served": 600, "failed": 60}
"""How long an answer stands for other shoppers, by its outcome."""

KEPT_HOURS = 24


class NobodyCarries(Exception):
    """No courier carries this parcel to that place. Raised by who asks the courier."""


@dataclass(frozen=True)
class LiveWish:
    """A parcel and its way, as the courier is asked. Grams, millimetres, minor units."""

    country: str
    postal_code: str
    weight_grams: int
    size_mm: tuple[int, int, int]
    goods_minor: int
    currency: str
    #: To be paid at the door.
    collect: bool = False

    @property
    def band_grams(self) -> int:
        """What is billed, of weight and volume the greater, up to the end of its half kilogram."""
        length, width, height = self.size_mm
        volumetric = -(-length * width * height // VOLUMETRIC_DIVISOR)
        return max(1, -(-max(self.weight_grams, volumetric) // BAND_GRAMS)) * BAND_GRAMS

    @property
    def way(self) -> str:
        """What makes two questions one."""
        paid = " cod" if self.collect else ""
        return f"{self.country} {self.postal_code} {self.band_grams} {self.currency}{paid}"


@dataclass(frozen=True)
class LiveOffer:
    """One carrier's price, in minor units, and the day by which it would arrive, if told."""

    price_minor: int
    by: date | None


@dataclass(frozen=True)
class Told:
    """A kept answer. `outcome` is told, failed or not_served."""

    token: str
    outcome: str
    offers: Sequence[LiveOffer]


Asker = Callable[[LiveWish], Sequence[LiveOffer]]


def register(app: Flask, ask: Asker) -> None:
    """Name who asks the courier. It raises NobodyCarries or shop.providers' errors."""
    app.extensions["live_rates"] = ask


NEWEST = (
    select(LiveQuote.token, LiveQuote.outcome, LiveQuote.offers, LiveQuote.created_at)
    .where(LiveQuote.way == bindparam("way"), LiveQuote.created_at > bindparam("since"))
    .order_by((LiveQuote.token == bindparam("token")).desc(), LiveQuote.id.desc())
    .limit(1)
    .subquery("told")
)
"""The answer that the page with this token shows, else the newest, as a part of a statement."""


def named(wish: LiveWish | None, token: str) -> dict[str, Any]:
    """What NEWEST is asked with. A token of another way counts for nothing."""
    since = in_future(hours=-HELD_MINUTES / 60)
    return {"way": wish.way if wish else "", "since": since, "token": token}


def told_of(row: Any, token: str) -> Told | None:
    """The answer in a row that holds NEWEST's columns; None without one, or when it is stale.

    The one that the page with this token shows stands for HELD_MINUTES.
    """
    if row.outcome is None or (row.token != token and not _is_fresh(row)):
        return None
    offers = [
        LiveOffer(one["price_minor"], date.fromisoformat(one["by"]) if one["by"] else None)
        for one in row.offers
    ]
    return Told(row.token, row.outcome, offers)


def _is_fresh(row: Any) -> bool:
    age = utcnow() - row.created_at
    return bool(age.total_seconds() < FRESH_SECONDS[row.outcome])


def ask(wish: LiveWish) -> Told:
    """Ask the courier and keep what it tells. Opens its own transaction; none may be open."""
    end_reading()
    outcome, offers = _answer(wish)
    told = Told(secrets.token_urlsafe(32), outcome, offers)
    with transaction() as session:
        session.add(
            LiveQuote(way=wish.way, token=told.token, outcome=outcome, offers=_as_json(offers))
        )
    return told


def _answer(wish: LiveWish) -> tuple[str, Sequence[LiveOffer]]:
    asker: Asker = current_app.extensions["live_rates"]
    try:
        offers = asker(wish)
    except NobodyCarries:
        return "not_served", []
    except ProviderError as error:
        log.warning("live_rates.failed", way=wish.way, error=type(error).__name__)
        return "failed", []
    return ("told", offers) if offers else ("failed", [])


def _as_json(offers: Sequence[LiveOffer]) -> list[dict[str, Any]]:
    return [
        {"price_minor": one.price_minor, "by": one.by.isoformat() if one.by else None}
        for one in offers
    ]


def forget_old() -> None:
    """Delete what was told a day ago. In the caller's transaction."""
    db.session.execute(delete(LiveQuote).where(LiveQuote.created_at < in_future(hours=-KEPT_HOURS)))
