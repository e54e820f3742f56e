"""Incidents: failures that a person must see, taken on and dealt with."""

from collections.abc import Sequence
from typing import Any

from flask import Response, abort, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy import select

from shop.accounts.models import Role
from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.incident_remedies import apply, remedy_of
from shop.admin.redaction import shown_error, shown_payload
from shop.admin.rendering import any_of, can, done, kept, newest, screen, shown_again
from shop.database import transaction
from shop.errors import NotFound
from shop.extensions import db
from shop.incidents import catalogue, handling
from shop.incidents.models import Category, Incident, IncidentStatus, Severity
from shop.jobs.models import Job
from shop.orders.models import Order

TONES = {"critical": "danger", "high": "danger", "medium": "warn", "low": "info"}
FILTERS = ("status", "category", "severity", "order", "q")
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
    asked = {name: request.args.get(name, "").strip()[:80] for name in FILTERS}
    asked["status"] = asked["status"] or "unresolved"
    listed = newest(_filtered(_visible(), asked), Incident)
    return screen(
        "admin/incidents.html",
        section="admin.incidents",
        rows=listed.rows,
        numbers=_numbers(row.order_id for row in listed.rows),
        wanted=asked["status"],
        asked=asked,
        same=kept({name: asked[name] for name in FILTERS if name != "status"}),
        categories=list(Category),
        severities=list(Severity),
        tones=TONES,
        states=STATES,
        older=listed.older("admin.incidents", kept(asked)),
    )


def _filtered(found: Any, asked: dict[str, str]) -> Any:
    """What the filters leave; one that names nothing known leaves all."""
    if asked["status"] in list(IncidentStatus):
        found = found.where(Incident.status == IncidentStatus(asked["status"]))
    elif asked["status"] == "unresolved":
        found = found.where(Incident.status != IncidentStatus.RESOLVED)
    if asked["category"] in list(Category):
        found = found.where(Incident.category == Category(asked["category"]))
    if asked["severity"] in list(Severity):
        found = found.where(Incident.severity == Severity(asked["severity"]))
    if asked["order"]:
        numbered = select(Order.id).where(Order.number.icontains(asked["order"], autoescape=True))
        found = found.where(Incident.order_id.in_(numbered))
    return found.where(_says(asked["q"])) if asked["q"] else found


def _says(words: str) -> Any:
    """In its sentence, its error, its fault, its ticket or the note."""
    texts = (
        Incident.issue, Incident.error_message, Incident.fingerprint, Incident.tracker_key, Incident.note,
    )  # fmt: skip
    return any_of(*(text.icontains(words, autoescape=True) for text in texts))


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
    remedy = remedy_of(found)
    return screen(
        "admin/incident.html",
        status,
        section="admin.incidents",
        problem=problem,
        incident=found,
        number=_numbers([found.order_id]).get(found.order_id or 0),
        job=db.session.get(Job, found.job_id) if found.job_id else None,
        failure=catalogue.failure_of(found.fingerprint),
        to_do=catalogue.to_do(found.fingerprint, found.context),
        remedy=remedy if remedy and can(remedy.right) else None,
        earlier=_earlier(found),
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


def _earlier(found: Incident) -> Sequence[Incident]:
    """The last times of the same fault that were dealt with: how, is worth a look."""
    return db.session.scalars(
        select(Incident)
        .where(Incident.fingerprint == found.fingerprint, Incident.id < found.id)
        .order_by(Incident.id.desc())
        .limit(3)
    ).all()


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
    """Say that it is dealt with, and how. The same fault opens a new one."""
    with transaction():
        _one(incident_id)
        handling.resolve(incident_id, staff_actor(), request.form.get("note", ""))
    return done(url_for("admin.incidents"), f"Incident {incident_id} is resolved.")


@bp.post("/incidents/<int:incident_id>/again")
@needs(Right.SEE_INCIDENTS)
@shown_again(show_incident)
def incident_again(incident_id: int) -> ResponseReturnValue:
    """Try its thing again: the parked parcel, the message or the job, by the right that each needs."""
    with transaction():
        found = _one(incident_id)
        remedy = remedy_of(found)
        if remedy is not None and not can(remedy.right):
            abort(403)
        remedy = apply(found, staff_actor())
    return done(url_for("admin.incident", incident_id=incident_id), remedy.done)
