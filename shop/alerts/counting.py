"""Counting unforeseen errors: durably, over all processes, and without making them worse.

An error is first counted in memory, then written after the answer has left. While the database is
away the count waits in memory, and the failure to write it is no error to be counted.
"""

import threading
from collections import Counter
from datetime import datetime
from functools import partial

import structlog
from flask import Flask, Response, current_app
from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError

from shop.alerts.models import ErrorCount
from shop.clock import in_future, utcnow
from shop.database import Upsert, given, is_passing, transaction
from shop.errors import Refused
from shop.extensions import db
from shop.jobs.handlers import ON_ERROR
from shop.providers import ProviderError

log = structlog.get_logger()

MOST_WAITING = 60
"""Minutes kept in memory at most: older counts would alarm nobody any more."""
KEPT_DAYS = 7

_waiting: Counter[tuple[datetime, str]] = Counter()
_guard = threading.Lock()
#: Held by the one thread of this process that writes; the others leave their counts to it.
_turn = threading.Lock()

_add = Upsert(
    ErrorCount,
    {"minute_at": given("minute_at"), "source": given("source"), "count": given("count")},
    unique=("minute_at", "source"),
    then={"count": ErrorCount.count + given("count")},
    returning="count",
)


def init_app(app: Flask) -> None:
    """Count this application's answers with status 500, and the exceptions of jobs."""
    app.after_request(_count_answer)


def note(source: str) -> None:
    """One more error, in memory."""
    minute_at = utcnow().replace(second=0, microsecond=0)
    with _guard:
        _waiting[(minute_at, source)] += 1
        for oldest in sorted(_waiting)[:-MOST_WAITING]:
            del _waiting[oldest]


def write_down() -> None:
    """Add what waits in memory to the table. A database that is away is logged and tried again later."""
    if not _turn.acquire(blocking=False):
        return
    try:
        while found := _take():
            try:
                with transaction():
                    for (minute_at, source), count in sorted(found.items()):
                        _add(minute_at=minute_at, source=source, count=count)
            except SQLAlchemyError as error:
                with _guard:
                    _waiting.update(found)
                log.warning("errors.not_counted", error=type(error).__name__)
                return
    finally:
        _turn.release()


def forget_old() -> None:
    """Delete counts of last week, in the caller's transaction."""
    db.session.execute(
        delete(ErrorCount).where(ErrorCount.minute_at < in_future(hours=-24 * KEPT_DAYS))
    )


def _take() -> Counter[tuple[datetime, str]]:
    with _guard:
        found = Counter(_waiting)
        _waiting.clear()
    return found


def _count_answer(response: Response) -> Response:
    if response.status_code == 500:
        note("web")
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        response.call_on_close(partial(_write_after, app))
    return response


def _write_after(app: Flask) -> None:
    """The answer has left; its context and session with it."""
    with app.app_context():
        write_down()


def count_job(error: BaseException) -> None:
    """A job's try ended so. What a provider said, a refusal and a busy database are foreseen."""
    if isinstance(error, ProviderError | Refused) or is_passing(error):
        return
    note("job")
    write_down()


ON_ERROR.append(count_job)
