"""Razorpay's side of the contract: the stand-in, by payment links and by orders."""

from shop.payments.gateways.base import AttemptRef, Opened
from tests.payments.sides.base import Bench, Side
from tests.simulators.razorpay import KEY_ID, KEY_SECRET, WEBHOOK_SECRET, Razorpay

RAZORPAY_SECRETS = (WEBHOOK_SECRET, "shop-webhook-secret-0002")


class RazorpaySide(Side):
    """The stand-in for Razorpay, paid by links."""

    header = "X-Razorpay-Signature"
    api_base = "razorpay_api_base"
    pages_in = "shop.payments.gateways.razorpay_calls"
    wrong = {"razorpay_key_secret": "wrong-and-secret"}
    checkout = "payment_link"

    def start(self) -> None:
        self.server = Razorpay()
        self.server.endpoints.append((self.receiver.url, WEBHOOK_SECRET))
        self.bench.configure(
            razorpay_api_base=self.server.url,
            razorpay_key_id=KEY_ID,
            razorpay_key_secret=KEY_SECRET,
            razorpay_webhook_secret=RAZORPAY_SECRETS,
            razorpay_checkout=self.checkout,
        )

    def stop(self) -> None:
        self.server.stop()

    def pay(self, made: Opened) -> None:
        self.server.pay(made.gateway_id)

    def dispute(self, attempt: AttemptRef) -> None:
        self.server.dispute(attempt.refs["payment"])

    def lose_dispute(self, attempt: AttemptRef) -> None:
        (dispute_id,) = self.server.disputes
        self.server.move_dispute(dispute_id, "lost")

    def secrets(self) -> tuple[str, ...]:
        return RAZORPAY_SECRETS

    def body(self) -> bytes:
        return b'{"entity": "event", "event": "of no interest", "contains": ["payment"], "payload": {"payment": {"entity": {"id": "evt_1"}}}, "created_at": 1794823393}'


class RazorpayScriptSide(RazorpaySide):
    """The stand-in for Razorpay, paid by orders on a page of the shop."""

    checkout = "checkout_js"
    next_kind = "page"
    ends_pages = False

    def __init__(self, key: str, bench: Bench) -> None:
        super().__init__("razorpay", bench)
