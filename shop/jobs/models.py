"""The job table, the slots of periodic work, and who is at work."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shop.database import Row, UtcDateTime, stored
from shop.extensions import db


class JobStatus(StrEnum):
    """Where a job stands. `failed` always comes with an incident."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(Row):
    """One piece of work to be done outside the request that asked for it."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("attempts >= 0 AND claim_number >= 0", name="counts"),
        # A key collides with queued rows only: a running job may already have read the old state.
        Index(
            "uq_jobs_queued_key", "kind", "key", unique=True,
            sqlite_where=db.text("status = 'queued' AND key IS NOT NULL"),
            postgresql_where=db.text("status = 'queued' AND key IS NOT NULL"),
        ),
        Index(
            "ix_jobs_due", "priority", "run_at", "id",
            sqlite_where=db.text("status IN ('queued', 'running')"),
            postgresql_where=db.text("status IN ('queued', 'running')"),
        ),
        Index("ix_jobs_status_id", "status", "id"),
    )  # fmt: skip

    #: Names the handler: "delivery.create_shipment". Stored, so never renamed lightly.
    kind: Mapped[str] = mapped_column(String(64), index=True)
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    key: Mapped[str | None] = mapped_column(String(160))
    queue: Mapped[str] = mapped_column(String(20), default="default")
    #: Lower runs first: money 0, parcels 5, the rest 10, mail 20, papers 30.
    priority: Mapped[int] = mapped_column(default=10)
    run_at: Mapped[datetime] = mapped_column(UtcDateTime)
    #: When its id was last pushed to RQ.
    pushed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    status: Mapped[JobStatus] = mapped_column(stored(JobStatus), default=JobStatus.QUEUED)
    #: Never falls; fences late commits of a holder that lost its lease.
    claim_number: Mapped[int] = mapped_column(default=0)
    #: Counts towards max_attempts only; given back on a graceful stop.
    attempts: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int]
    #: By the database's clock.
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    worker: Mapped[str | None] = mapped_column(String(80))
    error: Mapped[str | None] = mapped_column(Text)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ScheduleSlot(Row):
    """A periodic task's turn. The unique key lets each turn be taken once, whoever looks."""

    __tablename__ = "schedule_slots"
    __table_args__ = (UniqueConstraint("task", "slot_at"),)

    task: Mapped[str] = mapped_column(String(64))
    slot_at: Mapped[datetime] = mapped_column(UtcDateTime)


class WorkerPresence(Row):
    """A worker process and when it was last seen, by the database's clock."""

    __tablename__ = "worker_presence"

    worker: Mapped[str] = mapped_column(String(80), unique=True)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
