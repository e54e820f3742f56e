"""What the ways to pay without a provider share: nobody to call, nobody to ask, no webhooks."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from shop.money import format_minor
from shop.payments.gateways.base import (
    AttemptRef,
    EventKind,
    GatewayEvent,
    Opened,
    PageEnd,
    PaymentRequest,
    RefundRequest,
    Webhook,
)  # fmt: skip
from shop.providers import BadSignature


class Offline:
    """A person, a courier or the shop's own ledger says that money came; a refund waits likewise."""

    key: str
    label: str
    explanation: str
    marks: tuple[str, ...] = ()
    is_online = False
    page_end = PageEnd.BY_CALL
    is_authoritative = True
    redirect_hosts: tuple[str, ...] = ()

    def unavailable(self, currency: str, country: str, amount_minor: int) -> str | None:
        """Anything."""
        return None

    def open(self, request: PaymentRequest) -> Opened:
        """The rows that the shopper reads; the amount at least."""
        return Opened(
            gateway_id=f"{self.key}-{request.reference}",
            next_step={"kind": "instructions", "rows": self.rows(request)},
            expires_at=request.expires_at,
        )

    def rows(self, request: PaymentRequest) -> list[list[str]]:
        """[label, value] for each row."""
        return [["Amount", format_minor(request.amount_minor, request.currency)]]

    def fetch(self, attempt: AttemptRef) -> Sequence[GatewayEvent]:
        """Nobody to ask."""
        return [GatewayEvent(EventKind.PENDING, reference=attempt.reference)]

    def close(self, attempt: AttemptRef) -> GatewayEvent:
        """Nothing to call back: the attempt ends, and money that comes is late money."""
        return GatewayEvent(EventKind.EXPIRED, reference=attempt.reference)

    def refund(self, request: RefundRequest) -> GatewayEvent:
        """A person sends the money back; the refund waits for that."""
        return GatewayEvent(
            EventKind.REFUND_PENDING,
            reference=request.attempt.reference,
            refund_key=request.idempotency_key,
            refund_gateway_id=f"manual-{request.idempotency_key}",
        )

    def find_refund(self, request: RefundRequest) -> GatewayEvent | None:
        """Nobody to ask."""
        return None

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Nobody sends any."""
        raise BadSignature("this method has no webhooks")

    def parse(self, body: bytes) -> Webhook:
        """Nobody sends any."""
        raise ValueError("this method has no webhooks")

    def list_payments(self, since: datetime) -> Sequence[GatewayEvent]:
        """Nobody to ask."""
        return []

    def list_refunds(self, since: datetime) -> Sequence[GatewayEvent]:
        """Nobody to ask."""
        return []

    def list_disputes(self, since: datetime) -> Sequence[GatewayEvent]:
        """Nobody to ask."""
        return []
