"""Money that arrived on the shop's bank account, credited to the order that it was sent for.

Each transfer is a payment of its own. What is less than asked splits the part: the order waits for
the rest, and further transfers may add up to it. All of it ends in `recording.record`.
"""

from dataclasses import dataclass

from sqlalchemy import select

from shop.audit import recording as audit
from shop.clock import in_future
from shop.errors import Refused
from shop.extensions import db
from shop.incidents.models import Severity
from shop.money import format_minor
from shop.orders.models import Order
from shop.payments import attempts, parts, recording, refunds, telling
from shop.payments.gateways import gateway
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import LIVE, AttemptStatus, PartStatus, Payment, PaymentPart
from shop.preferences import preference
from shop.stock import reservations

KEY = "bank_transfer"


@dataclass(frozen=True)
class Transfer:
    """One booking: how much of what currency, and under which name its news is counted once."""

    amount_minor: int
    currency: str
    event_id: str
    #: statement, or admin where a person says so.
    source: str


@dataclass(frozen=True)
class Credited:
    """What the money did: captured, late, second, short or mismatch, and for which attempt."""

    changed: str
    payment_id: int


def credit(payment_id: int, transfer: Transfer) -> Credited:
    """Take the money in for the order of this attempt, in the caller's transaction.

    Another currency changes nothing but the order's attention: a person decides what it is worth.
    """
    payment, order = recording.locked(payment_id)
    part = _part_for(order, payment)
    if transfer.currency != order.currency:
        return _take(_attempt(order, payment, part), transfer)
    is_less = part.status == PartStatus.DUE and transfer.amount_minor < part.amount_minor
    if is_less and order.status not in parts.OVER:
        return _less(order, payment, part, transfer)
    target = _attempt(order, payment, part)
    credited = _take(target, transfer)
    if is_less and credited.changed == "short":
        refunds.request_refund(
            target.id, transfer.amount_minor, [], "paid too late and too little", "system", follows_order=False
        )  # fmt: skip
    return credited


def reject(payment_id: int, reason: str, actor: str) -> None:
    """A person says that this transfer did not come, or is not taken: the attempt is over.

    The shopper reads the reason and may pay another way. Raises Refused when it is over already.
    """
    payment, order = recording.locked(payment_id)
    if payment.gateway != KEY or not payment.is_live:
        raise Refused("This transfer is not waited for.")
    if not reason.strip():
        raise Refused("Write what the customer should read.", field="reason")
    event = GatewayEvent(
        EventKind.FAILED, failure_code="rejected", failure_words=reason.strip()[:200]
    )
    recording.record(event, KEY, "admin", payment.id)
    audit.write(
        actor, "payment.rejected", f"order:{order.number}", None,
        {"payment": payment.reference, "reason": reason.strip()[:200]},
    )  # fmt: skip


def attempt_of_order(order: Order) -> Payment:
    """The attempt by which a transfer for this order is credited; made where there is none."""
    last = attempts_of(order.id)
    if last:
        return last[0]
    part = _next_due(order.id) or _last_part(order.id)
    return _new_attempt(order, part)


def attempts_of(order_id: int) -> list[Payment]:
    """The order's bank transfers, the newest first."""
    return list(
        db.session.scalars(
            select(Payment)
            .where(Payment.order_id == order_id, Payment.gateway == KEY)
            .order_by(Payment.id.desc())
        )
    )


def _next_due(order_id: int) -> PaymentPart | None:
    """The part that is paid next."""
    return next((part for part in parts.of_order(order_id) if part.status == PartStatus.DUE), None)


def _last_part(order_id: int) -> PaymentPart:
    """Money for an order that waits for none: it is second money of its last part."""
    return db.session.scalars(
        select(PaymentPart)
        .where(PaymentPart.order_id == order_id)
        .order_by(PaymentPart.sequence.desc())
        .limit(1)
    ).one()


def _part_for(order: Order, payment: Payment) -> PaymentPart:
    """The part that this money pays: the attempt's own while it is due, else the next one due."""
    own = db.session.get_one(PaymentPart, payment.part_id)
    is_open = own.status == PartStatus.DUE and payment.status != AttemptStatus.CAPTURED
    return own if is_open else _next_due(order.id) or own


def _attempt(order: Order, payment: Payment, part: PaymentPart) -> Payment:
    """An attempt for this part that has no money yet: the named one, the newest other, or a new one."""
    named = [payment] if payment.gateway == KEY else []
    for other in (*named, *attempts_of(order.id)):
        if other.part_id == part.id and other.status != AttemptStatus.CAPTURED:
            return other
    return _new_attempt(order, part)


def _new_attempt(order: Order, part: PaymentPart) -> Payment:
    """A row for money that is here already: nobody is sent anywhere, and nothing is awaited by it."""
    reference = attempts.new_reference()
    payment = Payment(
        order_id=order.id, part_id=part.id, gateway=KEY, reference=reference,
        gateway_id=f"{KEY}-{reference}", idempotency_key=f"pay-{reference}",
        amount_minor=part.amount_minor, currency=order.currency, status=AttemptStatus.SUPERSEDED,
    )  # fmt: skip
    db.session.add(payment)
    db.session.flush()
    return payment


def _take(payment: Payment, transfer: Transfer) -> Credited:
    event = GatewayEvent(
        EventKind.CAPTURED, amount_minor=transfer.amount_minor, currency=transfer.currency,
        event_id=transfer.event_id, method="bank",
    )  # fmt: skip
    return Credited(recording.record(event, KEY, transfer.source, payment.id), payment.id)


def _less(order: Order, payment: Payment, part: PaymentPart, transfer: Transfer) -> Credited:
    """The part is split: this much is paid, and the shopper is asked for the rest."""
    asked = part.amount_minor
    for live in db.session.scalars(
        select(Payment).where(Payment.part_id == part.id, Payment.status.in_(LIVE))
    ):
        recording.supersede(live)
    first = parts.split(order, part, transfer.amount_minor)
    received = _new_attempt(order, first)
    _take(received, transfer)
    said = [format_minor(minor, order.currency) for minor in (transfer.amount_minor, asked)]
    telling.report(
        order, received, f"Paid too little: {said[0]} of {said[1]}", Severity.HIGH, "short"
    )
    _ask_for_the_rest(order, payment)
    return Credited("short", received.id)


def _ask_for_the_rest(order: Order, payment: Payment) -> None:
    """New instructions for what is missing, and the stock held for another transfer's time."""
    rest = _next_due(order.id)
    if rest is None or not order.is_unpaid:
        return
    until = in_future(hours=preference("bank_hold_hours"))
    if not reservations.extend(order.id, until):
        return
    order.expires_at = max(order.expires_at or until, until)
    order.payment_method = payment.gateway
    way = gateway(KEY)
    opening = attempts.begin(order, rest, way, until)
    attempts.keep_opened(opening.payment_id, way.open(opening.request))
