"""When the gateway is asked about an attempt that no message told of."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from shop.clock import in_future, utcnow
from shop.jobs.queue import enqueue
from shop.payments.gateways import gateway
from shop.payments.gateways.base import EventKind, GatewayEvent, PageEnd
from shop.payments.models import LIVE, AttemptStatus, Payment

FIRST_ASK_MINUTES = 2
ASKED_HOURS = 72
#: A page on this shop that lives no longer is asked about so often, until as long after its end.
SHORT_LIFE = timedelta(minutes=4)
SHORT_ASK_SECONDS = 30


def plan(payment: Payment, events: Sequence[GatewayEvent] = ()) -> None:
    """Set when to ask next, in the caller's transaction; `events` is what the gateway just said."""
    if payment.status == AttemptStatus.OPEN and _has_shopper_waiting(payment):
        payment.ask_at = in_future(seconds=SHORT_ASK_SECONDS)
        # Not by the sweep alone, which comes once a minute.
        wish = {"payment_id": payment.id}
        enqueue("payments.verify", wish, key=str(payment.id), run_at=payment.ask_at)
    elif payment.asks:
        payment.ask_at = _next(payment, events)


def _has_shopper_waiting(payment: Payment) -> bool:
    """True while a page on this shop that lives minutes is open, and a little longer."""
    if payment.next_step.get("kind") != "page" or payment.expires_at is None:
        return False
    lives = payment.expires_at - payment.created_at
    return lives <= SHORT_LIFE and utcnow() < payment.expires_at + SHORT_LIFE


def _next(payment: Payment, events: Sequence[GatewayEvent]) -> datetime | None:
    """5 and 10 minutes after opening, then every 8 while money may still come; 72 hours at the most."""
    may_be_paid = payment.status in LIVE or payment.status == AttemptStatus.SUPERSEDED
    if gateway(payment.gateway).page_end == PageEnd.NEVER:
        may_be_paid = may_be_paid or payment.status == AttemptStatus.EXPIRED
    if not may_be_paid or any(event.kind == EventKind.CAPTURED for event in events):
        return None
    if is_too_old(payment):
        return None
    return in_future(minutes={1: 3, 2: 5}.get(payment.asks, 8))


def is_too_old(payment: Payment) -> bool:
    """True when nobody asks any more: the attempt is over for us."""
    return utcnow() - payment.created_at > timedelta(hours=ASKED_HOURS)
