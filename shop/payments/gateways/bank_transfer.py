"""Bank transfer: no provider. The shopper gets instructions; a person confirms what came in."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from shop.config import settings
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


class BankTransfer:
    """The instructions are frozen on the attempt: later changes of the account do not alter them."""

    key = "bank_transfer"
    label = "Bank transfer"
    explanation = "You get our account details and a reference to quote. We ship when the transfer arrives, usually the next working day."  # fmt: skip
    marks: tuple[str, ...] = ("Bank",)
    is_online = False
    page_end = PageEnd.BY_CALL
    is_authoritative = True
    redirect_hosts: tuple[str, ...] = ()

    def unavailable(self, currency: str, country: str, amount_minor: int) -> str | None:
        """Any currency of the shop's own account."""
        if currency != settings().default_currency:
            return f"Only for orders in {settings().default_currency}."
        return None

    def open(self, request: PaymentRequest) -> Opened:
        """The rows that the shopper copies into the banking app."""
        rows = [
            ["Pay to", settings().bank_account_name],
            ["Account", settings().bank_account_details],
            ["Amount", format_minor(request.amount_minor, request.currency)],
            ["Reference", request.order_number],
        ]
        return Opened(
            gateway_id=f"bank-{request.reference}",
            next_step={"kind": "instructions", "rows": rows},
            expires_at=request.expires_at,
        )

    def fetch(self, attempt: AttemptRef) -> Sequence[GatewayEvent]:
        """Nobody to ask."""
        return [GatewayEvent(EventKind.PENDING, reference=attempt.reference)]

    def close(self, attempt: AttemptRef) -> GatewayEvent:
        """A transfer cannot be called back; the attempt ends, and money that comes is late money."""
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
        """Banks send no webhooks here."""
        raise BadSignature("this method has no webhooks")

    def parse(self, body: bytes) -> Webhook:
        """Banks send no webhooks here."""
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
