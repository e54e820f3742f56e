"""Clean-up of the job tables, and the policy of jobs that nobody handles."""

from sqlalchemy import delete

from shop.clock import in_future
from shop.database import db_now, rows_changed
from shop.extensions import db
from shop.jobs.handlers import Policy, Work, handles
from shop.jobs.models import Job, JobStatus, ScheduleSlot, WorkerPresence
from shop.providers import ProviderRefused

SLOT_DAYS = 3
"""Longer than the longest period of the schedule."""


@handles("jobs.unknown", Policy(attempts=1))
def unknown(work: Work) -> None:
    """Lends its policy to jobs whose kind no code knows; it is never enqueued."""
    raise ProviderRefused(f"nobody handles {work.kind}")


def forget_finished(days: int) -> int:
    """Delete jobs that succeeded or were cancelled so many days ago. Returns how many.

    Failed ones stay until a person has looked at them.
    """
    result = db.session.execute(
        delete(Job).where(
            Job.status.in_([JobStatus.SUCCEEDED, JobStatus.CANCELLED]),
            Job.finished_at < in_future(hours=-24 * days),
        )
    )
    return rows_changed(result)


def forget_slots() -> None:
    """Delete old turns of periodic work, and workers that are long gone."""
    db.session.execute(
        delete(ScheduleSlot).where(ScheduleSlot.slot_at < in_future(hours=-24 * SLOT_DAYS))
    )
    db.session.execute(delete(WorkerPresence).where(WorkerPresence.seen_at < db_now(-86_400)))
