"""A gateway in memory, for histories by the ten thousand: it keeps state, and its news may get lost.

Tests over HTTP with the stand-ins prove the wire; this one proves the rules, where a call must not
cost milliseconds. It keeps the protocol of shop/payments/gateways/base.py.
"""

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shop.clock import utcnow
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
from shop.providers import BadSignature, OutcomeUnknown, ProviderRefused, TryLater

REFUND_NEWS = {
    "pending": EventKind.REFUND_PENDING,
    "succeeded": EventKind.REFUND_SUCCEEDED,
    "failed": EventKind.REFUND_FAILED,
}
DISPUTE_NEWS = {
    "open": EventKind.DISPUTE_OPENED,
    "won": EventKind.DISPUTE_WON,
    "lost": EventKind.DISPUTE_LOST,
}


@dataclass
class Given:
    """A refund at the provider."""

    refund_id: str
    key: str
    amount: int
    status: str


@dataclass
class Page:
    """A payment at the provider, and what is true of it."""

    reference: str
    gateway_id: str
    amount: int
    currency: str
    state: str = "open"
    captured: int = 0
    refunds: dict[str, Given] = field(default_factory=dict)
    #: None, open, won or lost.
    dispute: str | None = None

    @property
    def kept(self) -> int:
        """What was paid and not given back."""
        return self.captured - sum(
            one.amount for one in self.refunds.values() if one.status != "failed"
        )

    def news(self) -> GatewayEvent:
        """How the payment stands."""
        kinds = {
            "open": EventKind.PENDING, "paid": EventKind.CAPTURED, "failed": EventKind.FAILED,
            "cancelled": EventKind.CANCELLED,
        }  # fmt: skip
        return GatewayEvent(
            kinds[self.state], reference=self.reference, gateway_id=self.gateway_id,
            amount_minor=self.captured if self.state == "paid" else self.amount,
            currency=self.currency, occurred_at=utcnow(),
        )  # fmt: skip

    def refund_news(self, one: Given) -> GatewayEvent:
        """How a refund of it stands."""
        return GatewayEvent(
            REFUND_NEWS[one.status], reference=self.reference, amount_minor=one.amount,
            currency=self.currency, refund_gateway_id=one.refund_id, refund_key=one.key or None,
        )  # fmt: skip

    def dispute_news(self) -> GatewayEvent:
        """How its dispute stands."""
        return GatewayEvent(
            DISPUTE_NEWS[self.dispute or "open"], reference=self.reference,
            amount_minor=self.captured, currency=self.currency,
            dispute_gateway_id=f"d-{self.reference}", evidence_due_at=utcnow() + timedelta(days=7),
        )  # fmt: skip

    def all_news(self) -> list[GatewayEvent]:
        """Everything true of it."""
        told = [self.news(), *(self.refund_news(one) for one in self.refunds.values())]
        return [*told, self.dispute_news()] if self.dispute else told


class Provider:
    """The provider behind the gateway: pages, the news on the wire, and the mood of its line."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.wire: list[GatewayEvent] = []
        #: What befalls the next calls: "ok", "later" (not done), "unknown" (done), "refuse".
        self.moods: list[str] = []
        self.refunds_end = "succeeded"
        self.page_end = PageEnd.BY_CALL
        self.numbers = itertools.count(1)

    def tell(self, event: GatewayEvent) -> None:
        """Put news on the wire."""
        self.wire.append(event)

    def mood(self) -> str:
        """What befalls this call."""
        return self.moods.pop(0) if self.moods else "ok"


PROVIDER = Provider()


def fresh(kept: Mapping[str, Any] | None = None) -> Provider:
    """A provider that has seen nothing, or what was kept of one."""
    PROVIDER.__init__()  # type: ignore[misc]
    vars(PROVIDER).update(copy.deepcopy(dict(kept or {})))
    return PROVIDER


class MemoryGateway:
    """The gateway; it takes the place of the sandbox."""

    key = "sandbox"
    label = "Memory"
    explanation = "No money moves."
    marks: tuple[str, ...] = ()
    is_online = True
    is_authoritative = True
    redirect_hosts: tuple[str, ...] = ()

    @property
    def page_end(self) -> PageEnd:
        return PROVIDER.page_end

    def unavailable(self, currency: str, country: str, amount_minor: int) -> str | None:
        return None

    def open(self, request: PaymentRequest) -> Opened:
        mood = self._before()
        page = PROVIDER.pages.setdefault(
            request.reference,
            Page(
                request.reference, f"pg-{request.reference}", request.amount_minor, request.currency
            ),
        )
        self._after(mood)
        step = {"kind": "redirect", "url": f"http://provider.example/{page.gateway_id}"}
        return Opened(page.gateway_id, step, request.expires_at)

    def fetch(self, attempt: AttemptRef) -> Sequence[GatewayEvent]:
        self._after(self._before())
        return self._page(attempt).all_news()

    def close(self, attempt: AttemptRef) -> GatewayEvent:
        mood = self._before()
        page = self._page(attempt)
        if page.state == "open":
            page.state = "cancelled"
        self._after(mood)
        return page.news()

    def refund(self, request: RefundRequest) -> GatewayEvent:
        mood = self._before()
        page = self._page(request.attempt)
        made = page.refunds.get(request.idempotency_key)
        if made is None:
            if request.amount_minor > page.kept or page.dispute in {"open", "lost"}:
                raise ProviderRefused("not enough is left")
            made = Given(
                f"rf-{next(PROVIDER.numbers)}", request.idempotency_key, request.amount_minor,
                PROVIDER.refunds_end,
            )  # fmt: skip
            page.refunds[request.idempotency_key] = made
            PROVIDER.tell(page.refund_news(made))
        self._after(mood)
        return page.refund_news(made)

    def find_refund(self, request: RefundRequest) -> GatewayEvent | None:
        self._after(self._before())
        page = self._page(request.attempt)
        made = page.refunds.get(request.idempotency_key)
        return page.refund_news(made) if made else None

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        raise BadSignature("no webhooks over HTTP")

    def parse(self, body: bytes) -> Webhook:
        raise ValueError("no webhooks over HTTP")

    def list_payments(self, since: datetime) -> Sequence[GatewayEvent]:
        return [page.news() for page in PROVIDER.pages.values() if page.captured]

    def list_refunds(self, since: datetime) -> Sequence[GatewayEvent]:
        pages = PROVIDER.pages.values()
        return [page.refund_news(one) for page in pages for one in page.refunds.values()]

    def list_disputes(self, since: datetime) -> Sequence[GatewayEvent]:
        return [page.dispute_news() for page in PROVIDER.pages.values() if page.dispute]

    def _page(self, attempt: AttemptRef) -> Page:
        if attempt.reference not in PROVIDER.pages:
            raise ProviderRefused("no such payment")
        return PROVIDER.pages[attempt.reference]

    def _before(self) -> str:
        mood = PROVIDER.mood()
        if mood == "later":
            raise TryLater("busy")
        if mood == "refuse":
            raise ProviderRefused("no")
        return mood

    def _after(self, mood: str) -> None:
        if mood == "unknown":
            raise OutcomeUnknown("no answer")


def as_rows(pages: Mapping[str, Page]) -> dict[str, Any]:
    """What the provider holds, to compare with the shop's rows."""
    return {
        reference: (
            page.captured,
            sum(one.amount for one in page.refunds.values() if one.status == "succeeded"),
            page.dispute,
        )
        for reference, page in pages.items()
    }
