"""The pretend courier's messages on their way to the shop."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from shop.clock import utcnow
from shop.delivery.couriers.sandbox import shared_secret
from shop.jobs.handlers import Policy, Work, handles_outward
from shop.providers import TryLater, call


@dataclass(frozen=True)
class Message:
    """One scan on its way."""

    url: str
    body: bytes


@handles_outward(
    "sandbox.deliver_scan",
    Policy(limit=30, attempts=8, base=2, cap=300, incident=("api", "low")),
)
class DeliverScan:
    """Any answer but 200 is tried again."""

    def prepare(self, work: Work) -> Message:
        """The body was frozen when the scan was made."""
        return Message(work.payload["url"], work.payload["body"].encode())

    def call(self, request: Message) -> int:
        """Signed anew at each try, so that a late one is not refused as old."""
        answer = call(
            "sandbox-webhooks", "POST", request.url, read_seconds=10, data=request.body,
            headers={"Content-Type": "application/json", "X-Sandbox-Signature": signature(request.body)},
        )  # fmt: skip
        if answer.status != 200:
            raise TryLater(f"the shop answered {answer.status}", str(answer.status))
        return answer.status

    def record(self, work: Work, request: Message, answer: Any) -> None:
        """Nothing is kept of it."""


def signature(body: bytes) -> str:
    """The header's value for this body, now."""
    moment = str(int(utcnow().timestamp()))
    made = hmac.new(shared_secret().encode(), moment.encode() + b"." + body, hashlib.sha256)
    return f"t={moment},v1={made.hexdigest()}"
