"""Ways to have it delivered: their price and the days on which it should arrive."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from babel.dates import format_date

from shop.clock import local, utcnow


@dataclass(frozen=True)
class Rate:
    """A delivery method with its price (minor units) and the expected days in words."""

    key: str
    label: str
    when: str
    price_minor: int


PREFERENCES = ("free_shipping_minor", "standard_shipping_minor", "express_shipping_minor")
METHODS = {"standard": ("Standard", 3, 5), "express": ("Express", 1, 2)}
"""Key → (label, fastest, slowest) in working days."""


def rates_for(goods_minor: int, chosen: Mapping[str, int]) -> list[Rate]:
    """The methods for goods of this worth; `chosen` holds the preferences named above."""
    prices = {
        "standard": 0
        if goods_minor >= chosen["free_shipping_minor"]
        else chosen["standard_shipping_minor"],
        "express": chosen["express_shipping_minor"],
    }
    today = local(utcnow()).date()
    return [
        Rate(key, label, _in_words(today, first, last), prices[key])
        for key, (label, first, last) in METHODS.items()
    ]


def expected_by(method: str, since: date) -> date:
    """The last day on which a parcel of this method should arrive."""
    return _working_days_after(since, METHODS.get(method, METHODS["standard"])[2])


def _in_words(today: date, first: int, last: int) -> str:
    early, late = (_working_days_after(today, days) for days in (first, last))
    return f"Arrives {_day(early)} to {_day(late)}"


def _day(value: date) -> str:
    return format_date(value, "EEE d MMM", locale="en_GB")


def _working_days_after(day: date, days: int) -> date:
    while days:
        day += timedelta(days=1)
        days -= day.weekday() != 6
    return day
