"""A payment at the sandbox gateway and a receiver of its webhooks."""

from collections.abc import Callable

import pytest

from shop.payments.gateways.base import AttemptRef, Opened, PaymentRequest
from shop.payments.gateways.sandbox import Sandbox
from tests.payments.conftest import receiver
from tests.payments.wishes import ref_to, wishes
from tests.simulators.receiver import Receiver

__all__ = ["opened", "receiver", "wish"]


@pytest.fixture
def wish(receiver: Receiver) -> Callable[..., PaymentRequest]:
    """Makes requests; each has a reference of its own."""
    return wishes("sandbox", receiver.url)


@pytest.fixture
def opened(live: str, wish: Callable[..., PaymentRequest]) -> tuple[Opened, AttemptRef]:
    """An open payment, by the API over HTTP, and how to ask about it."""
    request = wish()
    made = Sandbox().open(request)
    return made, ref_to(request, made)
