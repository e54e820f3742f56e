"""Proofs about messages, jobs and parcels."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, func, literal, select
from sqlalchemy.orm import aliased

from shop.books.reading import stream, sums, sums_beside
from shop.delivery.models import Shipment, ShipmentLine, Step
from shop.incidents.models import Incident
from shop.jobs.models import Job, JobStatus
from shop.orders.models import OrderEvent, OrderLine, OrderStatus
from shop.payments.models import PaymentEvent
from shop.webhooks.models import WebhookEvent, WebhookStatus

WITH_AWB = (Step.AWB_ASSIGNED, Step.PICKUP_SCHEDULED, Step.LABELLED)
CLOSED = (OrderStatus.CANCELLED.value, OrderStatus.DISPUTED.value, OrderStatus.REFUNDED.value)
"""In these states no parcel is begun."""

CLOCKS_APART = timedelta(seconds=2)
"""The clocks of two machines may differ so much."""


TAKEN_TWICE = (
    select(PaymentEvent.payment_id, PaymentEvent.gateway_event_id)
    .where(PaymentEvent.gateway_event_id.is_not(None), PaymentEvent.changed != "nothing")
    .group_by(PaymentEvent.payment_id, PaymentEvent.gateway_event_id, PaymentEvent.kind)
    .having(func.count() > 1)
)
UNDATED = select(WebhookEvent.id).where(
    WebhookEvent.status != WebhookStatus.RECEIVED, WebhookEvent.processed_at.is_(None)
)


def _sharing(first: Any, second: Any) -> Select[Any]:
    """Rows that share what should be unique; the last of them is named."""
    return (
        select(func.max(first.class_.id), first, second)
        .where(second.is_not(None))
        .group_by(first, second)
        .having(func.count() > 1)
    )


SAME_EVENT = _sharing(WebhookEvent.source, WebhookEvent.event_id)
SAME_AWB = _sharing(Shipment.courier, Shipment.awb)
SAME_SEQUENCE = _sharing(Shipment.order_id, Shipment.sequence)


def webhooks(connection: Connection) -> Iterator[str]:
    """I17: one gateway event changed one thing once, and what is processed says when."""
    for payment_id, event_id in connection.execute(TAKEN_TWICE):
        yield f"payment_events:{payment_id} took {event_id} in twice"
    yield from _repeated(connection, SAME_EVENT, "webhook_events")
    yield from (
        f"webhook_events:{row} has no time of its end" for row in connection.scalars(UNDATED)
    )


_SAME_KIND = aliased(Job)
_GIVEN_UP = (
    select(func.count(_SAME_KIND.id))
    .where(_SAME_KIND.kind == Job.kind, _SAME_KIND.status == JobStatus.FAILED)
    .correlate(Job)
    .scalar_subquery()
)
#: How often incidents told of jobs of that kind: the same fault again counts, and names its last job.
_TOLD = (
    select(func.coalesce(func.sum(Incident.repeats + 1), 0))
    .where(
        (Incident.fingerprint == literal("job:") + Job.kind)
        | Incident.fingerprint.like(literal("job:") + Job.kind + ":%")
    )
    .correlate(Job)
    .scalar_subquery()
)
SILENT = select(Job.id, Job.kind).where(
    Job.status == JobStatus.FAILED,
    ~select(Incident.id).where(Incident.job_id == Job.id).exists(),
    _GIVEN_UP > _TOLD,
)


def jobs(connection: Connection) -> Iterator[str]:
    """I24: a failed job has an incident, or is counted in that of an earlier one."""
    for job_id, kind in connection.execute(SILENT):
        yield f"jobs:{job_id} {kind} failed in silence"


AT_ODDS = select(Shipment.id, Shipment.step, Shipment.awb).where(
    Shipment.step.in_(WITH_AWB) != Shipment.awb.is_not(None)
)


def parcels(connection: Connection) -> Iterator[str]:
    """I28: steps and waybills agree; a waybill names one parcel, as order and sequence do."""
    for row in connection.execute(AT_ODDS):
        yield f"shipments:{row.id} is {row.step.value} with waybill {row.awb}"
    yield from _repeated(connection, SAME_AWB, "shipments")
    yield from _repeated(connection, SAME_SEQUENCE, "shipments")


def _repeated(connection: Connection, sharing: Select[Any], table: str) -> Iterator[str]:
    found = connection.execute(sharing)
    _, first, second = found.keys()
    for row_id, one, other in found:
        yield f"{table}:{row_id} repeats {first} {one}, {second} {other}"


IN_PARCELS = sums(
    ShipmentLine.order_line_id, ShipmentLine.quantity, ShipmentLine.given_back.is_(False)
)
SHIPPED = select(OrderLine.id, OrderLine.quantity, OrderLine.shipped_quantity).order_by(
    OrderLine.id
)


def shipped(connection: Connection) -> Iterator[str]:
    """I29: what parcels hold and was not given back is what the line says, and was bought.

    No parcel was begun while its order was cancelled, disputed or refunded. A waybill may come
    later than that: what was asked of the courier before is recorded, then cancelled.
    """
    out = sums_beside(connection, IN_PARCELS)
    for line in stream(connection, SHIPPED):
        held = out(line.id)
        if held != line.shipped_quantity:
            yield f"order_lines:{line.id} says {line.shipped_quantity} shipped, parcels hold {held}"
        if held > line.quantity:
            yield f"order_lines:{line.id} has {held} in parcels, {line.quantity} were bought"
    yield from _begun_too_late(connection)


def _begun_while_closed() -> Select[int, datetime, datetime]:
    """Parcels younger than the closing of their order, which was not opened again in between."""
    closing, later = aliased(OrderEvent), aliased(OrderEvent)
    left_again = (
        select(later.id)
        .where(
            later.order_id == closing.order_id,
            later.id > closing.id,
            later.to_status.not_in(CLOSED),
            later.occurred_at <= Shipment.created_at,
        )
        .exists()
    )
    return (
        select(Shipment.id, Shipment.created_at, func.min(closing.occurred_at).label("closed_at"))
        .join(closing, closing.order_id == Shipment.order_id)
        .where(
            closing.to_status.in_(CLOSED), closing.occurred_at < Shipment.created_at, ~left_again
        )
        .group_by(Shipment.id, Shipment.created_at)
    )


BEGUN_WHILE_CLOSED = _begun_while_closed()


def _begun_too_late(connection: Connection) -> Iterator[str]:
    """Parcels are reserved under their order's lock, so the moments tell which came first."""
    for row in connection.execute(BEGUN_WHILE_CLOSED):
        if row.created_at - row.closed_at > CLOCKS_APART:
            yield f"shipments:{row.id} was begun after its order was closed"
