"""A stand-in for Flutterwave v3: hosted pages, tries, refunds, chargebacks and webhooks, with state.

Written from Flutterwave's documents. Amounts are in major units. Methods below "the other side" do
what shoppers, banks and the dashboard do.
"""

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from markupsafe import escape
from werkzeug import Request, Response
from werkzeug.utils import redirect

from tests.simulators.base import Fault, Hook, Simulator, now
from tests.simulators.flutterwave_objects import (
    DECLINES,
    KINDS,
    PROCESSED,
    Refusal,
    amount_of,
    chargeback_object,
    check_payment,
    dumped,
    moment,
    refund_object,
    settlement_object,
    transaction_object,
    with_fee,
)

#: The demo account's key and secret hash.
SECRET_KEY = "FLWSECK_TEST-simulator-X"
SECRET_HASH = "shop-flw-secret-hash-0001"
#: How many rows of a list come at once; nobody can ask for more.
PAGE_ROWS = 10


@dataclass
class Page:
    """A hosted page. Several may be made for one reference; each has an address of its own."""

    params: dict[str, Any]
    amount: Decimal
    closes_at: int
    is_disabled: bool = False

    @property
    def is_open(self) -> bool:
        """True while somebody can pay there."""
        return not self.is_disabled and now() < self.closes_at


