"""What staff do about incidents. Called in the view's transaction; each change is audited."""

from sqlalchemy import update

from shop.audit import recording as audit
from shop.clock import utcnow
from shop.errors import Conflict, NotFound
from shop.extensions import db
from shop.incidents.models import Incident, IncidentStatus


def acknowledge(incident_id: int, actor: str) -> Incident:
    """Somebody has taken it on. Raises NotFound, or Conflict when it is not open any more."""
    return _move(incident_id, (IncidentStatus.OPEN,), IncidentStatus.ACKNOWLEDGED, actor)


def resolve(incident_id: int, actor: str) -> Incident:
    """It is dealt with; the same fault opens a new one. Raises NotFound, or Conflict when it was."""
    unresolved = (IncidentStatus.OPEN, IncidentStatus.ACKNOWLEDGED)
    return _move(incident_id, unresolved, IncidentStatus.RESOLVED, actor)


def _move(
    incident_id: int, sources: tuple[IncidentStatus, ...], target: IncidentStatus, actor: str
) -> Incident:
    incident = db.session.get(Incident, incident_id)
    if incident is None:
        raise NotFound("There is no such incident.")
    before = incident.status
    result = db.session.execute(
        update(Incident)
        .where(Incident.id == incident_id, Incident.status.in_(sources))
        .values(status=target, resolved_at=utcnow() if target == IncidentStatus.RESOLVED else None)
        .execution_options(synchronize_session=False)
    )
    if not result.rowcount:  # type: ignore[attr-defined]
        raise Conflict(f"This incident is {before.value} already.")
    audit.write(
        actor, f"incident.{target.value}", f"incident:{incident_id}",
        {"status": before.value}, {"status": target.value},
    )  # fmt: skip
    db.session.refresh(incident)
    return incident
