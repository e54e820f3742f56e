"""What a gateway is: the words it speaks to the shop, and the errors it may raise.

A gateway is one file. It speaks one wire format over HTTP and knows no table, no request and no
other gateway. Errors that leave it are shop.providers' only: ProviderRefused (for certain),
TryLater, OutcomeUnknown, and BadSignature from `verify`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from shop.provider_json import checked_moment, storable

LONGEST_ID = 120
"""Ids of providers are kept in columns of this length."""
LARGEST_AMOUNT = 10**15
"""In minor units: beyond every payment, and below what a database counts."""
WORDS = {"method": 40, "failure_code": 80, "failure_words": 300, "dispute_reason": 120}
"""What people read, and how much of it is kept."""
PAYER = {"payer_email": 254, "payer_phone": 20}
"""How one may be reached: worth nothing when it is cut."""


class EventKind(StrEnum):
    """News of a payment, a refund or a dispute, in the shop's words."""

    CAPTURED = "captured"
    #: The bank has promised the money, and it was not taken yet: asking the gateway takes it.
    AUTHORIZED = "authorized"
    #: The attempt is over without money.
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    #: One try failed on a page that is still open: a line in the timeline, nothing more.
    TRY_FAILED = "try_failed"
    #: Still on its way; ask again.
    PENDING = "pending"
    #: Over, and the gateway itself does not know whether money moved: no other attempt meanwhile.
    IN_DOUBT = "in_doubt"
    REFUND_PENDING = "refund_pending"
    REFUND_SUCCEEDED = "refund_succeeded"
    REFUND_FAILED = "refund_failed"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_WON = "dispute_won"
    DISPUTE_LOST = "dispute_lost"
    #: Nothing for this shop to do.
    IGNORED = "ignored"


class PageEnd(StrEnum):
    """How a gateway's page can be ended when the hold ends."""

    BY_CALL = "by_call"
    BY_EXPIRY = "by_expiry"
    NEVER = "never"


@dataclass(frozen=True)
class GatewayEvent:
    """One piece of news. Amounts in minor units; moments aware, in UTC."""

    kind: EventKind
    #: Ours, where the gateway's object names it.
    reference: str | None = None
    #: The gateway's id of the payment (the one `open` returned).
    gateway_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    event_id: str | None = None
    occurred_at: datetime | None = None
    method: str | None = None
    failure_code: str | None = None
    #: For the shopper.
    failure_words: str | None = None
    refund_gateway_id: str | None = None
    #: Our refund's idempotency key, where the gateway gives it back.
    refund_key: str | None = None
    dispute_gateway_id: str | None = None
    dispute_reason: str = ""
    evidence_due_at: datetime | None = None
    fee_minor: int | None = None
    payout_reference: str | None = None
    payer_email: str | None = None
    payer_phone: str | None = None
    #: Further ids by which later news may name this payment, e.g. {"payment_intent": "pi_…"}.
    refs: Mapping[str, str] = field(default_factory=dict)
    #: True for a message that says too little: the gateway is asked before anything changes.
    is_hint: bool = False

    def __post_init__(self) -> None:
        """Holds what a provider wrote to what its fields are for: ids, money and times must fit.

        Words are cut, and what is no text is left out: news of money is not lost for its
        decoration. Raises ValueError.
        """
        for name in IDS:
            _check_id(name, getattr(self, name))
        for name, alias in self.refs.items():
            _check_id(name, alias)
        if self.amount_minor is not None and not (
            _is_money(self.amount_minor) and self.amount_minor >= 0
        ):
            raise ValueError("amount_minor is no amount")
        if self.currency is not None and not _is_text(self.currency, 3):
            raise ValueError("currency is none")
        for moment in (self.occurred_at, self.evidence_due_at):
            if moment is not None:
                checked_moment(moment)
        self._leave_out_what_is_odd()

    def _leave_out_what_is_odd(self) -> None:
        if not _is_money(self.fee_minor):
            object.__setattr__(self, "fee_minor", None)
        for name, longest in WORDS.items():
            said = getattr(self, name)
            odd = "" if name == "dispute_reason" else None
            object.__setattr__(self, name, said[:longest] if isinstance(said, str) else odd)
        for name, longest in PAYER.items():
            if not _is_text(getattr(self, name), longest):
                object.__setattr__(self, name, None)


IDS = (
    "reference", "gateway_id", "event_id", "refund_gateway_id", "refund_key", "dispute_gateway_id",
    "payout_reference",
)  # fmt: skip


def _check_id(name: str, given: Any) -> None:
    if given is not None and not _is_text(given, LONGEST_ID):
        raise ValueError(f"{name} is no id")


def _is_text(given: Any, longest: int) -> bool:
    return isinstance(given, str) and len(given) <= longest and storable(given) == given


def _is_money(given: Any) -> bool:
    is_whole = isinstance(given, int) and not isinstance(given, bool)
    return is_whole and abs(given) <= LARGEST_AMOUNT


