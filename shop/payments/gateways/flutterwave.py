"""Flutterwave v3: a payment on Flutterwave's own page ("Standard").

There are no idempotency keys, and a payment has no id until somebody tries to pay: it goes by our
reference (`tx_ref`). Webhooks carry a shared secret instead of a signature, so they are hints.
"""

import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from shop.clock import utcnow
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
from shop.payments.gateways.flutterwave_calls import (
    ASK_SECONDS,
    WORKER_SECONDS,
    by_reference,
    get,
    made_since,
    object_of,
    post,
    rows_of,
    told,
    transaction,
)
from shop.payments.gateways.flutterwave_reading import (
    chargeback_event,
    currency_of,
    event_id_of,
    has_failed,
    major_amount,
    moment_of,
    news_of,
    paid_out_event,
    refund_event,
    transaction_event,
)
from shop.payments.gateways.signatures import header_value
from shop.provider_json import NOT_AS_EXPECTED, exact, name_in, read_json
from shop.providers import BadSignature, OutcomeUnknown, ProviderRefused

FLUTTERWAVE = "https://api.flutterwave.com/v3"
PAGE = "https://checkout.flutterwave.com"
CURRENCIES = frozenset(
    ["NGN", "USD", "EUR", "GBP", "GHS", "KES", "UGX", "RWF", "TZS", "ZAR", "ZMW", "MWK", "XAF", "XOF", "EGP"]
)  # fmt: skip
OPEN_SECONDS = 10
#: The page is ended by a call when the hold ends; should that fail, it closes this much later.
PAGE_OUTLIVES = timedelta(minutes=30)
#: `session_duration` is at most a day.
LONGEST_SESSION = timedelta(minutes=1440)
#: A try begun so lately may still come through although its page was ended: a code being typed, a
#: transfer just sent. Older ones were left, and money that comes all the same is late money.
UNDER_WAY = timedelta(minutes=10)
#: The address of a page is kept as a further id of the payment, to end it by; those have this length.
LONGEST_LINK = 120
#: What a list must reach back beyond the day asked for: its rows are sorted by their making, and a
#: transfer may arrive, a refund fail and a chargeback end long after that.
OLDER_PAYMENTS, OLDER_REFUNDS, OLDER_CHARGEBACKS = (timedelta(days=days) for days in (3, 30, 120))
#: A settlement may be made on a Friday and reach the bank after the weekend.
OLDER_PAYOUTS = timedelta(days=4)


