"""Proofs about orders, messages, jobs, parcels and the audit."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from sqlalchemy import func, select

from shop.audit.models import AuditEntry
from shop.delivery.models import Shipment, ShipmentLine, Step
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.models import Job, JobStatus
from shop.orders.lifecycle import TABLE, Target
from shop.orders.models import Order, OrderEvent, OrderLine, OrderStatus
from shop.payments.models import Payment, PaymentEvent, Refund
from shop.stock.models import StockMovement
from shop.webhooks.models import WebhookEvent, WebhookStatus


def states() -> Iterator[str]:
    """I14: the timeline's steps are rows of the table and lead to where the order stands."""
    steps = db.session.execute(
        select(OrderEvent.order_id, OrderEvent.kind, OrderEvent.from_status, OrderEvent.to_status)
        .where(OrderEvent.to_status.is_not(None))
        .order_by(OrderEvent.order_id, OrderEvent.id)
    ).all()
    reached: dict[int, str] = {}
    for order_id, rows in groupby(steps, key=lambda row: row.order_id):
        for row in rows:
            if row.from_status is None:
                reached[order_id] = row.to_status
                continue
            if row.from_status != reached.get(order_id) or not _is_legal(row):
                yield f"order_events:{order_id} {row.from_status} → {row.kind} → {row.to_status}"
            reached[order_id] = row.to_status
    for order in db.session.execute(select(Order.id, Order.number, Order.status)):
        if reached.get(order.id) != order.status.value:
            yield f"orders:{order.number} is {order.status.value}, its timeline ends at {reached.get(order.id)}"


def _is_legal(row: object) -> bool:
    kind, before, after = row.kind, row.from_status, row.to_status  # type: ignore[attr-defined]
    if before == after == OrderStatus.DISPUTED.value:
        return True
    rule = TABLE.get((OrderStatus(before), kind))
    if rule is None:
        return False
    return isinstance(rule.target, Target) or rule.target.value == after


def webhooks() -> Iterator[str]:
    """I17: one gateway event changed one thing once, and what is processed says when."""
    twice = (
        select(PaymentEvent.payment_id, PaymentEvent.gateway_event_id)
        .where(PaymentEvent.gateway_event_id.is_not(None), PaymentEvent.changed != "nothing")
        .group_by(PaymentEvent.payment_id, PaymentEvent.gateway_event_id, PaymentEvent.kind)
        .having(func.count() > 1)
    )
    for payment_id, event_id in db.session.execute(twice):
        yield f"payment_events:{payment_id} took {event_id} in twice"
    undated = select(WebhookEvent.id).where(
        WebhookEvent.status != WebhookStatus.RECEIVED, WebhookEvent.processed_at.is_(None)
    )
    yield from (
        f"webhook_events:{row} has no time of its end" for row in db.session.scalars(undated)
    )


def jobs() -> Iterator[str]:
    """I24: a failed job has an incident."""
    told = select(Incident.id).where(Incident.job_id == Job.id).exists()
    silent = select(Job.id, Job.kind).where(Job.status == JobStatus.FAILED, ~told)
    for job_id, kind in db.session.execute(silent):
        yield f"jobs:{job_id} {kind} failed in silence"


def parcels() -> Iterator[str]:
    """I28: steps and waybills agree; a waybill names one parcel."""
    with_awb = {Step.AWB_ASSIGNED, Step.PICKUP_SCHEDULED, Step.LABELLED}
    seen: Counter[tuple[str, str]] = Counter()
    for row in db.session.execute(
        select(Shipment.id, Shipment.step, Shipment.awb, Shipment.courier, Shipment.order_id, Shipment.sequence)
    ):  # fmt: skip
        if (row.step in with_awb) != (row.awb is not None):
            yield f"shipments:{row.id} is {row.step.value} with waybill {row.awb}"
        seen[f"awb {row.courier}", row.awb or f"none {row.id}"] += 1
        seen["sequence", f"{row.order_id}/{row.sequence}"] += 1
    yield from (f"shipments:{what} stands twice" for what, count in seen.items() if count > 1)


def shipped() -> Iterator[str]:
    """I29: what is in parcels and not given back is what the line says, and was bought."""
    out = {
        row[0]: int(row[1])
        for row in db.session.execute(
            select(ShipmentLine.order_line_id, func.sum(ShipmentLine.quantity))
            .where(ShipmentLine.given_back.is_(False))
            .group_by(ShipmentLine.order_line_id)
        )
    }
    for line in db.session.execute(
        select(OrderLine.id, OrderLine.quantity, OrderLine.shipped_quantity)
    ):
        if out.get(line.id, 0) != line.shipped_quantity or line.shipped_quantity > line.quantity:
            yield f"order_lines:{line.id} says {line.shipped_quantity} shipped, parcels hold {out.get(line.id, 0)}"


def audited() -> Iterator[str]:
    """I33: what a person changed of orders, stock and money has its audit entries."""
    written: Counter[tuple[str, str, str]] = Counter()
    for actor, action, subject in db.session.execute(
        select(AuditEntry.actor, AuditEntry.action, AuditEntry.subject)
    ):
        written[actor, action, subject] += 1
    done: Counter[tuple[str, str, str]] = Counter()
    for actor, kind, number in db.session.execute(
        select(OrderEvent.actor, OrderEvent.kind, Order.number)
        .join(Order, OrderEvent.order_id == Order.id)
        .where(OrderEvent.actor.like("user:%"), OrderEvent.from_status.is_not(None))
    ):
        done[actor, f"order.{kind}", f"order:{number}"] += 1
    for actor, reason, variant_id in db.session.execute(
        select(StockMovement.actor, StockMovement.reason, StockMovement.variant_id).where(
            StockMovement.actor.like("user:%"), StockMovement.order_line_id.is_(None)
        )
    ):
        done[actor, f"stock.{reason.value}", f"variant:{variant_id}"] += 1
    for actor, number in db.session.execute(
        select(Refund.actor, Order.number)
        .join(Payment, Refund.payment_id == Payment.id)
        .join(Order, Payment.order_id == Order.id)
        .where(Refund.actor.like("user:%"))
    ):
        done[actor, "refund.requested", f"order:{number}"] += 1
    for what, count in done.items():
        if written[what] < count:
            yield f"audit_entries:{what[2]} lacks {what[1]} by {what[0]}"
