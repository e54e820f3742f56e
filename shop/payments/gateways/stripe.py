"""Stripe: Checkout Sessions on Stripe's own page, through the stripe package.

The package's retries are switched off: the job table alone repeats, with the same key and body.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import requests
import stripe

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
from shop.payments.gateways.stripe_reading import (
    dated,
    dispute_event,
    id_of,
    news_of,
    paid_out_event,
    refs_of,
    refund_event,
    session_event,
    stripe_amount,
)
from shop.provider_json import NOT_AS_EXPECTED, UNREADABLE, name_in, read_json, unix_moment
from shop.providers import (
    CONNECT_SECONDS,
    OutcomeUnknown,
    ProviderRefused,
    TryLater,
    line_out,
    never_sent,
)

STRIPE = "https://api.stripe.com"
API_VERSION = "2026-10-28.endive"
OPEN_SECONDS = 10
#: Asked while a shopper waits, too.
ASK_SECONDS = 6
WORKER_SECONDS = 25
PAGE_ROWS = 100
#: The shortest life of a session is 30 minutes from its making. Counted from the end of our hold,
#: so that a repeated request is the same to the byte; the page is ended by a call before that.
SESSION_OUTLIVES = timedelta(minutes=30)
#: What a list must reach back beyond the day asked for: its rows are sorted by their making, and
#: a session may be paid, a refund fail and a dispute end long after that.
OLDER_SESSIONS, OLDER_REFUNDS, OLDER_DISPUTES = (timedelta(days=days) for days in (2, 30, 120))
#: A payout is on its way for some working days; until then it may come back.
OLDER_PAYOUTS = timedelta(days=7)

#: A session with its charge and what that cost: stripe-python 16.1.0, Charge.balance_transaction.
WITH_FEE = "payment_intent.latest_charge.balance_transaction"

MAX_AMOUNT = 99_999_999
MIN_USD = 50


class StripeCheckout:
    """The shopper pays on checkout.stripe.com; card data never touch the shop."""

    key = "stripe"
    label = "Card"
    explanation = "You pay on Stripe's own page and come back here."
    marks: tuple[str, ...] = ("Card",)
    is_online = True
    page_end = PageEnd.BY_CALL
    is_authoritative = True
    older_payouts = OLDER_PAYOUTS

    @property
    def redirect_hosts(self) -> tuple[str, ...]:
        """Stripe's page; where a stand-in answers for Stripe, its page is at the stand-in."""
        if settings().stripe_api_base == STRIPE:
            return ("https://checkout.stripe.com",)
        return ("https://checkout.stripe.com", settings().stripe_api_base)

    def unavailable(self, currency: str, country: str, amount_minor: int) -> str | None:
        """Stripe takes amounts of eight digits at most, and none below half a dollar."""
        try:
            amount = stripe_amount(amount_minor, currency)
        except ProviderRefused:
            return "This amount cannot be paid by card."
        if amount > MAX_AMOUNT:
            return "This amount is too large to be paid by card at once."
        if currency == "USD" and amount < MIN_USD:
            return "This amount is too small to be paid by card."
        return None

    def open(self, request: PaymentRequest) -> Opened:
        """Make a Checkout Session; the same key gets the same one again."""
        session = _object(
            lambda: _client(OPEN_SECONDS).v1.checkout.sessions.create(
                _wish(request), {"idempotency_key": request.idempotency_key}
            )
        )
        if not session.get("id") or not session.get("url"):
            raise OutcomeUnknown("a session without id or address")
        return Opened(
            gateway_id=session["id"],
            next_step={"kind": "redirect", "url": session["url"]},
            expires_at=unix_moment(session.get("expires_at")),
            refs=refs_of(session),
        )

    def fetch(self, attempt: AttemptRef) -> Sequence[GatewayEvent]:
        """The session, and where it was paid its refunds and disputes."""
        session = _session(self._session_id(attempt))
        events = [_told(session_event, session)]
        intent = id_of(session.get("payment_intent"))
        if events[0].kind == EventKind.CAPTURED and intent:
            of_intent = {"payment_intent": intent, "limit": PAGE_ROWS}
            events += [_told(refund_event, refund) for refund in _refunds(of_intent, ASK_SECONDS)]
            events += [
                _told(dispute_event, dispute) for dispute in _disputes(of_intent, ASK_SECONDS)
            ]
        return events

    def close(self, attempt: AttemptRef) -> GatewayEvent:
        """Expire the session. One that is over already is asked what it came to."""
        name = self._session_id(attempt)
        try:
            session = _object(lambda: _client(WORKER_SECONDS).v1.checkout.sessions.expire(name))
        except ProviderRefused:
            session = _session(name)
            if session.get("status") == "open":
                raise
        return _told(session_event, session)

    def refund(self, request: RefundRequest) -> GatewayEvent:
        """Give money back."""
        wish: Any = {
            "payment_intent": self._intent_id(request.attempt),
            "amount": stripe_amount(request.amount_minor, request.currency),
            "metadata": {
                "reference": request.attempt.reference,
                "refund_key": request.idempotency_key,
            },
        }
        made = _object(
            lambda: _client(WORKER_SECONDS).v1.refunds.create(
                wish, {"idempotency_key": request.idempotency_key}
            )
        )
        return _told(refund_event, made)

    def find_refund(self, request: RefundRequest) -> GatewayEvent | None:
        """Among the payment's refunds, the one that carries our key."""
        intent = self._intent_id(request.attempt)
        of_intent = {"payment_intent": intent, "limit": PAGE_ROWS}
        for refund in _refunds(of_intent, WORKER_SECONDS):
            if (refund.get("metadata") or {}).get("refund_key") == request.idempotency_key:
                return _told(refund_event, refund)
        return None

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Each secret in force against each v1 of Stripe-Signature."""
        header = header_value(headers, "Stripe-Signature")
        check_signature(body, header, settings().stripe_webhook_secret)

    def parse(self, body: bytes) -> Webhook:
        """Read an event. One of the other mode (live, test) is not for this shop."""
        try:
            event = read_json(body)
            if event["object"] != "event":
                raise ValueError("not a snapshot event: configure the endpoint with snapshots")
            if not _is_our_mode(event):
                raise ValueError("an event of the other mode, live or test")
            news = [dated(one, event) for one in news_of(event["type"], event["data"]["object"])]
            return Webhook(name_in(event, "id"), name_in(event, "type"), news)
        except NOT_AS_EXPECTED as error:
            raise ValueError("not an event of Stripe") from error

    def list_payments(self, since: datetime) -> Sequence[GatewayEvent]:
        """Sessions that were paid, also those made some days before."""
        wish = _made_since(since - OLDER_SESSIONS) | {
            "status": "complete", "expand": [f"data.{WITH_FEE}"],
        }  # fmt: skip
        rows = _rows(lambda: _client(WORKER_SECONDS).v1.checkout.sessions.list(wish))
        events = [_told(session_event, session) for session in rows]
        return [event for event in events if event.kind == EventKind.CAPTURED]

    def list_refunds(self, since: datetime) -> Sequence[GatewayEvent]:
        """Refunds as they stand now, also older ones: they may fail later."""
        rows = _refunds(_made_since(since - OLDER_REFUNDS), WORKER_SECONDS)
        return [_told(refund_event, refund) for refund in rows]

    def list_disputes(self, since: datetime) -> Sequence[GatewayEvent]:
        """Disputes as they stand now, also older ones: they take months."""
        rows = _disputes(_made_since(since - OLDER_DISPUTES), WORKER_SECONDS)
        return [_told(dispute_event, dispute) for dispute in rows]

    def list_payouts(self, since: datetime) -> Sequence[GatewayEvent]:
        """Our charges in payouts that reached the bank and that Stripe made by itself.

        Of others it does not say what is in them.
        """
        wish = _made_since(since - OLDER_PAYOUTS) | {"status": "paid"}
        payouts = _rows(lambda: _client(WORKER_SECONDS).v1.payouts.list(wish))
        return [
            event
            for payout in payouts
            if payout["automatic"] and payout["status"] == "paid"
            for event in _charges_in(payout)
            if event.reference
        ]

    def _session_id(self, attempt: AttemptRef) -> str:
        """The session's id. Where the answer to the opening was lost, the same key gives it."""
        if attempt.gateway_id:
            return attempt.gateway_id
        if attempt.request is None:
            raise ProviderRefused("the session was never opened", "never_opened")
        return self.open(attempt.request).gateway_id

    def _intent_id(self, attempt: AttemptRef) -> str:
        """The payment intent's id: refunds are made from it."""
        known = attempt.refs.get("payment_intent")
        found = known or id_of(_session(self._session_id(attempt)).get("payment_intent"))
        if not found:
            raise ProviderRefused("the session was never paid", "never_paid")
        return found


