"""What no worker can tell: that there is none. The web processes notice it.

At most once a minute a web process looks, in a thread of its own beside a request, whether a worker
says that it lives. When none has for `alert_worker_minutes`, one of the web processes (the slot
table decides which) does the workers' part for the alerts alone: it evaluates them and runs the
jobs that tell of them, under the same leases and retries as ever. A worker that comes back goes on.
"""

import os
import threading
import time

import structlog
from flask import Flask, Response, current_app
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from shop.alerts import counting, measures, telling
from shop.clock import utcnow
from shop.database import insert_ignore, transaction
from shop.extensions import db
from shop.jobs import runner
from shop.jobs.models import Job, ScheduleSlot
from shop.jobs.presence import is_worker_seen
from shop.jobs.queue import enqueue
from shop.preferences import preference

log = structlog.get_logger()

LOOK_SECONDS = 60
SLOT = "alerts.web"
EVALUATE = "alerts.evaluate"
MOST_TOLD = 20


class Lookout:
    """When this process looks next, and since when it has missed the workers."""

    def __init__(self) -> None:
        # Not at the start: the workers are being started too.
        self.next_look = time.monotonic() + LOOK_SECONDS
        self.missing_since: float | None = None
        self.guard = threading.Lock()

    def is_time(self) -> bool:
        """Whether to look now; true for one asker a minute."""
        if time.monotonic() < self.next_look:
            return False
        with self.guard:
            if time.monotonic() < self.next_look:
                return False
            self.next_look = time.monotonic() + LOOK_SECONDS
            return True

    def has_missed_for(self, seconds: float) -> bool:
        """Whether the workers have been missing for so long, by this process's looks."""
        if self.missing_since is None:
            self.missing_since = time.monotonic()
        return time.monotonic() - self.missing_since >= seconds


def init_app(app: Flask) -> None:
    """Let requests, of whatever address, be the occasion to look."""
    app.extensions["lookout"] = Lookout()
    app.after_request(_look_when_it_is_time)


def _look_when_it_is_time(response: Response) -> Response:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    if app.extensions["lookout"].is_time():
        threading.Thread(target=look, args=(app,), name="lookout", daemon=True).start()
    return response


def look(app: Flask) -> None:
    """Look once, and stand in for the workers when they have been missing for too long."""
    lookout: Lookout = app.extensions["lookout"]
    try:
        with app.app_context():
            counting.write_down()
            if is_worker_seen():
                lookout.missing_since = None
                return
            minutes = preference("alert_worker_minutes")
            db.session.rollback()
            if lookout.has_missed_for(60 * minutes):
                stand_in()
    except SQLAlchemyError as error:
        # readyz says so; there is nothing to be written or told without the database. Nor could a
        # worker have said that it lives: how long it has been missing is counted anew.
        lookout.missing_since = None
        log.warning("lookout.database_away", error=type(error).__name__)


def stand_in() -> None:
    """Evaluate the alerts and tell of them, once a minute, whichever web process is first."""
    with transaction():
        slot_at = utcnow().replace(second=0, microsecond=0)
        if insert_ignore(ScheduleSlot, {"task": SLOT, "slot_at": slot_at}) is None:
            return
        enqueue(EVALUATE, key="slot")
    log.error("worker.none_seen")
    with measures.standing_in():
        _run(EVALUATE)
    _run(telling.MAIL, telling.POST)


def _run(*kinds: str) -> None:
    """What is due of these kinds; a lease lets each be run by one only."""
    due = (
        select(Job.id)
        .where(runner.is_due(), Job.kind.in_(kinds))
        .order_by(Job.priority, Job.run_at, Job.id)
        .limit(MOST_TOLD)
    )
    waiting = db.session.scalars(due).all()
    db.session.rollback()
    for job_id in waiting:
        runner.run(job_id, f"web-{os.getpid()}")
