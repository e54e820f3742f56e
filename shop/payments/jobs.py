"""Work about money that happens outside a request: asking, closing, refunding, sweeping."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import select

from shop.clock import in_future, utcnow
from shop.extensions import db
from shop.jobs.handlers import Policy, Work, handles, handles_outward
from shop.jobs.queue import enqueue
from shop.jobs.sweeping import next_page
from shop.orders.lifecycle import MOVING, PACKING, SYSTEM, advance
from shop.orders.locking import lock_order
from shop.orders.models import Order, OrderStatus
from shop.payments import attempts, late, questions, recording, refunds
from shop.payments.gateways import gateway
from shop.payments.gateways.base import (
    AttemptRef,
    EventKind,
    GatewayEvent,
    PageEnd,
    RefundRequest,
)  # fmt: skip
from shop.payments.models import (
    LIVE,
    AttemptStatus,
    Payment,
    Refund,
    RefundStatus,
)  # fmt: skip
from shop.payments.refundable import left_to_refund
from shop.payments.status import refresh
from shop.providers import ProviderRefused, TryLater
from shop.stock import reservations
from shop.stock.models import Reservation, ReservationState

log = structlog.get_logger()

HOLD_GROWS_MINUTES = 5
HOLD_GROWS_AT_MOST_MINUTES = 30
PAGE = 200
SWEEP = Policy(limit=30, attempts=5, base=5, cap=60, priority=5, incident=("payment", "medium"))


# --- asking ----------------------------------------------------------------------------------


@handles("payments.ask_due", SWEEP)
def ask_due(work: Work) -> None:
    """Quick sweep: attempts with no news whose time to be asked has come."""
    due = select(Payment.id).where(Payment.ask_at.is_not(None), Payment.ask_at <= utcnow())
    for (payment_id,) in next_page(work, due, PAGE):
        enqueue("payments.verify", {"payment_id": payment_id}, key=str(payment_id))


@dataclass(frozen=True)
class Question:
    """Ask this gateway about this attempt."""

    payment_id: int
    gateway_key: str
    attempt: AttemptRef
    never_opened: bool


@handles_outward(
    "payments.verify",
    Policy(limit=15, attempts=10, base=30, cap=1800, priority=0, incident=("payment", "high")),
)
class Verify:
    """Ask the gateway how an attempt stands, and record the answer."""

    def prepare(self, work: Work) -> Question | None:
        """Nothing to ask where there is no provider."""
        payment = db.session.get(Payment, work.payload["payment_id"])
        if payment is None or not gateway(payment.gateway).is_online:
            return None
        never_opened = payment.gateway_id is None
        return Question(payment.id, payment.gateway, attempts.ref_of(payment), never_opened)

    def call(self, request: Question) -> Any:
        """Fetch; an opening of unknown outcome is repeated with its own key first."""
        return attempts.answer_of(request.gateway_key, request.attempt, request.never_opened)

    def record(self, work: Work, request: Question, answer: Any) -> None:
        """Record what was said."""
        attempts.keep_answer(request.payment_id, request.gateway_key, answer, "sweep")

    def gave_up(self, work: Work, words: str) -> None:
        """No answer to be had: ask again later; after 72 hours the attempt is over for us."""
        payment, _order = recording.locked(work.payload["payment_id"])
        payment.ask_at = in_future(minutes=30)
        if questions.is_too_old(payment):
            event = GatewayEvent(EventKind.EXPIRED, reference=payment.reference)
            recording.record(event, payment.gateway, "sweep", payment.id)
            payment.ask_at = None


# --- ending attempts -------------------------------------------------------------------------


@handles("payments.close_attempts", SWEEP)
def close_attempts(work: Work) -> None:
    """The order is cancelled: its live attempts are ended, so nothing is pending any more."""
    order = lock_order(work.payload["order_id"])
    live = db.session.scalars(
        select(Payment).where(Payment.order_id == order.id, Payment.status.in_(LIVE))
    )
    for payment in live:
        recording.supersede(payment)
    refresh(order)


@dataclass(frozen=True)
class Ending:
    """End this attempt's page at its gateway; `frees_stock` when its hold waits for that."""

    payment_id: int
    gateway_key: str
    attempt: AttemptRef
    frees_stock: bool


