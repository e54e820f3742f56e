"""Paystack: a transaction on Paystack's own page, by its JSON API.

A page can neither be ended nor does it expire, and its address is told once: a reference that was
used cannot be opened again (API reference, Transactions).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
from shop.payments.gateways.paystack_reading import (
    dispute_event,
    name_of,
    news_of,
    paid_out_event,
    refund_event,
    refund_note,
    reversal_event,
    transaction_event,
    webhook_id,
)
from shop.payments.gateways.signatures import check_body_signature, header_value
from shop.provider_json import NOT_AS_EXPECTED, UNREADABLE, name_in, read_json
from shop.providers import Answer, OutcomeUnknown, ProviderRefused, call

PAYSTACK = "https://api.paystack.co"
PAGE = "https://checkout.paystack.com"
CURRENCIES = frozenset({"NGN", "GHS", "ZAR", "KES", "USD"})
"""Of the API's own list. Each counts 100 subunits, as the shop does: kobo, pesewas, cents."""
OPEN_SECONDS = 10
#: Asked while a shopper waits, too.
ASK_SECONDS = 6
WORKER_SECONDS = 25
PAGE_ROWS = 100
#: What a list must reach back beyond the day asked for: its rows are sorted by their making, and
#: a page may be paid, a refund fail and a dispute end long after that.
OLDER_PAGES, OLDER_REFUNDS, OLDER_DISPUTES = (timedelta(days=days) for days in (3, 30, 120))
#: A settlement may be made on a Friday and reach the bank after the weekend.
OLDER_PAYOUTS = timedelta(days=4)


class Paystack:
    """The shopper pays on checkout.paystack.com; card data never touch the shop."""

    key = "paystack"
    label = "Card or bank"
    explanation = "You pay on Paystack's own page and come back here."
    marks: tuple[str, ...] = ("Card", "Transfer", "USSD")
    is_online = True
    page_end = PageEnd.NEVER
    is_authoritative = True
    older_payouts = OLDER_PAYOUTS

    @property
    def redirect_hosts(self) -> tuple[str, ...]:
        """Paystack's page; where a stand-in answers for Paystack, its page is at the stand-in."""
        base = settings().paystack_api_base
        return (PAGE,) if base == PAYSTACK else (PAGE, base)

    def unavailable(self, currency: str, country: str, amount_minor: int) -> str | None:
        """By currency alone: a payer of any country is taken, and no least amount is published."""
        if currency not in CURRENCIES:
            return f"This way to pay takes no payments in {currency}."
        return None

    def open(self, request: PaymentRequest) -> Opened:
        """Make a transaction under our reference. One that was made before has no address any more."""
        try:
            made = _object(_call("POST", "/transaction/initialize", OPEN_SECONDS, _wish(request)))
        except ProviderRefused as error:
            if not _is_duplicate(error):
                raise
            return _opened_before(request)
        if made.get("reference") != request.reference or not made.get("authorization_url"):
            raise OutcomeUnknown("a transaction without our reference or without an address")
        step = {"kind": "redirect", "url": str(made["authorization_url"])}
        return Opened(gateway_id=request.reference, next_step=step)

    def fetch(self, attempt: AttemptRef) -> Sequence[GatewayEvent]:
        """The transaction, and where it was paid its refunds and disputes."""
        found = _transaction(attempt.reference)
        event = _told(transaction_event, found)
        if event.kind != EventKind.CAPTURED:
            return [event]
        name = event.refs["transaction"]
        gone = [*_refunds_of(name, ASK_SECONDS), *_disputes_of(name)]
        if found["status"] == "reversed" and not gone:
            gone = [reversal_event(found)]
        return [event, *gone]

    def close(self, attempt: AttemptRef) -> GatewayEvent:
        """No call ends a page: how it stands is all that can be said. PENDING while it may be paid."""
        return self.fetch(attempt)[0]

    def refund(self, request: RefundRequest) -> GatewayEvent:
        """Ask for the money back, which Paystack queues. It keeps no keys, so we look before asking."""
        made_before = self.find_refund(request)
        if made_before:
            return made_before
        wish = {
            "transaction": request.attempt.reference,
            "amount": request.amount_minor,
            "currency": request.currency,
            "merchant_note": refund_note(request.idempotency_key, request.attempt.reference),
        }
        made = _object(_call("POST", "/refund", WORKER_SECONDS, wish))
        event = _told(refund_event, made)
        return replace(event, refund_key=request.idempotency_key)

    def find_refund(self, request: RefundRequest) -> GatewayEvent | None:
        """Among the transaction's refunds, the one whose note names our key."""
        name = request.attempt.refs.get("transaction") or _paid_id(request.attempt.reference)
        for event in _refunds_of(name, WORKER_SECONDS):
            if event.refund_key == request.idempotency_key:
                return event
        return None

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """HMAC-SHA512 by the API's secret key itself, in x-paystack-signature; the key before will do too."""
        header = header_value(headers, "x-paystack-signature")
        held = settings()
        keys = (held.paystack_secret_key, held.paystack_previous_secret_key)
        check_body_signature(body, header, keys, "sha512")

    def parse(self, body: bytes) -> Webhook:
        """Read a webhook. One of the other mode (live, test) is not for this shop."""
        try:
            message = read_json(body)
            kind, found = name_in(message, "event"), message["data"]
            if not _is_our_mode(found):
                raise ValueError("a webhook of the other mode, live or test")
            return Webhook(webhook_id(kind, found, body), kind, news_of(kind, found))
        except NOT_AS_EXPECTED as error:
            raise ValueError("not a webhook of Paystack") from error

    def list_payments(self, since: datetime) -> Sequence[GatewayEvent]:
        """Transactions that were paid, also those made some days before."""
        wish = _made_since(since - OLDER_PAGES) | {"status": "success"}
        return [_told(transaction_event, row) for row in _rows("/transaction", wish)]

    def list_refunds(self, since: datetime) -> Sequence[GatewayEvent]:
        """Refunds as they stand now, also older ones: they may fail later."""
        rows = _rows("/refund", _made_since(since - OLDER_REFUNDS))
        return [_told(refund_event, row) for row in rows if not row.get("dispute")]

    def list_disputes(self, since: datetime) -> Sequence[GatewayEvent]:
        """Disputes as they stand now, also older ones."""
        rows = _rows("/dispute", _made_since(since - OLDER_DISPUTES))
        return [_told(dispute_event, row) for row in rows]

    def list_payouts(self, since: datetime) -> Sequence[GatewayEvent]:
        """The transactions in settlements that have reached the bank."""
        wish = _made_since(since - OLDER_PAYOUTS) | {"status": "success"}
        reached = [row for row in _rows("/settlement", wish) if row.get("status") == "success"]
        return [event for settlement in reached for event in _paid_out(settlement)]