class Flutterwave(Simulator):
    """One account in test mode. The API is below /v3, as Flutterwave's is."""

    KNOWS = ("pages", "transactions", "refunds", "chargebacks", "settlements", "_last")
    #: A redirect counts as a failure.
    accepts = (200,)
    #: Three more tries, half an hour apart, then nothing.
    RETRIES = (1800,) * 3

    def __init__(self, key: str = SECRET_KEY, port: int = 0) -> None:
        self.key = key
        self.pages: dict[str, Page] = {}
        self.transactions: dict[int, dict[str, Any]] = {}
        self.refunds: dict[int, dict[str, Any]] = {}
        self.chargebacks: dict[int, dict[str, Any]] = {}
        self.settlements: dict[int, dict[str, Any]] = {}
        #: Where webhooks go, and the secret hash that they carry.
        self.endpoints: list[tuple[str, str]] = []
        #: The dashboard's option that the payment's `meta` is in webhooks.
        self.tells_meta = False
        #: Which of a reference's tries is told when asked by it: nobody says.
        self.by_reference: Callable[[list[dict[str, Any]]], dict[str, Any]] = lambda tries: tries[
            -1
        ]
        #: How refunds begin: "completed", "new", "pending", "completed-mpgs".
        self.refunds_begin = "completed"
        #: Whether lists show what was written into a refund's comments. Unconfirmed.
        self.shows_comments = True
        #: False: lists take no notice of their filters but the dates.
        self.filters = True
        self.payer_bears_fees = False
        self._last = 9_418_800
        super().__init__(port)
        self.base = f"{self.url}/v3"

    # --- the API ----------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """Authenticate, then route."""
        if request.path.startswith("/v3/hosted/pay/"):
            return self._hosted_page(request)
        try:
            if request.headers.get("Authorization", "") != f"Bearer {self.key}":
                raise Refusal(401, "Invalid authorization key")
            with self.lock:
                return _answer(200, self._route(request))
        except Refusal as refusal:
            return _answer(refusal.status, refusal.body)

    def failure(self, fault: Fault, request: Request) -> Response:
        """Errors in Flutterwave's shape."""
        response = _answer(fault.status, {"status": "error", "message": "Simulated.", "data": None})
        response.headers.update(fault.headers)
        return response

    def _route(self, request: Request) -> dict[str, Any]:
        sent = _parsed(request) if request.method == "POST" else request.args.to_dict()
        routes: list[tuple[str, str, Callable[..., dict[str, Any]]]] = [
            ("POST", r"/v3/payments", self._create),
            ("POST", r"/v3/payments/link/disable", self._disable),
            ("GET", r"/v3/transactions", self._list_transactions),
            ("GET", r"/v3/transactions/verify_by_reference", self._verify_by_reference),
            ("GET", r"/v3/transactions/([0-9]+)/verify", self._verify),
            ("POST", r"/v3/transactions/([0-9]+)/refund", self._create_refund),
            ("GET", r"/v3/refunds", self._list_refunds),
            ("GET", r"/v3/refunds/([0-9]+)", self._retrieve_refund),
            ("GET", r"/v3/chargebacks", self._list_chargebacks),
            ("GET", r"/v3/settlements", self._list_settlements),
            ("GET", r"/v3/settlements/([0-9]+)", self._retrieve_settlement),
        ]
        for method, pattern, act in routes:
            found = re.fullmatch(pattern, request.path)
            if found and method == request.method:
                return act(sent, *found.groups())
        raise Refusal(404, f"Cannot {request.method} {request.path}")

    def _create(self, params: dict[str, Any]) -> dict[str, Any]:
        check_payment(params)
        currency = params.get("currency", "NGN")
        amount = amount_of(params.get("amount"), currency)
        if self._tries(params["tx_ref"]):
            raise Refusal(400, "Duplicate transaction reference")
        token = secrets.token_hex(10)
        minutes = params.get("configurations", {}).get("session_duration", 1440)
        self.pages[token] = Page(params, amount, now() + 60 * minutes)
        return _told("Hosted Link", {"link": self.link_of(token)})

    def link_of(self, token: str) -> str:
        """A page's address."""
        return f"{self.url}/v3/hosted/pay/{token}"

    def _disable(self, params: dict[str, Any]) -> dict[str, Any]:
        page = self.pages.get(str(params.get("link", "")).rpartition("/")[2])
        if page is None:
            raise Refusal(404, "This payment link was not found")
        if not page.is_open:
            raise Refusal(400, "This payment link is currently inactive")
        page.is_disabled = True
        return _told("Link disabled", None)

    def _tries(self, reference: str) -> list[dict[str, Any]]:
        return [one for one in self.transactions.values() if one["tx_ref"] == reference]

    def _verify(self, params: dict[str, Any], name: str) -> dict[str, Any]:
        return _told("Transaction fetched successfully", self._shown(self._transaction(int(name))))

    def _verify_by_reference(self, params: dict[str, Any]) -> dict[str, Any]:
        tries = self._tries(params.get("tx_ref", ""))
        if not tries:
            raise Refusal(404, "No transaction was found for this id")
        return _told("Transaction fetched successfully", self._shown(self.by_reference(tries)))

    def _shown(self, found: dict[str, Any]) -> dict[str, Any]:
        page = next((one for one in self.pages.values() if one.params["tx_ref"] == found["tx_ref"]), None)  # fmt: skip
        return {**found, "meta": page.params.get("meta") if page else None}

    def _transaction(self, name: int) -> dict[str, Any]:
        if name not in self.transactions:
            raise Refusal(404, "No transaction was found for this id")
        return self.transactions[name]

    def _create_refund(self, params: dict[str, Any], name: str) -> dict[str, Any]:
        if set(params) - {"amount", "comments", "callbackurl"}:
            raise Refusal(400, "Unknown field")
        made = self._transaction(int(name))
        if made["status"] != "successful":
            raise Refusal(400, "Transaction is not successful")
        left = self._left(made)
        amount = amount_of(params["amount"], made["currency"]) if "amount" in params else left
        if left <= 0 or amount > left:
            raise Refusal(400, "Refund amount is more than the amount that is left of it")
        return _told("Transaction refund initiated", self._refund(made, amount, params.get("comments")))  # fmt: skip

    def _left(self, made: dict[str, Any]) -> Decimal:
        gone = [
            one["amount_refunded"]
            for one in self.refunds.values()
            if one["tx_id"] == made["id"] and not one["status"].startswith("failed")
        ]
        return Decimal(made["amount"]) - sum(map(Decimal, gone))

    def _refund(self, made: dict[str, Any], amount: Decimal, comments: str | None) -> dict[str, Any]:  # fmt: skip
        refund = refund_object(self._next(), made, amount, self.refunds_begin)
        if comments and self.shows_comments:
            refund["comments"] = comments
        self.refunds[refund["id"]] = refund
        return {name: value for name, value in refund.items() if name != "comments"}

    def _retrieve_refund(self, params: dict[str, Any], name: str) -> dict[str, Any]:
        if int(name) not in self.refunds:
            raise Refusal(404, "Refund not found")
        return _told("Refund fetched", self.refunds[int(name)])

    def _list_transactions(self, params: dict[str, Any]) -> dict[str, Any]:
        rows = self._filtered(self.transactions, params, {"tx_ref": "tx_ref", "status": "status"})
        return _listed("Transactions fetched", rows, params)

    def _list_refunds(self, params: dict[str, Any]) -> dict[str, Any]:
        return _listed("Refunds fetched", self._filtered(self.refunds, params, {"id": "tx_id"}), params)  # fmt: skip

    def _list_chargebacks(self, params: dict[str, Any]) -> dict[str, Any]:
        names = {"flw_ref": "flw_ref", "id": "transaction_id", "status": "status"}
        return _listed("Chargebacks fetched", self._filtered(self.chargebacks, params, names), params)  # fmt: skip

    def _list_settlements(self, params: dict[str, Any]) -> dict[str, Any]:
        """The list does not tell what is in them."""
        rows = self._filtered(self.settlements, params, {"status": "status"})
        told = [{name: row[name] for name in row if name != "transactions"} for row in rows]
        return _listed("Settlements fetched", told, params)

    def _retrieve_settlement(self, params: dict[str, Any], name: str) -> dict[str, Any]:
        if int(name) not in self.settlements:
            raise Refusal(404, "Settlement not found")
        return _told("Settlement fetched", self.settlements[int(name)])

    def _filtered(self, rows: dict[int, Any], params: dict[str, Any], names: dict[str, str]) -> list[dict[str, Any]]:  # fmt: skip
        """Newest first, of the days from `from` to `to`."""
        found = [
            row
            for row in reversed(rows.values())
            if params.get("from", "") <= row["created_at"][:10] <= params.get("to", "9999")
        ]
        for asked, held in names.items() if self.filters else ():
            if asked in params:
                found = [row for row in found if str(row[held]) == params[asked]]
        return found

    def _next(self) -> int:
        self._last += 10
        return self._last

    # --- the other side ---------------------------------------------------------------------

    def token(self, reference: str) -> str:
        """The newest page of that reference."""
        return [name for name, page in self.pages.items() if page.params["tx_ref"] == reference][-1]

    def pay(self, token: str, *, method: str = "card", amount: str = "") -> int:
        """The shopper pays: the sum asked, or what was typed at the bank. Returns the transaction's id."""
        made = self.begin(token, method=method, amount=amount)
        return self.succeed(made)

    def begin(self, token: str, *, method: str = "card", amount: str = "") -> int:
        """A try begins: a code to be typed, a transfer to be sent. Nothing is told of it."""
        page = self.pages[token]
        if not page.is_open:
            raise RuntimeError("the page is closed")
        sum_ = Decimal(amount) if amount else page.amount
        made = transaction_object(self._next(), page.params, sum_, method, 2_508_309)
        self.transactions[made["id"]] = made
        return int(made["id"])

    def succeed(self, name: int) -> int:
        """The money of a try comes in, whether the page is still open or not."""
        made = self.transactions[name]
        made.update(status="successful", processor_response=PROCESSED[made["payment_type"]])
        with_fee(made, self.payer_bears_fees)
        self._emit("charge.completed", made)
        return name

    def decline(self, token: str, said: str = "Insufficient Funds") -> int:
        """One try fails; the page stays open."""
        name = self.begin(token)
        self.transactions[name].update(status="failed", processor_response=said)
        self._emit("charge.completed", self.transactions[name])
        return name

    def refund_from_dashboard(self, name: int, amount: str = "") -> int:
        """A person refunds in the dashboard: no comment of ours."""
        made = self.transactions[name]
        return int(self._refund(made, Decimal(amount) if amount else self._left(made), None)["id"])

    def settle(self, status: str = "completed") -> int:
        """What was paid and is in no settlement yet goes to the shop's bank. Returns the settlement's id."""
        known = {row["id"] for one in self.settlements.values() for row in one["transactions"]}
        rows = [
            row
            for row in self.transactions.values()
            if row["status"] == "successful" and row["id"] not in known
        ]
        made = settlement_object(self._next(), rows, status)
        self.settlements[made["id"]] = made
        return int(made["id"])

    def set_refund(self, name: int, status: str) -> None:
        """A refund goes on: "completed-mpgs", "failed"."""
        self.refunds[name]["status"] = status

    def charge_back(self, name: int, amount: str = "") -> int:
        """The payer's bank asks for the money back. Nothing that is documented tells of it."""
        made = self.transactions[name]
        sum_ = Decimal(amount or made["amount"])
        chargeback = chargeback_object(self._next(), made, sum_)
        self.chargebacks[chargeback["id"]] = chargeback
        return int(chargeback["id"])

    def set_chargeback(self, name: int, status: str, words: str = "") -> None:
        """Answered or decided: "accepted", "declined", "won", "lost"."""
        chargeback = self.chargebacks[name]
        chargeback["status"] = status
        note = {"action": status, "stage": chargeback["stage"], "date": moment(), "description": words}  # fmt: skip
        chargeback["meta"]["history"].append(note)

    # --- webhooks ---------------------------------------------------------------------------

    def _emit(self, event: str, found: dict[str, Any]) -> None:
        """A snapshot, with the secret hash for a header: the same for every message."""
        snapshot = {name: value for name, value in found.items() if name != "amount_settled"}
        message: dict[str, Any] = {"event": event, "data": snapshot}
        if self.tells_meta:
            message["meta_data"] = self._shown(found)["meta"]
        message["event.type"] = KINDS[found["payment_type"]]
        self.tell(message)

    def tell(self, message: dict[str, Any]) -> None:
        """Send this to every endpoint."""
        body = dumped(message)
        for address, hash_ in self.endpoints:
            self.send(Hook(address, body, lambda _raw, held=hash_: {"verif-hash": held}))  # type: ignore[misc]

    # --- the hosted page --------------------------------------------------------------------

    def _hosted_page(self, request: Request) -> Response:
        """checkout.flutterwave.com: a card that works, cards that fail, a transfer of any sum, cancel."""
        token = request.path.rpartition("/")[2]
        page = self.pages.get(token)
        if page is None:
            return Response("<h1>This page was not found.</h1>", 404, mimetype="text/html")
        if not page.is_open:
            return Response("<h1>This payment link is inactive.</h1>", 410, mimetype="text/html")
        choice = request.form.get("choice", "") if request.method == "POST" else ""
        if choice == "cancel":
            return _back(page, "cancelled")
        if choice == "card":
            return _back(page, "successful", self.pay(token))
        if choice == "transfer":
            typed = str(
                amount_of(request.form.get("amount", ""), page.params.get("currency", "NGN"))
            )
            return _back(page, "successful", self.pay(token, method="bank_transfer", amount=typed))
        said = DECLINES.get(choice, "")
        if said:
            failed = self.decline(token, said)
            if "give_up" in request.form:
                return _back(page, "failed", failed)
        return Response(_drawn(page, said), mimetype="text/html")


