"""The one place where a payment's state changes, whoever brings the news.

Webhook, return page, sweep, courier and admin all end in `record`: whichever comes first does the
work, the others find it done. Locks are taken in the order order → payment → refund.
"""

from typing import Any

import structlog
from sqlalchemy import select, update

from shop.clock import in_future, utcnow
from shop.database import insert_ignore, rows_changed
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.queue import enqueue
from shop.money import format_minor
from shop.orders import effects
from shop.orders.lifecycle import SYSTEM, Actor, Who, advance, may
from shop.orders.locking import lock_order
from shop.orders.models import Order, OrderStatus, PaymentStatus
from shop.payments import disputes, late, parts, refunds, telling, waiting
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import (
    LIVE,
    AttemptStatus,
    PartStatus,
    Payment,
    PaymentAlias,
    PaymentEvent,
    PaymentPart,
)  # fmt: skip
from shop.payments.status import refresh

log = structlog.get_logger()


class UnknownPayment(NotFound):
    """The news names a payment that this shop does not have."""


ENDS = {
    EventKind.FAILED: AttemptStatus.FAILED,
    EventKind.EXPIRED: AttemptStatus.EXPIRED,
    EventKind.CANCELLED: AttemptStatus.CANCELLED,
}
#: Money that comes here and is not enough goes back by itself.
NOTHING_TO_PAY = frozenset({OrderStatus.CANCELLED, OrderStatus.REFUNDED})
REFUND_NEWS = {EventKind.REFUND_PENDING, EventKind.REFUND_SUCCEEDED, EventKind.REFUND_FAILED}
DISPUTE_NEWS = {EventKind.DISPUTE_OPENED, EventKind.DISPUTE_WON, EventKind.DISPUTE_LOST}


def record(
    event: GatewayEvent, gateway_key: str, source: str, payment_id: int | None = None
) -> str:
    """Take in one piece of news, in the caller's transaction. Returns what it changed.

    "nothing" is a repeat or old news. `source` is webhook, return, sweep, admin, courier or open.
    Raises UnknownPayment when no attempt of ours is meant.
    """
    if event.kind == EventKind.IGNORED:
        return "nothing"
    payment, order = locked(payment_id or find(event, gateway_key))
    if _is_known(event, payment):
        return "nothing"
    changed = _taken_in(event, payment, order, source)
    if changed != "nothing":
        _remember(event, payment, source, changed)
        refresh(order)
        log.info("payment.recorded", reference=payment.reference, kind=event.kind, changed=changed)
    return changed


def is_reflected(event: GatewayEvent, gateway_key: str) -> bool:
    """True when our rows say already what this news says. Reads only."""
    try:
        payment = db.session.get_one(Payment, find(event, gateway_key))
    except UnknownPayment:
        return False
    if event.kind == EventKind.CAPTURED:
        is_learnt = all(
            getattr(event, name) is None or getattr(payment, name) is not None
            for name in ("fee_minor", "payout_reference")
        )
        return payment.status == AttemptStatus.CAPTURED and is_learnt
    if event.kind in REFUND_NEWS:
        return refunds.is_reflected(event, payment)
    return disputes.is_reflected(event, payment)


def _is_known(event: GatewayEvent, payment: Payment) -> bool:
    """True when this very event changed something before; kept even after the inbox forgot it."""
    if event.event_id is None:
        return False
    seen = select(PaymentEvent.id).where(
        PaymentEvent.payment_id == payment.id,
        PaymentEvent.gateway_event_id == event.event_id,
        PaymentEvent.kind == event.kind.value,
    )
    return db.session.scalar(seen.limit(1)) is not None


def find(event: GatewayEvent, gateway_key: str) -> int:
    """The attempt that the news is about: by our reference, the gateway's id, or another id of it."""
    of_gateway = select(Payment.id).where(Payment.gateway == gateway_key)
    for wanted in (
        of_gateway.where(Payment.reference == event.reference) if event.reference else None,
        of_gateway.where(Payment.gateway_id == event.gateway_id) if event.gateway_id else None,
    ):
        found = db.session.scalar(wanted) if wanted is not None else None
        if found:
            return int(found)
    aliases = [alias for alias in (*event.refs.values(), event.gateway_id) if alias]
    by_alias = select(PaymentAlias.payment_id).where(
        PaymentAlias.gateway == gateway_key, PaymentAlias.alias.in_(aliases)
    )
    found = db.session.scalar(by_alias.limit(1)) if aliases else None
    if found is None:
        raise UnknownPayment(gateway=gateway_key, kind=event.kind.value)
    return int(found)


