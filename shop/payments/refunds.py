"""Giving money back, once.

The hold on the payment is taken by a conditional update before the gateway is called; a definite
failure gives it back. The gateway gets one key for one refund, however often it is tried.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update

from shop.audit import recording as audit
from shop.clock import utcnow
from shop.database import rows_changed
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.queue import enqueue
from shop.money import format_minor, share
from shop.orders.effects import change_sales
from shop.orders.lifecycle import Actor, Who, advance, may
from shop.orders.locking import lock_order
from shop.orders.models import Order, OrderEvent, OrderLine, PaymentStatus
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import Payment, Refund, RefundStatus
from shop.payments.refundable import hold, hold_for_news, left_to_refund
from shop.payments.status import kept_minor, lost_minor, refresh
from shop.promotions import gift_cards
from shop.stock import ledger

LOST_WORDS = "the shopper's bank took the money back by a dispute"


@dataclass(frozen=True)
class RefundLine:
    """How much of an order line goes back: units (0 for money only), minor units, and to the shelf?"""

    line_id: int
    quantity: int
    amount_minor: int
    restock: bool = False


def request_refund(
    payment_id: int,
    amount_minor: int,
    lines: list[RefundLine],
    reason: str,
    actor: str,
    *,
    follows_order: bool = True,
) -> Refund:
    """Decide on a refund, in the caller's transaction; a job sends it.

    `lines` say what it is for, the rest is shipping or goodwill. All that was paid, without lines,
    takes all; not so where `follows_order` is False: money that never was the order's (paid twice),
    or lines named in another refund of the request. Raises Refused when more is asked than is left.
    """
    if amount_minor <= 0 or sum(line.amount_minor for line in lines) > amount_minor:
        raise Refused("Enter an amount above zero that covers the lines.")
    payment = db.session.get(Payment, payment_id)
    if payment is None:
        raise NotFound
    order = lock_order(payment.order_id)
    hold(payment, amount_minor)
    if follows_order and not lines and amount_minor >= _left_of_order(order, amount_minor):
        lines = _all_lines(order)
    _count_lines(order, lines)
    refund = Refund(
        payment_id=payment.id, order_id=order.id, amount_minor=amount_minor, reason=reason[:200], actor=actor,
        lines=[vars(line) for line in lines], idempotency_key=f"refund-{secrets.token_hex(12)}",
    )  # fmt: skip
    db.session.add(refund)
    db.session.flush()
    # Stock, cards, then sellers: in this order whoever locks them (a sale does too).
    _put_on_shelf(refund, order, actor)
    _tell(order, actor, f"Refund of {format_minor(amount_minor, payment.currency)} on its way")
    audit.write(
        actor, "refund.requested", f"order:{order.number}", None,
        {"amount_minor": amount_minor, "reason": reason, "payment": payment.reference},
    )  # fmt: skip
    if payment.gateway == "gift_card":
        _refill_card(refund, payment, order, actor)
    else:
        enqueue("payments.refund", {"refund_id": refund.id}, key=str(refund.id))
        if payment.gateway in BY_HAND:
            _message("refund_started", refund)
    _change_sales(order, lines, -1)
    return refund


def _message(event: str, refund: Refund) -> None:
    enqueue(
        "messaging.tell",
        {
            "event": event, "order_id": refund.order_id, "refund_id": refund.id,
            "amount_minor": refund.amount_minor,
        },
        key=f"{event}:{refund.id}",
    )  # fmt: skip


def _refill_card(refund: Refund, payment: Payment, order: Order, actor: str) -> None:
    """A gift card's money is the shop's own ledger: it is back at once."""
    gift_cards.give_back(payment.reference, refund.amount_minor, refund.idempotency_key, actor)
    _succeeded(refund, payment, order, Actor(Who.SYSTEM, actor))
    refresh(order)


def _left_of_order(order: Order, asked_minor: int) -> int:
    """What is still with us of the order's money, the refund being asked included."""
    return kept_minor(order.id) + asked_minor


def _all_lines(order: Order) -> list[RefundLine]:
    return [
        RefundLine(line.id, line.quantity - line.refunded_quantity, line.total_minor - line.refunded_minor)
        for line in order.lines
        if line.quantity > line.refunded_quantity or line.total_minor > line.refunded_minor
    ]  # fmt: skip


