"""Razorpay: payment links on its own page; or, by a setting, orders with its script on a page of ours.

Sections are those of Razorpay's reference: payment links 9, orders 2.1, capture 2.5, refunds 2.6,
disputes 2.7, webhooks 3; settlements have a page of their own. Razorpay's package is not used: its errors lose the HTTP status.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
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
from shop.payments.gateways.razorpay_calls import (
    ask,
    base,
    charged,
    made_since,
    rows_of,
    settled_in,
    told,
)
from shop.payments.gateways.razorpay_reading import (
    MIN_INR,
    captured_event,
    captured_of,
    dispute_event,
    event_id_of,
    is_countable,
    link_event,
    news_of,
    notes_of,
    paid_out_event,
    payment_event,
    periods_of,
    refund_event,
    was_captured,
)
from shop.payments.gateways.signatures import check_body_signature, header_value
from shop.provider_json import NOT_AS_EXPECTED, name_in, read_json, unix_moment
from shop.providers import OutcomeUnknown, ProviderRefused

RAZORPAY = "https://api.razorpay.com"
CHECKOUT = "https://checkout.razorpay.com"
OPEN_SECONDS = 10
#: Asked while a shopper waits, too.
ASK_SECONDS = 6
WORKER_SECONDS = 25
#: A link lives 15 minutes at least (9). Counted from the end of our hold, so that a repeated
#: request is the same to the byte; the page is ended by a call before that.
LINK_OUTLIVES = timedelta(minutes=15)
#: What a list must reach back beyond the day asked for: its rows are found by their making, and
#: banks confirm up to 5 days later, refunds fail and disputes end long after that.
OLDER_PAYMENTS, OLDER_REFUNDS, OLDER_DISPUTES = (timedelta(days=days) for days in (5, 30, 120))
#: A settlement may be made on a Friday and reach the bank after the weekend.
OLDER_PAYOUTS = timedelta(days=4)


class Razorpay:
    """The shopper pays by UPI, card, netbanking or wallet; nothing of it touches the shop."""

    key = "razorpay"
    label = "UPI, card or netbanking"
    marks: tuple[str, ...] = ("UPI", "Card", "Netbanking")
    is_online = True
    is_authoritative = True
    older_payouts = OLDER_PAYOUTS
    #: Names a message; its body does not (3).
    event_id_header = "X-Razorpay-Event-Id"

    @property
    def explanation(self) -> str:
        """Whose page it is."""
        if _by_script():
            return "You pay in Razorpay's window on the next page."
        return "You pay on Razorpay's own page and come back here."

    @property
    def page_end(self) -> PageEnd:
        """A link can be cancelled; an order stays payable for ever (2.1)."""
        return PageEnd.NEVER if _by_script() else PageEnd.BY_CALL

    @property
    def redirect_hosts(self) -> tuple[str, ...]:
        """A link's short address and what it leads to; a stand-in's page is at the stand-in."""
        if _by_script():
            return ()
        hosts = ("https://rzp.io", "https://razorpay.com", "https://*.razorpay.com")
        return hosts if base() == RAZORPAY else (*hosts, base())

    @property
    def script(self) -> str:
        """What the pay page loads; a stand-in brings its own."""
        return f"{CHECKOUT if base() == RAZORPAY else base()}/v1/checkout.js"

    @property
    def page_sources(self) -> Mapping[str, Sequence[str]]:
        """For the pay page alone (9)."""
        hosts = (CHECKOUT, RAZORPAY) if base() == RAZORPAY else (base(),)
        return {"script-src": hosts[:1], "frame-src": hosts, "connect-src": hosts}

    def unavailable(self, currency: str, country: str, amount_minor: int) -> str | None:
        """Rupees from ₹1.00; other currencies only where the account is activated for them (1)."""
        if currency not in settings().razorpay_currencies:
            return "This way to pay does not take this currency."
        if not is_countable(amount_minor, currency):
            return "This amount cannot be paid this way."
        if currency == "INR" and amount_minor < MIN_INR:
            return "This amount is too small to be paid this way."
        return None

    def open(self, request: PaymentRequest) -> Opened:
        """Make a payment link, or an order. Our reference is taken once: a repeat gives the same again."""
        if _by_script():
            return told(lambda: _opened_order(_order_for(request), request))
        return told(lambda: _opened_link(_link_for(request)))

    def fetch(self, attempt: AttemptRef) -> Sequence[GatewayEvent]:
        """The state, and where it was paid its refunds and disputes. Promised money is taken (2.5)."""
        name = self._id_of(attempt)
        if name.startswith("order_"):
            return told(lambda: _order_news(name, attempt))
        link = ask("GET", f"payment_links/{name}", ASK_SECONDS)
        return told(lambda: _link_news(link, attempt))

    def close(self, attempt: AttemptRef) -> GatewayEvent:
        """Cancel the link. One that is over already is asked what it came to; an order only ends here."""
        name = self._id_of(attempt)
        if name.startswith("order_"):
            (news, *_) = self.fetch(attempt)
            return replace(news, kind=EventKind.EXPIRED) if news.kind == EventKind.PENDING else news
        try:
            link = ask("POST", f"payment_links/{name}/cancel", WORKER_SECONDS)
        except ProviderRefused:
            link = ask("GET", f"payment_links/{name}", WORKER_SECONDS)
            if link.get("status") == "created":
                raise
        news = told(lambda: _link_news(link, attempt))[0]
        under_way = news.kind == EventKind.AUTHORIZED
        return replace(news, kind=EventKind.PENDING) if under_way else news

    def refund(self, request: RefundRequest) -> GatewayEvent:
        """Give money back. The key in the header has 10 characters or more (2.6)."""
        wish = {
            "amount": charged(request.amount_minor, request.currency),
            "speed": "normal",
            "notes": {
                "reference": request.attempt.reference,
                "refund_key": request.idempotency_key,
            },
        }
        made = ask(
            "POST",
            f"payments/{self._payment_id(request.attempt)}/refund",
            WORKER_SECONDS,
            wish=wish,
            headers={"X-Refund-Idempotency": f"shop-{request.idempotency_key}"},
        )
        return told(lambda: refund_event(made))

    def find_refund(self, request: RefundRequest) -> GatewayEvent | None:
        """Among the payment's refunds, the one that carries our key."""
        refunds = _refunds_of(self._payment_id(request.attempt), WORKER_SECONDS)
        key = request.idempotency_key
        ours = [one for one in refunds if notes_of(one).get("refund_key") == key]
        return told(lambda: refund_event(ours[0])) if ours else None

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """HMAC-SHA256 of the raw body, with each webhook secret in force (3)."""
        header = header_value(headers, "X-Razorpay-Signature")
        check_body_signature(body, header, settings().razorpay_webhook_secret, "sha256")

    def parse(self, body: bytes) -> Webhook:
        """Read an event. Its id is the fallback where the header did not come (3)."""
        try:
            event = read_json(body)
            if event["entity"] != "event":
                raise ValueError("not an event")
            return Webhook(event_id_of(event), name_in(event, "event"), news_of(event))
        except NOT_AS_EXPECTED as error:
            raise ValueError("not an event of Razorpay") from error

    def list_payments(self, since: datetime) -> Sequence[GatewayEvent]:
        """Payments that were captured, also those begun some days before."""
        rows = rows_of("payments", WORKER_SECONDS, made_since(since - OLDER_PAYMENTS))
        return told(lambda: [captured_event(row) for row in rows if was_captured(row)])

    def list_refunds(self, since: datetime) -> Sequence[GatewayEvent]:
        """Refunds as they stand now, also older ones: they may fail later."""
        rows = rows_of("refunds", WORKER_SECONDS, made_since(since - OLDER_REFUNDS))
        return told(lambda: [refund_event(row) for row in rows])

    def list_disputes(self, since: datetime) -> Sequence[GatewayEvent]:
        """Disputes as they stand now, also older ones: they take months."""
        first = int((since - OLDER_DISPUTES).timestamp())
        rows = rows_of("disputes", WORKER_SECONDS)
        return told(lambda: [dispute_event(row) for row in rows if row["created_at"] >= first])

    def list_payouts(self, since: datetime) -> Sequence[GatewayEvent]:
        """The payments in settlements that have reached the bank."""
        rows = rows_of("settlements", WORKER_SECONDS, made_since(since - OLDER_PAYOUTS))
        return told(lambda: _paid_out([row for row in rows if row["status"] == "processed"]))

    def is_return_genuine(self, attempt: AttemptRef, brought: Mapping[str, str]) -> bool | None:
        """What the browser brings after paying is signed with the key's secret (2.3, 9). No proof of money."""
        given = brought.get("razorpay_signature", "")
        if not given:
            return None
        payment_id = brought.get("razorpay_payment_id", "")
        parts = [attempt.gateway_id or ""]
        if "razorpay_payment_link_id" in brought:
            parts += [attempt.reference, brought.get("razorpay_payment_link_status", "")]
        parts.append(payment_id)
        secret = settings().razorpay_key_secret.encode()
        wanted = hmac.new(secret, "|".join(parts).encode(), hashlib.sha256).hexdigest()
        return hmac.compare_digest(wanted.encode(), given.encode())

    def _id_of(self, attempt: AttemptRef) -> str:
        """The link's or order's id. Where the answer to the opening was lost, our reference gives it."""
        if attempt.gateway_id:
            return attempt.gateway_id
        if attempt.request is None:
            raise ProviderRefused("it was never opened", "never_opened")
        return self.open(attempt.request).gateway_id

    def _payment_id(self, attempt: AttemptRef) -> str:
        """The id of the payment that was captured: refunds are made from it."""
        known = attempt.refs.get("payment")
        found = known or self.fetch(attempt)[0].refs.get("payment")
        if not found:
            raise ProviderRefused("it was never paid", "never_paid")
        return found