# --- calls -----------------------------------------------------------------------------------


def _wish(request: PaymentRequest) -> Any:
    """The session asked for, made from the request alone: a repeat with the same key is the same."""
    ours = {"reference": request.reference, "order": request.order_number}
    wish: dict[str, Any] = {
        "mode": "payment",
        "client_reference_id": request.reference,
        "metadata": ours,
        "payment_intent_data": {"metadata": ours, "description": request.description},
        "line_items": [
            {
                # One line for the whole order: the sum is the order's to the minor unit.
                "quantity": 1,
                "price_data": {
                    "currency": request.currency.lower(),
                    "unit_amount": stripe_amount(request.amount_minor, request.currency),
                    "product_data": {"name": f"Order {request.order_number}"},
                },
            }
        ],
        "adaptive_pricing": {"enabled": False},
        "success_url": request.return_url,
        "cancel_url": f"{request.return_url}&left=1",
        "expires_at": int((request.expires_at + SESSION_OUTLIVES).timestamp()),
    }
    return wish | ({"customer_email": request.email} if request.email else {})


@lru_cache(maxsize=8)
def _client_for(key: str, base: str, read_seconds: int) -> stripe.StripeClient:
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    return stripe.StripeClient(
        key,
        stripe_version=API_VERSION,
        base_addresses={"api": base},
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=(CONNECT_SECONDS, read_seconds), session=session),
    )


