"""Periodic work: one table, looked at by every worker.

The unique row of a slot decides that each turn is taken once, whoever looks.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from shop.clock import utcnow
from shop.database import insert_ignore, transaction
from shop.jobs.models import ScheduleSlot
from shop.jobs.queue import enqueue


@dataclass(frozen=True)
class Task:
    """A kind of job and how often it runs, in seconds."""

    kind: str
    every: int


SCHEDULE = (
    Task("stock.expire_holds", 30),
    Task("orders.cancel_unpaid", 300),
    Task("payments.ask_due", 60),
    Task("payments.reconcile", 86_400),
    Task("payments.ask_refunds", 600),
    Task("payments.late_money_default", 600),
    Task("payments.forgotten_money", 86_400),
    Task("payments.remind", 21_600),
    Task("payments.remind_evidence", 3_600),
    Task("webhooks.sweep", 60),
    Task("orders.unstick", 600),
    Task("delivery.poll", 1_800),
    Task("returns.poll", 1_800),
    Task("returns.sweep", 3_600),
    Task("messaging.sweep", 300),
    Task("messaging.left_carts", 900),
    Task("jobs.overdue", 60),
    Task("alerts.evaluate", 60),
    Task("incidents.sweep", 3_600),
    Task("incidents.digest", 900),
    Task("books.light", 3_600),
    Task("books.full", 86_400),
    Task("orders.archive", 86_400),
    Task("retention.run", 86_400),
)

_taken: dict[str, datetime] = {}


def tick() -> list[str]:
    """Take every slot that has begun and was not taken. Returns the kinds enqueued here."""
    now = utcnow()
    begun = [(task, _slot(now, task.every)) for task in SCHEDULE]
    fresh = [(task, slot) for task, slot in begun if _taken.get(task.kind) != slot]
    if not fresh:
        return []
    started = []
    with transaction():
        for task, slot in fresh:
            if insert_ignore(ScheduleSlot, {"task": task.kind, "slot_at": slot}) is not None:
                enqueue(task.kind, key="slot")
                started.append(task.kind)
    _taken.update({task.kind: slot for task, slot in fresh})
    return started


def _slot(now: datetime, every: int) -> datetime:
    return datetime.fromtimestamp(int(now.timestamp()) // every * every, tz=UTC)