@handles_outward(
    "payments.close_attempt",
    Policy(limit=30, attempts=10, base=5, cap=3600, priority=0, incident=("payment", "critical")),
)
class CloseAttempt:
    """End an attempt's page at its gateway. Money that was quicker is recorded instead."""

    def prepare(self, work: Work) -> Ending | None:
        """Offline methods and attempts that never reached the gateway end here."""
        payment, order = recording.locked(work.payload["payment_id"])
        frees_stock = bool(work.payload.get("frees_stock"))
        if payment.status not in {*LIVE, AttemptStatus.SUPERSEDED}:
            return None
        if work.attempt > 1 and frees_stock and _is_held_for(payment, order):
            _grow_hold(payment, order)
        way = gateway(payment.gateway)
        if not way.is_online or way.page_end == PageEnd.NEVER:
            _ended_without_call(payment, order, frees_stock)
            return None
        return Ending(payment.id, payment.gateway, attempts.ref_of(payment), frees_stock)

    def call(self, request: Ending) -> GatewayEvent:
        """An attempt of unknown opening is opened with its own key first, so that there is an end."""
        way, attempt = gateway(request.gateway_key), request.attempt
        if attempt.gateway_id is None:
            opened = attempts.opened_after_all(way, attempt)
            if opened is None:
                return attempts.never_was(attempt)
            attempt = attempts.named(attempt, opened)
        return way.close(attempt)

    def record(self, work: Work, request: Ending, answer: GatewayEvent) -> None:
        """Captured, or ended: then the hold may go. Money under way keeps it."""
        if answer.kind in {EventKind.PENDING, EventKind.IN_DOUBT}:
            raise TryLater("a payment is under way on that page")
        payment, order = recording.locked(request.payment_id)
        if answer.kind == EventKind.CAPTURED or payment.status in LIVE:
            recording.record(answer, request.gateway_key, "sweep", payment.id)
        if payment.status == AttemptStatus.SUPERSEDED:
            payment.ask_at = None
        is_paid = payment.status == AttemptStatus.CAPTURED
        if not is_paid and request.frees_stock and _is_held_for(payment, order):
            late.end_hold(order)

    def gave_up(self, work: Work, words: str) -> None:
        """The gateway cannot be reached: the stock is not held for ever; money that comes is late money."""
        if work.payload.get("frees_stock"):
            payment, order = recording.locked(work.payload["payment_id"])
            if _is_held_for(payment, order):
                late.end_hold(order)


def _ended_without_call(payment: Payment, order: Order, frees_stock: bool) -> None:
    """No call can end it: it counts as expired, and is asked about for 72 hours where it can be asked."""
    if payment.status in LIVE:
        event = GatewayEvent(EventKind.EXPIRED, reference=payment.reference)
        recording.record(event, payment.gateway, "sweep", payment.id)
    payment.ask_at = in_future(minutes=8) if gateway(payment.gateway).is_online else None
    if frees_stock and _is_held_for(payment, order):
        late.end_hold(order)


def _is_held_for(payment: Payment, order: Order) -> bool:
    """False once another attempt lives: the shopper had the stock held anew for that one."""
    other = select(Payment.id).where(
        Payment.order_id == order.id, Payment.id != payment.id, Payment.status.in_(LIVE)
    )
    return order.is_unpaid and db.session.scalar(other.limit(1)) is None


def _grow_hold(payment: Payment, order: Order) -> None:
    """The gateway is away: the hold lasts 5 minutes longer, 30 at the most, then the stock is free."""
    holds = db.session.scalars(
        select(Reservation).where(
            Reservation.order_id == order.id, Reservation.state == ReservationState.ACTIVE
        )
    ).all()
    for hold in holds:
        grown_until = utcnow() + timedelta(minutes=HOLD_GROWS_MINUTES)
        if payment.expires_at and grown_until > payment.expires_at + timedelta(
            minutes=HOLD_GROWS_AT_MOST_MINUTES
        ):
            late.end_hold(order)
            return
        hold.expires_at = grown_until


@handles("stock.expire_holds", SWEEP)
def expire_holds(work: Work) -> None:
    """Holds whose time is over, one job an order: a fault with one leaves the others alone."""
    over = (
        select(Reservation.order_id)
        .where(Reservation.state == ReservationState.ACTIVE, Reservation.expires_at <= utcnow())
        .distinct()
    )
    for (order_id,) in next_page(work, over, PAGE):
        enqueue("stock.end_hold", {"order_id": order_id}, key=str(order_id))


@handles("stock.end_hold", SWEEP)
def end_hold(work: Work) -> None:
    """Free at once, or after the attempt's page was ended; however that goes, not later than 30 minutes."""
    order = lock_order(work.payload["order_id"])
    ends_at = reservations.hold_ends_at(order.id)
    if ends_at is None or ends_at > utcnow():
        return
    live = db.session.scalars(
        select(Payment).where(Payment.order_id == order.id, Payment.status.in_(LIVE))
    ).all()
    for payment in live:
        enqueue(
            "payments.close_attempt", {"payment_id": payment.id, "frees_stock": True},
            key=str(payment.id),
        )  # fmt: skip
    longest = timedelta(minutes=HOLD_GROWS_AT_MOST_MINUTES)
    if all(utcnow() > (payment.expires_at or ends_at) + longest for payment in live):
        late.end_hold(order)


@handles("orders.cancel_unpaid", SWEEP)
def cancel_unpaid(work: Work) -> None:
    """Orders past their age that nobody can still pay, one job each."""
    live = select(Payment.id).where(Payment.order_id == Order.id, Payment.status.in_(LIVE))
    old = select(Order.id).where(
        Order.status.in_(["pending_payment", "payment_failed"]),
        Order.expires_at <= utcnow(),
        Order.late_money_due_at.is_(None),
        ~live.exists(),
    )
    for (order_id,) in next_page(work, old, PAGE):
        enqueue("orders.expire", {"order_id": order_id}, key=str(order_id))


