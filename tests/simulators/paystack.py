"""A stand-in for Paystack: transactions, refunds, disputes and signed webhooks, with state.

Written from Paystack's documents. Amounts are in subunits (kobo). Methods below "the other side" do
what shoppers, banks and the dashboard do.
"""

import json
import re
import secrets
from collections.abc import Callable
from typing import Any

from markupsafe import escape
from werkzeug import Request, Response
from werkzeug.utils import redirect

from tests.simulators.base import Fault, Hook, Simulator
from tests.simulators.paystack_objects import (
    CURRENCIES,
    Refusal,
    authorization_object,
    check_transaction,
    dispute_object,
    fees_on,
    moment,
    refund_news,
    refund_object,
    required,
    rest_of,
    settlement_object,
    sign,
    subunits,
    transaction_object,
    with_fees,
)

#: The secret key of the demo's account; it signs the webhooks too.
SECRET_KEY = "sk_test_simulator"
#: How a refund goes on by itself after it was queued, in test mode.
SIMULATED = ("processing", "processed")
DECLINES = ("Declined", "Insufficient Funds", "Timeout error", "Processor error")


class Paystack(Simulator):
    """One account in test mode."""

    KNOWS = ("transactions", "pages", "refunds", "disputes", "settlements", "events", "_last")
    #: Other codes than 200 count as failures.
    accepts = (200,)
    #: Live mode: four times every 3 minutes, then hourly until 72 hours are over.
    RETRIES = (180,) * 4 + (3600,) * 71

    def __init__(self, key: str = SECRET_KEY, port: int = 0) -> None:
        self.key = key
        self.domain = "test"
        self.currencies = CURRENCIES
        self.transactions: dict[str, dict[str, Any]] = {}
        #: By the code in the page's address: the reference, and where the shopper goes back to.
        self.pages: dict[str, tuple[str, str]] = {}
        self.refunds: dict[int, dict[str, Any]] = {}
        self.disputes: dict[int, dict[str, Any]] = {}
        #: By id: the settlement, and the transactions in it.
        self.settlements: dict[int, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
        self.events: list[dict[str, Any]] = []
        #: Where webhooks go: an account has one address for each mode.
        self.webhook_url = ""
        #: What signs them, where it is not the key in force (while it is being rolled).
        self.signs_with = ""
        #: Who bears the fees: "account" or "customer".
        self.fees_paid_by = "account"
        #: What becomes of a queued refund at once; nothing when it is to wait.
        self.refunds_go: tuple[str, ...] = SIMULATED
        #: False: answers as they were before errors had codes.
        self.has_codes = True
        self._last = 5_120_984_416
        super().__init__(port)

    # --- the API ----------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """Authenticate, then route."""
        if request.path.startswith("/checkout/"):
            return self._hosted_page(request)
        try:
            if request.headers.get("Authorization", "") != f"Bearer {self.key}":
                raise Refusal(401, "Invalid key", "invalid_key")
            with self.lock:
                return _answer(200, self._route(request))
        except Refusal as refusal:
            old = {name: refusal.body[name] for name in ("status", "message")}
            return _answer(refusal.status, refusal.body if self.has_codes else old)

    def failure(self, fault: Fault, request: Request) -> Response:
        """Errors in Paystack's shape."""
        body = {"status": False, "message": "Simulated.", "type": "api_error", "code": "simulated"}
        response = _answer(fault.status, body)
        response.headers.update(fault.headers)
        return response

    def _route(self, request: Request) -> dict[str, Any]:
        body = _parsed(request) if request.method in {"POST", "PUT"} else {}
        sent = body or request.args.to_dict()
        routes: list[tuple[str, str, Callable[..., dict[str, Any]]]] = [
            ("POST", r"/transaction/initialize", self._initialize),
            ("GET", r"/transaction/verify/([^/]+)", self._verify),
            ("GET", r"/transaction/([0-9]+)", lambda p, i: _told("Transaction retrieved", self._by_id(int(i)))),
            ("GET", r"/transaction", self._list_transactions),
            ("POST", r"/refund", self._create_refund),
            ("GET", r"/refund", self._list_refunds),
            ("GET", r"/refund/([0-9]+)", lambda p, i: _told("Refund retrieved", _get(self.refunds, int(i), "Refund"))),
            ("POST", r"/refund/retry_with_customer_details/([0-9]+)", self._retry_refund),
            ("GET", r"/dispute", self._list_disputes),
            ("GET", r"/dispute/([0-9]+)", lambda p, i: _told("Dispute retrieved", rest_of(_get(self.disputes, int(i), "Dispute")))),
            ("PUT", r"/dispute/([0-9]+)/resolve", self._resolve_dispute),
            ("GET", r"/settlement", self._list_settlements),
            ("GET", r"/settlement/([0-9]+)/transactions", self._list_settled),
        ]  # fmt: skip
        for method, pattern, act in routes:
            found = re.fullmatch(pattern, request.path)
            if found and method == request.method:
                return act(sent, *found.groups())
        raise Refusal(404, "Endpoint not found", "unknown_endpoint")

    def _initialize(self, params: dict[str, Any]) -> dict[str, Any]:
        check_transaction(params, self.currencies)
        if params.get("reference") in self.transactions:
            raise Refusal(400, "Duplicate Transaction Reference", "duplicate_reference")
        made = transaction_object(self._next(), params, self.domain)
        code = secrets.token_hex(8)
        self.transactions[made["reference"]] = made
        self.pages[code] = (made["reference"], params.get("callback_url", ""))
        page = {
            "authorization_url": f"{self.url}/checkout/{code}", "access_code": code,
            "reference": made["reference"],
        }  # fmt: skip
        return _told("Authorization URL created", page)

    def _verify(self, params: dict[str, Any], reference: str) -> dict[str, Any]:
        found = _get(self.transactions, reference, "Transaction reference")
        return _told("Verification successful", found)

    def _list_transactions(self, params: dict[str, Any]) -> dict[str, Any]:
        rows = [
            row
            for row in self.transactions.values()
            if params.get("status") in (None, row["status"])
        ]
        return _listed("Transactions retrieved", rows, params, has_meta=True)

    def _create_refund(self, params: dict[str, Any]) -> dict[str, Any]:
        required(params, "transaction")
        transaction = self._named(params["transaction"])
        if transaction["status"] == "reversed":
            raise Refusal(400, "Transaction has been fully reversed", "transaction_reversed")
        if transaction["status"] != "success":
            raise Refusal(400, "Transaction has not been paid", "invalid_transaction")
        if params.get("currency", transaction["currency"]) != transaction["currency"]:
            raise Refusal(400, "Currency differs from the transaction's", "invalid_params")
        left = transaction["amount"] - self._refunded(transaction)
        amount = subunits(params["amount"], "amount") if "amount" in params else left
        if not 0 < amount <= left:
            raise Refusal(400, "Refund amount cannot be more than what is left of the transaction", "invalid_params")  # fmt: skip
        made = self._queue_refund(transaction, amount, params)
        answer = {**made, "transaction": dict(transaction)}
        self._simulate(made)
        return _told("Refund has been queued for processing", answer)

    def _list_refunds(self, params: dict[str, Any]) -> dict[str, Any]:
        wanted = params.get("transaction")
        rows = [
            rest_to_list(row)
            for row in self.refunds.values()
            if wanted in (None, str(row["transaction"]))
        ]
        return _listed("Refunds retrieved", rows, params)

    def _retry_refund(self, params: dict[str, Any], number: str) -> dict[str, Any]:
        refund = _get(self.refunds, int(number), "Refund")
        details = params.get("refund_account_details") or {}
        required(details, "currency", "account_number", "bank_id")
        if refund["status"] != "needs-attention":
            raise Refusal(422, "Invalid Refund state. Refund cannot be retried")
        self.move_refund(refund["id"], "processing")
        return _told("Refund retried and has been queued for processing", refund)

    def _list_disputes(self, params: dict[str, Any]) -> dict[str, Any]:
        rows = [
            rest_of(row)
            for row in self.disputes.values()
            if params.get("transaction") in (None, str(row["transaction"]["id"]))
            and params.get("status") in (None, row["status"])
        ]
        return _listed("Disputes retrieved", rows, params, has_meta=True)

    def _resolve_dispute(self, params: dict[str, Any], number: str) -> dict[str, Any]:
        required(params, "resolution", "message", "refund_amount", "uploaded_filename")
        if params["resolution"] not in {"merchant-accepted", "declined"}:
            raise Refusal(400, "Invalid resolution", "invalid_params")
        dispute = _get(self.disputes, int(number), "Dispute")
        self.resolve_dispute(dispute["id"], params["resolution"])
        return _told("Dispute successfully resolved", rest_of(dispute))

    def _list_settlements(self, params: dict[str, Any]) -> dict[str, Any]:
        rows = [
            row
            for row, _ in self.settlements.values()
            if params.get("status") in (None, row["status"])
        ]
        return _listed("Settlements retrieved", rows, params, has_meta=True)

    def _list_settled(self, params: dict[str, Any], number: str) -> dict[str, Any]:
        if int(number) not in self.settlements:
            raise Refusal(404, "Settlement not found", "not_found")
        rows = self.settlements[int(number)][1]
        return _listed("Transactions retrieved", rows, params, has_meta=True)

    # --- the other side ---------------------------------------------------------------------

    def plant(self, amount: int) -> str:
        """Somebody else opens a transaction on the same account. Returns its reference."""
        wish = {"email": "other@example.com", "amount": amount, "metadata": {"order": "1"}}
        return str(self._initialize(wish)["data"]["reference"])

    def pay(self, reference: str, *, channel: str = "card", amount: int | None = None) -> int:
        """The shopper pays; `amount` where it is not what was asked. Returns the transaction's id."""
        found = self._payable(reference)
        requested = found["requested_amount"]
        fees = fees_on(requested)
        if self.fees_paid_by == "customer":
            amount, fees = with_fees(requested)
        found.update(
            status="success", gateway_response="Successful", channel=channel, fees=fees,
            amount=requested if amount is None else amount, paid_at=moment(), paidAt=moment(),
            authorization=authorization_object(),
        )  # fmt: skip
        self._emit("charge.success", found)
        return int(found["id"])

    def decline(self, reference: str, said: str = "Declined") -> None:
        """One try on the page fails, and no webhook tells of it; the page may still be paid."""
        self._payable(reference).update(status="failed", gateway_response=said)

    def reverse(self, reference: str) -> None:
        """The money is taken back, and neither a refund nor a dispute is made for it."""
        self.transactions[reference]["status"] = "reversed"

    def settle(self, status: str = "success") -> int:
        """What was paid and is in no settlement yet goes to the shop's bank. Returns the settlement's id."""
        known = {row["reference"] for _, held in self.settlements.values() for row in held}
        rows = [
            row
            for row in self.transactions.values()
            if row["status"] == "success" and row["reference"] not in known
        ]
        made = settlement_object(self._next(), rows, status, self.domain)
        self.settlements[made["id"]] = (made, [dict(row) for row in rows])
        return int(made["id"])

    def refund_from_dashboard(self, reference: str, amount: int) -> int:
        """A person refunds in Paystack's dashboard: the note is Paystack's own. Returns its id."""
        made = self._queue_refund(self.transactions[reference], amount, {})
        self._simulate(made)
        return int(made["id"])

    def move_refund(self, number: int, status: str) -> None:
        """A refund goes on: processing, processed, failed or needs-attention."""
        refund = self.refunds[number]
        refund.update(status=status, updatedAt=moment())
        if status == "processed":
            refund.update(
                refunded_at=moment(), deducted_amount=refund["amount"], fully_deducted=True
            )
        self._tell_refund(refund)

    def dispute(self, reference: str) -> int:
        """The payer's bank asks for the money back. Returns the dispute's id."""
        made = dispute_object(self._next(), self.transactions[reference], self.domain)
        self.disputes[made["id"]] = made
        self._emit("charge.dispute.create", made)
        return int(made["id"])

    def remind_dispute(self, number: int, due_at: str) -> None:
        """Nobody has answered yet."""
        self.disputes[number].update(dueAt=due_at, updated_at=moment())
        self._emit("charge.dispute.remind", self.disputes[number])

    def resolve_dispute(self, number: int, resolution: str = "auto-accepted") -> None:
        """Decided. Unless the shop has declined it with success, the money is gone."""
        dispute = self.disputes[number]
        dispute.update(
            status="resolved", resolution=resolution, resolvedAt=moment(), updated_at=moment()
        )
        if resolution != "declined":
            self.transactions[dispute["transaction"]["reference"]]["status"] = "reversed"
            dispute["transaction"]["status"] = "reversed"
        self._emit("charge.dispute.resolve", dispute)

    # --- inside -----------------------------------------------------------------------------

    def _next(self) -> int:
        self._last += 1
        return self._last

    def _by_id(self, number: int) -> dict[str, Any]:
        rows = {row["id"]: row for row in self.transactions.values()}
        return _get(rows, number, "Transaction")

    def _named(self, given: Any) -> dict[str, Any]:
        """By reference or id."""
        if str(given) in self.transactions:
            return self.transactions[str(given)]
        return self._by_id(int(given) if str(given).isdigit() else 0)

    def _payable(self, reference: str) -> dict[str, Any]:
        found = self.transactions[reference]
        if found["status"] in {"success", "reversed"}:
            raise RuntimeError(f"the transaction is {found['status']}")
        return found

    def _refunded(self, transaction: dict[str, Any]) -> int:
        return sum(
            refund["amount"]
            for refund in self.refunds.values()
            if refund["transaction"] == transaction["id"] and refund["status"] != "failed"
        )

    def _queue_refund(self, transaction: dict[str, Any], amount: int, params: dict[str, Any]) -> dict[str, Any]:  # fmt: skip
        made = refund_object(self._next(), transaction, amount, self.domain)
        made |= {name: params[name] for name in ("merchant_note", "customer_note") if name in params}  # fmt: skip
        self.refunds[made["id"]] = made
        self._tell_refund(made)
        return made

    def _simulate(self, refund: dict[str, Any]) -> None:
        for status in self.refunds_go:
            self.move_refund(refund["id"], status)

    def _tell_refund(self, refund: dict[str, Any]) -> None:
        told = refund_news(refund, self._by_id(refund["transaction"]))
        self._emit(f"refund.{refund['status']}", told)

    def _emit(self, kind: str, found: dict[str, Any]) -> None:
        """What it is at this moment, signed and sent. Slashes are escaped, as Paystack's are."""
        event = json.loads(json.dumps({"event": kind, "data": found}))
        self.events.append(event)
        text = json.dumps(event, ensure_ascii=False, separators=(",", ":")).replace("/", r"\/")
        if self.webhook_url:
            key = self.signs_with or self.key
            signed = {"x-paystack-signature": sign(text.encode(), key)}
            self.send(Hook(self.webhook_url, text.encode(), lambda _: signed))

    # --- the hosted page --------------------------------------------------------------------

    def _hosted_page(self, request: Request) -> Response:
        """checkout.paystack.com: pay, try a declined card, cancel, or close the window."""
        reference, back = self.pages.get(request.path.rpartition("/")[2], ("", ""))
        found = self.transactions.get(reference)
        if found is None:
            return Response("<h1>This page was not found.</h1>", 404, mimetype="text/html")
        # Appended as it is, to whatever the address was.
        returned = f"{back}?trxref={reference}&reference={reference}"
        if found["status"] in {"success", "reversed"}:
            return Response(f'<h1>Paid already</h1><a href="{escape(returned)}">Go back</a>', mimetype="text/html")  # fmt: skip
        choice = request.form.get("choice", "") if request.method == "POST" else ""
        if choice == "pay":
            self.pay(reference)
            return redirect(returned, 303)
        if choice in DECLINES:
            self.decline(reference, choice)
        return Response(_page_of(found, choice), mimetype="text/html")


def _page_of(found: dict[str, Any], said: str) -> str:
    words = {"pay": "Pay", **{one: f"Pay with a card that ends in: {one}" for one in DECLINES}}
    buttons = "".join(
        f'<p><button name="choice" value="{value}">{text}</button></p>'
        for value, text in words.items()
    )
    leave = found["metadata"].get("cancel_action") if isinstance(found["metadata"], dict) else ""
    amount = f"{found['currency']} {found['requested_amount'] // 100}.{found['requested_amount'] % 100:02}"  # fmt: skip
    return (
        f"<!doctype html><title>Paystack (stand-in)</title><h1>{escape(amount)}</h1>"
        f"<p>{escape(found['customer']['email'])} · {escape(found['reference'])}</p>"
        + (f"<p><strong>{escape(said)}. Try again.</strong></p>" if said else "")
        + f'<form method="post">{buttons}</form>'
        + (f'<p><a href="{escape(leave)}">Cancel payment</a></p>' if leave else "")
    )


def _parsed(request: Request) -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise Refusal(400, "Send JSON", "invalid_params")
    body = json.loads(request.get_data())
    return body if isinstance(body, dict) else {}


def _listed(message: str, rows: list[dict[str, Any]], params: dict[str, Any], has_meta: bool = False) -> dict[str, Any]:  # fmt: skip
    """Newest first, by `page` and `perPage`; made since `from`. Refunds tell no page count."""
    since = params.get("from", "")
    found = [row for row in reversed(rows) if _made(row) >= since]
    size, page = int(params.get("perPage", 50)), int(params.get("page", 1))
    shown = found[(page - 1) * size : page * size]
    answer = _told(message, shown)
    if has_meta:
        answer["meta"] = {
            "total": len(found), "skipped": (page - 1) * size, "perPage": size, "page": page,
            "pageCount": -(-len(found) // size),
        }  # fmt: skip
    return answer


def _made(row: dict[str, Any]) -> str:
    return str(row.get("created_at") or row["createdAt"])


def rest_to_list(refund: dict[str, Any]) -> dict[str, Any]:
    """In lists a refund has created_at, alone it has createdAt."""
    told = {name: value for name, value in refund.items() if not name.endswith("At")}
    return told | {"created_at": refund["createdAt"], "updated_at": refund["updatedAt"]}


def _told(message: str, data: Any) -> dict[str, Any]:
    return {"status": True, "message": message, "data": data}


def _answer(status: int, body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), status, mimetype="application/json")


def _get(rows: dict[Any, dict[str, Any]], name: Any, what: str) -> dict[str, Any]:
    if name not in rows:
        raise Refusal(404, f"{what} not found", "not_found")
    return rows[name]
