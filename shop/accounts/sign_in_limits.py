"""Waiting after failed sign-ins: longer with each, never for good (security.md, S34).

A try is counted before the password is looked at, so that many guesses at once count as many; the
right password takes the count away.
"""

import hashlib
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from shop.accounts.models import SignInFailures
from shop.clock import utcnow
from shop.database import insert_ignore, transaction
from shop.extensions import db
from shop.limits import TooMany

FREE_TRIES = 5
FIRST_WAIT_SECONDS = 30
LONGEST_WAIT_SECONDS = 900
FORGOTTEN_SECONDS = 900
"""Without a try for so long after a wait, the count begins anew."""


def wait_seconds(count: int) -> int:
    """How long the next try waits after so many failures: 0, then 30 s, doubling to 15 minutes."""
    if count < FREE_TRIES:
        return 0
    return int(min(FIRST_WAIT_SECONDS * 2 ** (count - FREE_TRIES), LONGEST_WAIT_SECONDS))


def count_try(name: str) -> None:
    """Count a try to sign in by this name, in a transaction of its own. Raises limits.TooMany."""
    now = utcnow()
    with transaction():
        failures = _locked(name, now)
        waits = timedelta(seconds=wait_seconds(failures.count))
        left = failures.last_at + waits - now
        if left > timedelta(0):
            raise TooMany(int(left.total_seconds()) + 1)
        if now - failures.last_at > waits + timedelta(seconds=FORGOTTEN_SECONDS):
            failures.count = 0
        failures.count += 1
        failures.last_at = now


def _locked(name: str, now: datetime) -> SignInFailures:
    who = _hashed(name)
    insert_ignore(SignInFailures, {"who": who, "count": 0, "last_at": now})
    row = select(SignInFailures).where(SignInFailures.who == who).with_for_update()
    return db.session.scalars(row.execution_options(populate_existing=True)).one()


def forget(name: str) -> None:
    """A success ends the count, in a transaction of its own."""
    with transaction():
        db.session.execute(delete(SignInFailures).where(SignInFailures.who == _hashed(name)))


def forget_old() -> None:
    """Retention: counts that nobody added to for a day."""
    before = utcnow() - timedelta(days=1)
    db.session.execute(delete(SignInFailures).where(SignInFailures.last_at < before))


def _hashed(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