# --- opening ---------------------------------------------------------------------------------


def _by_script() -> bool:
    return settings().razorpay_checkout == "checkout_js"


def _ours(request: PaymentRequest) -> dict[str, str]:
    """Notes on what we make; a link hands them on to its order and its payments."""
    return {"reference": request.reference, "order": request.order_number}


def _link_for(request: PaymentRequest) -> dict[str, Any]:
    """The link of our reference. Razorpay refuses a reference that it knows: then it is looked up."""
    customer = {"email": request.email, "contact": request.phone}
    wish = {
        "amount": charged(request.amount_minor, request.currency),
        "currency": request.currency,
        "accept_partial": False,
        "expire_by": int((request.expires_at + LINK_OUTLIVES).timestamp()),
        "reference_id": request.reference,
        "description": request.description,
        "customer": {name: value for name, value in customer.items() if value},
        # The shop writes to its customers itself.
        "notify": {"sms": False, "email": False},
        "reminder_enable": False,
        "notes": _ours(request),
        "callback_url": request.return_url,
        "callback_method": "get",
    }
    try:
        return ask("POST", "payment_links", OPEN_SECONDS, wish=wish)
    except ProviderRefused as refusal:
        return _same(_known_link(request), request, refusal)


def _known_link(request: PaymentRequest) -> dict[str, Any] | None:
    """Whether Razorpay keeps to the filter is not known: every row is looked at."""
    found = ask("GET", "payment_links", ASK_SECONDS, params={"reference_id": request.reference})
    rows = found.get("payment_links") or found.get("items") or []
    return next((row for row in rows if row.get("reference_id") == request.reference), None)


