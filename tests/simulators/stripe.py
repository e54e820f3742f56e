"""A stand-in for Stripe: Checkout Sessions, refunds, disputes and signed events, with state.

Written from Stripe's documents. Amounts are in Stripe's units, currencies in lower case. Methods
below "the other side" do what shoppers, banks and the dashboard do.
"""

import json
import re
import secrets
from collections.abc import Callable
from typing import Any

from markupsafe import escape
from werkzeug import Request, Response
from werkzeug.utils import redirect

from tests.simulators.base import Fault, Hook, Simulator, doubling, now
from tests.simulators.stripe_objects import (
    Refusal,
    balance_object,
    check_known,
    check_metadata,
    dispute_object,
    intent_object,
    number,
    parse_form,
    payout_object,
    session_object,
    sign,
    totals,
)

API_VERSION = "2026-10-28.endive"
MINUTE = 60

SESSION_FIELDS = frozenset(
    [
        "mode",
        "ui_mode",
        "line_items",
        "success_url",
        "cancel_url",
        "client_reference_id",
        "metadata",
        "payment_intent_data",
        "customer_email",
        "expires_at",
        "shipping_options",
        "shipping_address_collection",
        "payment_method_types",
        "allowed_payment_method_types",
        "excluded_payment_method_types",
        "locale",
        "adaptive_pricing",
        "automatic_tax",
        "discounts",
        "allow_promotion_codes",
        "phone_number_collection",
        "consent_collection",
        "expand",
    ]
)
REFUND_FIELDS = frozenset(
    ["payment_intent", "charge", "amount", "reason", "metadata", "instructions_email", "expand"]
)
DECLINES = {
    "card_declined": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
}


