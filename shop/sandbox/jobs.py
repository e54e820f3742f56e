"""What the pretend gateway does by itself: sending its webhooks, and settling what took its time."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from shop.clock import utcnow
from shop.extensions import db
from shop.jobs.handlers import Policy, Work, handles, handles_outward
from shop.payments.gateways.sandbox import shared_secret
from shop.providers import TryLater, call
from shop.sandbox import gateway
from shop.sandbox.models import SandboxPayment


@dataclass(frozen=True)
class Delivery:
    """One webhook on its way."""

    url: str
    body: bytes


@handles_outward(
    "sandbox.deliver_webhook",
    Policy(limit=30, attempts=8, base=2, cap=300, incident=("api", "low")),
)
class DeliverWebhook:
    """Any answer but 2xx is tried again, as gateways do."""

    def prepare(self, work: Work) -> Delivery:
        """The body was frozen when the event happened."""
        return Delivery(work.payload["url"], work.payload["body"].encode())

    def call(self, request: Delivery) -> int:
        """Signed anew at each try, so that a late one is not refused as old."""
        answer = call(
            "sandbox-webhooks", "POST", request.url, read_seconds=10, data=request.body,
            headers={"Content-Type": "application/json", "X-Sandbox-Signature": signature(request.body)},
        )  # fmt: skip
        if answer.status >= 300:
            raise TryLater(f"the shop answered {answer.status}", str(answer.status))
        return answer.status

    def record(self, work: Work, request: Delivery, answer: Any) -> None:
        """The page that waits for its webhook may go on."""
        gateway.told(work.payload["payment_id"])


@handles("sandbox.settle", Policy(attempts=5))
def settle(work: Work) -> None:
    """Take the money of a payment left pending; of one picked to be paid late, page open or not."""
    payment = db.session.get(SandboxPayment, work.payload["payment_id"], with_for_update=True)
    if payment is not None and (work.payload["late"] or payment.status == "pending"):
        gateway.pay(payment)


def signature(body: bytes) -> str:
    """The header's value for this body, now."""
    moment = str(int(utcnow().timestamp()))
    made = hmac.new(shared_secret().encode(), moment.encode() + b"." + body, hashlib.sha256)
    return f"t={moment},v1={made.hexdigest()}"
