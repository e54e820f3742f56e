"""How the machinery is doing: the row of figures over jobs and webhooks."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from shop.clock import in_future, utcnow
from shop.database import db_now
from shop.extensions import db
from shop.jobs.models import Job, JobStatus, WorkerPresence
from shop.webhooks.models import WebhookEvent, WebhookRefusal, WebhookStatus

BEATING_SECONDS = 90
"""A worker not seen for longer is taken for dead."""


@dataclass(frozen=True)
class Health:
    """Counts of the last 24 hours and of now."""

    webhooks: int
    repeats: int
    refused: int
    failed_webhooks: int
    waiting: int
    oldest_at: datetime | None
    running: int
    dead: int
    workers: int
    beating: int


def health() -> Health:
    """All of it in one statement."""
    day_ago = in_future(hours=-24)
    recent = WebhookEvent.received_at >= day_ago
    due = (Job.status == JobStatus.QUEUED) & (Job.run_at <= utcnow())
    row = db.session.execute(
        select(
            _one(func.count(), WebhookEvent, recent).label("webhooks"),
            _one(func.coalesce(func.sum(WebhookEvent.repeats), 0), WebhookEvent, recent).label("repeats"),
            _one(func.coalesce(func.sum(WebhookRefusal.count), 0), WebhookRefusal, WebhookRefusal.hour_at >= day_ago).label("refused"),
            _one(func.count(), WebhookEvent, WebhookEvent.status == WebhookStatus.FAILED).label("failed_webhooks"),
            _one(func.count(), Job, Job.status == JobStatus.QUEUED).label("waiting"),
            _one(func.min(Job.run_at), Job, due).label("oldest_at"),
            _one(func.count(), Job, Job.status == JobStatus.RUNNING).label("running"),
            _one(func.count(), Job, Job.status == JobStatus.FAILED).label("dead"),
            _one(func.count(), WorkerPresence, WorkerPresence.seen_at >= db_now(-3600)).label("workers"),
            _one(func.count(), WorkerPresence, WorkerPresence.seen_at >= db_now(-BEATING_SECONDS)).label("beating"),
        )
    ).one()  # fmt: skip
    return Health(**row._mapping)


def _one(figure: Any, model: Any, condition: Any) -> Any:
    return select(figure).select_from(model).where(condition).scalar_subquery()