def _drawn(page: Page, said: str) -> str:
    amount, currency = page.amount, page.params.get("currency", "NGN")
    failing = "".join(
        f'<p><button name="choice" value="{card}">Pay by card {card} ({escape(words)})</button></p>'
        for card, words in DECLINES.items()
    )
    return (
        f"<!doctype html><title>Flutterwave (stand-in)</title><h1>{currency} {amount:,.2f}</h1>"
        f"<p>{escape(page.params['customer']['email'])} · {escape(page.params['tx_ref'])}</p>"
        + (f"<p><strong>{escape(said)}. Try again.</strong></p>" if said else "")
        + '<form method="post"><p><button name="choice" value="card">Pay by card 5531886652142950</button></p>'
        f'<p><label>Transfer <input name="amount" value="{amount}"></label> '
        '<button name="choice" value="transfer">I have sent the money</button></p>'
        f'{failing}<p><label><input type="checkbox" name="give_up"> Go back after a card that fails</label></p>'
        '<p><button name="choice" value="cancel">Cancel payment</button></p></form>'
    )


def _back(page: Page, status: str, transaction: int | None = None) -> Response:
    """Back to the shop; `cancelled` comes without a transaction_id."""
    query: dict[str, Any] = {"status": status, "tx_ref": page.params["tx_ref"]}
    if transaction:
        query["transaction_id"] = transaction
    address = page.params["redirect_url"]
    return redirect(f"{address}{'&' if '?' in address else '?'}{urlencode(query)}", 303)  # type: ignore[return-value]


def _parsed(request: Request) -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise Refusal(400, "Send JSON")
    try:
        body = json.loads(request.get_data(), parse_float=Decimal)
    except ValueError as error:
        raise Refusal(400, "Send JSON") from error
    return body if isinstance(body, dict) else {}


def _told(message: str, data: Any) -> dict[str, Any]:
    return {"status": "success", "message": message, "data": data}


def _listed(message: str, rows: list[dict[str, Any]], params: dict[str, Any]) -> dict[str, Any]:
    """One page of rows, and how many pages there are."""
    page = int(params.get("page", 1))
    pages = -(-len(rows) // PAGE_ROWS)
    info = {"total": len(rows), "current_page": page, "total_pages": pages}
    shown = rows[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    return {**_told(message, shown), "meta": {"page_info": info}}


def _answer(status: int, body: dict[str, Any]) -> Response:
    return Response(dumped(body), status, mimetype="application/json")