def _take_lines(order: Order, wanted: Sequence[RefundLine]) -> None:
    """Count units and money on the lines, and take them from the sellers' sales."""
    _count_lines(order, wanted)
    _change_sales(order, wanted, -1)


def _count_lines(order: Order, wanted: Sequence[RefundLine]) -> None:
    for line in sorted(wanted, key=lambda one: one.line_id):
        _take_line(order, line)
    if any(line.quantity for line in wanted):
        # Less of it is still to leave and to arrive.
        enqueue("delivery.follow_money", {"order_id": order.id}, key=str(order.id))


def _take_line(order: Order, wanted: RefundLine) -> None:
    """Never above what was bought: one conditional update (reliability.md, I4)."""
    if wanted.quantity < 0 or wanted.amount_minor < 0:
        raise Refused("Enter quantities and amounts of zero or more.")
    result = db.session.execute(
        update(OrderLine)
        .where(
            OrderLine.id == wanted.line_id,
            OrderLine.order_id == order.id,
            OrderLine.refunded_quantity + wanted.quantity <= OrderLine.quantity,
            OrderLine.refunded_minor + wanted.amount_minor <= OrderLine.total_minor,
        )
        .values(
            refunded_quantity=OrderLine.refunded_quantity + wanted.quantity,
            refunded_minor=OrderLine.refunded_minor + wanted.amount_minor,
            updated_at=utcnow(),
        )
        .execution_options(synchronize_session=False)
    )
    if not rows_changed(result):
        raise Refused("More was asked of a line than is left of it.")
    db.session.get_one(OrderLine, wanted.line_id, populate_existing=True)


def _change_sales(order: Order, lines: Sequence[RefundLine], sign: int) -> None:
    """The sellers' counters follow, where the order was counted at all."""
    if order.sales_counted_at is None:
        return
    seller_of = {line.id: line.seller_id for line in order.lines}
    sold = [(seller_of[one.line_id], one.quantity, one.amount_minor) for one in lines]
    change_sales([(seller, sign * units, sign * minor) for seller, units, minor in sold])


def _put_on_shelf(refund: Refund, order: Order, actor: str) -> None:
    for line in sorted(order.lines, key=lambda one: one.variant_id):
        for wanted in refund.lines:
            if wanted["line_id"] == line.id and wanted["restock"] and wanted["quantity"] > 0:
                ledger.restock_line(line.variant_id, line.id, wanted["quantity"], refund.id, actor)


def give_back_sales(order: Order) -> None:
    """All that is left of the order no longer counts for its sellers (a lost dispute)."""
    _take_lines(order, _all_lines(order))


def refund_in_full(order: Order, reason: str, actor: str) -> int:
    """Ask for all that was paid for the order back. Returns how many refunds were asked for."""
    payments = db.session.scalars(
        select(Payment)
        .where(Payment.order_id == order.id, Payment.captured_minor > Payment.refund_held_minor)
        .order_by(Payment.id)
    ).all()
    asked = 0
    for payment in payments:
        left = left_to_refund(payment) or 0
        if left > 0:
            request_refund(payment.id, left, [], reason, actor)
            asked += 1
    return asked


def take_in(event: GatewayEvent, payment: Payment, order: Order, actor: Actor) -> str:
    """News of a refund, ours or one made at the gateway."""
    refund = _find(event, payment)
    if refund is None:
        if event.kind == EventKind.REFUND_FAILED or not event.amount_minor:
            return "nothing"
        refund = _made_at_gateway(event, payment, order)
    if event.refund_gateway_id and refund.gateway_id is None:
        refund.gateway_id = event.refund_gateway_id
    if event.kind == EventKind.REFUND_PENDING:
        return _sent(refund, payment, order, event.failure_words or "")
    if event.kind == EventKind.REFUND_SUCCEEDED:
        return _succeeded(refund, payment, order, actor)
    return _failed(refund, payment, order, event.failure_words or event.failure_code or "")


NEWS = {
    EventKind.REFUND_PENDING: {RefundStatus.SENT, RefundStatus.SUCCEEDED, RefundStatus.FAILED},
    EventKind.REFUND_SUCCEEDED: {RefundStatus.SUCCEEDED},
    EventKind.REFUND_FAILED: {RefundStatus.FAILED},
}


