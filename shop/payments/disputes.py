"""Disputes: the shopper's bank asks for the money back."""

from sqlalchemy import ColumnElement, func, select

from shop.audit import recording as audit
from shop.clock import utcnow
from shop.database import insert_ignore
from shop.errors import Conflict, NotFound, Refused
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.queue import enqueue
from shop.money import format_minor
from shop.orders.lifecycle import SYSTEM, Actor, advance, may
from shop.orders.models import Order, OrderStatus
from shop.payments import refunds
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import Dispute, DisputeStatus, Payment, Refund, RefundStatus
from shop.payments.refundable import left_to_refund
from shop.payments.refunds import give_back_sales
from shop.payments.status import kept_minor

MOST_NOTE_LETTERS = 300
OUTCOMES = {
    EventKind.DISPUTE_WON: (DisputeStatus.WON, "dispute_won"),
    EventKind.DISPUTE_LOST: (DisputeStatus.LOST, "dispute_lost"),
}


def take_in(event: GatewayEvent, payment: Payment, order: Order, actor: Actor) -> str:
    """News of a dispute. An outcome whose opening we never heard of opens it first."""
    dispute, is_new = _dispute(event, payment)
    if is_new:
        if may(order, "dispute_opened", actor.who) and order.paid_at is not None:
            advance(order, "dispute_opened", actor)
        order.attention = "The payment is disputed: answer before the evidence date"
        order.late_money_due_at = None
        _report(order, payment, dispute)
    if event.evidence_due_at and event.evidence_due_at != dispute.evidence_due_at:
        dispute.evidence_due_at = event.evidence_due_at
        dispute.evidence_reminded_at = None
    if event.kind == EventKind.DISPUTE_OPENED:
        return "dispute_opened" if is_new else "nothing"
    return _close(event, dispute, payment, order, actor)


def is_reflected(event: GatewayEvent, payment: Payment) -> bool:
    """True when our dispute stands where the gateway says. Reads only."""
    ours = select(Dispute.status).where(
        Dispute.payment_id == payment.id, Dispute.gateway_id == event.dispute_gateway_id
    )
    status = db.session.scalar(ours.limit(1))
    if event.kind == EventKind.DISPUTE_OPENED:
        return status is not None
    return status == OUTCOMES[event.kind][0]


def mark_sent(dispute_id: int, actor: str, note: str) -> Dispute:
    """A person has sent the evidence at the gateway. Raises NotFound, Conflict, Refused."""
    dispute = _open_one(dispute_id)
    if dispute.evidence_sent_at is not None:
        raise Conflict("The evidence is marked as sent already.")
    note = note.strip()
    if len(note) > MOST_NOTE_LETTERS:
        raise Refused(f"Write at most {MOST_NOTE_LETTERS} letters.", field="note")
    dispute.evidence_sent_at, dispute.evidence_sent_by = utcnow(), actor
    dispute.evidence_note = note
    audit.write(actor, "dispute.evidence_sent", subject_of(dispute.id), after={"note": note})
    return dispute


def take_mark_off(dispute_id: int, actor: str) -> Dispute:
    """The evidence was not sent after all. Raises NotFound, Conflict."""
    dispute = _open_one(dispute_id)
    if dispute.evidence_sent_at is None:
        raise Conflict("The evidence is not marked as sent.")
    before = {"by": dispute.evidence_sent_by, "note": dispute.evidence_note}
    dispute.evidence_sent_at, dispute.evidence_sent_by, dispute.evidence_note = None, None, ""
    dispute.evidence_reminded_at = None
    audit.write(actor, "dispute.evidence_not_sent", subject_of(dispute.id), before=before)
    return dispute


def subject_of(dispute_id: int) -> str:
    """How the audit names a dispute."""
    return f"dispute:{dispute_id}"


