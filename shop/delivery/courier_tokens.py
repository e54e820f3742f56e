"""A courier's one log-in, shared by all processes and renewed by one of them.

Repeated log-ins, and above all failed ones, lock the account at the courier, and then nothing
ships. So there is one token in one row; who finds it old takes the renewal by a conditional
update, the others wait for the result; after a failed log-in nobody tries for half an hour,
unless the credentials were changed. Runs in short transactions of its own, in `call` only.
"""

import hashlib
import hmac
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import or_, select, update

from shop.clock import in_future, utcnow
from shop.database import db_now, end_reading, insert_ignore, rows_changed, transaction
from shop.delivery.models import CourierToken
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.providers import ProviderError, ProviderRefused, TryLater
from shop.secret_box import Unreadable, derived_secret, seal, unseal

log = structlog.get_logger()

#: A token is renewed a day before it ends.
AHEAD = timedelta(days=1)
RENEWING_SECONDS = 45
HOLD_MINUTES = 30
WAIT_SECONDS = 20.0
LOOK_SECONDS = 0.1


class StoredToken:
    """The log-in of one courier."""

    def __init__(self, courier: str) -> None:
        self.courier = courier

    def token(
        self,
        credentials: str,
        log_in: Callable[[], tuple[str, datetime]],
        stale: str = "",
        patience: float = WAIT_SECONDS,
    ) -> str:
        """As TokenStore says. Raises TryLater while log-ins are held off or another's takes long."""
        until = time.monotonic() + min(patience, WAIT_SECONDS)
        while time.monotonic() < until:
            row = self._row()
            plain = _plain(row.token)
            if plain and plain != stale and row.expires_at and row.expires_at - AHEAD > utcnow():
                return plain
            self._check_hold(row, credentials)
            if self._take_renewal(row.token):
                return self._renew(credentials, log_in)
            time.sleep(LOOK_SECONDS)
        raise TryLater("another process is logging in at the courier")

    def _row(self) -> Any:
        """What stands in the table now; the row is made when it is missing."""
        columns = (
            CourierToken.token, CourierToken.expires_at, CourierToken.held_until, CourierToken.details
        )  # fmt: skip
        query = select(*columns).where(CourierToken.courier == self.courier)
        row = db.session.execute(query).one_or_none()
        end_reading()
        if row is not None:
            return row
        with transaction():
            insert_ignore(CourierToken, {"courier": self.courier, "token": "", "details": {}})
        return self._row()

    def _check_hold(self, row: Any, credentials: str) -> None:
        if row.held_until is None or row.held_until <= utcnow():
            return
        if row.details.get("credentials") != _digest(credentials):
            return
        wait = (row.held_until - utcnow()).total_seconds()
        raise TryLater("log-ins at the courier are held off after a failed one", "held", wait)

    def _take_renewal(self, seen: str) -> bool:
        """One conditional update: nobody is at it, and the token is still the one we saw."""
        free = or_(CourierToken.renewing_until.is_(None), CourierToken.renewing_until < db_now())
        with transaction() as session:
            result = session.execute(
                update(CourierToken)
                .where(CourierToken.courier == self.courier, CourierToken.token == seen, free)
                .values(renewing_until=db_now(RENEWING_SECONDS), updated_at=utcnow())
                .execution_options(synchronize_session=False)
            )
        return rows_changed(result) > 0

    def _renew(self, credentials: str, log_in: Callable[[], tuple[str, datetime]]) -> str:
        try:
            plain, expires_at = log_in()
        except ProviderRefused as error:
            self._hold(credentials, error.words)
            wait = HOLD_MINUTES * 60.0
            raise TryLater(
                f"the courier refused the log-in: {error.words}", "held", wait
            ) from error
        except ProviderError:
            self._write(renewing_until=None)
            raise
        self._write(
            token=seal(plain), expires_at=expires_at, held_until=None, renewing_until=None, details={}
        )  # fmt: skip
        log.info("courier.logged_in", courier=self.courier)
        return plain

    def _hold(self, credentials: str, words: str) -> None:
        with transaction():
            self._set(
                held_until=in_future(minutes=HOLD_MINUTES),
                renewing_until=None,
                details={"credentials": _digest(credentials)},
            )
            open_incident(
                About(
                    issue=f"The log-in at the courier {self.courier} was refused; no parcel can be booked",
                    category=Category.DELIVERY,
                    severity=Severity.HIGH,
                    context={"courier": self.courier, "nextTryInMinutes": HOLD_MINUTES},
                ),
                f"courier_login:{self.courier}",
                words,
            )

    def _write(self, **values: Any) -> None:
        with transaction():
            self._set(**values)

    def _set(self, **values: Any) -> None:
        db.session.execute(
            update(CourierToken)
            .where(CourierToken.courier == self.courier)
            .values(updated_at=utcnow(), **values)
            .execution_options(synchronize_session=False)
        )


def _plain(sealed: str) -> str:
    """The token; none when it was sealed by a key that is gone."""
    try:
        return unseal(sealed) if sealed else ""
    except Unreadable:
        return ""


def _digest(credentials: str) -> str:
    key = derived_secret("courier credentials").encode()
    return hmac.new(key, credentials.encode(), hashlib.sha256).hexdigest()
