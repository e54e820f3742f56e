"""Running a kind of job now, in this process: for cron by HTTP and for commands."""

from typing import Any

from sqlalchemy import select

from shop.config import settings
from shop.database import transaction
from shop.extensions import db
from shop.jobs import runner
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.payments.gateways import gateway
from shop.payments.gateways.base import PaysOut

CLEAN_UP = (
    "stock.expire_holds",
    "orders.cancel_unpaid",
    "payments.late_money_default",
    "webhooks.sweep",
    "messaging.sweep",
    "retention.run",
)
"""What a host without a worker needs done from time to time."""


def run_now(kind: str, payload: dict[str, Any] | None = None, key: str = "slot") -> str:
    """Run one job of this kind here and now. Returns where it stands afterwards."""
    with transaction():
        job_id = enqueue(kind, payload, key=key)
        if job_id is None:
            queued = select(Job.id).filter_by(kind=kind, key=key, status=JobStatus.QUEUED)
            job_id = db.session.scalar(queued)
    if job_id is None:
        return "running elsewhere"
    runner.run(job_id, "by hand")
    status = db.session.scalar(select(Job.status).where(Job.id == job_id))
    db.session.rollback()
    return status.value if status else "gone"


def clean_up() -> dict[str, str]:
    """Run the clean-up jobs now: {kind: where it stands}."""
    return {kind: run_now(kind) for kind in CLEAN_UP}


def reconcile(days: int) -> dict[str, str]:
    """Ask every gateway for its lists of so many days, and the courier for its parcels."""
    told = {
        f"{kind} {key}": run_now(kind, {"gateway": key, "days": days}, f"{key}:{days}")
        for key in settings().payment_gateways
        for kind, is_asked in (
            ("payments.compare", gateway(key).is_online),
            ("payments.learn_payouts", isinstance(gateway(key), PaysOut)),
        )
        if is_asked
    }
    return {**told, "delivery.poll": run_now("delivery.poll")}
