"""The pretend gateway of the demo, spoken to over HTTP like any other. Refused in production."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from shop.config import settings
from shop.payments.gateways.base import (
    AttemptRef,
    EventKind,
    GatewayEvent,
    Opened,
    PageEnd,
    PaymentRequest,
    RefundRequest,
    Webhook,
)
from shop.payments.gateways.signatures import check_signature, header_value
from shop.provider_json import NOT_AS_EXPECTED, name_in, read_json, whole
from shop.providers import Answer, OutcomeUnknown, ProviderRefused, call
from shop.secret_box import derived_secret

OPEN_SECONDS = 10
#: Asked while a shopper waits, too.
ASK_SECONDS = 6
WORKER_SECONDS = 25

PAYMENT_KINDS = {
    "open": EventKind.PENDING,
    "pending": EventKind.PENDING,
    "paid": EventKind.CAPTURED,
    "declined": EventKind.FAILED,
    "cancelled": EventKind.CANCELLED,
    "expired": EventKind.EXPIRED,
}
REFUND_KINDS = {
    "pending": EventKind.REFUND_PENDING,
    "succeeded": EventKind.REFUND_SUCCEEDED,
    "failed": EventKind.REFUND_FAILED,
}
DISPUTE_KINDS = {
    "open": EventKind.DISPUTE_OPENED,
    "won": EventKind.DISPUTE_WON,
    "lost": EventKind.DISPUTE_LOST,
}
FAILURE_WORDS = {
    "insufficient_funds": "There was not enough money in the account.",
    "expired_card": "The card has expired.",
    "do_not_honour": "The bank declined the payment without giving a reason.",
}


def shared_secret() -> str:
    """What the shop and its pretend gateway both know: it opens the API and signs the webhooks."""
    return settings().sandbox_webhook_secret or derived_secret("sandbox")


class Sandbox:
    """The shopper picks on a page of ours what the payment shall come to."""

    key = "sandbox"
    label = "Sandbox gateway"
    explanation = "Opens a pretend payment page on which you pick what happens. No money moves."
    marks: tuple[str, ...] = ("Test mode",)
    is_online = True
    page_end = PageEnd.BY_CALL
    is_authoritative = True
    #: The page is on the shop's own host.
    redirect_hosts: tuple[str, ...] = ()

    def unavailable(self, currency: str, country: str, amount_minor: int) -> str | None:
        """It takes anything."""
        return None

    def open(self, request: PaymentRequest) -> Opened:
        """Open a payment, or get the one that the same key has opened."""
        made = self._post(
            "/payments",
            {
                "reference": request.reference,
                "idempotency_key": request.idempotency_key,
                "amount_minor": request.amount_minor,
                "currency": request.currency,
                "description": request.order_number,
                "return_url": request.return_url,
                "webhook_url": request.webhook_url,
                "expires_at": request.expires_at.isoformat(),
            },
            OPEN_SECONDS,
        )
        return Opened(
            gateway_id=made["id"],
            next_step={"kind": "redirect", "url": made["url"]},
            expires_at=_moment(made["expires_at"]),
        )

    def fetch(self, attempt: AttemptRef) -> Sequence[GatewayEvent]:
        """Asked by our reference, so an opening whose answer was lost is found as well."""
        found = self._get(f"/payments/{attempt.reference}", ASK_SECONDS)
        return [
            _payment_event(found),
            *[_refund_event(refund) for refund in found["refunds"]],
            *[_dispute_event(dispute) for dispute in found["disputes"]],
        ]

    def close(self, attempt: AttemptRef) -> GatewayEvent:
        """End the page; a payment that was made before stays made."""
        return _payment_event(
            self._post(f"/payments/{attempt.reference}/close", {}, WORKER_SECONDS)
        )

    def refund(self, request: RefundRequest) -> GatewayEvent:
        """Give money back."""
        wish = {"idempotency_key": request.idempotency_key, "amount_minor": request.amount_minor}
        path = f"/payments/{request.attempt.reference}/refunds"
        return _refund_event(self._post(path, wish, WORKER_SECONDS))

    def find_refund(self, request: RefundRequest) -> GatewayEvent | None:
        """Look for it by our key."""
        found = self._get(f"/payments/{request.attempt.reference}", WORKER_SECONDS)
        same = [made for made in found["refunds"] if made["key"] == request.idempotency_key]
        return _refund_event(same[0]) if same else None

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """HMAC over time and body, in X-Sandbox-Signature."""
        check_signature(body, header_value(headers, "X-Sandbox-Signature"), [shared_secret()])

    def parse(self, body: bytes) -> Webhook:
        """One webhook holds one piece of news."""
        try:
            message = read_json(body)
            family = name_in(message, "type").partition(".")[0]
            read = {"payment": _payment_event, "refund": _refund_event, "dispute": _dispute_event}
            events = [read[family](message["data"])] if family in read else []
            return Webhook(name_in(message, "id"), name_in(message, "type"), events)
        except NOT_AS_EXPECTED as error:
            raise ValueError("not a webhook of the sandbox") from error

    def list_payments(self, since: datetime) -> Sequence[GatewayEvent]:
        """Paid since then."""
        return [_payment_event(row) for row in self._list("/payments", since)]

    def list_refunds(self, since: datetime) -> Sequence[GatewayEvent]:
        """Made since then."""
        return [_refund_event(row) for row in self._list("/refunds", since)]

    def list_disputes(self, since: datetime) -> Sequence[GatewayEvent]:
        """Opened or changed since then."""
        return [_dispute_event(row) for row in self._list("/disputes", since)]

    def _list(self, path: str, since: datetime) -> Iterator[dict[str, Any]]:
        after = 0
        while after is not None:
            params = {"since": since.isoformat(), "after": after}
            answer = self._get(path, WORKER_SECONDS, params)
            yield from answer["data"]
            after = answer["next"]

    def _get(
        self, path: str, read_seconds: float, params: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        url = settings().sandbox_api_base + "/sandbox/api" + path
        return _body(call(
            "sandbox", "GET", url, read_seconds=read_seconds, headers=_bearer(), params=params,
        ))  # fmt: skip

    def _post(self, path: str, wish: dict[str, Any], read_seconds: float) -> dict[str, Any]:
        url = settings().sandbox_api_base + "/sandbox/api" + path
        return _body(call(
            "sandbox", "POST", url, read_seconds=read_seconds, headers=_bearer(), json=wish,
        ))  # fmt: skip


def _bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {shared_secret()}"}


def _body(answer: Answer) -> dict[str, Any]:
    """The answer's object. A refusal is for certain; what cannot be read tells nothing."""
    if 400 <= answer.status < 500:
        error = (answer.json or {}).get("error", {}) if isinstance(answer.json, dict) else {}
        raise ProviderRefused(error.get("message", f"HTTP {answer.status}"), error.get("code", ""))
    if not isinstance(answer.json, dict):
        raise OutcomeUnknown(f"HTTP {answer.status} with a body that is not JSON")
    return answer.json


