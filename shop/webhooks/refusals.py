"""Messages that were not verified: counted, and one incident for each source. Nothing of them is kept.

Anybody can send such messages, as fast as they like, so what each costs the database is bounded: a
process writes the first few at once and then at most one sum every few seconds for each source. What
has not been written when a process ends is in the log only.
"""

import threading
from dataclasses import dataclass

from sqlalchemy import func, select

from shop.clock import in_future, utcnow
from shop.database import Upsert, given
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.limits import Attempt
from shop.webhooks import messages
from shop.webhooks.inbox import COURIER_PREFIX
from shop.webhooks.models import WebhookRefusal

AT_ONCE = 10
EVERY_SECONDS = 5
"""A source's first refusals are written at once; each of these seconds allows one more write."""

MANY = 5
"""More than so many within five minutes are grave."""

COUNTED_AS = "webhook_refused"


@dataclass
class _Source:
    """What this process holds of a source."""

    pending: int = 0
    writes_left: float = AT_ONCE
    seen_at: float = 0


_sources: dict[str, _Source] = {}
_lock = threading.Lock()

_one_more_in_the_hour = Upsert(
    WebhookRefusal,
    {"source": given("source"), "hour_at": given("hour_at"), "count": given("times")},
    unique=("source", "hour_at"),
    then={"count": WebhookRefusal.count + given("times")},
    returning="count",
)
_one_more_in_the_minute = Upsert(
    Attempt,
    {"action": COUNTED_AS, "who": given("who"), "window_at": given("window_at"), "count": given("times")},
    unique=("action", "who", "window_at"),
    then={"count": Attempt.count + given("times")},
    returning="count",
)  # fmt: skip


def due(name: str) -> int:
    """Count one; returns how many are to be reported now, 0 while the source has had its share.

    `name` is a source that is switched on, so that strangers cannot make up new ones.
    """
    now = utcnow().timestamp()
    with _lock:
        source = _sources.setdefault(name, _Source(seen_at=now))
        earned = max(0.0, now - source.seen_at) / EVERY_SECONDS
        source.writes_left = min(AT_ONCE, source.writes_left + earned)
        source.seen_at = now
        source.pending += 1
        if source.writes_left < 1:
            return 0
        source.writes_left -= 1
        times, source.pending = source.pending, 0
        return times


def report(name: str, times: int, reason: str) -> None:
    """Write so many refusals, and open the source's incident or count it up by them."""
    now, name = utcnow(), name[:40]
    _one_more_in_the_hour(
        source=name, hour_at=now.replace(minute=0, second=0, microsecond=0), times=times
    )
    _one_more_in_the_minute(who=name, window_at=now.replace(second=0, microsecond=0), times=times)
    lately = _lately(name)
    open_incident(
        About(
            issue=f"Messages to the webhook of {name.rpartition('/')[2]} are refused: not its signature",
            category=_category(name),
            severity=Severity.HIGH if lately > MANY else Severity.MEDIUM,
            context={"source": name, "refusedInFiveMinutes": lately},
        ),
        f"webhook_refused:{name}",
        reason,
        times=times,
    )


def forget() -> None:
    """Forget what was counted in this process (tests)."""
    _sources.clear()


def _lately(name: str) -> int:
    """How many in the last five minutes, by whole minutes: one that has begun counts in full."""
    counted = select(func.sum(Attempt.count)).where(
        Attempt.action == COUNTED_AS, Attempt.who == name, Attempt.window_at > in_future(minutes=-6)
    )
    return db.session.scalar(counted) or 0


def _category(name: str) -> Category:
    if name.startswith(COURIER_PREFIX):
        return Category.DELIVERY
    return Category.API if name.startswith(messages.PREFIX) else Category.PAYMENT