def _open_one(dispute_id: int) -> Dispute:
    """The dispute, locked. Raises NotFound, and Conflict where it is over."""
    found = db.session.scalars(
        select(Dispute)
        .where(Dispute.id == dispute_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such dispute.")
    if found.status != DisputeStatus.OPEN:
        raise Conflict("The dispute is over.")
    return found


def _dispute(event: GatewayEvent, payment: Payment) -> tuple[Dispute, bool]:
    gateway_id = event.dispute_gateway_id or f"dispute-{payment.reference}"
    made = insert_ignore(
        Dispute,
        {
            "payment_id": payment.id, "gateway_id": gateway_id, "status": DisputeStatus.OPEN,
            "amount_minor": event.amount_minor or payment.captured_minor,
            "reason": event.dispute_reason[:120], "evidence_due_at": event.evidence_due_at,
        },
    )  # fmt: skip
    dispute = db.session.scalars(
        select(Dispute).where(Dispute.payment_id == payment.id, Dispute.gateway_id == gateway_id)
    ).one()
    return dispute, made is not None


def _close(
    event: GatewayEvent, dispute: Dispute, payment: Payment, order: Order, actor: Actor
) -> str:
    status, step = OUTCOMES[event.kind]
    if dispute.status != DisputeStatus.OPEN:
        return "nothing"
    dispute.status = status
    dispute.closed_at = event.occurred_at or utcnow()
    db.session.flush()
    is_lost = status == DisputeStatus.LOST
    goes_on = is_lost and _is_paid_by_others(order)
    if not _is_open(Dispute.payment_id == payment.id):
        _let_refunds_go(payment, order, actor)
    if is_lost and not goes_on:
        give_back_sales(order)
    if not _is_open(Payment.order_id == order.id):
        _end(order, "dispute_won" if goes_on else step, actor, goes_on)
    return step


def _is_open(of: ColumnElement[bool]) -> bool:
    found = select(Dispute.id).join(Payment, Dispute.payment_id == Payment.id)
    open_ones = found.where(of, Dispute.status == DisputeStatus.OPEN)
    return db.session.scalar(open_ones.limit(1)) is not None


def _let_refunds_go(payment: Payment, order: Order, actor: Actor) -> None:
    """Refunds that waited for the outcome are sent; those that it left no money for fail.

    One that may have reached the gateway before is asked about by its job.
    """
    waiting = select(Refund).where(
        Refund.payment_id == payment.id, Refund.status == RefundStatus.REQUESTED
    )
    for refund in db.session.scalars(waiting.order_by(Refund.id.desc())).all():
        if refund.sent_at is None and (left_to_refund(payment) or 0) < 0:
            failed = GatewayEvent(
                EventKind.REFUND_FAILED,
                refund_key=refund.idempotency_key,
                failure_words=refunds.LOST_WORDS,
            )
            refunds.take_in(failed, payment, order, actor)
        else:
            enqueue("payments.refund", {"refund_id": refund.id}, key=str(refund.id))


def _end(order: Order, step: str, actor: Actor, goes_on: bool) -> None:
    """The last dispute of the order is over: where it goes on, and what a person must know."""
    before = order.status_before if order.status == OrderStatus.DISPUTED else order.status
    if may(order, step, actor.who):
        words = "The dispute was lost; other money still pays the order" if goes_on else ""
        advance(order, step, actor, text=words)
    if order.is_unpaid and order.paid_at is not None:
        # Late money that waited for a person before it was disputed.
        advance(order, "expired", SYSTEM)
    elif before == OrderStatus.CANCELLED:
        refunds.refund_in_full(order, "paid too late", SYSTEM.name)
    order.attention = _what_is_left(order, step)


def _what_is_left(order: Order, step: str) -> str | None:
    kept = kept_minor(order.id)
    shown = format_minor(kept, order.currency)
    if step == "dispute_won":
        is_over = kept > order.total_minor and order.status != OrderStatus.CANCELLED
        return "Paid more than asked: the excess can be refunded" if is_over else None
    if order.is_unpaid or order.status == OrderStatus.CANCELLED:
        return None
    if kept > 0:
        return f"A dispute was lost, and {shown} of the order is still here: refund it, or let it stand"
    if order.status != OrderStatus.REFUNDED:
        return "A dispute was lost: the order has not been paid"
    return None


def _is_paid_by_others(order: Order) -> bool:
    """True where the lost money was not needed: the order was paid twice, and one of the two is still here."""
    lost = select(Dispute.payment_id).where(Dispute.status == DisputeStatus.LOST)
    kept = select(func.sum(Payment.captured_minor - Payment.refund_held_minor)).where(
        Payment.order_id == order.id, Payment.id.not_in(lost)
    )
    return (db.session.scalar(kept) or 0) >= order.total_minor


def _report(order: Order, payment: Payment, dispute: Dispute) -> None:
    due = dispute.evidence_due_at
    open_incident(
        About(
            issue=f"The payment of order {order.number} is disputed ({dispute.reason or 'no reason given'})",
            category=Category.PAYMENT,
            severity=Severity.CRITICAL,
            order_id=order.id,
            context={
                "orderId": order.number, "paymentId": payment.reference, "amount": dispute.amount_minor,
                "currency": payment.currency, "evidenceDueAt": due.isoformat() if due else None,
                "customerEmail": order.email, "customerPhone": order.phone,
                "deliveryStage": order.fulfilment_status.value,
            },
        ),
        f"dispute:{payment.reference}:{dispute.gateway_id}",
    )  # fmt: skip