@dataclass(frozen=True)
class PaymentRequest:
    """What is asked of a gateway: to take this amount for this order."""

    reference: str
    idempotency_key: str
    amount_minor: int
    currency: str
    order_number: str
    description: str
    email: str
    phone: str
    country: str
    #: The shopper comes back here.
    return_url: str
    #: The gateway's news goes here.
    webhook_url: str
    expires_at: datetime
    locale: str = "en"


@dataclass(frozen=True)
class Opened:
    """An open attempt: where the shopper goes, and when that page closes."""

    gateway_id: str
    #: {"kind": "redirect", "url": …}, {"kind": "instructions", "rows": [[label, value], …]}, or
    #: {"kind": "page", …} with what templates/payments/<key>.html draws; {} where nothing is to be shown.
    next_step: dict[str, Any]
    expires_at: datetime | None = None
    refs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AttemptRef:
    """How an attempt is named to its gateway when asking about it or ending it."""

    reference: str
    gateway_id: str | None
    refs: Mapping[str, str]
    amount_minor: int
    currency: str
    created_at: datetime
    #: The request as it was sent, so that an unknown opening can be repeated with the same key.
    request: PaymentRequest | None = None
    #: Our refunds' keys, for gateways that tell of a refund only when asked for it.
    refund_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class RefundRequest:
    """Give this much of a payment back."""

    attempt: AttemptRef
    amount_minor: int
    currency: str
    idempotency_key: str
    reason: str
    gateway_id: str | None = None


@dataclass(frozen=True)
class Webhook:
    """A verified message, read: its unique id, its kind in the gateway's words, and the news in it."""

    event_id: str
    kind: str
    events: Sequence[GatewayEvent]


@runtime_checkable
class SignsReturns(Protocol):
    """A gateway that signs what the browser brings back. A hint for people, never the state."""

    def is_return_genuine(self, attempt: AttemptRef, brought: Mapping[str, str]) -> bool | None:
        """Whether the signature fits; None where nothing signed came."""


@runtime_checkable
class PaysOut(Protocol):
    """A gateway that gathers what comes in and pays it out to the shop's bank by and by."""

    #: How much older than the time asked for payouts are that are told: they reach the bank later.
    older_payouts: timedelta

    def list_payouts(self, since: datetime) -> Sequence[GatewayEvent]:
        """The payments in payouts of that time: each CAPTURED, with its `payout_reference`.

        `amount_minor` less `fee_minor` is what the payout brought for it, where both are told;
        `occurred_at` is when the payout was made. A payout under way is none yet, one that came back no more.
        """


@runtime_checkable
class BringsScript(Protocol):
    """A gateway whose page on this shop loads its script: that page's content policy lets it in."""

    #: What may be loaded beyond the shop's own, by directive: {"script-src": ("https://…",)}.
    page_sources: Mapping[str, Sequence[str]]


class Gateway(Protocol):
    """One way to pay."""

    key: str
    #: What a shopper reads at checkout.
    label: str
    #: Under the label.
    explanation: str
    #: Small marks beside it: ("Card", "UPI").
    marks: tuple[str, ...]
    #: False for methods without a provider (bank transfer, cash on delivery).
    is_online: bool
    page_end: PageEnd
    #: False where webhooks are hints: the state is fetched before anything changes.
    is_authoritative: bool
    #: Hosts of the redirect chain, for the pages' form-action.
    redirect_hosts: tuple[str, ...]

    def unavailable(self, currency: str, country: str, amount_minor: int) -> str | None:
        """Why this method cannot take that, in the shopper's words; None when it can."""

    def open(self, request: PaymentRequest) -> Opened:
        """Open a payment. Moves no money; called with no transaction open."""

    def fetch(self, attempt: AttemptRef) -> Sequence[GatewayEvent]:
        """Ask for the present state: the news that bring the shop up to it, refunds and disputes too."""

    def close(self, attempt: AttemptRef) -> GatewayEvent:
        """End the page. CANCELLED or EXPIRED when it is ended, CAPTURED when money was quicker."""

    def refund(self, request: RefundRequest) -> GatewayEvent:
        """Give money back, with the request's idempotency key. REFUND_PENDING, _SUCCEEDED or _FAILED."""

    def find_refund(self, request: RefundRequest) -> GatewayEvent | None:
        """Before repeating a refund whose outcome is unknown: ask for it by our key."""

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Check the signature over the raw bytes. Raises BadSignature; parses nothing."""

    def parse(self, body: bytes) -> Webhook:
        """Read a verified body. Raises ValueError when it cannot be read."""

    def list_payments(self, since: datetime) -> Sequence[GatewayEvent] | None:
        """The gateway's own list of captured payments; None where it keeps none."""

    def list_refunds(self, since: datetime) -> Sequence[GatewayEvent]:
        """The gateway's own list of refunds."""

    def list_disputes(self, since: datetime) -> Sequence[GatewayEvent]:
        """The gateway's own list of disputes."""