# --- calls -----------------------------------------------------------------------------------


def _wish(request: PaymentRequest) -> dict[str, Any]:
    """The transaction asked for. `amount` in subunits (kobo), and never a plan: that would replace it.

    Paystack appends `trxref` and `reference` to the address to come back to, and mangles one that
    has a query already; so ours goes without.
    """
    return {
        "email": request.email,
        "amount": request.amount_minor,
        "currency": request.currency,
        "reference": request.reference,
        "callback_url": request.return_url.partition("?")[0],
        "metadata": {
            "order": request.order_number,
            "cancel_action": f"{request.return_url}&left=1",
            "custom_fields": [
                {"display_name": "Order", "variable_name": "order", "value": request.order_number}
            ],
        },
    }


def _opened_before(request: PaymentRequest) -> Opened:
    """The answer to the first opening was lost: the transaction is there, its page's address is gone.

    The shopper pays by a new attempt; this one stays under watch. Refused where the reference was
    used for another sum.
    """
    event = _told(transaction_event, _transaction(request.reference))
    if (event.amount_minor, event.currency) != (request.amount_minor, request.currency):
        raise ProviderRefused("the reference was used for another sum", "duplicate_reference")
    return Opened(gateway_id=request.reference, next_step={})


def _is_duplicate(error: ProviderRefused) -> bool:
    """Older answers have no code, only the message."""
    said = error.words.lower()
    return error.code == "duplicate_reference" or ("duplicate" in said and "reference" in said)


def _transaction(reference: str) -> dict[str, Any]:
    """The transaction of that reference. Refuses one of the other mode."""
    found = _object(_call("GET", f"/transaction/verify/{reference}", ASK_SECONDS))
    if found.get("reference") != reference:
        raise OutcomeUnknown("Paystack told of another transaction than the one asked about")
    return found


