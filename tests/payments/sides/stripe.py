"""Stripe's side of the contract: the stand-in, and Stripe's own test mode where a key is given."""

import os
import socket

import tests.conftest
from shop.payments.gateways.base import AttemptRef, Opened
from tests.payments.sides.base import Bench, DatedSide
from tests.simulators.stripe import Stripe

STRIPE_SECRETS = ("whsec_shopTestVectorSecret0001", "whsec_shopRotatedSecret0002")
REAL_KEY = os.environ.get("TEST_STRIPE_SECRET_KEY", "")


class StripeSide(DatedSide):
    """The stand-in for Stripe."""

    header = "Stripe-Signature"
    api_base = "stripe_api_base"
    pages_in = "shop.payments.gateways.stripe"

    def start(self) -> None:
        self.server = Stripe()
        self.server.endpoints.append((self.receiver.url, list(STRIPE_SECRETS)))
        self.bench.configure(
            stripe_api_base=self.server.url,
            stripe_secret_key=self.server.key,
            stripe_webhook_secret=STRIPE_SECRETS,
        )

    def stop(self) -> None:
        self.server.stop()

    def pay(self, made: Opened) -> None:
        self.server.complete(made.gateway_id)

    def dispute(self, attempt: AttemptRef) -> None:
        self.server.dispute(attempt.refs["payment_intent"])

    def lose_dispute(self, attempt: AttemptRef) -> None:
        (dispute_id,) = self.server.disputes
        self.server.close_dispute(dispute_id, "lost")

    def secrets(self) -> tuple[str, ...]:
        return STRIPE_SECRETS


class RealStripeSide(DatedSide):
    """Stripe's own test mode, as far as it goes without a browser."""

    header = "Stripe-Signature"
    api_base = "stripe_api_base"

    def __init__(self, key: str, bench: Bench) -> None:
        super().__init__("stripe", bench)

    def start(self) -> None:
        for found in socket.getaddrinfo("api.stripe.com", 443):
            tests.conftest.LOOPBACK.add(str(found[4][0]))
        self.bench.configure(stripe_secret_key=REAL_KEY, stripe_webhook_secret=STRIPE_SECRETS)

    def secrets(self) -> tuple[str, ...]:
        return STRIPE_SECRETS
