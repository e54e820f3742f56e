"""Stripe's side of the contract: the stand-in."""

from shop.payments.gateways.base import AttemptRef, Opened
from tests.payments.sides.base import DatedSide
from tests.simulators.stripe import Stripe

STRIPE_SECRETS = ("whsec_shopTestVectorSecret0001", "whsec_shopRotatedSecret0002")


class StripeSide(DatedSide):
    """The stand-in for Stripe."""

    header = "Stripe-Signature"
    api_base = "stripe_api_base"
    pages_in = "shop.payments.gateways.stripe"
    wrong = {"stripe_secret_key": "sk_test_wrong"}

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
