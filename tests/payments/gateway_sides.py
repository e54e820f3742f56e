"""The other side of each gateway, for the contract: who pays, and what the shop is told."""

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from shop.payments.gateways import gateway
from shop.payments.gateways.base import AttemptRef, Gateway, Opened, PaymentRequest
from shop.payments.gateways.sandbox import shared_secret
from tests.payments.wishes import ref_to, wishes
from tests.simulators.receiver import Receiver
from tests.simulators.stripe import Stripe

STRIPE_SECRETS = ("whsec_shopTestVectorSecret0001", "whsec_shopRotatedSecret0002")


class Side:
    """One gateway and its counterpart."""

    header = ""

    def __init__(self, key: str, receiver: Receiver) -> None:
        self.gateway: Gateway = gateway(key)
        self.receiver = receiver
        self.wish: Callable[..., PaymentRequest] = wishes(key, receiver.url)

    def opened(self, **changes: Any) -> tuple[Opened, AttemptRef]:
        """An open payment and how to ask about it."""
        request = self.wish(**changes)
        made = self.gateway.open(request)
        return made, ref_to(request, made)

    def paid(self, **changes: Any) -> AttemptRef:
        """A payment that was paid, with the ids that the shop has learnt of it."""
        made, attempt = self.opened(**changes)
        self.pay(made)
        refs = {**attempt.refs, **self.gateway.fetch(attempt)[0].refs}
        return replace(attempt, refs=refs)

    def pay(self, made: Opened) -> None:
        """The shopper pays on the gateway's page."""
        raise NotImplementedError

    def dispute(self, attempt: AttemptRef) -> None:
        """The payer's bank asks for the money back."""
        raise NotImplementedError

    def lose_dispute(self, attempt: AttemptRef) -> None:
        """The bank decides against the shop."""
        raise NotImplementedError

    def told(self) -> list[tuple[bytes, dict[str, str]]]:
        """What arrived at the webhook address."""
        return self.receiver.taken

    def secrets(self) -> tuple[str, ...]:
        """The signing secrets in force."""
        raise NotImplementedError

    def signed(self, body: bytes, *, age: float = 0, secret: str | None = None) -> dict[str, str]:
        """Headers for this body, signed so many seconds ago."""
        moment = str(int(time.time() - age))
        key = self.secrets()[0] if secret is None else secret
        made = hmac.new(key.encode(), moment.encode() + b"." + body, hashlib.sha256)
        return {self.header: f"t={moment},v1={made.hexdigest()}"}


class SandboxSide(Side):
    """The pretend gateway, by its own page and desk."""

    header = "X-Sandbox-Signature"

    def __init__(self, receiver: Receiver, client: Any, run_jobs: Callable[..., int]) -> None:
        super().__init__("sandbox", receiver)
        self.client = client
        self.run_jobs = run_jobs

    def pay(self, made: Opened) -> None:
        self.client.post_form(f"/sandbox/pay/{made.gateway_id}", {"outcome": "ok"})

    def dispute(self, attempt: AttemptRef) -> None:
        self._act(attempt, "dispute")

    def lose_dispute(self, attempt: AttemptRef) -> None:
        self._act(attempt, "lose")

    def told(self) -> list[tuple[bytes, dict[str, str]]]:
        self.run_jobs()
        return self.receiver.taken

    def secrets(self) -> tuple[str, ...]:
        return (shared_secret(),)

    def _act(self, attempt: AttemptRef, action: str) -> None:
        url = f"/sandbox/payments/{attempt.gateway_id}/{action}"
        self.client.post_form(url, page="/sandbox/")


class StripeSide(Side):
    """The stand-in for Stripe."""

    header = "Stripe-Signature"

    def __init__(self, receiver: Receiver, server: Stripe) -> None:
        super().__init__("stripe", receiver)
        self.server = server
        server.endpoints.append((receiver.url, list(STRIPE_SECRETS)))

    def pay(self, made: Opened) -> None:
        self.server.complete(made.gateway_id)

    def dispute(self, attempt: AttemptRef) -> None:
        self.server.dispute(attempt.refs["payment_intent"])

    def lose_dispute(self, attempt: AttemptRef) -> None:
        (dispute_id,) = self.server.disputes
        self.server.close_dispute(dispute_id, "lost")

    def secrets(self) -> tuple[str, ...]:
        return STRIPE_SECRETS


class RealStripeSide(Side):
    """Stripe's own test mode, as far as it goes without a browser."""

    header = "Stripe-Signature"

    def secrets(self) -> tuple[str, ...]:
        return STRIPE_SECRETS
