"""How often something may be tried, counted in a table that all processes share.

Placing, sign-in and look-ups are counted here whether or not there is a Redis, so that more
processes never mean more tries (security.md, S48). Browsing and webhooks use Flask-Limiter.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Index, String, UniqueConstraint, delete
from sqlalchemy.orm import Mapped, mapped_column

from shop.clock import in_future, utcnow
from shop.database import Row, Upsert, UtcDateTime, given, transaction
from shop.errors import Refused
from shop.extensions import db


class Attempt(Row):
    """How often somebody tried something within one window of time."""

    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("action", "who", "window_at"),
        Index("ix_attempts_window_at", "window_at"),
    )

    action: Mapped[str] = mapped_column(String(40))
    #: SHA-256 of the account, cart or network address: nothing personal is kept.
    who: Mapped[str] = mapped_column(String(64))
    window_at: Mapped[datetime] = mapped_column(UtcDateTime)
    count: Mapped[int] = mapped_column(default=0)


@dataclass(frozen=True)
class Limit:
    """At most `most` tries in `seconds`."""

    most: int
    seconds: int


LIMITS = {
    "checkout": Limit(10, 60),
    "sign_in_address": Limit(10, 60),
    "register": Limit(5, 3600),
    "reset": Limit(5, 3600),
    "admin_action": Limit(30, 60),
    # Ten renewals and more within an order's day; a script does not keep the last units for ever.
    "renew_hold": Limit(15, 86_400),
    "find_order": Limit(10, 60),
    # Addresses that are left for an alert or a reminder, which may be somebody else's.
    "stock_alert": Limit(20, 3600),
    # A request may hold 25 MB of pictures.
    "return": Limit(10, 3600),
    "gift_card": Limit(10, 60),
    "gift_card_day": Limit(50, 86_400),
    "find_order_day": Limit(50, 86_400),
    # Questions to the courier's computers; who asks more is told the shop's own prices.
    "live_rates": Limit(20, 60),
}


class TooMany(Refused):
    """Too many tries. Wait a little, then try again."""

    status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many tries. Wait {_in_words(retry_after)}, then try again.")
        self.retry_after = retry_after


def count_try(action: str, *whos: str) -> None:
    """Count one try for each of `whos`, in a transaction of its own. Raises TooMany."""
    limit = LIMITS[action]
    seconds = int(utcnow().timestamp())
    window_at = datetime.fromtimestamp(seconds // limit.seconds * limit.seconds, tz=UTC)
    with transaction():
        tries = [_count(action, who, window_at) for who in sorted(whos)]
    if max(tries) > limit.most:
        raise TooMany(max(1, int(window_at.timestamp()) + limit.seconds - seconds))


_one_more = Upsert(
    Attempt,
    {"action": given("action"), "who": given("who"), "window_at": given("window_at"), "count": 1},
    unique=("action", "who", "window_at"),
    then={"count": Attempt.count + 1},
    returning="count",
)


def _count(action: str, who: str, window_at: datetime) -> int:
    counted: int = _one_more(action=action, who=_hashed(who), window_at=window_at)
    return counted


def _hashed(who: str) -> str:
    return hashlib.sha256(who.encode()).hexdigest()


def forget_old_tries() -> None:
    """Retention: windows of more than two days ago."""
    db.session.execute(delete(Attempt).where(Attempt.window_at < in_future(hours=-48)))


def _in_words(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} seconds"
    return f"{round(seconds / 60)} minutes"