class Flutterwave:
    """The shopper pays on checkout.flutterwave.com; card data never touch the shop."""

    key = "flutterwave"
    label = "Card, transfer or mobile money"
    explanation = "You pay on Flutterwave's own page and come back here."
    marks: tuple[str, ...] = ("Card", "Transfer", "Mobile money")
    is_online = True
    page_end = PageEnd.BY_CALL
    is_authoritative = False
    older_payouts = OLDER_PAYOUTS

    @property
    def redirect_hosts(self) -> tuple[str, ...]:
        """Flutterwave's page; where a stand-in answers for Flutterwave, its page is at the stand-in."""
        base = settings().flutterwave_api_base
        if base == FLUTTERWAVE:
            return (PAGE,)
        parts = urlsplit(base)
        return (PAGE, f"{parts.scheme}://{parts.netloc}")

    def unavailable(self, currency: str, country: str, amount_minor: int) -> str | None:
        """By currency alone; which methods the page shows depends on it."""
        if currency not in CURRENCIES:
            return f"This way to pay takes no payments in {currency}."
        return None

    def open(self, request: PaymentRequest) -> Opened:
        """Make a page. A repeat makes another one for the same reference; the first was never shown."""
        closes_at = min(request.expires_at + PAGE_OUTLIVES, utcnow() + LONGEST_SESSION)
        made = object_of(post("/payments", OPEN_SECONDS, _wish(request, closes_at)))
        link = made.get("link")
        if not isinstance(link, str) or not link.startswith(("https://", "http://")):
            raise OutcomeUnknown("a page without an address")
        if len(link) > LONGEST_LINK:
            raise ProviderRefused(
                "the address of Flutterwave's page is too long to be kept", "link"
            )
        return Opened(
            gateway_id=request.reference,
            next_step={"kind": "redirect", "url": link},
            expires_at=closes_at,
            refs={"link": link},
        )

    def fetch(self, attempt: AttemptRef) -> Sequence[GatewayEvent]:
        """How the payment stands; where its money is known here already, refunds and chargebacks too."""
        found = _tries(attempt)
        paid = _paid_of(found)
        if paid is None:
            return _unpaid(attempt, found)
        event = told(transaction_event, paid)
        if "transaction" not in attempt.refs:
            # Money that is news: nothing can have gone back, and a shopper is waiting.
            return [event]
        return [event, *_refunds_of(paid, ASK_SECONDS), *_chargebacks_of(paid)]

    def close(self, attempt: AttemptRef) -> GatewayEvent:
        """End the page. One whose address never reached us was seen by nobody: it is as good as ended."""
        if "link" in attempt.refs:
            _disable(attempt.refs["link"])
        found = _tries(attempt)
        paid = _paid_of(found)
        if paid is not None:
            return told(transaction_event, paid)
        kind = EventKind.PENDING if _is_under_way(found) else EventKind.CANCELLED
        return _standing(attempt, kind)

    def refund(self, request: RefundRequest) -> GatewayEvent:
        """Give money back. Flutterwave keeps no keys, so we look for ours before asking."""
        paid = _paid_transaction(request.attempt)
        made_before = _by_key(_refunds_of(paid, WORKER_SECONDS), request.idempotency_key)
        if made_before:
            return made_before
        wish = {"comments": request.idempotency_key}
        amount = major_amount(request.amount_minor, request.currency)
        made = object_of(
            post(f"/transactions/{paid['id']}/refund", WORKER_SECONDS, _with_amount(wish, amount))
        )
        event = told(_refund_reader(paid), made)
        return replace(event, refund_key=request.idempotency_key)

    def find_refund(self, request: RefundRequest) -> GatewayEvent | None:
        """Among the payment's refunds, the one whose comment is our key.

        A refund of the same amount without any comment may be ours, if Flutterwave did not keep
        it: then the outcome stays unknown, and in the end a person compares.
        """
        refunds = _refunds_of(_paid_transaction(request.attempt), WORKER_SECONDS)
        made = _by_key(refunds, request.idempotency_key)
        if made:
            return made
        if any(
            not one.refund_key
            and one.amount_minor == request.amount_minor
            and one.kind != EventKind.REFUND_FAILED
            for one in refunds
        ):
            raise OutcomeUnknown("a refund of this amount without a comment: it may be this one")
        return None

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """`verif-hash` is the dashboard's secret hash, word for word. It proves nothing of the body."""
        given = header_value(headers, "verif-hash")
        if not given:
            is_v4 = header_value(headers, "flutterwave-signature") is not None
            raise BadSignature(
                "signed as v4 does; this shop speaks v3" if is_v4 else "verif-hash is missing"
            )
        # Each is compared, so that the time taken does not tell which one was near.
        secrets = settings().flutterwave_webhook_hash
        matches = [hmac.compare_digest(one.encode(), given.encode()) for one in secrets]
        if not any(matches):
            raise BadSignature("verif-hash is not ours")

    def parse(self, body: bytes) -> Webhook:
        """Read a webhook of v3. One of v4 (`type` and `wbk_…` instead of `event`) is told apart."""
        try:
            message = read_json(body, exact)
            if "event" not in message and "type" in message:
                raise ValueError("a webhook of another API version: set up v3 webhooks")
            kind, found = name_in(message, "event"), message["data"]
            return Webhook(event_id_of(kind, found, body), kind, news_of(kind, found))
        except NOT_AS_EXPECTED as error:
            raise ValueError("not a webhook of Flutterwave") from error

    def list_payments(self, since: datetime) -> Sequence[GatewayEvent]:
        """Transactions that were paid, also those made some days before.

        Of several for one reference the first is the attempt's; the others name no order, so that
        a person looks at them.
        """
        rows = rows_of("/transactions", made_since(since - OLDER_PAYMENTS), WORKER_SECONDS)
        paid = sorted((row for row in rows if _is_paid(row)), key=_number)
        return _with_seconds([told(transaction_event, row) for row in paid])

    def list_refunds(self, since: datetime) -> Sequence[GatewayEvent]:
        """Refunds made since then, and older ones that failed meanwhile."""
        wish = made_since(since - OLDER_REFUNDS)
        rows = [
            row
            for row in rows_of("/refunds", wish, WORKER_SECONDS)
            if told(_made_at, row) >= since or has_failed(row)
        ]
        of = _transactions_of(rows, "tx_id")
        return [told(_refund_reader(of[str(row["tx_id"])]), row) for row in rows]

    def list_disputes(self, since: datetime) -> Sequence[GatewayEvent]:
        """Chargebacks as they stand now, also older ones: they take weeks."""
        wish = made_since(since - OLDER_CHARGEBACKS)
        rows = list(rows_of("/chargebacks", wish, WORKER_SECONDS))
        of = _transactions_of(rows, "transaction_id")
        return [told(_chargeback_reader(of[str(row["transaction_id"])]), row) for row in rows]

    def list_payouts(self, since: datetime) -> Sequence[GatewayEvent]:
        """The transactions in settlements that are completed."""
        made = rows_of("/settlements", made_since(since - OLDER_PAYOUTS), WORKER_SECONDS)
        reached = [one for one in made if one.get("status") == "completed"]
        rows = [(row, one) for one in reached for row in _rows_in(one)]
        rows.sort(key=lambda pair: _number(pair[0]))
        return _with_seconds([told(_paid_out_reader(one), row) for row, one in rows])