def _moment(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written).astimezone(UTC) if written else None


def _payment_event(payment: dict[str, Any]) -> GatewayEvent:
    code = payment["failure_code"]
    return GatewayEvent(
        PAYMENT_KINDS[payment["status"]],
        reference=payment["reference"],
        gateway_id=payment["id"],
        amount_minor=whole(payment["amount_minor"]),
        currency=payment["currency"],
        occurred_at=_moment(payment["paid_at"]),
        method="card",
        failure_code=code,
        failure_words=FAILURE_WORDS.get(code, "The payment was declined.") if code else None,
    )


def _about_payment(kind: EventKind, row: dict[str, Any], **more: Any) -> GatewayEvent:
    """What refunds and disputes tell alike: which payment, how much, when."""
    return GatewayEvent(
        kind,
        reference=row["reference"],
        gateway_id=row["payment"],
        amount_minor=whole(row["amount_minor"]),
        currency=row["currency"],
        occurred_at=_moment(row["created_at"]),
        **more,
    )


def _refund_event(refund: dict[str, Any]) -> GatewayEvent:
    kind = REFUND_KINDS[refund["status"]]
    return _about_payment(kind, refund, refund_gateway_id=refund["id"], refund_key=refund["key"])


def _dispute_event(dispute: dict[str, Any]) -> GatewayEvent:
    return _about_payment(
        DISPUTE_KINDS[dispute["status"]],
        dispute,
        dispute_gateway_id=dispute["id"],
        dispute_reason=dispute["reason"],
        evidence_due_at=_moment(dispute["evidence_due_at"]),
    )
