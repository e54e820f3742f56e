"""Opening incidents: one for the same fault on the same thing; repeats are counted."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import select, update

from shop.clock import in_future, utcnow
from shop.database import insert_ignore
from shop.extensions import db
from shop.incidents import trackers
from shop.incidents.facts import gather
from shop.incidents.models import Category, Incident, IncidentStatus, Severity, TicketState
from shop.jobs.queue import enqueue
from shop.logs import without_contact

log = structlog.get_logger()

QUIET = timedelta(hours=1)
"""A repeat within this of the last mail, or of the ticket's last comment, is counted only."""

MOST_NAMED = 20
"""Of a list in the context the newest so many are kept."""

GRAVITY = (Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


@dataclass(frozen=True)
class About:
    """What an incident is about.

    `context` holds facts that a person needs to act; those that the order itself tells (number,
    customer, amount, payment) are added when the incident is opened. A list in it grows by what a
    repeat names.
    """

    issue: str
    category: Category
    severity: Severity
    order_id: int | None = None
    job_id: int | None = None
    context: dict[str, Any] | None = None


def open_incident(
    about: About, fault: str, error: str = "", stack: str = "", *, times: int = 1
) -> None:
    """Open an incident in the caller's transaction, or count a repeat of the open one.

    `fault` names the fault on its thing, e.g. "amount_mismatch:REF": one open incident for it. What
    stands before the first colon is in `catalogue.FAILURES`. `times` is how often it was seen. A
    repeat that is graver than the incident makes it as grave.
    """
    values = _values(about, fault, error, stack)
    while True:
        incident_id = insert_ignore(Incident, {**values, "repeats": times - 1})
        if incident_id is not None:
            _announce(incident_id, about)
            return
        # Zero rows: somebody resolved it between the two statements, so there is room for a new one.
        if _count(about, values, times):
            return


def _values(about: About, fault: str, error: str, stack: str) -> dict[str, Any]:
    facts, _ = gather({"order_id": about.order_id})
    return {
        "category": about.category, "severity": about.severity, "fingerprint": fault[:160],
        "issue": about.issue[:300], "error_message": without_contact(error[:4000]),
        "error_stack": without_contact(stack[:8000]),
        "context": {**facts, **(about.context or {})}, "order_id": about.order_id, "job_id": about.job_id,
        "last_seen_at": utcnow(),
        "mailed_at": utcnow() if about.severity == Severity.CRITICAL else None,
    }  # fmt: skip


def _announce(incident_id: int, about: About) -> None:
    log.error("incident.opened", incident=incident_id, issue=about.issue, severity=about.severity)
    enqueue("incidents.ticket", {"incident_id": incident_id}, key=str(incident_id))
    if about.severity == Severity.CRITICAL:
        _mail(incident_id)


def _mail(incident_id: int) -> None:
    wish = {"mail": "incident", "incident_id": incident_id}
    enqueue("messaging.staff_mail", wish, key=f"incident:{incident_id}")


def _count(about: About, values: dict[str, Any], times: int) -> bool:
    """Count a repeat of the unresolved incident of this fault. False when there is none any more."""
    open_one = (
        select(Incident)
        .where(
            Incident.fingerprint == values["fingerprint"],
            Incident.status != IncidentStatus.RESOLVED,
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    held = db.session.scalars(open_one).one_or_none()
    if held is None:
        return False
    is_graver = GRAVITY.index(about.severity) > GRAVITY.index(held.severity)
    changed = {
        "repeats": held.repeats + times,
        "last_seen_at": values["last_seen_at"],
        "error_message": values["error_message"] or held.error_message,
        "error_stack": values["error_stack"] or held.error_stack,
        "context": _merged(held.context, values["context"]),
        "job_id": about.job_id or held.job_id,
    }
    if is_graver:
        changed |= {"severity": about.severity, "issue": values["issue"], "told_at": None}
    if _is_mail_due(changed.get("severity", held.severity), held):
        changed["mailed_at"] = utcnow()
        _mail(held.id)
    db.session.execute(update(Incident).where(Incident.id == held.id).values(changed))
    _tell_tracker(held, is_graver)
    return True


def _merged(held: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """What a repeat tells counts; lists name what both name, each once."""
    both = {**held, **told}
    for name, value in told.items():
        if isinstance(value, list) and isinstance(held.get(name), list):
            earlier = [one for one in held[name] if one not in value]
            both[name] = [*earlier, *value][-MOST_NAMED:]
    return both


def _is_mail_due(severity: Severity, held: Incident) -> bool:
    is_quiet = held.mailed_at is not None and held.mailed_at > utcnow() - QUIET
    return severity == Severity.CRITICAL and not is_quiet


def _tell_tracker(held: Incident, is_graver: bool) -> None:
    """Ask for a comment on the ticket: at once when it got graver, else an hour after the last one."""
    if held.ticket_state != TicketState.OPEN or not trackers.tracker().takes_comments:
        return
    if is_graver:
        enqueue("incidents.ticket", {"incident_id": held.id}, key=str(held.id))
        return
    told = held.told_at or utcnow()
    enqueue(
        "incidents.ticket", {"incident_id": held.id}, key=f"{held.id}:later",
        run_at=max(told + QUIET, in_future(seconds=1)),
    )  # fmt: skip
