"""Working days, Monday to Saturday, and how a stretch of them is told."""

from datetime import date, timedelta

from shop.clock import local, utcnow
from shop.pages import day


def today() -> date:
    """The day by the shop's clock."""
    return local(utcnow()).date()


def working_days_after(since: date, days: int) -> date:
    """The day so many working days later."""
    found = since
    while days:
        found += timedelta(days=1)
        days -= found.weekday() != 6
    return found


def arrives(first: date, last: date) -> str:
    """When it arrives, in a sentence."""
    return f"Arrives {day(first)} to {day(last)}" if first != last else f"Arrives {day(last)}"
