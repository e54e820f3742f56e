"""Webhooks: what providers told us, what became of it, and processing it once more."""

from collections.abc import Sequence
from typing import Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.jobs import inspector
from shop.admin.redaction import shown_body, shown_error
from shop.admin.rendering import beside, done, kept, newest, screen, shown_again
from shop.clock import in_future
from shop.database import transaction
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.jobs.models import Job
from shop.orders.models import Order
from shop.payments.models import Payment, PaymentEvent
from shop.webhooks import inbox
from shop.webhooks.models import WebhookEvent, WebhookRefusal, WebhookStatus

RESULTS = {
    "received": ("Waiting", "warn"),
    "processed": ("Applied", "ok"),
    "ignored": ("Ignored", ""),
    "failed": ("Failed", "danger"),
}


@bp.get("/webhooks")
@needs(Right.SEE_JOBS)
def webhooks() -> ResponseReturnValue:
    """Events, newest first."""
    return _list(None)


@bp.get("/webhooks/<int:event_id>")
@needs(Right.SEE_JOBS)
def webhook(event_id: int) -> ResponseReturnValue:
    """One event beside the list."""
    return _list(event_id)


def _list(
    event_id: int | None = None, *, problem: str = "", status: int = 200, **_others: Any
) -> Response:
    wanted, source = request.args.get("status", ""), request.args.get("source", "")
    query = request.args.get("q", "").strip()[:120]
    found = select(WebhookEvent)
    if wanted in list(WebhookStatus):
        found = found.where(WebhookEvent.status == WebhookStatus(wanted))
    if source:
        found = found.where(WebhookEvent.source == source)
    if query:
        found = found.where(_matches(query))
    listed = newest(found, WebhookEvent)
    gone = "There is no such event; they are kept for 30 days."
    chosen: WebhookEvent | None = beside(listed, WebhookEvent, event_id, gone)
    same = kept({"status": wanted, "source": source, "q": query})
    return screen(
        "admin/webhooks.html",
        status,
        problem=problem,
        rows=listed.rows,
        numbers=_orders_of(listed.rows),
        event=chosen,
        number=_orders_of([chosen]).get(chosen.event_id) if chosen else None,
        changed=_changed_by(chosen),
        job=_job_of(chosen),
        body=shown_body(chosen.raw_body) if chosen else "",
        error=shown_error(chosen.error) if chosen else "",
        results=RESULTS,
        sources=db.session.scalars(
            select(WebhookEvent.source).distinct().order_by(WebhookEvent.source)
        ).all(),
        refusals=_refusals(),
        source=source,
        status_wanted=wanted,
        query=query,
        same=same,
        older=listed.older("admin.webhooks", same),
        **inspector("webhooks"),
    )


def _matches(query: str) -> Any:
    """An event's id or kind, an order's number, or a payment's reference or gateway id."""
    named = (
        select(PaymentEvent.gateway_event_id)
        .join(Payment, Payment.id == PaymentEvent.payment_id)
        .join(Order, Order.id == Payment.order_id)
        .where(
            PaymentEvent.gateway_event_id.is_not(None),
            (Order.number == query) | (Payment.reference == query) | (Payment.gateway_id == query),
        )
    )
    return (
        (WebhookEvent.event_id == query)
        | WebhookEvent.kind.icontains(query, autoescape=True)
        | WebhookEvent.event_id.in_(named)
    )


def _orders_of(events: Sequence[WebhookEvent]) -> dict[str, str]:
    """The orders whose money these events moved, by the events' ids."""
    ids = [event.event_id for event in events]
    rows = db.session.execute(
        select(PaymentEvent.gateway_event_id, Order.number)
        .join(Payment, Payment.id == PaymentEvent.payment_id)
        .join(Order, Order.id == Payment.order_id)
        .where(PaymentEvent.gateway_event_id.in_(ids))
    )
    return {str(event_id): number for event_id, number in rows}


def _changed_by(event: WebhookEvent | None) -> list[str]:
    """What the event changed when it was applied."""
    if event is None:
        return []
    rows = db.session.scalars(
        select(PaymentEvent.changed).where(PaymentEvent.gateway_event_id == event.event_id)
    )
    return list(rows)


def _job_of(event: WebhookEvent | None) -> Job | None:
    """The job that processes or processed it, if it is still kept."""
    if event is None:
        return None
    return db.session.scalars(
        select(Job)
        .where(Job.kind == "webhooks.process", Job.key == str(event.id))
        .order_by(Job.id.desc())
        .limit(1)
    ).one_or_none()


def _refusals() -> dict[str, int]:
    """How many unverified messages each source sent within a day."""
    rows = db.session.execute(
        select(WebhookRefusal.source, func.sum(WebhookRefusal.count))
        .where(WebhookRefusal.hour_at >= in_future(hours=-24))
        .group_by(WebhookRefusal.source)
    )
    return {source: int(count) for source, count in rows}


@bp.post("/webhooks/<int:event_id>/replay")
@needs(Right.RUN_JOBS)
@shown_again(_list)
def webhook_replay(event_id: int) -> ResponseReturnValue:
    """Process a stored message once more; what was applied before is skipped."""
    with transaction():
        event = db.session.get(WebhookEvent, event_id)
        if event is None:
            raise NotFound
        was_applied = event.status == WebhookStatus.PROCESSED
        inbox.replay(event_id, staff_actor())
        name = event.event_id
    words = f"Replaying {name}. " + (
        "It was applied before, so nothing should change."
        if was_applied
        else "Its result appears here."
    )
    return done(url_for("admin.webhook", event_id=event_id), words)


@bp.post("/webhooks/replay-failed")
@needs(Right.RUN_JOBS)
def webhooks_replay_failed() -> ResponseReturnValue:
    """Process all failed messages once more, fifty at a time; the unreadable stay."""
    with transaction() as session:
        failed = session.scalars(
            select(WebhookEvent.id)
            .where(WebhookEvent.status == WebhookStatus.FAILED, WebhookEvent.kind != "unreadable")
            .order_by(WebhookEvent.id)
            .limit(50)
        ).all()
        for event_id in failed:
            inbox.replay(event_id, staff_actor())
    if not failed:
        raise Refused("No failed message can be replayed.")
    return done(url_for("admin.webhooks"), f"Replaying {len(failed)} failed messages.")
