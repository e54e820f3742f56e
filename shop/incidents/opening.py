"""Opening incidents: one for the same fault on the same thing; repeats are counted."""

from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import update

from shop.clock import utcnow
from shop.database import insert_ignore
from shop.extensions import db
from shop.incidents.facts import gather
from shop.incidents.models import Category, Incident, IncidentStatus, Severity
from shop.jobs.queue import enqueue

log = structlog.get_logger()


@dataclass(frozen=True)
class About:
    """What an incident is about.

    `context` holds facts that a person needs to act; those that the order itself tells (number,
    customer, amount, payment) are added when the incident is opened.
    """

    issue: str
    category: Category
    severity: Severity
    order_id: int | None = None
    job_id: int | None = None
    context: dict[str, Any] | None = None


def open_incident(about: About, fault: str, error: str = "", stack: str = "") -> None:
    """Open an incident in the caller's transaction, or count a repeat of the open one.

    `fault` names the fault on its thing, e.g. "amount_mismatch:REF": one open incident for it.
    """
    now = utcnow()
    facts, _ = gather({"order_id": about.order_id})
    values = {
        "category": about.category, "severity": about.severity, "fingerprint": fault[:160],
        "issue": about.issue[:300], "error_message": error[:4000], "error_stack": stack[:8000],
        "context": {**facts, **(about.context or {})}, "order_id": about.order_id, "job_id": about.job_id,
        "last_seen_at": now,
    }  # fmt: skip
    incident_id = insert_ignore(Incident, values)
    if incident_id is None:
        db.session.execute(
            update(Incident)
            .where(Incident.fingerprint == fault[:160], Incident.status != IncidentStatus.RESOLVED)
            .values(repeats=Incident.repeats + 1, last_seen_at=now, error_message=error[:4000])
        )
        return
    log.error("incident.opened", incident=incident_id, issue=about.issue, severity=about.severity)
    enqueue("incidents.ticket", {"incident_id": incident_id}, key=str(incident_id))