class Stripe(Simulator):
    """One account in test mode."""

    KNOWS = (
        "sessions", "intents", "charges", "refunds", "disputes", "balance", "payouts",
        "intent_data", "replays", "events",
    )  # fmt: skip
    #: Live mode: for three days, with waits that grow. How they do is not published.
    RETRIES = doubling(5 * MINUTE, 3 * 24 * 60 * MINUTE)

    def __init__(
        self, key: str = "sk_test_simulator", livemode: bool = False, port: int = 0
    ) -> None:
        self.key = key
        self.livemode = livemode
        self.sessions: dict[str, dict[str, Any]] = {}
        self.intents: dict[str, dict[str, Any]] = {}
        self.charges: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.disputes: dict[str, dict[str, Any]] = {}
        #: What charges brought to the balance, and the payouts that it left by.
        self.balance: dict[str, dict[str, Any]] = {}
        self.payouts: dict[str, dict[str, Any]] = {}
        #: False: the balance transaction comes to be some time after the charge.
        self.books_at_once = True
        self.intent_data: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        #: Where events go: (address, signing secrets). Two secrets while one is being replaced.
        self.endpoints: list[tuple[str, list[str]]] = []
        self.replays: dict[str, tuple[Any, int, str]] = {}
        self.under_way: set[str] = set()
        #: "succeeded" or "pending": how refunds begin.
        self.refunds_begin = "succeeded"
        super().__init__(port)

    # --- the API ----------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """Authenticate, replay what the key has answered before, else route."""
        if request.path.startswith("/c/pay/"):
            return self._hosted_page(request)
        try:
            self._authenticate(request)
            params = parse_form(request.form if request.method == "POST" else request.args)
            key = request.headers.get("Idempotency-Key", "") if request.method == "POST" else ""
            if not key:
                with self.lock:
                    return _answer(200, self._route(request, params))
            return self._once(request, params, key)
        except Refusal as refusal:
            return _answer(refusal.status, {"error": refusal.body})

    def failure(self, fault: Fault, request: Request) -> Response:
        """Errors in Stripe's shape: 429 is a rate limit, 409 a lock."""
        kinds = {
            429: ("invalid_request_error", "rate_limit"),
            409: ("invalid_request_error", "lock_timeout"),
        }
        kind, code = kinds.get(fault.status, ("api_error", ""))
        response = _answer(
            fault.status, {"error": {"type": kind, "code": code, "message": "Simulated."}}
        )
        response.headers.update(fault.headers)
        if fault.kind == "fail_stored":
            asked = _asked(request, parse_form(request.form))
            key = request.headers.get("Idempotency-Key", "")
            self.replays[key] = (asked, fault.status, response.get_data(as_text=True))
        return response

    def _authenticate(self, request: Request) -> None:
        given = request.headers.get("Authorization", "")
        if given != f"Bearer {self.key}":
            raise Refusal(401, "Invalid API Key provided: sk_test_****")

    def _once(self, request: Request, params: dict[str, Any], key: str) -> Response:
        """v1 keeps the first answer of a key, errors of the execution too; not failed validations."""
        asked = _asked(request, params)
        with self.lock:
            if len(key) > 255:
                raise Refusal(400, "Idempotency keys are at most 255 characters long.")
            if key in self.under_way:
                raise Refusal(409, "There is currently another in-progress request using this key.", "idempotency_key_in_use", "idempotency_error")  # fmt: skip
            if key in self.replays:
                kept, status, body = self.replays[key]
                if kept != asked:
                    raise Refusal(400, "Keys for idempotent requests can only be used with the same parameters they were first used with.", "", "idempotency_error")  # fmt: skip
                return Response(body, status, {"Idempotent-Replayed": "true"}, "application/json")
            self.under_way.add(key)
        try:
            with self.lock:
                body = json.dumps(self._route(request, params, key))
                self.replays[key] = (asked, 200, body)
            return Response(body, 200, mimetype="application/json")
        finally:
            self.under_way.discard(key)

    def _route(self, request: Request, params: dict[str, Any], key: str = "") -> dict[str, Any]:
        routes: list[tuple[str, str, Callable[..., dict[str, Any]]]] = [
            ("POST", r"/v1/checkout/sessions", self._create_session),
            ("GET", r"/v1/checkout/sessions", lambda p, k: self._list(self.sessions, p, ("status", "payment_intent"))),
            ("GET", r"/v1/checkout/sessions/(\w+)", lambda p, k, i: self._shown(_get(self.sessions, i, "checkout.session"), p)),
            ("POST", r"/v1/checkout/sessions/(\w+)/expire", lambda p, k, i: self.expire(i)),
            ("GET", r"/v1/payment_intents/(\w+)", lambda p, k, i: self._shown(_get(self.intents, i, "payment_intent"), p)),
            ("POST", r"/v1/refunds", self._create_refund),
            ("GET", r"/v1/refunds", lambda p, k: self._list(self.refunds, p, ("payment_intent", "charge"))),
            ("GET", r"/v1/refunds/(\w+)", lambda p, k, i: _get(self.refunds, i, "refund")),
            ("GET", r"/v1/disputes", lambda p, k: self._list(self.disputes, p, ("payment_intent", "charge"))),
            ("GET", r"/v1/payouts", lambda p, k: self._list(self.payouts, p, ("status",))),
            ("GET", r"/v1/balance_transactions", lambda p, k: self._list_balance(p)),
            ("GET", r"/v1/disputes/(\w+)", lambda p, k, i: _get(self.disputes, i, "dispute")),
        ]  # fmt: skip
        for method, pattern, act in routes:
            found = re.fullmatch(pattern, request.path)
            if found and method == request.method:
                answer = act(params, key, *found.groups())
                return answer | {"url": request.path} if answer["object"] == "list" else answer
        raise Refusal(404, f"Unrecognized request URL ({request.method}: {request.path}).")

    def _create_session(self, params: dict[str, Any], key: str) -> dict[str, Any]:
        check_known(params, SESSION_FIELDS)
        if params.get("mode") != "payment":
            raise Refusal(400, "This stand-in knows the mode payment only.", param="mode")
        if not params.get("success_url"):
            raise Refusal(400, "Missing required param: success_url.", "parameter_missing", param="success_url")  # fmt: skip
        currency, total = totals(params.get("line_items"))
        made, expires_at = (
            now(),
            number(params.get("expires_at", now() + 24 * 60 * MINUTE), "expires_at"),
        )
        if not made + 30 * MINUTE - 5 <= expires_at <= made + 24 * 60 * MINUTE + 5:
            raise Refusal(400, "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation.", param="expires_at")  # fmt: skip
        check_metadata(params.get("metadata", {}))
        session = session_object(params, currency, total, made, expires_at, self.livemode)
        session["id"] = f"cs_{'live' if self.livemode else 'test'}_{secrets.token_hex(24)}"
        session["url"] = f"{self.url}/c/pay/{session['id']}"
        self.sessions[session["id"]] = session
        data = params.get("payment_intent_data", {})
        check_metadata(data.get("metadata", {}))
        self.intent_data[session["id"]] = data
        return session

    def expire(self, name: str) -> dict[str, Any]:
        """End an open session; by the shop through the API, or by the clock."""
        session = _get(self.sessions, name, "checkout.session")
        if session["status"] != "open":
            raise Refusal(400, f"Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of {session['status']}.")  # fmt: skip
        session.update(status="expired", url=None)
        self._emit("checkout.session.expired", session)
        return session

    def _create_refund(self, params: dict[str, Any], key: str) -> dict[str, Any]:
        check_known(params, REFUND_FIELDS)
        intent = self._intent_of(params)
        left = intent["amount_received"] - sum(
            refund["amount"]
            for refund in self.refunds.values()
            if refund["payment_intent"] == intent["id"]
            and refund["status"] not in {"failed", "canceled"}
        )
        if left == 0:
            raise Refusal(400, f"Charge {intent['latest_charge']} has already been refunded.", "charge_already_refunded")  # fmt: skip
        amount = number(params.get("amount", left), "amount")
        if amount < 1:
            raise Refusal(
                400, "Invalid positive integer", "parameter_invalid_integer", param="amount"
            )
        if amount > left:
            raise Refusal(400, f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount")  # fmt: skip
        check_metadata(params.get("metadata", {}))
        return self._refund(intent, amount, params.get("metadata", {}), params.get("reason"), key)

    def _intent_of(self, params: dict[str, Any]) -> dict[str, Any]:
        if params.get("charge"):
            charge = _get(self.charges, params["charge"], "charge")
            return self.intents[charge["payment_intent"]]
        intent = _get(self.intents, params.get("payment_intent", ""), "payment_intent")
        if intent["status"] != "succeeded":
            raise Refusal(400, f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.")  # fmt: skip
        return intent

    def _list(
        self, rows: dict[str, Any], params: dict[str, Any], filters: tuple[str, ...]
    ) -> dict[str, Any]:
        """Newest first, by `starting_after` and `limit`."""
        found = list(reversed(rows.values()))
        for name in filters:
            if name in params:
                found = [row for row in found if row[name] == params[name]]
        created = params.get("created", {})
        if "gte" in created:
            found = [row for row in found if row["created"] >= int(created["gte"])]
        if "starting_after" in params:
            ids = [row["id"] for row in found]
            found = found[ids.index(params["starting_after"]) + 1 :]
        limit = number(params.get("limit", 10), "limit")
        if not 1 <= limit <= 100:
            raise Refusal(400, "limit must be between 1 and 100", param="limit")
        expand = [path.removeprefix("data.") for path in params.get("expand", [])]
        return {
            "object": "list",
            "data": [self._shown(row, {"expand": expand}) for row in found[:limit]],
            "has_more": len(found) > limit,
        }

    def _list_balance(self, params: dict[str, Any]) -> dict[str, Any]:
        """Those of a payout can be asked for where Stripe made it by itself."""
        payout = params.get("payout")
        if payout and not _get(self.payouts, payout, "payout")["automatic"]:
            raise Refusal(400, "Balance transaction history can only be filtered on automatic transfers, not manual.", param="payout")  # fmt: skip
        answer = self._list(self.balance, params, ("payout", "type"))
        rows = [{name: row[name] for name in row if name != "payout"} for row in answer["data"]]
        return {**answer, "data": rows}

    def _shown(self, row: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        """The object with its expansions."""
        shown = dict(row)
        for path in params.get("expand", []):
            place = shown
            for name in path.split("."):
                value = place.get(name)
                stores = {
                    "payment_intent": self.intents, "latest_charge": self.charges,
                    "balance_transaction": self.balance, "source": self.charges,
                }  # fmt: skip
                if name not in place or name not in stores:
                    raise Refusal(
                        400, f"This property cannot be expanded ({name}).", param="expand"
                    )
                if isinstance(value, str):
                    place[name] = dict(stores[name][value])
                if place[name] is None:
                    break
                place = place[name]
        return shown

    # --- the other side ---------------------------------------------------------------------

    def complete(self, name: str, *, method: str = "card", email: str = "payer@example.com") -> str:
        """The shopper pays. Returns the payment intent's id."""
        session = self._open_session(name)
        intent = self._intent_for(session, method)
        self._capture(intent, method)
        session.update(status="complete", payment_status="paid", url=None)
        self._identify(session, email)
        self._emit("payment_intent.succeeded", intent)
        self._emit("checkout.session.completed", session)
        return str(intent["id"])

    def complete_unpaid(self, name: str, *, method: str = "us_bank_account") -> str:
        """The shopper finishes with a slow method; `settle` or `bounce` follows."""
        session = self._open_session(name)
        intent = self._intent_for(session, method)
        intent["status"] = "processing"
        session.update(status="complete", url=None, payment_method_types=[method])
        self._identify(session, "payer@example.com")
        self._emit("checkout.session.completed", session)
        return str(intent["id"])

    def settle(self, name: str) -> None:
        """The slow method's money arrives."""
        session = self.sessions[name]
        intent = self.intents[session["payment_intent"]]
        self._capture(intent, intent["payment_method_types"][0])
        session["payment_status"] = "paid"
        self._emit("payment_intent.succeeded", intent)
        self._emit("checkout.session.async_payment_succeeded", session)

    def bounce(self, name: str) -> None:
        """The slow method's money does not arrive."""
        session = self.sessions[name]
        self.intents[session["payment_intent"]]["status"] = "requires_payment_method"
        self._emit("checkout.session.async_payment_failed", session)

    def decline(self, name: str, code: str = "insufficient_funds") -> None:
        """One try on the page fails; the session stays open."""
        session = self._open_session(name)
        intent = self._intent_for(session, "card")
        charge = f"ch_{secrets.token_hex(12)}"
        is_decline = code in {"insufficient_funds", "card_declined"}
        intent["last_payment_error"] = {
            "charge": charge,
            "code": "card_declined" if is_decline else code,
            "decline_code": code if code == "insufficient_funds" else "generic_decline",
            "doc_url": "https://stripe.com/docs/error-codes/card-declined",
            "message": DECLINES[code],
            "payment_method": {
                "id": f"pm_{secrets.token_hex(12)}",
                "object": "payment_method",
                "type": "card",
            },
            "type": "card_error",
        }
        if not is_decline:
            intent["last_payment_error"]["decline_code"] = code
        intent["latest_charge"] = None
        self._emit("payment_intent.payment_failed", intent)

    def book(self, charge: dict[str, Any]) -> None:
        """The charge comes to the account's balance, less 2.9 per cent."""
        made = balance_object(charge, charge["amount"] * 29 // 1_000)
        self.balance[made["id"]] = made
        charge["balance_transaction"] = made["id"]

    def pay_out(self, *, automatic: bool = True) -> str:
        """All that is in the balance goes to the shop's bank. Returns the payout's id."""
        waiting = [one for one in self.balance.values() if one["payout"] is None]
        net = sum(one["net"] for one in waiting)
        made = payout_object(net, waiting[0]["currency"], now(), automatic)
        self.payouts[made["id"]] = made
        for one in waiting:
            one.update(payout=made["id"], status="available")
        return str(made["id"])

    def refund_from_dashboard(self, intent_id: str, amount: int | None = None) -> str:
        """A person refunds in Stripe's dashboard: the refund has no metadata of ours."""
        intent = self.intents[intent_id]
        refund = self._refund(
            intent, amount or intent["amount_received"], {}, "requested_by_customer", ""
        )
        return str(refund["id"])

    def fail_refund(self, refund_id: str, reason: str = "expired_or_canceled_card") -> None:
        """A refund comes back days later."""
        refund = self.refunds[refund_id]
        before = refund["status"]
        refund.update(
            status="failed", failure_reason=reason,
            failure_balance_transaction=f"txn_{secrets.token_hex(12)}",
        )  # fmt: skip
        self._emit("refund.failed", refund, {"status": before})

    def succeed_refund(self, refund_id: str) -> None:
        """A pending refund arrives."""
        refund = self.refunds[refund_id]
        refund["status"] = "succeeded"
        self._emit("refund.updated", refund, {"status": "pending"})

    def dispute(self, intent_id: str, reason: str = "product_not_received", status: str = "needs_response") -> str:  # fmt: skip
        """The payer's bank asks for the money back."""
        intent = self.intents[intent_id]
        made = dispute_object(intent, reason, status, self.livemode)
        self.disputes[made["id"]] = made
        self._emit("charge.dispute.created", made)
        return str(made["id"])

    def close_dispute(self, dispute_id: str, status: str) -> None:
        """Decided: "won", "lost" or "warning_closed"."""
        dispute = self.disputes[dispute_id]
        before, dispute["status"] = dispute["status"], status
        self._emit("charge.dispute.closed", dispute, {"status": before})

    def _open_session(self, name: str) -> dict[str, Any]:
        session = self.sessions[name]
        if session["status"] == "open" and session["expires_at"] <= now():
            self.expire(name)
        if session["status"] != "open":
            raise RuntimeError(f"the session is {session['status']}")
        return session

    def _identify(self, session: dict[str, Any], email: str) -> None:
        address = {"city": None, "country": "IN", "line1": None, "line2": None, "postal_code": None, "state": None}  # fmt: skip
        session["customer_details"] = {
            "address": address, "email": session["customer_email"] or email, "name": "Test Payer",
            "phone": None, "tax_exempt": "none", "tax_ids": [],
        }  # fmt: skip

    def _intent_for(self, session: dict[str, Any], method: str) -> dict[str, Any]:
        """The session's intent, made when a payment is first tried."""
        if session["payment_intent"]:
            return self.intents[session["payment_intent"]]
        intent = intent_object(session, self.intent_data[session["id"]], method, self.livemode)
        self.intents[intent["id"]] = intent
        session["payment_intent"] = intent["id"]
        return intent

    def _capture(self, intent: dict[str, Any], method: str) -> None:
        charge = {
            "id": f"ch_{secrets.token_hex(12)}", "object": "charge", "amount": intent["amount"],
            "amount_refunded": 0, "balance_transaction": None, "currency": intent["currency"],
            "created": now(), "metadata": dict(intent["metadata"]),
            "livemode": self.livemode, "paid": True, "payment_intent": intent["id"],
            "payment_method_details": {"type": method}, "refunded": False, "status": "succeeded",
        }  # fmt: skip
        self.charges[charge["id"]] = charge
        if self.books_at_once:
            self.book(charge)
        intent.update(
            status="succeeded", amount_received=intent["amount"], latest_charge=charge["id"],
            last_payment_error=None, payment_method=f"pm_{secrets.token_hex(12)}",
        )  # fmt: skip

    def _refund(
        self,
        intent: dict[str, Any],
        amount: int,
        metadata: dict[str, str],
        reason: str | None,
        key: str,
    ) -> dict[str, Any]:
        made = {
            "id": f"re_{secrets.token_hex(12)}", "object": "refund", "amount": amount,
            "balance_transaction": f"txn_{secrets.token_hex(12)}", "charge": intent["latest_charge"],
            "created": now(), "currency": intent["currency"],
            "destination_details": {
                "card": {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"},
                "type": "card",
            },
            "metadata": dict(metadata), "payment_intent": intent["id"], "reason": reason,
            "receipt_number": None, "source_transfer_reversal": None, "status": self.refunds_begin,
            "transfer_reversal": None,
        }  # fmt: skip
        self.refunds[made["id"]] = made
        self._emit("refund.created", made, key=key)
        return made

    # --- events -----------------------------------------------------------------------------

    def _emit(self, kind: str, found: dict[str, Any], before: dict[str, Any] | None = None, key: str = "") -> None:  # fmt: skip
        """A snapshot of the object as it is at this moment, sent to every endpoint."""
        data: dict[str, Any] = {"object": json.loads(json.dumps(found))}
        if before:
            data["previous_attributes"] = before
        event = {
            "id": f"evt_{secrets.token_hex(12)}", "object": "event", "api_version": API_VERSION,
            "created": now(), "data": data, "livemode": self.livemode,
            "pending_webhooks": len(self.endpoints),
            "request": {"id": f"req_{secrets.token_hex(7)}" if key else None, "idempotency_key": key or None},
            "type": kind,
        }  # fmt: skip
        self.events.append(event)
        body = json.dumps(event, ensure_ascii=False).encode()
        for address, signing in self.endpoints:
            self.send(
                Hook(
                    address, body, lambda raw, keys=signing: {"Stripe-Signature": sign(raw, *keys)}
                )
            )  # type: ignore[misc]

    # --- the hosted page --------------------------------------------------------------------

    def _hosted_page(self, request: Request) -> Response:
        """checkout.stripe.com in three buttons."""
        session = self.sessions.get(request.path.rpartition("/")[2])
        if session is None or session["status"] != "open":
            return Response("<h1>This page is closed.</h1>", 404, mimetype="text/html")
        if request.method == "POST":
            choice = request.form.get("choice", "back")
            if choice == "pay":
                self.complete(session["id"])
                return redirect(
                    session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]), 303
                )
            if choice == "back":
                return redirect(session["cancel_url"], 303)
            self.decline(session["id"])
        amount = f"{session['amount_total']} {session['currency']}"
        buttons = "".join(
            f'<button name="choice" value="{c}">{c}</button>' for c in ("pay", "decline", "back")
        )
        return Response(
            f'<h1>{escape(amount)}</h1><form method="post">{buttons}</form>', mimetype="text/html"
        )


def _asked(request: Request, params: dict[str, Any]) -> tuple[str, str, str]:
    """What a key stands for."""
    return request.method, request.path, json.dumps(params, sort_keys=True)


def _answer(status: int, body: dict[str, Any]) -> Response:
    headers = {"Request-Id": f"req_{secrets.token_hex(7)}"}
    return Response(json.dumps(body), status, headers, "application/json")


def _get(rows: dict[str, Any], name: str, kind: str) -> dict[str, Any]:
    if name not in rows:
        raise Refusal(404, f"No such {kind}: '{name}'", "resource_missing", param="id")
    row: dict[str, Any] = rows[name]
    return row
