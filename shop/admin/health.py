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
            _one(func.count(), WebhookEvent, recent),
            _one(func.coalesce(func.sum(WebhookEvent.repeats), 0), WebhookEvent, recent),
            _one(func.coalesce(func.sum(WebhookRefusal.count), 0), WebhookRefusal, WebhookRefusal.hour_at >= day_ago),
            _one(func.count(), WebhookEvent, WebhookEvent.status == WebhookStatus.FAILED),
            _one(func.count(), Job, Job.status == JobStatus.QUEUED),
            _one(func.min(Job.run_at), Job, due),
            _one(func.count(), Job, Job.status == JobStatus.RUNNING),
            _one(func.count(), Job, Job.status == JobStatus.FAILED),
            _one(func.count(), WorkerPresence, WorkerPresence.seen_at >= db_now(-3600)),
            _one(func.count(), WorkerPresence, WorkerPresence.seen_at >= db_now(-BEATING_SECONDS)),
        )
    ).one()  # fmt: skip
    return Health(*row)


def _one(figure: Any, model: Any, condition: Any) -> Any:
    return select(figure).select_from(model).where(condition).scalar_subquery()
