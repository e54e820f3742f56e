"""Incidents: failures that a person must see, taken on and dealt with."""

from typing import Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy import select

from shop.accounts.models import Role
from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.redaction import shown_error, shown_payload
from shop.admin.rendering import can, done, kept, newest, screen, shown_again
from shop.database import transaction
from shop.errors import NotFound
from shop.extensions import db
from shop.incidents import handling
from shop.incidents.models import Category, Incident, IncidentStatus, Severity
from shop.jobs.models import Job
from shop.orders.models import Order

TONES = {"critical": "danger", "high": "danger", "medium": "warn", "low": "info"}
STATES = {"open": "danger", "acknowledged": "warn", "resolved": "ok"}


def _visible() -> Any:
    """Managers see all; fulfilment what concerns parcels and stock; support what concerns orders."""
    found = select(Incident)
    if can(Right.SEE_EVERYTHING):
        return found
    if current_user.role == Role.FULFILMENT:
        return found.where(Incident.category.in_([Category.DELIVERY, Category.STOCK]))
    return found.where(Incident.order_id.is_not(None))


@bp.get("/incidents")
@needs(Right.SEE_INCIDENTS)
def incidents() -> ResponseReturnValue:
    """Those that nobody has dealt with, newest first, or by the filters."""
    wanted = request.args.get("status", "unresolved")
    category, severity = request.args.get("category", ""), request.args.get("severity", "")
    found = _visible()
    if wanted in list(IncidentStatus):
        found = found.where(Incident.status == IncidentStatus(wanted))
    elif wanted == "unresolved":
        found = found.where(Incident.status != IncidentStatus.RESOLVED)
    if category in list(Category):
        found = found.where(Incident.category == Category(category))
    if severity in list(Severity):
        found = found.where(Incident.severity == Severity(severity))
    listed = newest(found, Incident)
    same = kept({"status": wanted, "category": category, "severity": severity})
    return screen(
        "admin/incidents.html",
        section="admin.incidents",
        rows=listed.rows,
        numbers=_numbers(row.order_id for row in listed.rows),
        wanted=wanted,
        category=category,
        severity=severity,
        categories=list(Category),
        severities=list(Severity),
        tones=TONES,
        states=STATES,
        older=listed.older("admin.incidents", same),
    )


def _numbers(order_ids: Any) -> dict[int, str]:
    wanted = {order_id for order_id in order_ids if order_id}
    rows = db.session.execute(select(Order.id, Order.number).where(Order.id.in_(wanted)))
    return dict(rows.all())


@bp.get("/incidents/<int:incident_id>")
@needs(Right.SEE_INCIDENTS)
def incident(incident_id: int) -> ResponseReturnValue:
    """One incident with all that is known."""
    return show_incident(incident_id)


def show_incident(
    incident_id: int, *, problem: str = "", status: int = 200, **_others: Any
) -> Response:
    """The page; `problem` is what was refused just now."""
    found = _one(incident_id)
    sees_stack = can(Right.SEE_EVERYTHING)
    return screen(
        "admin/incident.html",
        status,
        section="admin.incidents",
        problem=problem,
        incident=found,
        number=_numbers([found.order_id]).get(found.order_id or 0),
        job=db.session.get(Job, found.job_id) if found.job_id else None,
        context=shown_payload(found.context, sees_money=can(Right.SEE_MONEY)),
        error=shown_error(found.error_message),
        stack=shown_error(found.error_stack) if sees_stack else "",
        tones=TONES,
        states=STATES,
    )


def _one(incident_id: int) -> Incident:
    found: Incident | None = db.session.scalars(
        _visible().where(Incident.id == incident_id)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such incident.")
    return found


@bp.post("/incidents/<int:incident_id>/acknowledge")
@needs(Right.SEE_INCIDENTS)
@shown_again(show_incident)
def incident_acknowledge(incident_id: int) -> ResponseReturnValue:
    """Say that one is on it."""
    with transaction():
        _one(incident_id)
        handling.acknowledge(incident_id, staff_actor())
    return done(url_for("admin.incident", incident_id=incident_id), "You are on it.")


@bp.post("/incidents/<int:incident_id>/resolve")
@needs(Right.SEE_INCIDENTS)
@shown_again(show_incident)
def incident_resolve(incident_id: int) -> ResponseReturnValue:
    """Say that it is dealt with. The same fault opens a new one."""
    with transaction():
        _one(incident_id)
        handling.resolve(incident_id, staff_actor())
    return done(url_for("admin.incidents"), f"Incident {incident_id} is resolved.")