def locked(payment_id: int) -> tuple[Payment, Order]:
    """The attempt and its order, both locked, read afresh."""
    order_id = db.session.scalar(select(Payment.order_id).where(Payment.id == payment_id))
    if order_id is None:
        raise UnknownPayment(payment=payment_id)
    order = lock_order(order_id)
    payment = db.session.scalars(
        select(Payment)
        .where(Payment.id == payment_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    return payment, order


def _taken_in(event: GatewayEvent, payment: Payment, order: Order, source: str) -> str:
    learn_ids(payment, event.gateway_id, event.refs)
    _learn_facts(payment, event)
    actor = Actor(
        Who.ADMIN if source == "admin" else Who.GATEWAY,
        f"gateway:{payment.gateway}" if source != "admin" else "staff",
    )
    if event.kind == EventKind.CAPTURED:
        return _captured(event, payment, order, actor)
    if event.kind in ENDS:
        return _ended(event, payment, order, actor)
    if event.kind == EventKind.TRY_FAILED:
        return _try_failed(event, payment, order, actor)
    if event.kind in waiting.NEWS:
        return waiting.take_in(event, payment, order)
    if event.kind in REFUND_NEWS:
        return refunds.take_in(event, payment, order, actor)
    return disputes.take_in(event, payment, order, actor)


def learn_ids(payment: Payment, gateway_id: str | None, refs: Any) -> None:
    """Keep the ids by which later news may name this attempt."""
    if gateway_id and payment.gateway_id is None:
        payment.gateway_id = gateway_id
    fresh = {name: alias for name, alias in dict(refs).items() if alias}
    if fresh and fresh != payment.gateway_refs:
        payment.gateway_refs = {**payment.gateway_refs, **fresh}
        for alias in fresh.values():
            insert_ignore(
                PaymentAlias,
                {"gateway": payment.gateway, "alias": alias, "payment_id": payment.id},
            )


def _learn_facts(payment: Payment, event: GatewayEvent) -> None:
    for name in ("method", "fee_minor", "payout_reference", "payer_email", "payer_phone"):
        value = getattr(event, name)
        if value is not None and getattr(payment, name) is None:
            setattr(payment, name, value)


def _remember(event: GatewayEvent, payment: Payment, source: str, changed: str) -> None:
    db.session.add(
        PaymentEvent(
            payment_id=payment.id, kind=event.kind.value, amount_minor=event.amount_minor, source=source,
            gateway_event_id=event.event_id, changed=changed,
            details={"currency": event.currency} if changed == "mismatch" else {},
        )
    )  # fmt: skip


# --- money came in ---------------------------------------------------------------------------


def _captured(event: GatewayEvent, payment: Payment, order: Order, actor: Actor) -> str:
    if payment.status == AttemptStatus.CAPTURED:
        return "nothing"
    if event.currency != payment.currency or not event.amount_minor:
        return _wrong_currency(event, payment, order)
    if not _mark_captured(event, payment):
        return "nothing"
    part = db.session.get_one(PaymentPart, payment.part_id)
    came = f"Payment of {format_minor(event.amount_minor, payment.currency)} received"
    if event.amount_minor < payment.amount_minor or part.status != PartStatus.DUE:
        telling.note(order, "payment", actor.name, came, {"reference": payment.reference})
    if part.status != PartStatus.DUE:
        return _second_money(payment, order)
    if event.amount_minor < payment.amount_minor:
        return _too_little(event.amount_minor, payment, order)
    part.status = PartStatus.PAID
    if event.amount_minor > payment.amount_minor:
        telling.report(order, payment, _excess_words(order), Severity.HIGH, "overpaid")
    _supersede_others(payment)
    return _settle(payment, order, actor, came)


def _excess_words(order: Order) -> str:
    """The desk knows what is too much for the whole order, so not before all of it is paid."""
    if parts.due_minor(order.id):
        return "Paid more than this part: the excess can be refunded once the order is paid in full"
    return "Paid more than asked: the excess can be refunded"


def _mark_captured(event: GatewayEvent, payment: Payment) -> bool:
    """One conditional update: a capture is counted once, whoever brings it (reliability.md, I3)."""
    result = db.session.execute(
        update(Payment)
        .where(Payment.id == payment.id, Payment.status != AttemptStatus.CAPTURED)
        .values(
            status=AttemptStatus.CAPTURED, captured_minor=event.amount_minor, ask_at=None,
            captured_at=event.occurred_at or utcnow(), failure_code=None, failure_words=None,
            updated_at=utcnow(),
        )
        .execution_options(synchronize_session=False)
    )  # fmt: skip
    db.session.flush()
    db.session.refresh(payment)
    return rows_changed(result) > 0


def _settle(payment: Payment, order: Order, actor: Actor, came: str) -> str:
    """A part was paid: is the order, and may it go on?"""
    if order.status == OrderStatus.ARCHIVED:
        advance(order, "unarchived", actor)
    if order.status == OrderStatus.REFUNDED and payment.gateway != "cod":
        telling.note(order, "payment", actor.name, came)
        return _goes_back(payment, "paid after the order was refunded")
    due = db.session.scalar(
        select(PaymentPart.id)
        .where(
            PaymentPart.order_id == order.id, PaymentPart.status == PartStatus.DUE,
            PaymentPart.before_shipping,
        )
        .limit(1)
    )  # fmt: skip
    if due is None and order.status == OrderStatus.CANCELLED and late.was_sold(order):
        return _paid_for_a_cancelled_order(order, actor, came)
    if due is None and (order.is_unpaid or order.status == OrderStatus.CANCELLED):
        return late.accept_or_hold(order, actor, came)
    telling.note(order, "payment", actor.name, came)
    if due is not None:
        return _part_settled(order, actor)
    order.paid_at = order.paid_at or utcnow()
    effects.count_sales(order, actor.name)
    return "captured"


def _part_settled(order: Order, actor: Actor) -> str:
    """A part came in, and others stand before shipping: held for them, or all of it goes back."""
    if order.status == OrderStatus.PAYMENT_FAILED and may(order, "payment_retried", SYSTEM.who):
        advance(order, "payment_retried", SYSTEM)
    if order.is_unpaid and not late.keep_for_the_rest(order):
        advance(order, "expired", SYSTEM)
    elif order.status == OrderStatus.CANCELLED:
        refunds.refund_in_full(order, "paid too late", SYSTEM.name)
    return "captured"


def _paid_for_a_cancelled_order(order: Order, actor: Actor, came: str) -> str:
    """An instalment goes back. Cash at the door stays: goods and money have changed hands all the same."""
    telling.note(order, "payment", actor.name, came)
    if actor.name != "gateway:cod":
        refunds.refund_in_full(order, "paid after it was cancelled", SYSTEM.name)
        return "late"
    order.paid_at = order.paid_at or utcnow()
    order.attention = "Cash was taken for a cancelled order: let it stand, or refund"
    open_incident(
        About(
            issue=f"Cash was taken for order {order.number}, which was cancelled",
            category=Category.PAYMENT,
            severity=Severity.HIGH,
            order_id=order.id,
            context={
                "orderId": order.number,
                "amount": order.total_minor,
                "currency": order.currency,
            },
        ),
        f"cash_for_cancelled:{order.id}",
    )
    return "captured"


def _goes_back(payment: Payment, reason: str) -> str:
    """This money pays for nothing any more."""
    refunds.request_refund(
        payment.id, payment.refundable_minor, [], reason, SYSTEM.name, follows_order=False
    )
    return "late"


def _wrong_currency(event: GatewayEvent, payment: Payment, order: Order) -> str:
    came = format_minor(event.amount_minor or 0, event.currency or payment.currency)
    said = f"{came}, asked {format_minor(payment.amount_minor, payment.currency)}"
    telling.report(
        order, payment, f"Payment in the wrong currency or of nothing: {said}", Severity.CRITICAL, "mismatch"
    )  # fmt: skip
    return "mismatch"


def _too_little(amount_minor: int, payment: Payment, order: Order) -> str:
    where = order.status_before if order.status == OrderStatus.ARCHIVED else order.status
    if where in NOTHING_TO_PAY and payment.gateway != "cod":
        return _goes_back(payment, "paid too little, and too late")
    got, asked = (
        format_minor(minor, payment.currency) for minor in (amount_minor, payment.amount_minor)
    )
    telling.report(order, payment, f"Paid too little: {got} of {asked}", Severity.CRITICAL, "short")
    return "short"


def _second_money(payment: Payment, order: Order) -> str:
    """The part was paid already: this money goes back."""
    telling.report(
        order, payment, "Paid twice: the second payment is refunded", Severity.HIGH, "second"
    )
    refunds.request_refund(
        payment.id, payment.refundable_minor, [], "paid twice", SYSTEM.name, follows_order=False
    )
    return "second"


def _supersede_others(payment: Payment) -> None:
    """The part is paid; another live attempt for it is ended at its gateway."""
    others = db.session.scalars(
        select(Payment).where(
            Payment.part_id == payment.part_id, Payment.id != payment.id, Payment.status.in_(LIVE)
        )
    )
    for other in others:
        supersede(other)


def supersede(payment: Payment) -> None:
    """Another attempt takes this one's place; its page is ended by a job."""
    payment.status = AttemptStatus.SUPERSEDED
    payment.ask_at = in_future(minutes=2)
    db.session.flush()
    enqueue("payments.close_attempt", {"payment_id": payment.id}, key=str(payment.id))


# --- no money came ---------------------------------------------------------------------------


def _ended(event: GatewayEvent, payment: Payment, order: Order, actor: Actor) -> str:
    if payment.status not in LIVE:
        return "nothing"
    payment.status = ENDS[event.kind]
    payment.failure_code = event.failure_code
    payment.failure_words = event.failure_words or payment.failure_words
    payment.ask_at = None
    db.session.flush()
    if may(order, "payment_failed", actor.who):
        advance(order, "payment_failed", actor, text=_failure_line(payment))
        enqueue(
            "messaging.tell",
            {"event": "payment_failed", "order_id": order.id, "payment_id": payment.id},
            key=f"payment_failed:{payment.id}",
        )
    return payment.status.value


def _failure_line(payment: Payment) -> str:
    return payment.failure_words or {
        AttemptStatus.EXPIRED: "The payment page closed before it was paid",
        AttemptStatus.CANCELLED: "The payment was cancelled",
    }.get(payment.status, "The payment did not go through")


def _try_failed(event: GatewayEvent, payment: Payment, order: Order, actor: Actor) -> str:
    if payment.status not in LIVE:
        return "nothing"
    payment.failure_code, payment.failure_words = event.failure_code, event.failure_words
    words = (event.failure_words or "A payment try was declined").rstrip(".")
    telling.note(order, "payment", actor.name, f"{words}. Nothing was charged")
    return "try_failed"


def opening_refused(payment_id: int, words: str) -> None:
    """The gateway refused to open for certain: hold released at once, no mail; the shopper chooses anew.

    Who has paid a part keeps the hold until its time is over.
    """
    payment, order = locked(payment_id)
    if payment.status not in LIVE:
        return
    payment.status = AttemptStatus.FAILED
    payment.failure_code = "not_opened"
    payment.failure_words = "This way to pay is not answering right now. Choose another way to pay."
    payment.ask_at = None
    db.session.flush()
    event = GatewayEvent(EventKind.FAILED, failure_code=words[:80])
    _remember(event, payment, "open", "not_opened")
    if may(order, "payment_failed", Who.GATEWAY):
        actor = Actor(Who.GATEWAY, f"gateway:{payment.gateway}")
        advance(order, "payment_failed", actor, text="The payment could not be opened")
    if refresh(order) != PaymentStatus.PARTIALLY_PAID:
        late.release_hold(order)
    telling.report(
        order, payment, f"A payment could not be opened: {words}"[:300], Severity.MEDIUM, "open_refused"
    )  # fmt: skip


# --- by hand and at the door -----------------------------------------------------------------


def record_cash(order: Order, amount_minor: int, actor: str) -> str:
    """The courier handed the parcel over and took the cash."""
    payment_id = db.session.scalar(
        select(Payment.id)
        .where(Payment.order_id == order.id, Payment.gateway == "cod")
        .order_by(Payment.id.desc())
        .limit(1)
    )
    if payment_id is None or amount_minor <= 0:
        return "nothing"
    event = GatewayEvent(
        EventKind.CAPTURED, amount_minor=amount_minor, currency=order.currency, method="cash"
    )
    return record(event, "cod", "courier", payment_id)


def decide_late(order_id: int, choice: str, actor: str) -> None:
    """A person's word on late money: "accept" takes the stock again, "refund" sends the money back."""
    order = lock_order(order_id)
    if order.late_money_due_at is None:
        raise Refused("No late payment waits here.")
    late.decide(order, choice, actor)
    refresh(order)
