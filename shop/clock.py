"""The shop's clock. Everything that asks for the time asks here, so that tests can turn it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from shop.config import settings


def utcnow() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


def in_future(*, seconds: float = 0, minutes: float = 0, hours: float = 0) -> datetime:
    """Now plus the given span; negative spans lie in the past."""
    return utcnow() + timedelta(seconds=seconds, minutes=minutes, hours=hours)


def shop_zone() -> ZoneInfo:
    """The shop's own time zone (TIMEZONE)."""
    return ZoneInfo(settings().timezone)


def local(moment: datetime) -> datetime:
    """The same moment, as the clock on the shop's wall shows it."""
    return moment.astimezone(shop_zone())


def from_local(wall: datetime) -> datetime:
    """The moment at which the clock on the shop's wall shows this (a naive value), in UTC."""
    return wall.replace(tzinfo=shop_zone()).astimezone(UTC)