# --- what is asked ---------------------------------------------------------------------------


def _wish(request: PaymentRequest, closes_at: datetime) -> bytes:
    """The page asked for. Flutterwave appends status, tx_ref and transaction_id to the address."""
    seconds = max(60, int((closes_at - utcnow()).total_seconds()))
    customer = {"email": request.email, "phonenumber": request.phone}
    wish = {
        "tx_ref": request.reference,
        "currency": request.currency,
        "redirect_url": request.return_url,
        "customer": {name: value for name, value in customer.items() if value},
        "customizations": {"title": settings().shop_name, "description": request.description},
        "meta": {"order": request.order_number},
        # Minutes, rounded up; the account number of a bank transfer lives as long, in seconds.
        "configurations": {"session_duration": -(-seconds // 60)},
        "bank_transfer_options": {"expires": seconds},
    }
    return _with_amount(wish, major_amount(request.amount_minor, request.currency))


def _with_amount(wish: Mapping[str, Any], amount: str) -> bytes:
    """JSON with the amount as a number, digit for digit; `json` could only write a float."""
    return f'{{"amount": {amount}, {json.dumps(wish)[1:]}'.encode()


def _disable(link: str) -> None:
    """End a page. 400 says that it was ended before; v3 has no codes to tell more."""
    try:
        post("/payments/link/disable", ASK_SECONDS, json.dumps({"link": link}).encode())
    except ProviderRefused as error:
        if error.code != "400":
            raise


# --- how a payment stands --------------------------------------------------------------------


def _tries(attempt: AttemptRef) -> list[dict[str, Any]]:
    """The transactions of our reference: several where tries failed, none before the first.

    Asking by reference answers with one of them; unless that one is paid, the list is asked for all.
    """
    known = attempt.refs.get("transaction")
    one = transaction(known) if known else by_reference(attempt.reference)
    if one is None:
        return []
    if one.get("tx_ref") != attempt.reference:
        raise OutcomeUnknown("Flutterwave told of another payment than the one asked about")
    if _is_paid(one):
        return [one]
    wish = {**made_since(attempt.created_at), "tx_ref": attempt.reference}
    rows = rows_of("/transactions", wish, ASK_SECONDS)
    # Compared once more: nobody documents how the list is filtered, nor how fresh it is.
    others = [row for row in rows if row.get("tx_ref") == attempt.reference]
    return [one, *(row for row in others if _number(row) != _number(one))]


def _is_paid(row: Mapping[str, Any]) -> bool:
    return row.get("status") == "successful"


def _number(row: Mapping[str, Any]) -> int:
    """A transaction's id; lists are known to give it as text."""
    return told(lambda one: int(one["id"]), row)


def _paid_of(found: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The paid one of an attempt's tries; of several the first."""
    return min((one for one in found if _is_paid(one)), key=_number, default=None)


def _unpaid(attempt: AttemptRef, found: Sequence[dict[str, Any]]) -> list[GatewayEvent]:
    """No money came: open still or over by its time, and the tries that failed, each told once."""
    events = [told(transaction_event, one) for one in found]
    failed = [event for event in events if event.kind == EventKind.TRY_FAILED]
    stands = _standing(attempt, EventKind.PENDING)
    if len(failed) < len(events) or not _is_over(attempt):
        return [stands, *failed]
    last = max(failed, key=lambda event: str(event.occurred_at), default=stands)
    over = _standing(attempt, EventKind.EXPIRED)
    return [replace(over, failure_code=last.failure_code, failure_words=last.failure_words)]


def _standing(attempt: AttemptRef, kind: EventKind) -> GatewayEvent:
    return GatewayEvent(kind, reference=attempt.reference, gateway_id=attempt.reference)


def _is_over(attempt: AttemptRef) -> bool:
    """True when the page has closed by itself, whichever of its times we know."""
    request = attempt.request
    return request is not None and request.expires_at + PAGE_OUTLIVES < utcnow()


def _is_under_way(found: Sequence[dict[str, Any]]) -> bool:
    """True when a try has begun so lately that it may still come through."""
    events = [told(transaction_event, one) for one in found]
    return any(
        event.kind == EventKind.PENDING
        and (event.occurred_at is None or event.occurred_at > utcnow() - UNDER_WAY)
        for event in events
    )


def _paid_transaction(attempt: AttemptRef) -> dict[str, Any]:
    """The transaction that brought the money: refunds are made from it."""
    paid = _paid_of(_tries(attempt))
    if paid is None:
        raise ProviderRefused("the payment was never paid", "never_paid")
    return paid


# --- refunds and chargebacks -----------------------------------------------------------------


def _refunds_of(paid: Mapping[str, Any], read_seconds: float) -> list[GatewayEvent]:
    """The refunds of a transaction, compared once more: nobody documents how the list is filtered."""
    wish = {**made_since(told(_made_at, paid)), "id": paid["id"]}
    rows = rows_of("/refunds", wish, read_seconds)
    ours = [row for row in rows if str(row.get("tx_id")) == str(paid["id"])]
    return [told(_refund_reader(paid), row) for row in ours]


def _chargebacks_of(paid: Mapping[str, Any]) -> list[GatewayEvent]:
    """The chargebacks of a transaction, compared once more."""
    wish = {**made_since(told(_made_at, paid)), "flw_ref": paid.get("flw_ref")}
    rows = rows_of("/chargebacks", wish, ASK_SECONDS)
    ours = [row for row in rows if str(row.get("transaction_id")) == str(paid["id"])]
    return [told(_chargeback_reader(paid), row) for row in ours]


def _made_at(row: Mapping[str, Any]) -> datetime:
    """When it was made; now, where it does not say."""
    return moment_of(row.get("created_at")) or utcnow()


def _by_key(refunds: Sequence[GatewayEvent], key: str) -> GatewayEvent | None:
    return next((one for one in refunds if one.refund_key == key), None)


def _refund_reader(paid: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], GatewayEvent]:
    """Reads a refund, with what only its transaction says."""
    return lambda row: refund_event(row, currency_of(paid), str(paid["tx_ref"]))


def _chargeback_reader(paid: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], GatewayEvent]:
    """Reads a chargeback, with the currency of its transaction."""
    return lambda row: chargeback_event(row, currency_of(paid))


def _transactions_of(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    """The transactions that rows of a list name, each asked for once."""
    found = {}
    for key in sorted({str(row.get(name)) for row in rows}):
        one = transaction(key)
        if one is None:
            raise OutcomeUnknown(f"a list names transaction {key}, which is not there")
        found[key] = one
    return found


def _rows_in(settlement: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is in a settlement, which only its own address tells; rows that name no payment are passed over."""
    found = object_of(get(f"/settlements/{_number(settlement)}", WORKER_SECONDS))
    rows = found.get("transactions")
    rows = rows if isinstance(rows, list) else []
    return [row for row in rows if isinstance(row, dict) and row.get("id") and row.get("tx_ref")]


def _paid_out_reader(
    settlement: Mapping[str, Any],
) -> Callable[[Mapping[str, Any]], GatewayEvent]:
    """Reads a transaction of that settlement."""
    return lambda row: paid_out_event(row, settlement)


def _with_seconds(events: Sequence[GatewayEvent]) -> list[GatewayEvent]:
    """The first of each reference; what came in once more for it goes by another name."""
    firsts: dict[str | None, GatewayEvent] = {}
    for event in events:
        firsts.setdefault(event.reference, event)
    seconds = [_second(event) for event in events if firsts[event.reference] is not event]
    return [*firsts.values(), *seconds]


def _second(event: GatewayEvent) -> GatewayEvent:
    """Money that came in once more for the same reference, named so that no order takes it."""
    name = f"{event.reference}/{event.refs['transaction']}"
    return replace(event, reference=None, gateway_id=name, event_id=None, refs={})
