"""Watching the shop's own machinery: is it up to date, is somebody at work, does work wait too long?"""

import re
from functools import cache

from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from shop.alerts.models import Alert, AlertState
from shop.clock import in_future
from shop.config import ROOT, settings
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.handlers import Policy, Work, handles
from shop.jobs.models import Job, JobStatus
from shop.jobs.presence import SEEN_SECONDS, is_worker_seen

OVERDUE_SECONDS = 60


@handles("jobs.overdue", Policy(limit=15, attempts=1, priority=0, incident=("unknown", "medium")))
def report_overdue(work: Work) -> None:
    """Every minute: work that waits for more than a minute needs more workers, or a look."""
    waiting = db.session.execute(
        select(func.count(), func.min(Job.run_at)).where(
            Job.status == JobStatus.QUEUED, Job.run_at < in_future(seconds=-OVERDUE_SECONDS)
        )
    ).one()
    if waiting[0] and not _tells_no_worker():
        about = About(
            issue=f"{waiting[0]} jobs have been waiting for more than a minute",
            category=Category.UNKNOWN,
            severity=Severity.HIGH,
            context={"jobs": waiting[0], "oldest": waiting[1].isoformat()},
        )
        open_incident(about, "jobs_overdue")


def _tells_no_worker() -> bool:
    """Whether the missing workers were told of just now: what waited for them is told with that."""
    found = db.session.scalar(select(Alert).where(Alert.key == "no_worker"))
    if found is None or found.last_told_at is None:
        return False
    is_fresh = found.since > in_future(seconds=-2 * OVERDUE_SECONDS)
    return found.state == AlertState.FIRING or is_fresh


def readiness() -> dict[str, str]:
    """What is wrong, part by part: "ok" or a reason. Ready when all are ok."""
    try:
        found = {
            "database": "ok",
            "migrations": _migrations(),
            "worker": "ok" if is_worker_seen() else f"none seen for {SEEN_SECONDS} s",
        }
    except SQLAlchemyError as error:
        found = {"database": type(error).__name__}
    finally:
        db.session.rollback()
    if settings().redis_url:
        found["redis"] = _redis()
    return found


def _migrations() -> str:
    current = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    return "ok" if current == newest_migration() else f"at {current}, not at {newest_migration()}"


@cache
def newest_migration() -> str | None:
    """The revision that this code was written for: the one on which no other builds.

    Read from the files, since Alembic would cost every web process a tenth of its memory.
    """
    files = [path.read_text() for path in (ROOT / "migrations" / "versions").glob("*.py")]
    made, built_on = (
        {found[1] for text in files if (found := re.search(rf"^{name} = .(\w+).$", text, re.M))}
        for name in ("revision", "down_revision")
    )
    return max(made - built_on, default=None)


def _redis() -> str:
    from shop.jobs import doorbell  # RQ is not loaded where no Redis is used

    return doorbell.state()