def _same(
    found: dict[str, Any] | None, request: PaymentRequest, refusal: ProviderRefused
) -> dict[str, Any]:
    """What was made before for this request. Raises the refusal when it was for another amount."""
    if found is None:
        if "reference" in refusal.words.lower():
            raise OutcomeUnknown("the reference is taken, and its link is not found") from refusal
        raise refusal
    if (found.get("amount"), found.get("currency")) != (request.amount_minor, request.currency):
        raise refusal
    return found


def _opened_link(link: dict[str, Any]) -> Opened:
    if not (link["id"] and link["short_url"]):
        raise OutcomeUnknown("a link without id or address")
    return Opened(
        gateway_id=link["id"],
        next_step={"kind": "redirect", "url": link["short_url"]},
        expires_at=unix_moment(link.get("expire_by")),
    )


def _order_for(request: PaymentRequest) -> dict[str, Any]:
    """The order of our reference: looked up first, since a repeated call would make another one."""
    known = ask("GET", "orders", ASK_SECONDS, params={"receipt": request.reference})
    for row in known.get("items") or []:
        if row.get("receipt") == request.reference:
            taken = ProviderRefused("the reference was used for another amount", "other_amount")
            return _same(row, request, taken)
    wish = {
        "amount": charged(request.amount_minor, request.currency),
        "currency": request.currency,
        "receipt": request.reference,
        "notes": _ours(request),
    }
    return ask("POST", "orders", OPEN_SECONDS, wish=wish)


