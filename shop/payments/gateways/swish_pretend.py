"""SWISH_ENVIRONMENT=mock: Swish with pretend money, for development. No network and no state of its own.

What happened to a pretend payment stands in the shop's own rows: a person picks it on the payment's
page (shop/sandbox/swish_views.py). Only what nobody picks comes by itself: after some minutes the request ends.
"""

from collections.abc import Sequence
from datetime import timedelta

from shop.clock import utcnow
from shop.payments.gateways.base import (
    AttemptRef,
    EventKind,
    GatewayEvent,
    Opened,
    PaymentRequest,
    RefundRequest,
)  # fmt: skip
from shop.payments.gateways.swish_reading import (
    DECLINED,
    ERROR_KINDS,
    FAILURE_WORDS,
    instruction_id,
)

#: The value of SWISH_ENVIRONMENT, and of the attempt's memory of it.
ENVIRONMENT = "mock"
ENDS_AFTER = timedelta(minutes=5)
OUTCOMES = {
    "paid": "Paid",
    "declined": "Declined in the app",
    "RF07": "Refused by the bank",
    "BANKIDCL": "Cancelled in BankID",
    "TM01": "Timed out",
    "DS24": "Outcome unknown",
}
"""What a person may pick: a word for the kind, or Swish's code of an error."""


def opened(request: PaymentRequest, until: timedelta) -> Opened:
    """A pretend request."""
    number = instruction_id(request.reference)
    return Opened(
        gateway_id=number,
        next_step={
            "kind": "page", "token": f"pretend{number[:24].lower()}", "is_pretend": True,
            "return_url": request.return_url,
        },
        expires_at=utcnow() + until,
        refs={ENVIRONMENT: number},
    )  # fmt: skip


def picked(outcome: str, attempt: AttemptRef) -> GatewayEvent:
    """The news that Swish would send, for one of OUTCOMES."""
    kind = {"paid": EventKind.CAPTURED, "declined": EventKind.CANCELLED}.get(outcome)
    code = outcome if kind is None else None
    return GatewayEvent(
        kind or ERROR_KINDS.get(outcome, EventKind.FAILED),
        reference=attempt.reference,
        gateway_id=attempt.gateway_id,
        amount_minor=attempt.amount_minor,
        currency=attempt.currency,
        occurred_at=utcnow(),
        method="swish",
        failure_code=code,
        failure_words=DECLINED if outcome == "declined" else FAILURE_WORDS.get(outcome),
    )


def news(attempt: AttemptRef) -> Sequence[GatewayEvent]:
    """Nothing while a person may still pick; then the request ended unpaid."""
    if utcnow() - attempt.created_at < ENDS_AFTER:
        return []
    return [
        GatewayEvent(
            EventKind.EXPIRED, reference=attempt.reference, failure_code="TM01",
            failure_words=FAILURE_WORDS["TM01"],
        )
    ]  # fmt: skip


def closed(attempt: AttemptRef) -> GatewayEvent:
    """Ended at once."""
    return GatewayEvent(
        EventKind.CANCELLED, reference=attempt.reference, gateway_id=attempt.gateway_id
    )


def refunded(request: RefundRequest) -> GatewayEvent:
    """Back at once."""
    return GatewayEvent(
        EventKind.REFUND_SUCCEEDED,
        reference=request.attempt.reference,
        amount_minor=request.amount_minor,
        currency=request.currency,
        occurred_at=utcnow(),
        refund_gateway_id=instruction_id(request.idempotency_key),
        refund_key=request.idempotency_key,
    )