def _paid_id(reference: str) -> str:
    """Paystack's id of a transaction that was paid: refunds are listed by it."""
    event = _told(transaction_event, _transaction(reference))
    if event.kind != EventKind.CAPTURED:
        raise ProviderRefused("the transaction was never paid", "never_paid")
    return event.refs["transaction"]


def _refunds_of(name: str, read_seconds: float) -> list[GatewayEvent]:
    """The transaction's refunds, less those by which a lost dispute was paid: the dispute tells of it."""
    rows = _rows("/refund", {"transaction": name}, read_seconds)
    events = [_told(refund_event, row) for row in rows if not row.get("dispute")]
    # Compared once more: the filter is not in every version of Paystack's API description.
    return [event for event in events if event.refs["transaction"] == name]


def _disputes_of(name: str) -> list[GatewayEvent]:
    rows = _rows("/dispute", {"transaction": name}, ASK_SECONDS)
    return [_told(dispute_event, row) for row in rows]


def _paid_out(settlement: dict[str, Any]) -> list[GatewayEvent]:
    """What is in a settlement; a row that names no transaction is passed over."""
    rows = _rows(f"/settlement/{name_of(settlement)}/transactions", {})
    named = [row for row in rows if row.get("reference")]
    return [_told(lambda row: paid_out_event(row, settlement), row) for row in named]


def _rows(
    path: str, wish: Mapping[str, Any], read_seconds: float = WORKER_SECONDS
) -> Iterator[dict[str, Any]]:
    """All pages of a list. Some lists tell how many pages there are, others end with a short one."""
    page = 1
    while True:
        params = {**wish, "perPage": PAGE_ROWS, "page": page}
        body = _call("GET", path, read_seconds, params=params)
        rows = body["data"]
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise OutcomeUnknown("a list of Paystack could not be read")
        yield from rows
        if not rows or _is_last(page, len(rows), body.get("meta")):
            return
        page += 1


def _is_last(page: int, count: int, meta: Any) -> bool:
    pages = meta.get("pageCount") if isinstance(meta, dict) else None
    return page >= pages if isinstance(pages, int) else count < PAGE_ROWS


def _made_since(moment: datetime) -> dict[str, Any]:
    return {"from": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")}


def _call(
    method: str,
    path: str,
    read_seconds: float,
    wish: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One call: the whole body, which has `data`. Raises ProviderRefused for a certain no."""
    held = settings()
    headers = {"Authorization": f"Bearer {held.paystack_secret_key}"}
    return _judged(call(
        "paystack", method, held.paystack_api_base + path,
        read_seconds=read_seconds, headers=headers, json=wish, params=params,
    ))  # fmt: skip


def _judged(answer: Answer) -> dict[str, Any]:
    """A refusal has a message and, not always, a code; what cannot be read tells nothing."""
    body: dict[str, Any] = answer.json if isinstance(answer.json, dict) else {}
    is_answered = 200 <= answer.status < 300
    if 400 <= answer.status < 500 or (is_answered and body.get("status") is False):
        said = body.get("message") or f"HTTP {answer.status}"
        raise ProviderRefused(str(said), str(body.get("code") or ""))
    if not is_answered or "data" not in body:
        raise OutcomeUnknown(f"HTTP {answer.status} with a body that could not be read")
    return body


def _object(body: Mapping[str, Any]) -> dict[str, Any]:
    """The object in an answer. Refuses one of the other mode."""
    found = body["data"]
    if not isinstance(found, dict):
        raise OutcomeUnknown("an answer of Paystack could not be read")
    if not _is_our_mode(found):
        raise ProviderRefused("Paystack answered with an object of the other mode", "domain")
    return found


def _told(read: Callable[[dict[str, Any]], GatewayEvent], found: dict[str, Any]) -> GatewayEvent:
    """What an answer means. One that cannot be read tells nothing."""
    try:
        return read(found)
    except UNREADABLE as error:
        raise OutcomeUnknown("an answer of Paystack could not be read") from error


def _is_our_mode(found: Mapping[str, Any]) -> bool:
    """False for live news with a test key, and the other way round: `domain` says which it is."""
    is_live = settings().paystack_secret_key.startswith("sk_live_")
    return found.get("domain") in (None, "live" if is_live else "test")
