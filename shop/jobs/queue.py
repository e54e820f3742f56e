"""Putting work into the job table, and ringing RQ's bell after the commit."""

from datetime import datetime
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from sqlalchemy import event, select, update
from sqlalchemy.orm import Session

import structlog

from shop.clock import utcnow
from shop.config import settings
from shop.database import insert_ignore
from shop.extensions import db
from shop.jobs.handlers import HANDLERS
from shop.jobs.models import Job, JobStatus

log = structlog.get_logger()


def enqueue(
    kind: str,
    payload: dict[str, Any] | None = None,
    *,
    key: str | None = None,
    run_at: datetime | None = None,
) -> int | None:
    """Add a job in the caller's transaction; it runs after the commit, or never if that fails.

    `key` is unique among the queued jobs of the kind: a second wish for the same thing is folded
    into the first (None is returned). A running job does not fold, since it may have read the
    old state.
    """
    policy = HANDLERS[kind].policy
    job_id = insert_ignore(
        Job,
        {
            "kind": kind,
            "payload": payload or {},
            "key": key,
            "queue": policy.queue,
            "priority": policy.priority,
            "run_at": run_at or utcnow(),
            "max_attempts": policy.attempts,
        },
    )
    if job_id is not None and run_at is None:
        db.session.info.setdefault("to_push", []).append(job_id)
    return job_id


def watch_commits() -> None:
    """After a commit push the new jobs to RQ; after a rollback forget them."""

    @event.listens_for(Session, "after_commit")
    def pushed(session: Session) -> None:
        ids = session.info.pop("to_push", [])
        if ids and settings().redis_url:
            push(ids)

    @event.listens_for(Session, "after_rollback")
    def forgotten(session: Session) -> None:
        session.info.pop("to_push", None)


def push(job_ids: list[int], queue_name: str = "shop") -> bool:
    """Put the ids on RQ's queue. A Redis that is away is logged only: the sweep will find the rows."""
    from rq import Queue
    from rq.serializers import JSONSerializer

    try:
        queue = Queue(queue_name, connection=redis_client(), serializer=JSONSerializer)
        queue.enqueue_many(
            [
                Queue.prepare_data(
                    "shop.jobs.dispatcher.perform", (job_id,), timeout=_timeout(job_id),
                    result_ttl=0, failure_ttl=60,
                )
                for job_id in job_ids
            ]
        )  # fmt: skip
    except RedisError as error:
        log.warning("jobs.push_failed", jobs=len(job_ids), error=type(error).__name__)
        return False
    return True


def redis_client() -> Redis:
    """A client that gives up at once: work must not wait for the doorbell."""
    from flask import current_app

    held: Redis | None = current_app.extensions.get("redis")
    if held is None:
        held = Redis.from_url(
            settings().redis_url,
            socket_connect_timeout=0.3,
            socket_timeout=1,
            retry=Retry(NoBackoff(), 0),
        )
        current_app.extensions["redis"] = held
    return held


def _timeout(job_id: int) -> int:
    """RQ's own limit, above every handler's: ours is kept by the runner."""
    return max(handler.policy.limit for handler in HANDLERS.values()) + 15


def push_waiting(limit: int = 500) -> int:
    """Sweep: push what is due and was not pushed within 30 s, and what lost its lease."""
    from shop.database import transaction
    from shop.jobs.runner import is_due

    with transaction() as session:
        stale = db.or_(Job.pushed_at.is_(None), Job.pushed_at < db_seconds_ago(30))
        ids = list(
            session.scalars(
                select(Job.id).where(is_due(), stale).order_by(Job.priority, Job.run_at).limit(limit)
            )
        )
        session.execute(update(Job).where(Job.id.in_(ids)).values(pushed_at=utcnow()))
    if ids:
        push(ids)
    return len(ids)


def db_seconds_ago(seconds: int) -> datetime:
    """A moment some seconds back, by the shop's clock."""
    from shop.clock import in_future

    return in_future(seconds=-seconds)


def cancel(job_id: int) -> bool:
    """Take a queued job out. False when it has been taken already."""
    result = db.session.execute(
        update(Job)
        .where(Job.id == job_id, Job.status == JobStatus.QUEUED)
        .values(status=JobStatus.CANCELLED, finished_at=utcnow())
    )
    return bool(result.rowcount)
