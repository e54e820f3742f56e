"""A stand-in for Razorpay: payment links, orders, refunds, disputes and signed webhooks, with state.

Written from Razorpay's documents. Amounts are in paise. Methods below "the other side" do what
shoppers, banks and the dashboard do.
"""

import base64
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from werkzeug import Request, Response

from tests.simulators.base import Fault, Hook, Simulator, doubling, now
from tests.simulators.razorpay_objects import (
    FAILURES,
    ORDER_FIELDS,
    REFUND_FIELDS,
    Refusal,
    check_amount,
    check_known,
    check_notes,
    dispute_object,
    hexed,
    invalid,
    link_object,
    new_id,
    order_object,
    payment_object,
    refund_object,
)
from tests.simulators.razorpay_pages import SCRIPT, hosted_page, window
from tests.simulators.razorpay_settlements import Settlements

#: The demo's account.
KEY_ID, KEY_SECRET, WEBHOOK_SECRET = "rzp_test_simulator", "shopTestKeySecret0001", "shop-webhook-secret-0001"  # fmt: skip
KEY_FORM = re.compile(r"[A-Za-z0-9_-]{10,}")


class Razorpay(Simulator):
    """One account in test mode."""

    KNOWS = (
        "links", "orders", "payments", "refunds", "disputes", "settlements", "events", "refund_keys",
    )  # fmt: skip
    #: For 24 hours, with waits that grow. How they do is not published.
    RETRIES = doubling(60, 24 * 3600)

    def __init__(self, key_id: str = KEY_ID, key_secret: str = KEY_SECRET, port: int = 0) -> None:
        self.key_id, self.key_secret = key_id, key_secret
        self.links: dict[str, dict[str, Any]] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.payments: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.disputes: dict[str, dict[str, Any]] = {}
        self.settlements = Settlements()
        self.events: list[tuple[str, dict[str, Any]]] = []
        #: Where webhooks go: (address, secret).
        self.endpoints: list[tuple[str, str]] = []
        #: Addresses that failed for a whole day: no more is sent until a person takes them out.
        self.disabled: set[str] = set()
        #: The account's setting: whether promised money is captured by itself.
        self.captures_itself = True
        #: False as test mode may be: the key of a refund is not heeded.
        self.keeps_refund_keys = True
        #: False: lists of links ignore the filter by reference.
        self.filters_links = True
        #: False: links do not say which order they are paid by.
        self.links_name_orders = True
        #: "processed" or "pending": how refunds go on at once.
        self.refunds_begin = "processed"
        #: What refunds are paid from; None is enough.
        self.balance: int | None = None
        self.refund_keys: dict[str, tuple[str, str]] = {}
        super().__init__(port)

    # --- the API ----------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """Pages and the script for browsers; else authenticate and route."""
        if request.path.startswith("/l/"):
            return hosted_page(self, request)
        if request.path == "/v1/checkout.js":
            return Response(SCRIPT, mimetype="text/javascript")
        if request.path.startswith("/checkout/"):
            return window(self, request)
        try:
            self._authenticate(request)
            with self.lock:
                return _answer(200, self._route(request))
        except Refusal as refusal:
            return _answer(refusal.status, {"error": refusal.body})

    def failure(self, fault: Fault, request: Request) -> Response:
        """Errors in Razorpay's shape."""
        code = "SERVER_ERROR" if fault.status >= 500 else "BAD_REQUEST_ERROR"
        error = {"code": code, "description": "Simulated.", "source": "NA", "step": "NA", "reason": "NA", "metadata": {}}  # fmt: skip
        response = _answer(fault.status, {"error": error})
        response.headers.update(fault.headers)
        return response

    def _authenticate(self, request: Request) -> None:
        pair = base64.b64encode(f"{self.key_id}:{self.key_secret}".encode()).decode()
        if request.headers.get("Authorization", "") != f"Basic {pair}":
            raise Refusal(401, "The api key provided is invalid")

    def _route(self, request: Request) -> dict[str, Any]:
        routes: list[tuple[str, str, Callable[..., dict[str, Any]]]] = [
            ("POST", r"/v1/payment_links", self._create_link),
            ("GET", r"/v1/payment_links", self._list_links),
            ("GET", r"/v1/payment_links/(\w+)", lambda r, i: self._shown(self.link(i))),
            ("POST", r"/v1/payment_links/(\w+)/cancel", lambda r, i: self.cancel(i)),
            ("POST", r"/v1/orders", self._create_order),
            ("GET", r"/v1/orders", lambda r: _page(self.orders, r, "receipt")),
            ("GET", r"/v1/orders/(\w+)", lambda r, i: _get(self.orders, i)),
            ("GET", r"/v1/orders/(\w+)/payments", lambda r, i: _collection(self._tries(i))),
            ("GET", r"/v1/payments", lambda r: _page(self.payments, r)),
            ("GET", r"/v1/payments/(\w+)", lambda r, i: _get(self.payments, i)),
            ("POST", r"/v1/payments/(\w+)/capture", self._capture_asked),
            ("POST", r"/v1/payments/(\w+)/refund", self._create_refund),
            ("GET", r"/v1/payments/(\w+)/refunds", lambda r, i: _page(self._refunds_of(i), r)),
            ("GET", r"/v1/refunds", lambda r: _page(self.refunds, r)),
            ("GET", r"/v1/disputes", lambda r: _page(self.disputes, r)),
            ("GET", r"/v1/disputes/(\w+)", lambda r, i: _get(self.disputes, i)),
            ("GET", r"/v1/settlements", lambda r: _page(self.settlements.made, r)),
            ("GET", r"/v1/settlements/recon/combined", lambda r: _collection(self.settlements.on_day(r.args))),
            ("GET", r"/v1/settlements/(\w+)", lambda r, i: _get(self.settlements.made, i)),
        ]  # fmt: skip
        for method, pattern, act in routes:
            found = re.fullmatch(pattern, request.path)
            if found and method == request.method:
                return act(request, *found.groups())
        raise Refusal(400, "The requested URL was not found on the server.")

    def _create_link(self, request: Request) -> dict[str, Any]:
        sent = _sent(request)
        link = link_object(sent, self.url)
        known = {one["reference_id"] for one in self.links.values()}
        if link["reference_id"] and link["reference_id"] in known:
            raise invalid(
                f"payment link with given reference_id: {link['reference_id']} already exists. "
                "Please create a payment link with a different reference_id", "reference_id",
            )  # fmt: skip
        self.links[link["id"]] = link
        return link

    def _list_links(self, request: Request) -> dict[str, Any]:
        wanted = request.args.get("reference_id") if self.filters_links else None
        rows = [self._shown(self.link(name)) for name in reversed(self.links)]
        return {"payment_links": [one for one in rows if wanted in (None, one["reference_id"])]}

    def link(self, name: str) -> dict[str, Any]:
        """The link, expired if its time is over."""
        link = _get(self.links, name)
        if link["status"] == "created" and link["expire_by"] <= now():
            self.expire(name)
        return link

    def _shown(self, link: dict[str, Any]) -> dict[str, Any]:
        hidden = set() if self.links_name_orders else {"order_id"}
        return {name: value for name, value in link.items() if name not in hidden}

    def cancel(self, name: str) -> dict[str, Any]:
        """End a link: by the shop through the API, or by a person in the dashboard."""
        link = self.link(name)
        if link["status"] in {"paid", "partially_paid"}:
            raise Refusal(400, "cannot cancel or expire an already paid/partially paid link")
        if link["status"] != "created":
            raise Refusal(400, "cannot cancel or expire an expired link")
        link.update(status="cancelled", cancelled_at=now(), updated_at=now())
        self._emit("payment_link.cancelled", payment_link=self._shown(link))
        return self._shown(link)

    def _create_order(self, request: Request) -> dict[str, Any]:
        sent = _sent(request)
        check_known(sent, ORDER_FIELDS)
        amount, currency = check_amount(sent)
        if len(sent.get("receipt") or "") > 40:
            raise invalid("The receipt may not be greater than 40 characters.", "receipt")
        order = order_object(amount, currency, sent.get("receipt"), check_notes(sent))
        self.orders[order["id"]] = order
        return order

    def _tries(self, order_id: str) -> list[dict[str, Any]]:
        _get(self.orders, order_id)
        return [one for one in reversed(self.payments.values()) if one["order_id"] == order_id]

    def _capture_asked(self, request: Request, name: str) -> dict[str, Any]:
        sent, payment = _sent(request), _get(self.payments, name)
        if payment["status"] != "authorized":
            raise Refusal(400, "This payment has already been captured")
        if (sent.get("amount"), sent.get("currency")) != (payment["amount"], payment["currency"]):
            raise Refusal(400, "Capture amount must be equal to the amount authorized")
        return self.capture(name)

    def _create_refund(self, request: Request, name: str) -> dict[str, Any]:
        sent, payment = _sent(request), _get(self.payments, name)
        check_known(sent, REFUND_FIELDS)
        key, body = request.headers.get("X-Refund-Idempotency", ""), request.get_data(as_text=True)
        if key and not KEY_FORM.fullmatch(key):
            raise Refusal(400, "The idempotency key must be at least 10 characters long.")
        if key in self.refund_keys and self.keeps_refund_keys:
            made, first = self.refund_keys[key]
            if first != body:
                raise Refusal(400, "Different request with the same idempotency key has already been processed.")  # fmt: skip
            return self.refunds[made]
        refund = self._refund(payment, sent)
        if key:
            self.refund_keys[key] = (refund["id"], body)
        return refund

    def _refund(self, payment: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
        if not payment["captured"]:
            raise Refusal(400, "The payment status should be captured for action to be taken")
        left = payment["amount"] - payment["amount_refunded"]
        if left == 0:
            raise Refusal(400, "The payment has been fully refunded already")
        amount, _currency = check_amount(
            {"amount": sent.get("amount", left), "currency": payment["currency"]}
        )
        if amount > left:
            raise Refusal(400, "The refund amount provided is greater than amount captured")
        if self.balance is not None and self.balance < amount:
            raise Refusal(400, "Your account does not have enough balance to carry out the refund operation.")  # fmt: skip
        refund = refund_object(payment, amount, sent)
        self.refunds[refund["id"]] = refund
        self._count_refunds(payment)
        self._emit("refund.created", refund=refund, payment=payment)
        if self.refunds_begin == "processed":
            self.process_refund(refund["id"])
        return refund

    def _refunds_of(self, payment_id: str) -> dict[str, dict[str, Any]]:
        _get(self.payments, payment_id)
        return {i: one for i, one in self.refunds.items() if one["payment_id"] == payment_id}

    def _count_refunds(self, payment: dict[str, Any]) -> None:
        rows = self._refunds_of(payment["id"]).values()
        gone = sum(one["amount"] for one in rows if one["status"] != "failed")
        full = gone == payment["amount"]
        payment["amount_refunded"] = gone
        payment["refund_status"] = "full" if full else "partial" if gone else None
        payment["status"] = "refunded" if full else "captured"

    # --- the other side ---------------------------------------------------------------------

    def pay(self, name: str, *, method: str = "upi", amount: int | None = None) -> str:
        """The shopper pays a link or an order. Returns the payment's id."""
        payment_id = self.authorize(name, method=method, amount=amount)
        if self.captures_itself:
            self.capture(payment_id)
        return payment_id

    def plant(self, amount: int, notes: dict[str, str] | None = None) -> str:
        """An order that somebody else made on this account. Returns its id."""
        order = order_object(amount, "INR", "another-shop-1", notes)
        self.orders[order["id"]] = order
        return str(order["id"])

    def authorize(
        self, name: str, *, method: str = "upi", amount: int | None = None, late: bool = False
    ) -> str:
        """The bank promises the money; `late` long after the page was closed."""
        order, link = self._place(name, late)
        payment = self._try(order, link, method)
        payment["amount"] = payment["base_amount"] = amount or payment["amount"]
        self._emit("payment.authorized", payment=payment)
        return str(payment["id"])

    def capture(self, payment_id: str) -> dict[str, Any]:
        """The money is taken."""
        payment = self.payments[payment_id]
        fee = payment["amount"] * 236 // 10_000
        payment.update(status="captured", captured=True, fee=fee, tax=fee * 18 // 118)
        order = self.orders[payment["order_id"]]
        order["amount_paid"] += payment["amount"]
        order["amount_due"] = max(0, order["amount"] - order["amount_paid"])
        order["status"] = "paid" if order["amount_due"] == 0 else "attempted"
        self._emit("payment.captured", payment=payment)
        if order["status"] == "paid":
            self._emit("order.paid", payment=payment, order=order)
        for link in self.links.values():
            if link.get("order_id") == order["id"]:
                self._count_link(link, order, payment)
        return payment

    def _count_link(
        self, link: dict[str, Any], order: dict[str, Any], payment: dict[str, Any]
    ) -> None:
        full = order["status"] == "paid"
        row = {"amount": payment["amount"], "created_at": now(), "method": payment["method"], "payment_id": payment["id"], "plink_id": link["id"], "status": "captured", "updated_at": now()}  # fmt: skip
        link.update(
            status="paid" if full else "partially_paid", amount_paid=order["amount_paid"],
            updated_at=now(), payments=[*(link["payments"] or []), row],
        )  # fmt: skip
        kind = "payment_link.paid" if full else "payment_link.partially_paid"
        told = {name: value for name, value in self._shown(link).items() if name != "payments"}
        self._emit(kind, payment_link=told, order=order, payment=payment)

    def decline(self, name: str, reason: str = "insufficient_fund") -> str:
        """One try fails; the page stays open."""
        order, link = self._place(name, late=False)
        payment = self._try(order, link, "card")
        payment.update(
            status="failed", error_code="BAD_REQUEST_ERROR", error_description=FAILURES[reason],
            error_source="customer", error_step="payment_authorization", error_reason=reason,
        )  # fmt: skip
        self._emit("payment.failed", payment=payment)
        return str(payment["id"])

    def give_back_uncaptured(self, payment_id: str) -> None:
        """Promised money that nobody took goes back by itself after days."""
        payment = self.payments[payment_id]
        payment.update(status="refunded", amount_refunded=payment["amount"], refund_status="full")

    def settle(self, status: str = "processed") -> str:
        """What is in the balance goes to the shop's bank. Returns the settlement's id."""
        return self.settlements.settle(self, status)

    def expire(self, name: str) -> None:
        """A link's time is over."""
        link = self.links[name]
        link.update(status="expired", expired_at=now(), updated_at=now())
        self._emit("payment_link.expired", payment_link=self._shown(link))

    def refund_from_dashboard(self, payment_id: str, amount: int | None = None) -> str:
        """A person refunds in the dashboard: no notes of ours."""
        sent = {"amount": amount} if amount else {}
        return str(self._refund(self.payments[payment_id], sent)["id"])

    def process_refund(self, refund_id: str) -> None:
        """A refund has arrived."""
        refund = self.refunds[refund_id]
        refund.update(status="processed", acquirer_data={"arn": "74537506321000417729903"})
        self._emit("refund.processed", refund=refund, payment=self.payments[refund["payment_id"]])

    def fail_refund(self, refund_id: str) -> None:
        """A refund could not be made."""
        refund = self.refunds[refund_id]
        refund["status"] = "failed"
        self._count_refunds(self.payments[refund["payment_id"]])
        self._emit("refund.failed", refund=refund, payment=self.payments[refund["payment_id"]])

    def dispute(self, payment_id: str, phase: str = "chargeback") -> str:
        """The payer's bank asks for the money back."""
        payment = self.payments[payment_id]
        dispute = dispute_object(payment, phase)
        self.disputes[dispute["id"]] = dispute
        self._emit("payment.dispute.created", payment=payment, dispute=dispute)
        return str(dispute["id"])

    def move_dispute(self, dispute_id: str, status: str, told: str = "") -> None:
        """Goes on: "under_review", "won", "lost" or "closed"; `told` where the event is called otherwise."""
        dispute = self.disputes[dispute_id]
        dispute["status"] = status
        dispute["amount_deducted"] = dispute["amount"] if status == "lost" else 0
        payment = self.payments[dispute["payment_id"]]
        self._emit(f"payment.dispute.{told or status}", payment=payment, dispute=dispute)

    def _place(self, name: str, late: bool) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The order to pay, and its link where it has one: a link's order is made when it is opened."""
        if name.startswith("order_"):
            link, order = None, self.orders[name]
        else:
            link = self.link(name)
            if link["status"] != "created" and not late:
                raise RuntimeError(f"the link is {link['status']}")
            if "order_id" not in link:
                made = order_object(link["amount"], link["currency"], link["reference_id"], link["notes"])  # fmt: skip
                self.orders[made["id"]] = made
                link["order_id"] = made["id"]
            order = self.orders[link["order_id"]]
        if order["status"] == "paid":
            raise RuntimeError("the order is paid")
        return order, link

    def _try(
        self, order: dict[str, Any], link: dict[str, Any] | None, method: str
    ) -> dict[str, Any]:
        about = f"#{link['id'].removeprefix('plink_')}" if link else "Order"
        payment = payment_object(order, method, order["notes"], about)
        self.payments[payment["id"]] = payment
        order["attempts"] += 1
        order["status"] = "attempted"
        return payment

    # --- events -----------------------------------------------------------------------------

    def _emit(self, kind: str, **about: dict[str, Any]) -> None:
        """A snapshot of the objects as they are at this moment, sent to every endpoint."""
        payload = {name: {"entity": json.loads(json.dumps(found))} for name, found in about.items()}
        event = {
            "entity": "event", "account_id": "acc_QvT8mLw2Zk1bXa", "event": kind, "contains": list(about),
            "payload": payload, "created_at": now(),
        }  # fmt: skip
        event_id = new_id("evt").removeprefix("evt_")
        self.events.append((event_id, event))
        body = json.dumps(event, ensure_ascii=False).encode()
        for address, secret in self.endpoints:
            if address not in self.disabled:
                self.send(Hook(address, body, _signer(secret, event_id)))

    def give_up(self, hook: Hook) -> None:
        """Failures for a whole day switch the webhook off, and what waits for it is given up too."""
        super().give_up(hook)
        self.disabled.add(hook.url)
        with self.lock:
            waiting, self.outbox = self.outbox, []
        for other in waiting:
            (self.given_up if other.url in self.disabled else self.outbox).append(other)

    # --- the way back ------------------------------------------------------------------------------

    def way_back(self, name: str, payment_id: str) -> str:
        """The address to which the browser goes after paying, signed with the key's secret."""
        link = self.links[name]
        signed = f"{name}|{link['reference_id']}|{link['status']}|{payment_id}"
        more = urlencode(
            {
                "razorpay_payment_id": payment_id, "razorpay_payment_link_id": name,
                "razorpay_payment_link_reference_id": link["reference_id"],
                "razorpay_payment_link_status": link["status"],
                "razorpay_signature": hexed(self.key_secret, signed.encode()),
            }
        )  # fmt: skip
        return f"{link['callback_url']}{'&' if '?' in link['callback_url'] else '?'}{more}"

    def handed_over(self, order_id: str, payment_id: str) -> dict[str, str]:
        """What the script hands to the page's handler after paying an order."""
        return {
            "razorpay_payment_id": payment_id, "razorpay_order_id": order_id,
            "razorpay_signature": hexed(self.key_secret, f"{order_id}|{payment_id}".encode()),
        }  # fmt: skip


def _signer(secret: str, event_id: str) -> Callable[[bytes], dict[str, str]]:
    """The same id however often the event is sent."""
    return lambda body: {
        "X-Razorpay-Signature": hexed(secret, body),
        "x-razorpay-event-id": event_id,
    }


def _sent(request: Request) -> dict[str, Any]:
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise Refusal(400, "Failed to parse the request body")
    return body


def _answer(status: int, body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), status, mimetype="application/json")


def _get(rows: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name not in rows:
        raise Refusal(400, "The id provided does not exist")
    return rows[name]


def _collection(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"entity": "collection", "count": len(items), "items": items}


def _page(rows: dict[str, dict[str, Any]], request: Request, by: str = "") -> dict[str, Any]:
    """Newest first, by `count` and `skip`, within `from` and `to`."""
    asked = request.args
    count, skip = int(asked.get("count", 10)), int(asked.get("skip", 0))
    if not 1 <= count <= 100:
        raise invalid("The count may not be greater than 100.", "count")
    first, last = int(asked.get("from", 0)), int(asked.get("to", 2**40))
    found = [one for one in reversed(rows.values()) if first <= one["created_at"] <= last]
    if by and by in asked:
        found = [one for one in found if one[by] == asked[by]]
    return _collection(found[skip : skip + count])