def _opened_order(order: dict[str, Any], request: PaymentRequest) -> Opened:
    """What the pay page hands to Razorpay's script (2.2). The key id is public."""
    if not order["id"]:
        raise OutcomeUnknown("an order without id")
    return Opened(
        gateway_id=order["id"],
        next_step={
            "kind": "page",
            "key": settings().razorpay_key_id,
            "order_id": order["id"],
            "amount": order["amount"],
            "currency": order["currency"],
            "description": request.description,
        },
        expires_at=request.expires_at,
        refs={"order": order["id"]},
    )


# --- asking ----------------------------------------------------------------------------------


def _link_news(link: dict[str, Any], attempt: AttemptRef) -> list[GatewayEvent]:
    """The link's state, from its payments where there are any: money counts, whatever the link says."""
    tries = _captured_now(_tries_of(link, attempt))
    paid = captured_of(tries)
    news = link_event(link, paid)
    if paid is None:
        return [_promised(news, tries)]
    if news.kind != EventKind.CAPTURED:
        news = captured_event(paid)
    news = replace(news, reference=link["reference_id"], gateway_id=link["id"])
    return [news, *_after(paid["id"])]


def _order_news(order_id: str, attempt: AttemptRef) -> list[GatewayEvent]:
    tries = _captured_now(_tries_of({"order_id": order_id}, attempt))
    paid = captured_of(tries)
    if paid is None:
        news = GatewayEvent(EventKind.PENDING, attempt.reference, order_id)
        return [_promised(news, tries)]
    news = replace(captured_event(paid), reference=attempt.reference, gateway_id=order_id)
    return [news, *_after(paid["id"])]


def _tries_of(link: Mapping[str, Any], attempt: AttemptRef) -> list[dict[str, Any]]:
    """Every try, whole. A link's own list holds captured ones only; its order knows all."""
    order_id = link.get("order_id") or attempt.refs.get("order")
    if order_id:
        rows: list[dict[str, Any]] = ask("GET", f"orders/{order_id}/payments", ASK_SECONDS)["items"]
        return rows
    ids = [row["payment_id"] for row in link.get("payments") or []]
    return [ask("GET", f"payments/{payment_id}", ASK_SECONDS) for payment_id in ids]


def _captured_now(tries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One promise of the bank is taken; left alone it would go back by itself (2.5), as others do."""
    promised = next((one for one in tries if one["status"] == "authorized"), None)
    if promised is None or captured_of(tries):
        return tries
    return [_capture(one) if one is promised else one for one in tries]


def _capture(payment: dict[str, Any]) -> dict[str, Any]:
    """Razorpay's own capture may be quicker, and makes ours an error: then its state is asked."""
    wish = {"amount": payment["amount"], "currency": payment["currency"]}
    try:
        return ask("POST", f"payments/{payment['id']}/capture", ASK_SECONDS, wish=wish)
    except ProviderRefused:
        return ask("GET", f"payments/{payment['id']}", ASK_SECONDS)


def _promised(news: GatewayEvent, tries: Sequence[Mapping[str, Any]]) -> GatewayEvent:
    """The news, or that money is promised which could not be taken yet."""
    one = next((one for one in tries if one["status"] == "authorized"), None)
    if one is None:
        return news
    promised = payment_event(EventKind.AUTHORIZED, one)
    return replace(promised, reference=news.reference, gateway_id=news.gateway_id)


def _after(payment_id: str) -> list[GatewayEvent]:
    """What became of the money. Disputes cannot be asked for by payment: they are few."""
    disputes = [row for row in rows_of("disputes", ASK_SECONDS) if row["payment_id"] == payment_id]
    return [
        *(refund_event(refund) for refund in _refunds_of(payment_id, ASK_SECONDS)),
        *(dispute_event(dispute) for dispute in disputes),
    ]


def _paid_out(settlements: Sequence[Mapping[str, Any]]) -> list[GatewayEvent]:
    """A settlement does not say what is in it: the days do on which there was one."""
    reached = {one["id"]: one for one in settlements}
    periods = periods_of(settlements)
    rows = [row for period in periods for row in settled_in(period, WORKER_SECONDS)]
    payments = {row["entity_id"]: row for row in rows if row.get("type") == "payment"}
    return [
        paid_out_event(row, reached[row["settlement_id"]])
        for row in payments.values()
        if row.get("settlement_id") in reached
    ]


def _refunds_of(payment_id: str, read_seconds: int) -> list[dict[str, Any]]:
    return rows_of(f"payments/{payment_id}/refunds", read_seconds)
