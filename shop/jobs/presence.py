"""Whether anybody is at work, by what the workers wrote down themselves."""

from sqlalchemy import select

from shop.database import db_now
from shop.extensions import db
from shop.jobs.models import WorkerPresence

SEEN_SECONDS = 60
"""A worker says every 15 s that it lives."""


def is_worker_seen() -> bool:
    """Whether a worker said lately that it lives; by the database's clock."""
    seen = select(WorkerPresence.id).where(WorkerPresence.seen_at > db_now(-SEEN_SECONDS))
    return db.session.scalar(seen.limit(1)) is not None
