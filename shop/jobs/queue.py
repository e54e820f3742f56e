"""Putting work into the job table, and ringing RQ's bell after the commit."""

from datetime import datetime
from typing import Any

from flask import Flask
from sqlalchemy import and_, event, or_, select, update
from sqlalchemy.orm import Session

from shop.clock import in_future, utcnow
from shop.config import settings
from shop.database import insert_ignore, rows_changed, transaction
from shop.extensions import db
from shop.jobs.handlers import HANDLERS
from shop.jobs.models import Job, JobStatus
from shop.jobs.runner import is_due

#: A job that nobody took so long after its push is pushed again.
REPUSH_SECONDS = 30


def enqueue(
    kind: str,
    payload: dict[str, Any] | None = None,
    *,
    key: str | None = None,
    run_at: datetime | None = None,
    priority: int | None = None,
) -> int | None:
    """Add a job in the caller's transaction; it runs after the commit, or never if that fails.

    `key` is unique among the queued jobs of the kind: a second wish for the same thing is folded
    into the first (None is returned). A running job does not fold, since it may have read the
    old state. `priority` is the kind's own unless it is said; the lowest number goes first.
    """
    policy = HANDLERS[kind].policy
    job_id: int | None = insert_ignore(
        Job,
        {
            "kind": kind,
            "payload": payload or {},
            "key": key,
            "queue": policy.queue,
            "priority": policy.priority if priority is None else priority,
            "run_at": run_at or utcnow(),
            "pushed_at": utcnow() if run_at is None and settings().redis_url else None,
            "max_attempts": policy.attempts,
        },
    )
    if job_id is not None and run_at is None:
        db.session.info.setdefault("to_push", []).append(job_id)
    return job_id


def init_app(app: Flask) -> None:
    """After a commit push the new jobs to RQ; after a rollback forget them."""
    if not event.contains(Session, "after_commit", _push_committed):
        event.listen(Session, "after_commit", _push_committed)
        event.listen(Session, "after_rollback", _forget)


def _push_committed(session: Session) -> None:
    if session.in_nested_transaction():
        return
    ids = session.info.pop("to_push", [])
    if ids and settings().redis_url:
        push(ids)


def _forget(session: Session) -> None:
    session.info.pop("to_push", None)


def push(job_ids: list[int]) -> bool:
    """Ring RQ's bell for these rows. False when Redis is away: the sweep will find them."""
    from shop.jobs import doorbell  # RQ is not loaded where no Redis is used

    return doorbell.ring(job_ids)


def push_waiting(limit: int = 500) -> int:
    """Sweep: push what is due and was not pushed within 30 s, and what lost its lease.

    Each row is taken by one conditional update, so that several sweeps at once push it once.
    """
    stale = and_(
        is_due(), or_(Job.pushed_at.is_(None), Job.pushed_at < in_future(seconds=-REPUSH_SECONDS))
    )
    waiting = select(Job.id).where(stale).order_by(Job.priority, Job.run_at).limit(limit)
    found = list(db.session.scalars(waiting))
    db.session.rollback()
    if not found:
        return 0
    with transaction() as session:
        ids = list(
            session.scalars(
                update(Job)
                .where(Job.id.in_(found), stale)
                .values(pushed_at=utcnow())
                .returning(Job.id)
                .execution_options(synchronize_session=False)
            )
        )
    if ids:
        push(ids)
    return len(ids)


def cancel(job_id: int) -> bool:
    """Take a queued job out. False when it has been taken already."""
    result = db.session.execute(
        update(Job)
        .where(Job.id == job_id, Job.status == JobStatus.QUEUED)
        .values(status=JobStatus.CANCELLED, finished_at=utcnow())
    )
    return rows_changed(result) > 0