def is_reflected(event: GatewayEvent, payment: Payment) -> bool:
    """True when our refund stands where the gateway says. Reads only."""
    ours = named(event, payment)
    return ours is not None and ours.status in NEWS[event.kind]


def named(event: GatewayEvent, payment: Payment) -> Refund | None:
    """Our refund that the news is about, by the gateway's id or our key. Reads only."""
    ours = select(Refund).where(
        Refund.payment_id == payment.id,
        (Refund.gateway_id == event.refund_gateway_id)
        | (Refund.idempotency_key == event.refund_key),
    )
    return db.session.scalars(ours.limit(1)).first()


def _find(event: GatewayEvent, payment: Payment) -> Refund | None:
    of_payment = select(Refund).where(Refund.payment_id == payment.id).with_for_update()
    if event.refund_key:
        found = db.session.scalar(of_payment.where(Refund.idempotency_key == event.refund_key))
        if found:
            return found
    if event.refund_gateway_id:
        return db.session.scalars(
            of_payment.where(Refund.gateway_id == event.refund_gateway_id)
        ).one_or_none()
    return None


def _made_at_gateway(event: GatewayEvent, payment: Payment, order: Order) -> Refund:
    """Somebody gave the money back in the gateway's own dashboard."""
    amount = event.amount_minor or 0
    hold_for_news(payment, amount)
    lines = _all_lines(order) if amount >= _left_of_order(order, amount) else []
    _take_lines(order, lines)
    refund = Refund(
        payment_id=payment.id, order_id=order.id, amount_minor=amount, reason="made at the gateway",
        lines=[vars(line) for line in lines], status=RefundStatus.SENT, gateway_id=event.refund_gateway_id,
        idempotency_key=f"gateway-{payment.gateway}-{event.refund_gateway_id}"[:80],
        actor=f"gateway:{payment.gateway}", sent_at=utcnow(),
    )  # fmt: skip
    db.session.add(refund)
    db.session.flush()
    return refund


def _sent(refund: Refund, payment: Payment, order: Order, words: str) -> str:
    """On its way. With words it stands there until a person helps, who is told once."""
    if refund.status not in {RefundStatus.REQUESTED, RefundStatus.SENT}:
        return "nothing"
    changed = "refund_sent" if refund.status == RefundStatus.REQUESTED else "nothing"
    if changed == "refund_sent":
        refund.status, refund.sent_at = RefundStatus.SENT, utcnow()
        _message("refund_started", refund)
    if not words or words == refund.failure_words:
        return changed
    refund.failure_words = words
    order.attention = f"A refund waits: {words}"[:300]
    issue = f"A refund of order {order.number} waits for a person: {words}"
    _report(refund, payment, order, issue, Severity.HIGH, f"refund_waits:{refund.id}")
    return "refund_waits"


def _succeeded(refund: Refund, payment: Payment, order: Order, actor: Actor) -> str:
    if refund.status == RefundStatus.SUCCEEDED:
        return "nothing"
    if refund.status == RefundStatus.FAILED:
        # The gateway thought better of it: the hold that the failure gave back is taken again.
        hold_for_news(payment, refund.amount_minor)
        if not _is_lost(order):
            _take_lines(order, [RefundLine(**line) for line in refund.lines])
    refund.status, refund.finished_at = RefundStatus.SUCCEEDED, utcnow()
    refund.failure_words = None
    payment.refunded_minor += refund.amount_minor
    shown = format_minor(refund.amount_minor, payment.currency)
    _tell(order, actor.name, f"{shown} refunded")
    _move_order(order, actor)
    _message("refunded", refund)
    return "refunded"


def _move_order(order: Order, actor: Actor) -> None:
    """The order's state follows what is left of its money; a second payment sent back moves nothing."""
    status = refresh(order)
    step = {
        PaymentStatus.REFUNDED: "refunded",
        PaymentStatus.PARTIALLY_REFUNDED: "partly_refunded",
    }.get(status)
    if step and may(order, step, actor.who):
        advance(order, step, actor)


