"""Requests as the shop makes them, for tests that speak to a gateway without an order."""

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from shop.clock import utcnow
from shop.payments.attempts import new_reference
from shop.payments.gateways.base import AttemptRef, Opened, PaymentRequest

AMOUNT = 1_384_800


def wishes(gateway_key: str, webhook_url: str) -> Callable[..., PaymentRequest]:
    """Makes requests of ₹13,848.00; each has a reference and a key of its own."""
    numbers = itertools.count(1)

    def make(**changes: Any) -> PaymentRequest:
        reference = new_reference()
        fields: dict[str, Any] = {
            "reference": reference,
            "idempotency_key": f"pay-{reference}-{next(numbers)}",
            "amount_minor": AMOUNT,
            "currency": "INR",
            "order_number": "2611.482",
            "description": "Halflong order 2611.482",
            "email": "asha@example.com",
            "phone": "+919812345678",
            "country": "IN",
            "return_url": f"http://shop.example/pay/{gateway_key}/return?reference={reference}",
            "webhook_url": webhook_url,
            "expires_at": utcnow() + timedelta(minutes=10),
        }
        return PaymentRequest(**{**fields, **changes})

    return make


def ref_to(request: PaymentRequest, made: Opened | None) -> AttemptRef:
    """How the attempt is named to its gateway; without `made` as when the answer was lost."""
    return AttemptRef(
        reference=request.reference,
        gateway_id=made.gateway_id if made else None,
        refs=dict(made.refs) if made else {},
        amount_minor=request.amount_minor,
        currency=request.currency,
        created_at=utcnow(),
        request=request,
    )
