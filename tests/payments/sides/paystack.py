"""Paystack's side of the contract: the stand-in."""

from shop.payments.gateways.base import AttemptRef, Opened
from tests.payments.sides.base import Side
from tests.simulators.paystack import SECRET_KEY, Paystack
from tests.simulators.paystack_objects import sign

PREVIOUS_KEY = "sk_test_beforeTheRoll"


class PaystackSide(Side):
    """The stand-in for Paystack."""

    header = "X-Paystack-Signature"
    api_base = "paystack_api_base"
    pages_in = "shop.payments.gateways.paystack"
    wrong = {"paystack_secret_key": "sk_test_wrong"}
    currency = "NGN"
    country = "NG"
    amount = 1_850_000
    ends_pages = False
    repeats_address = False

    def start(self) -> None:
        self.server = Paystack()
        self.server.webhook_url = self.receiver.url
        self.bench.configure(
            paystack_api_base=self.server.url,
            paystack_secret_key=SECRET_KEY,
            paystack_previous_secret_key=PREVIOUS_KEY,
        )

    def stop(self) -> None:
        self.server.stop()

    def pay(self, made: Opened) -> None:
        self.server.pay(made.gateway_id)

    def dispute(self, attempt: AttemptRef) -> None:
        self.server.dispute(attempt.reference)

    def lose_dispute(self, attempt: AttemptRef) -> None:
        (dispute_id,) = self.server.disputes
        self.server.resolve_dispute(dispute_id)

    def secrets(self) -> tuple[str, ...]:
        return (SECRET_KEY, PREVIOUS_KEY)

    def body(self) -> bytes:
        """Webhooks have no id: one of a kind that nobody knows is told by its object's."""
        return b'{"event": "of no interest", "data": {"id": "evt_1"}}'

    def signed(self, body: bytes, *, age: float = 0, secret: str | None = None) -> dict[str, str]:
        return {self.header: sign(body, self.secrets()[0] if secret is None else secret)}