def _failed(refund: Refund, payment: Payment, order: Order, words: str) -> str:
    if refund.status == RefundStatus.FAILED:
        return "nothing"
    if refund.status == RefundStatus.SUCCEEDED:
        payment.refunded_minor -= refund.amount_minor
    refund.status, refund.finished_at, refund.failure_words = RefundStatus.FAILED, utcnow(), words
    payment.refund_held_minor -= refund.amount_minor
    db.session.flush()
    if not _is_lost(order):
        _untake_lines(order, [RefundLine(**line) for line in refund.lines])
    order.attention = f"A refund failed: {words}"[:300]
    issue = f"A refund of order {order.number} failed: {words}"
    _report(refund, payment, order, issue, Severity.CRITICAL, f"refund_failed:{refund.id}")
    return "refund_failed"


def _report(
    refund: Refund, payment: Payment, order: Order, issue: str, severity: Severity, fault: str
) -> None:
    open_incident(
        About(
            issue=issue,
            category=Category.PAYMENT,
            severity=severity,
            order_id=order.id,
            context={
                "orderId": order.number, "paymentId": payment.reference,
                "gatewayOrderId": payment.gateway_id, "refundId": refund.id,
                "amount": refund.amount_minor, "currency": payment.currency,
                "customerEmail": order.email, "customerPhone": order.phone,
            },
        ),
        fault,
    )  # fmt: skip


def _is_lost(order: Order) -> bool:
    """True when a lost dispute took the whole of the order: no refund changes its lines any more."""
    return lost_minor(order.id) > 0 and not _all_lines(order)


def _untake_lines(order: Order, lines: Sequence[RefundLine]) -> None:
    """The refund failed: its lines are not refunded after all."""
    for wanted in lines:
        line = db.session.get_one(OrderLine, wanted.line_id)
        line.refunded_quantity -= wanted.quantity
        line.refunded_minor -= wanted.amount_minor
    db.session.flush()
    _change_sales(order, lines, 1)


BY_HAND = ("bank_transfer", "cod")
"""Nobody but a person gives these back."""


def mark_done(refund_id: int, actor: str, bank_reference: str) -> None:
    """A person sent the money back by hand, under this reference of the bank's; each names one refund."""
    order = lock_order(db.session.scalar(select(Refund.order_id).where(Refund.id == refund_id)))
    refund = db.session.get(Refund, refund_id, populate_existing=True)
    if refund is None or refund.status not in {RefundStatus.REQUESTED, RefundStatus.SENT}:
        raise Refused("This refund is not waiting for a person.")
    payment = db.session.get_one(Payment, refund.payment_id)
    if payment.gateway not in BY_HAND:
        raise Refused("This refund is made by its gateway.")
    refund.gateway_id = _unused(bank_reference)
    _succeeded(refund, payment, order, Actor(Who.ADMIN, actor))
    refresh(order)
    audit.write(
        actor, "refund.done_by_hand", f"order:{order.number}", None,
        {"refund": refund.id, "bank_reference": refund.gateway_id},
    )  # fmt: skip


def _unused(bank_reference: str) -> str:
    """The reference of an outgoing transfer, for which no other refund was marked."""
    typed = " ".join(bank_reference.split()).upper()[:120]
    if not typed:
        raise Refused("Enter the bank's reference of the transfer that you made.", field="bank_reference")  # fmt: skip
    known = (
        select(Order.number)
        .join(Refund, Refund.order_id == Order.id)
        .join(Payment, Payment.id == Refund.payment_id)
        .where(Refund.gateway_id == typed, Payment.gateway.in_(BY_HAND))
    )
    other = db.session.scalar(known.limit(1))
    if other:
        raise Refused(f"That transfer stands for a refund of order {other} already.", field="bank_reference")  # fmt: skip
    return typed


def line_amount(line: OrderLine, quantity: int) -> int:
    """What `quantity` units of a line cost after its discount; the last ones take the remainder."""
    if quantity >= line.quantity - line.refunded_quantity:
        return line.total_minor - line.refunded_minor
    parts = share(line.total_minor, [1] * line.quantity)
    return min(sum(parts[:quantity]), line.total_minor - line.refunded_minor)


def _tell(order: Order, actor: str, text: str) -> None:
    db.session.add(
        OrderEvent(
            order_id=order.id, kind="refund", actor=actor, text=text, for_customer=True, occurred_at=utcnow()
        )
    )  # fmt: skip
