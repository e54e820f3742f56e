"""A stand-in for Shiprocket: log-in, serviceability, orders, returns, waybill numbers, pickups, papers, tracking.

Written from the vendor's documents and from what integrators report. It answers failures with
HTTP 200 where the real one does, and keeps the record of a cancelled order under its reference.
"""

import copy
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from werkzeug import Request, Response

from tests.simulators import shiprocket_objects as objects
from tests.simulators.base import Fault, Hook, Simulator
from tests.simulators.shiprocket_objects import INDIA, answer, refused
from tests.simulators.shiprocket_panel import panel
from tests.simulators.shiprocket_papers import Papers

EMAIL, PASSWORD = "api-user@shop.example.com", "invented-password"
BASE = "/v1/external"
TOKEN_DAYS = 10
PAGE_ROWS = 15
TRACKED_AT_ONCE = 50
#: What an account holds, and how it is disposed.
MEMORY = (
    "orders", "effects", "tokens", "requests", "logins", "wallet_is_empty", "awb_error", "_next",
)  # fmt: skip


class Shiprocket(Papers, Simulator):
    """One account with one pickup location."""

    def __init__(self, webhook_token: str = "hook-token", port: int = 0) -> None:
        self.webhook_token = webhook_token
        self.webhook_url = ""
        self.orders: dict[int, dict[str, Any]] = {}
        self.logins = 0
        self.bad_logins = 0
        self.is_locked = False
        #: What was done, once for each effect: ("order", reference), ("awb", …), ("pickup", …).
        self.effects: list[tuple[str, str]] = []
        #: The tokens in force, each with its end (the clock's seconds).
        self.tokens: dict[str, float] = {}
        self.wallet_is_empty = False
        self.wallet_shape = "top"
        self.awb_error: str | None = None
        self.refused_couriers: set[int | None] = set()
        #: Carriers that serve nobody just now.
        self.blocked_couriers: set[int] = set()
        #: PIN codes that no carrier serves.
        self.unserved: set[int] = set()
        #: Its search finds nothing for a while.
        self.is_unsearchable = False
        self.label_lags = 0
        self.manifest_lags = 0
        self.pickup_location = "Primary"
        self.login_seconds = 0.0
        self._next = 1_502_847_719
        super().__init__(port)
        self.base = self.url + BASE

    def memory(self) -> dict[str, Any]:
        """A copy of what it holds, with which another stand-in goes on from here: see `remember`."""
        return copy.deepcopy({name: getattr(self, name) for name in MEMORY})

    def remember(self, memory: dict[str, Any]) -> None:
        """Hold what was copied from another."""
        vars(self).update(copy.deepcopy(memory))

    def handle(self, request: Request) -> Response:
        if request.path == "/panel":
            return panel(self, request)
        path = request.path.removeprefix(BASE)
        if path == "/auth/login":
            return self._login(self.json_of(request))
        if path.startswith("/papers/"):
            return Response(b"%PDF-1.4 " + path.encode(), mimetype="application/pdf")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.tokens.get(token, 0) < time.time():
            return answer({"message": "Token has expired", "status_code": 401}, 401)
        if path == "/auth/logout":
            del self.tokens[token]
            return answer({"message": "Successfully logged out"})
        with self.lock:
            for (method, pattern), act in self._routes().items():
                found = re.fullmatch(pattern, path)
                if request.method == method and found:
                    return act(request, *found.groups())
        return answer({"message": "Not Found", "status_code": 404}, 404)

    def _routes(self) -> dict[tuple[str, str], Callable[..., Response]]:
        return {
            ("GET", "/settings/company/pickup"): self._locations,
            ("GET", "/courier/serviceability/"): self._serviceability,
            ("POST", "/orders/create/adhoc"): self._create,
            ("POST", "/orders/create/return"): self._create_return,
            ("GET", "/orders"): self._search,
            ("GET", r"/orders/show/(\d+)"): self._show,
            ("POST", "/courier/assign/awb"): self._assign,
            ("POST", "/courier/generate/pickup"): self._pickup,
            **self.paper_routes(),
            ("POST", "/orders/cancel"): self._cancel_orders,
            ("POST", "/orders/cancel/shipment/awbs"): self._cancel_awbs,
            ("GET", r"/courier/track/awb/(.+)"): self._track,
            ("POST", "/courier/track/awbs"): self._track_many,
            ("GET", r"/courier/track/shipment/(\d+)"): self._track_shipment,
            ("GET", "/courier/track"): self._track_order,
            ("POST", r"/ndr/([^/]+)/action"): self._ndr,
        }

    def failure(self, fault: Fault, request: Request) -> Response:
        words = {429: "Too Many Attempts.", 401: "Token has expired"}.get(
            fault.status, "Server Error"
        )
        return answer({"message": words, "status_code": fault.status}, fault.status, fault.headers)

    # --- log-in ---

    def _login(self, wish: dict[str, Any]) -> Response:
        if self.login_seconds:
            time.sleep(self.login_seconds)
        with self.lock:
            self.logins += 1
            if self.is_locked:
                words = "User blocked due to too many failed login attempts."
                return answer({"message": words, "status_code": 403}, 403)
            if (wish.get("email"), wish.get("password")) != (EMAIL, PASSWORD):
                self.bad_logins += 1
                self.is_locked = self.bad_logins >= 3
                words = "Invalid email and password combination"
                return answer({"message": words, "status_code": 400}, 400)
            token = f"token-{self.logins}"
            self.tokens[token] = time.time() + TOKEN_DAYS * 86_400
            return answer({"id": 4821907, "email": EMAIL, "token": token})

    def expire_tokens(self) -> None:
        """Every token given so far is refused from now on."""
        self.tokens.clear()

    # --- who serves ---

    def _locations(self, _request: Request) -> Response:
        return answer({"data": {"shipping_address": [objects.location(self.pickup_location)]}})

    def _serviceability(self, request: Request) -> Response:
        asked = request.args
        missing = [name for name in ("pickup_postcode", "delivery_postcode") if not asked.get(name)]
        if not asked.get("order_id"):
            missing += [name for name in ("weight", "cod") if not asked.get(name)]
        if asked.get("is_return") and not asked.get("declared_value"):
            missing.append("declared_value")
        if missing:
            errors = {name: [f"The {name} field is required."] for name in missing}
            return answer(
                {"message": "Required field missing", "errors": errors, "status_code": 422}, 422
            )
        order = self.orders.get(int(asked.get("order_id", 0)))
        if asked.get("order_id") and order is None:
            return answer({"status": 404, "message": "Order does not exist!"})
        if {int(asked["pickup_postcode"]), int(asked["delivery_postcode"])} & self.unserved:
            words = "No courier available for this pincode pair"
            return answer({"status": 404, "message": words})
        wish = order["wish"] if order else asked
        cod = wish.get("payment_method") == "COD" if order else asked.get("cod") == "1"
        data = objects.carriers(objects.billed_kilograms(wish), cod, self.blocked_couriers)
        return answer({"status": 200, "currency": "INR", "data": data})

    # --- orders ---

    def _create(self, request: Request) -> Response:
        wish = self.json_of(request)
        skus = [item["sku"] for item in wish.get("order_items") or []]
        if len(set(skus)) != len(skus):
            return answer({"message": "SKU cannot be repeated", "status_code": 422}, 422)
        missing = objects.lacking(wish, objects.REQUIRED)
        if missing:
            return missing
        if wish["pickup_location"] != self.pickup_location:
            words = "Wrong Pickup location entered. Please choose one location from the data given"
            return answer(
                {"message": words, "data": {"data": [{"pickup_location": self.pickup_location}]}}
            )
        return answer(objects.shown(self._known(wish["order_id"]) or self._make(wish)))

    def _create_return(self, request: Request) -> Response:
        wish = self.json_of(request)
        missing = objects.lacking(wish, objects.REQUIRED_OF_RETURN)
        if missing:
            return missing
        if self._known(wish["order_id"]):
            errors = {"order_id": ["The order id has already been taken."]}
            return answer(
                {"message": "Oops! Invalid Data.", "errors": errors, "status_code": 422}, 422
            )
        order = self._make(wish, is_return=True)
        names = ("order_id", "shipment_id", "status", "status_code")
        return answer({name: objects.shown(order)[name] for name in names})

    def _known(self, reference: str) -> dict[str, Any] | None:
        """The newest order of that reference."""
        found = [one for one in self.orders.values() if one["reference"] == reference]
        return found[-1] if found else None

    def _make(self, wish: dict[str, Any], *, is_return: bool = False) -> dict[str, Any]:
        self._next += 1
        order = objects.made_order(self._next, wish, is_return=is_return)
        self.orders[order["id"]] = order
        self.effects.append(("return" if is_return else "order", order["reference"]))
        return order

    def _search(self, request: Request) -> Response:
        """By part of the reference, or the waybill number, newest first: the caller must compare."""
        wanted = request.args.get("search", "")
        found = [
            one
            for one in reversed(self.orders.values())
            if wanted in one["reference"] or wanted == one["awb"]
        ]
        found = [] if self.is_unsearchable else found
        number = int(request.args.get("page", 1))
        rows = found[PAGE_ROWS * (number - 1) : PAGE_ROWS * number]
        pages = {
            "total": len(found),
            "current_page": number,
            "total_pages": -(-len(found) // PAGE_ROWS),
        }
        return answer({"data": [objects.row(one) for one in rows], "meta": {"pagination": pages}})

    def _show(self, _request: Request, number: str) -> Response:
        order = self.orders.get(int(number))
        if order is None:
            return answer({"message": "Order not found", "status_code": 404}, 404)
        return answer({"data": objects.row(order)})

    # --- the shipment ---

    def of_shipment(self, shipment_id: Any) -> dict[str, Any] | None:
        """The order of that shipment."""
        return next(
            (one for one in self.orders.values() if one["shipment_id"] == shipment_id), None
        )

    def _assign(self, request: Request) -> Response:
        wish = self.json_of(request)
        order = self.of_shipment(wish.get("shipment_id"))
        if order is None:
            errors = {"shipment_id": ["The shipment id field is required."]}
            return answer(
                {"message": "Required field missing", "errors": errors, "status_code": 422}, 422
            )
        if order["status_code"] == 5:
            return answer({"message": ["Delivery pincode is empty"], "status_code": 400}, 400)
        if order["awb"] and not self._may_reassign(order, wish):
            words = "Oops! Cannot reassign courier for this shipment."
            return (
                answer({"message": words, "status_code": 400}, 400)
                if wish.get("status") == "reassign"
                else refused("AWB is already assigned")
            )
        if self.wallet_is_empty:
            return (
                answer({"status_code": 350, "message": objects.WALLET})
                if self.wallet_shape == "top"
                else refused(objects.WALLET)
            )
        return self._refusal(order, wish.get("courier_id")) or self._assigned(order, wish)

    def _may_reassign(self, order: dict[str, Any], wish: dict[str, Any]) -> bool:
        """Once in 24 hours."""
        is_old = datetime.now(UTC) - order["assigned_at"] >= timedelta(hours=24)
        return wish.get("status") == "reassign" and is_old

    def _refusal(self, order: dict[str, Any], carrier: Any) -> Response | None:
        is_unserved = int(order["wish"].get("billing_pincode") or 0) in self.unserved
        if is_unserved or carrier in self.refused_couriers | self.blocked_couriers:
            return refused("Selected courier does not service this pincode pair")
        pays_at_door = order["wish"].get("payment_method") == "COD"
        collects = {key: cod for key, _name, _rupees, _days, cod in objects.CARRIERS}
        if pays_at_door and not collects.get(carrier or objects.RECOMMENDED):
            return refused("Selected courier does not collect cash on delivery")
        return refused(self.awb_error) if self.awb_error else None

    def _assigned(self, order: dict[str, Any], wish: dict[str, Any]) -> Response:
        order["awb"] = str(788_830_567_000 + len(self.effects))
        order["carrier"] = wish.get("courier_id") or objects.RECOMMENDED
        order["assigned_at"] = datetime.now(UTC)
        if not order["is_return"]:
            order["status"], order["status_code"] = "READY TO SHIP", 3
        self.effects.append(("awb", order["reference"]))
        return objects.assigned(order)

    def _pickup(self, request: Request) -> Response:
        wish = self.json_of(request)
        wanted, days = wish.get("shipment_id"), wish.get("pickup_date") or [None]
        order = self.of_shipment(wanted[0]) if isinstance(wanted, list) and wanted else None
        if order is None or not order["awb"]:
            return answer({"message": "Invalid shipment id", "status_code": 400}, 400)
        if order["token_number"]:
            return answer({"message": "Already in Pickup Queue.", "status_code": 400}, 400)
        order["token_number"] = f"Reference No: {order['id']}"
        order["pickup_date"] = objects.pickup_date(days[0])
        self.effects.append(("pickup", order["reference"]))
        told = {
            "pickup_scheduled_date": order["pickup_date"], "pickup_token_number": order["token_number"],
            "status": 3, "data": "Pickup is confirmed", "others": "{}",
        }  # fmt: skip
        return answer({"pickup_status": 1, "response": told})

    # --- cancelling ---

    def _cancel_orders(self, request: Request) -> Response:
        ids = self.json_of(request).get("ids")
        if not ids:
            errors = {"ids": ["The ids field is required."]}
            return answer({"message": "Oops!", "errors": errors, "status_code": 422}, 422)
        for number in ids:
            if number not in self.orders:
                return answer({"message": "Trying to get property of non-object"}, 500)
            order = self.orders[number]
            order["status"], order["status_code"] = "CANCELED", 5
            self.effects.append(("cancel", order["reference"]))
        return Response(status=204)

    def _cancel_awbs(self, request: Request) -> Response:
        awbs = self.json_of(request).get("awbs", [])
        for order in self.orders.values():
            if order["awb"] and order["awb"] in awbs and order["code"] in objects.GONE:
                return answer({"message": "Shipment can not be cancelled", "status_code": 400}, 400)
        return answer({"message": "Bulk Shipment cancellation is in progress. Please wait."})

    def cancel_in_panel(self, reference: str) -> None:
        """Somebody cancels the order by hand."""
        for order in self.orders.values():
            if order["reference"] == reference:
                order["status"], order["status_code"] = "CANCELED", 5

    # --- tracking ---

    def scan(
        self, code: int, at: datetime, awb: str | None = None, *, place: str = "Kochi_Hub"
    ) -> dict[str, Any]:
        """A scan happens. Returns the message that tells of it; `tell` sends it."""
        order = next(one for one in self.orders.values() if awb in (None, one["awb"]))
        order["scans"].append(objects.scan_of(code, at, place))
        order["code"] = code
        return self.message(order, code, at)

    def message(self, order: dict[str, Any], code: int, at: datetime) -> dict[str, Any]:
        """The webhook's body."""
        return objects.message(order, code, at)

    def tell(self, message: dict[str, Any], token: str | None = None) -> None:
        """Post a webhook, with the token that was set in the panel."""
        given = self.webhook_token if token is None else token
        body = json.dumps(message).encode()
        self.send(Hook(self.webhook_url, body, lambda _body: {"x-api-key": given} if given else {}))

    def _of_awb(self, awb: Any) -> dict[str, Any] | None:
        return next((one for one in self.orders.values() if awb and one["awb"] == str(awb)), None)

    def _track(self, _request: Request, awb: str) -> Response:
        return answer(objects.tracking(self._of_awb(awb), awb))

    def _track_many(self, request: Request) -> Response:
        """An object by waybill number; those that it does not know are left out."""
        awbs = [str(awb) for awb in self.json_of(request).get("awbs", [])]
        if len(awbs) > TRACKED_AT_ONCE:
            return answer({"message": "Too many AWBs", "status_code": 400}, 400)
        known = {awb: self._of_awb(awb) for awb in awbs}
        return answer({awb: objects.tracking(order, awb) for awb, order in known.items() if order})

    def _track_shipment(self, _request: Request, number: str) -> Response:
        order = self.of_shipment(int(number))
        return answer(objects.tracking(order, order["awb"] if order else ""))

    def _track_order(self, request: Request) -> Response:
        """An array."""
        order = self._known(request.args.get("order_id", ""))
        return answer([objects.tracking(order, order["awb"])] if order else [])

    def _ndr(self, request: Request, awb: str) -> Response:
        """Nobody took it: try again, or send it back."""
        wish, order = self.json_of(request), self._of_awb(awb)
        if order is None or not wish.get("comments"):
            return answer({"message": "The comments field is required.", "status_code": 422}, 422)
        self.effects.append((f"ndr {wish.get('action')}", order["reference"]))
        return answer({"message": "NDR action updated"}, 202)

    def done(self, what: str) -> list[str]:
        """References for which this effect happened, once for each time."""
        return [reference for kind, reference in self.effects if kind == what]

    @staticmethod
    def json_of(request: Request) -> dict[str, Any]:
        """The request's object."""
        body = request.get_json(silent=True)
        return body if isinstance(body, dict) else {}


__all__ = ["BASE", "EMAIL", "INDIA", "PASSWORD", "Shiprocket", "answer"]