def _client(read_seconds: int) -> stripe.StripeClient:
    """The package's client, kept for its connections."""
    return _client_for(settings().stripe_secret_key, settings().stripe_api_base, read_seconds)


@contextmanager
def _speaking() -> Iterator[None]:
    """Stripe's line out; the package's errors leave as the shop's own."""
    with line_out("stripe"):
        try:
            yield
        except stripe.StripeError as error:
            raise _in_our_words(error) from error


def _object(ask: Callable[[], Any]) -> dict[str, Any]:
    """One call that answers an object, as plain data. Refuses one of the other mode."""
    with _speaking():
        answer: dict[str, Any] = ask().to_dict()
    if not _is_our_mode(answer):
        raise ProviderRefused("Stripe answered with an object of the other mode", "livemode")
    return answer


def _rows(ask: Callable[[], Any]) -> list[dict[str, Any]]:
    """All pages of a list, as plain data."""
    with _speaking():
        return [row.to_dict() for row in ask().auto_paging_iter()]


def _told(read: Callable[[dict[str, Any]], GatewayEvent], found: dict[str, Any]) -> GatewayEvent:
    """What an answer means. One that cannot be read tells nothing."""
    try:
        return read(found)
    except UNREADABLE as error:
        raise OutcomeUnknown("an answer of Stripe could not be read") from error


def _session(name: str) -> dict[str, Any]:
    more: Any = {"expand": [WITH_FEE]}
    return _object(lambda: _client(ASK_SECONDS).v1.checkout.sessions.retrieve(name, more))


def _charges_in(payout: dict[str, Any]) -> list[GatewayEvent]:
    """A payout holds refunds, fees and itself too: what came in has a charge as its source."""
    wish: Any = {"payout": payout["id"], "expand": ["data.source"], "limit": PAGE_ROWS}
    rows = _rows(lambda: _client(WORKER_SECONDS).v1.balance_transactions.list(wish))
    charges = [
        row
        for row in rows
        if isinstance(row["source"], dict) and row["source"].get("object") == "charge"
    ]
    return [_told(lambda row: paid_out_event(row, payout), one) for one in charges]


def _refunds(wish: Any, read_seconds: int) -> list[dict[str, Any]]:
    return _rows(lambda: _client(read_seconds).v1.refunds.list(wish))


def _disputes(wish: Any, read_seconds: int) -> list[dict[str, Any]]:
    return _rows(lambda: _client(read_seconds).v1.disputes.list(wish))


def _made_since(moment: datetime) -> Any:
    return {"created": {"gte": int(moment.timestamp())}, "limit": PAGE_ROWS}


def _in_our_words(error: stripe.StripeError) -> Exception:
    """Refused for certain, worth another try, or unknown (reliability.md, Kinds of outcome)."""
    words, code = str(error.user_message or error), str(error.code or "")
    status = error.http_status or 0
    if isinstance(error, stripe.APIConnectionError):
        if never_sent(error.__cause__):
            return TryLater("could not connect to Stripe")
        return OutcomeUnknown("no whole answer from Stripe")
    if status in {408, 409, 425, 429, 503} or isinstance(error, stripe.RateLimitError):
        if _says_type(error) == "idempotency_error" and code != "idempotency_key_in_use":
            return ProviderRefused(words, "idempotency_error")
        wait = str((error.headers or {}).get("retry-after", ""))
        return TryLater(words, code, float(wait) if wait.isdigit() else None)
    if 400 <= status < 500:
        return ProviderRefused(words, code or _says_type(error))
    return OutcomeUnknown(words, code)


def _says_type(error: stripe.StripeError) -> str:
    body = error.json_body if isinstance(error.json_body, dict) else {}
    said = body.get("error")
    return str(said.get("type", "")) if isinstance(said, dict) else ""


def _is_our_mode(answer: Mapping[str, Any]) -> bool:
    """False for live news with a test key, and the other way round."""
    is_live = settings().stripe_secret_key.startswith(("sk_live_", "rk_live_"))
    return answer.get("livemode") in (None, is_live)
