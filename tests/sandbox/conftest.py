"""A payment at the sandbox gateway and a receiver of its webhooks."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from werkzeug import Request, Response
from werkzeug.serving import make_server

from shop.clock import utcnow
from shop.payments.gateways.base import AttemptRef, Opened, PaymentRequest
from shop.payments.gateways.sandbox import Sandbox


class Receiver:
    """Stands where the shop's webhook address would be and keeps what came."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, dict[str, str]]] = []
        self.status = 200
        self.server = make_server("127.0.0.1", 0, self.answer, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    @Request.application
    def answer(self, request: Request) -> Response:
        """Take one message."""
        self.taken.append((request.get_data(), dict(request.headers)))
        return Response(status=self.status)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    threading.Thread(target=made.server.serve_forever, args=(0.05,), daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def wish(receiver: Receiver) -> Callable[..., PaymentRequest]:
    """Makes requests; each has a reference of its own."""
    count = iter(range(1, 1000))

    def make(**changes: Any) -> PaymentRequest:
        number = next(count)
        fields: dict[str, Any] = {
            "reference": f"REF{number:023}",
            "idempotency_key": f"pay-{number}",
            "amount_minor": 1_384_800,
            "currency": "INR",
            "order_number": "2611.482",
            "description": "Halflong order 2611.482",
            "email": "asha@example.com",
            "phone": "+919876543210",
            "country": "IN",
            "return_url": f"http://shop.example/pay/sandbox/return?reference=REF{number:023}",
            "webhook_url": receiver.url,
            "expires_at": utcnow() + timedelta(minutes=10),
        }
        return PaymentRequest(**{**fields, **changes})

    return make


@pytest.fixture
def opened(live: str, wish: Callable[..., PaymentRequest]) -> tuple[Opened, AttemptRef]:
    """An open payment, by the API over HTTP, and how to ask about it."""
    request = wish()
    made = Sandbox().open(request)
    return made, ref(request, made)


def ref(request: PaymentRequest, made: Opened) -> AttemptRef:
    """How an opened payment is named to its gateway."""
    return AttemptRef(
        request.reference,
        made.gateway_id,
        made.refs,
        request.amount_minor,
        request.currency,
        utcnow(),
        request,
    )
