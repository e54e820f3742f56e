"""What staff do about incidents. Called in the view's transaction; each change is audited."""

from typing import Any

from sqlalchemy import update

from shop.audit import recording as audit
from shop.clock import utcnow
from shop.database import rows_changed
from shop.errors import Conflict, NotFound
from shop.extensions import db
from shop.incidents.models import Incident, IncidentStatus
from shop.jobs.queue import enqueue

UNRESOLVED = (IncidentStatus.OPEN, IncidentStatus.ACKNOWLEDGED)
MOST_LETTERS = 2000


def acknowledge(incident_id: int, actor: str) -> Incident:
    """Somebody has taken it on. Raises NotFound, or Conflict when it is not open any more."""
    return _move(
        incident_id, (IncidentStatus.OPEN,), {"status": IncidentStatus.ACKNOWLEDGED}, actor
    )


def resolve(incident_id: int, actor: str, note: str = "") -> Incident:
    """It is dealt with; the same fault opens a new one. Raises NotFound, or Conflict when it was.

    `note` says how, for the next one who meets it. The tracker is told.
    """
    values = {
        "status": IncidentStatus.RESOLVED,
        "resolved_at": utcnow(),
        "note": note.strip()[:MOST_LETTERS],
    }
    resolved = _move(incident_id, UNRESOLVED, values, actor)
    enqueue("incidents.ticket", {"incident_id": incident_id}, key=str(incident_id))
    return resolved


def _move(
    incident_id: int, sources: tuple[IncidentStatus, ...], values: dict[str, Any], actor: str
) -> Incident:
    incident = db.session.get(Incident, incident_id)
    if incident is None:
        raise NotFound("There is no such incident.")
    before, target = incident.status, values["status"]
    result = db.session.execute(
        update(Incident)
        .where(Incident.id == incident_id, Incident.status.in_(sources))
        .values(values)
        .execution_options(synchronize_session=False)
    )
    if not rows_changed(result):
        raise Conflict(f"This incident is {before.value} already.")
    after = {"status": target.value}
    if values.get("note"):
        after["note"] = values["note"]
    audit.write(
        actor,
        f"incident.{target.value}",
        f"incident:{incident_id}",
        {"status": before.value},
        after,
    )
    db.session.refresh(incident)
    return incident