@handles("orders.expire", SWEEP)
def expire_order(work: Work) -> None:
    """Cancelled, the cart given back; what came in short goes back too."""
    order = lock_order(work.payload["order_id"])
    if work.payload.get("unless_held") and reservations.has_active_hold(order.id):
        return
    if order.is_unpaid and order.late_money_due_at is None:
        advance(order, "expired", SYSTEM)
        refresh(order)


# --- refunds ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sending:
    """A refund to be made, and whether to ask for it first."""

    refund_id: int
    payment_id: int
    gateway_key: str
    request: RefundRequest
    ask_first: bool
    #: False when the shopper's bank has taken the money meanwhile: then it is asked for, and not made.
    may_go: bool


@handles_outward(
    "payments.refund",
    Policy(limit=30, attempts=15, base=10, cap=7200, priority=0, incident=("payment", "critical")),
)
class SendRefund:
    """Make a refund at the gateway: one key, however often it is tried."""

    def prepare(self, work: Work) -> Sending | None:
        """A refund that was answered needs nothing more; one that is disputed waits for the outcome."""
        refund = db.session.get(Refund, work.payload["refund_id"])
        if refund is None:
            return None
        payment, _order = recording.locked(refund.payment_id)
        db.session.refresh(refund)
        left = left_to_refund(payment)
        if refund.status != RefundStatus.REQUESTED or left is None:
            return None
        request = RefundRequest(
            attempts.ref_of(payment), refund.amount_minor, payment.currency, refund.idempotency_key,
            refund.reason, refund.gateway_id,
        )  # fmt: skip
        ask_first = work.attempt > 1 or refund.sent_at is not None
        refund.sent_at = refund.sent_at or utcnow()
        return Sending(refund.id, payment.id, payment.gateway, request, ask_first, left >= 0)

    def call(self, request: Sending) -> GatewayEvent:
        """Ask before repeating. A definite no is an answer: it gives the hold back."""
        way = gateway(request.gateway_key)
        found = way.find_refund(request.request) if request.ask_first else None
        if not found and not request.may_go:
            return GatewayEvent(EventKind.REFUND_FAILED, failure_words=refunds.LOST_WORDS)
        try:
            return found or way.refund(request.request)
        except ProviderRefused as error:
            return GatewayEvent(EventKind.REFUND_FAILED, failure_words=str(error))

    def record(self, work: Work, request: Sending, answer: GatewayEvent) -> None:
        """Pending, made, or refused for certain."""
        recording.record(_named(answer, request), request.gateway_key, "sweep", request.payment_id)

    def gave_up(self, work: Work, words: str) -> None:
        """The hold is kept: whether the money left is not known. A person decides."""
        refund = db.session.get(Refund, work.payload["refund_id"])
        if refund:
            order = db.session.get_one(Order, refund.order_id)
            order.attention = f"A refund could not be made: {words}"[:300]


def _named(answer: GatewayEvent, request: Sending) -> GatewayEvent:
    return replace(answer, refund_key=request.request.idempotency_key)


@handles("payments.refund_in_full", SWEEP)
def refund_in_full(work: Work) -> None:
    """The order was cancelled: all that was paid goes back, unless late money revived it meanwhile."""
    order = lock_order(work.payload["order_id"])
    if order.status in {*PACKING, *MOVING, OrderStatus.DELIVERED}:
        return
    refunds.refund_in_full(order, work.payload["reason"], work.payload["actor"])


@handles("payments.ask_refunds", SWEEP)
def ask_refunds(work: Work) -> None:
    """Refunds sent 15 minutes ago with no answer: ask about their payments."""
    waiting = (
        select(Refund.payment_id)
        .join(Payment, Refund.payment_id == Payment.id)
        .where(
            Refund.status == RefundStatus.SENT,
            Refund.sent_at <= in_future(minutes=-15),
            Payment.gateway.not_in(["bank_transfer", "cod"]),
        )
        .distinct()
    )
    for (payment_id,) in next_page(work, waiting, PAGE):
        enqueue("payments.verify", {"payment_id": payment_id}, key=str(payment_id))


@handles("payments.late_money_default", SWEEP)
def late_money_default(work: Work) -> None:
    """Nobody chose in time: one job an order sends the money back."""
    due = select(Order.id).where(Order.late_money_due_at <= utcnow())
    for (order_id,) in next_page(work, due, PAGE):
        enqueue("payments.return_late_money", {"order_id": order_id}, key=str(order_id))


@handles("payments.return_late_money", SWEEP)
def return_late_money(work: Work) -> None:
    """The default of the late-money desk: refund in full."""
    order = lock_order(work.payload["order_id"])
    if order.late_money_due_at is not None and order.late_money_due_at <= utcnow():
        late.decide(order, "refund", SYSTEM.name)
        refresh(order)
