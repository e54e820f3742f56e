"""A stand-in for Shiprocket: log-in, orders, waybill numbers, pickups, labels, tracking, webhooks.

Written from the vendor's documents and from what integrators report. It answers failures with
HTTP 200 where the real one does, and keeps the record of a cancelled order under its reference.
"""

import json
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from werkzeug import Request, Response

from tests.simulators.base import Fault, Hook, Simulator
from tests.simulators.shiprocket_panel import panel

INDIA = timezone(timedelta(hours=5, minutes=30))
EMAIL, PASSWORD = "api-user@shop.example.com", "invented-password"
BASE = "/v1/external"
WALLET = "Please recharge your ShipRocket wallet. The minimum required balance is Rs 100"
REQUIRED = (
    "order_id", "order_date", "pickup_location", "billing_customer_name", "billing_address",
    "billing_city", "billing_pincode", "billing_state", "billing_country", "billing_email",
    "billing_phone", "shipping_is_billing", "order_items", "payment_method", "sub_total", "length",
    "breadth", "height", "weight",
)  # fmt: skip
LABELS = {
    1: "AWB ASSIGNED", 5: "MANIFEST GENERATED", 7: "DELIVERED", 8: "CANCELED", 9: "RTO INITIATED",
    10: "RTO DELIVERED", 12: "LOST", 13: "PICKUP ERROR", 17: "OUT FOR DELIVERY", 18: "IN TRANSIT",
    19: "OUT FOR PICKUP", 20: "PICKUP EXCEPTION", 21: "UNDELIVERED", 25: "DAMAGED", 42: "PICKED UP", 46: "RTO IN TRANSIT",
}  # fmt: skip
ORDER_CODE = {42: 51, 18: 20, 17: 19, 7: 7, 21: 36, 9: 15, 10: 16, 8: 5}


class Shiprocket(Simulator):
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
        self.tokens: set[str] = set()
        self.wallet_is_empty = False
        self.wallet_shape = "top"
        self.awb_error: str | None = None
        self.refused_couriers: set[int | None] = set()
        self.label_lags = 0
        self.pickup_location = "Primary"
        self.login_seconds = 0.0
        self._next = 1_502_847_719
        super().__init__(port)
        self.base = self.url + BASE

    def handle(self, request: Request) -> Response:
        if request.path == "/panel":
            return panel(self, request)
        path = request.path.removeprefix(BASE)
        if path == "/auth/login":
            return self._login(self._json(request))
        if path.startswith("/label/"):
            return Response(b"%PDF-1.4 label " + path.encode(), mimetype="application/pdf")
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return answer({"message": "Token has expired", "status_code": 401}, 401)
        with self.lock:
            for (method, pattern), act in self._routes().items():
                found = re.fullmatch(pattern, path)
                if request.method == method and found:
                    return act(request, *found.groups())
        return answer({"message": "Not Found", "status_code": 404}, 404)

    def _routes(self) -> dict[tuple[str, str], Callable[..., Response]]:
        return {
            ("POST", "/orders/create/adhoc"): self._create,
            ("GET", "/orders"): self._search,
            ("POST", "/courier/assign/awb"): self._assign,
            ("GET", "/courier/serviceability/"): self._serviceability,
            ("POST", "/courier/generate/pickup"): self._pickup,
            ("POST", "/courier/generate/label"): self._label,
            ("POST", "/orders/cancel"): self._cancel_orders,
            ("POST", "/orders/cancel/shipment/awbs"): self._cancel_awbs,
            ("GET", r"/courier/track/awb/(.+)"): self._track,
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
            self.tokens.add(token)
            return answer({"id": 4821907, "email": EMAIL, "token": token})

    def expire_tokens(self) -> None:
        """Every token given so far is refused from now on."""
        self.tokens.clear()

    # --- orders ---

    def _create(self, request: Request) -> Response:
        wish = self._json(request)
        lacking = [name for name in REQUIRED if wish.get(name) in (None, "", [])]
        skus = [item["sku"] for item in wish.get("order_items") or []]
        if len(set(skus)) != len(skus):
            return answer({"message": "SKU cannot be repeated", "status_code": 422}, 422)
        if lacking:
            errors = {
                name: [f"The {name.replace('_', ' ')} field is required."] for name in lacking
            }
            return answer(
                {"message": "Oops! Invalid Data.", "errors": errors, "status_code": 422}, 422
            )
        if wish["pickup_location"] != self.pickup_location:
            words = "Wrong Pickup location entered. Please choose one location from the data given"
            return answer(
                {"message": words, "data": {"data": [{"pickup_location": self.pickup_location}]}}
            )
        known = [one for one in self.orders.values() if one["reference"] == wish["order_id"]]
        order = known[0] if known else self._make(wish)
        return answer(self._shown(order))

    def _make(self, wish: dict[str, Any]) -> dict[str, Any]:
        self._next += 1
        order = {
            "id": self._next, "shipment_id": self._next - 3_843_867, "reference": wish["order_id"],
            "status": "NEW", "status_code": 1, "awb": "", "token_number": None, "scans": [], "wish": wish,
            "code": None,
        }  # fmt: skip
        self.orders[order["id"]] = order
        self.effects.append(("order", order["reference"]))
        return order

    def _shown(self, order: dict[str, Any]) -> dict[str, Any]:
        return {
            "order_id": order["id"], "channel_order_id": order["reference"],
            "shipment_id": order["shipment_id"], "status": order["status"],
            "status_code": order["status_code"], "onboarding_completed_now": 0, "awb_code": order["awb"],
            "courier_company_id": "", "courier_name": "Delhivery Surface" if order["awb"] else "",
        }  # fmt: skip

    def _search(self, request: Request) -> Response:
        """By part of the reference, or the waybill number: the caller must compare."""
        wanted = request.args.get("search", "")
        found = [
            one
            for one in self.orders.values()
            if wanted in one["reference"] or wanted == one["awb"]
        ]
        return answer({"data": [self._row(one) for one in reversed(found)], "meta": {}})

    def _row(self, order: dict[str, Any]) -> dict[str, Any]:
        shipment = {
            "id": order["shipment_id"], "courier": "Delhivery Surface", "awb": order["awb"],
            "pickup_scheduled_date": "2026-11-20 14:00:00" if order["awb"] else None,
            "pickup_token_number": order["token_number"], "etd": "2026-11-24 19:28:00",
            "rto_delivered_date": "0000-00-00 00:00:00",
        }  # fmt: skip
        return {
            "id": order["id"], "channel_order_id": order["reference"], "status": order["status"],
            "status_code": order["status_code"], "shipments": [shipment],
        }  # fmt: skip

    # --- the shipment ---

    def _of_shipment(self, shipment_id: Any) -> dict[str, Any] | None:
        return next(
            (one for one in self.orders.values() if one["shipment_id"] == shipment_id), None
        )

    def _assign(self, request: Request) -> Response:
        wish = self._json(request)
        order = self._of_shipment(wish.get("shipment_id"))
        if order is None:
            errors = {"shipment_id": ["The shipment id field is required."]}
            return answer(
                {"message": "Required field missing", "errors": errors, "status_code": 422}, 422
            )
        if order["status_code"] == 5:
            return answer({"message": ["Delivery pincode is empty"], "status_code": 400}, 400)
        if order["awb"]:
            return _refused("AWB is already assigned")
        if self.wallet_is_empty:
            return (
                answer({"status_code": 350, "message": WALLET})
                if self.wallet_shape == "top"
                else _refused(WALLET)
            )
        if wish.get("courier_id") in self.refused_couriers:
            return _refused("Selected courier does not service this pincode pair")
        if self.awb_error:
            return _refused(self.awb_error)
        order["awb"] = str(788_830_567_000 + len(self.effects))
        order["status"], order["status_code"] = "READY TO SHIP", 3
        self.effects.append(("awb", order["reference"]))
        data = {
            "courier_company_id": wish.get("courier_id") or 43, "awb_code": order["awb"],
            "courier_name": "Delhivery Surface", "pickup_scheduled_date": "2026-11-20 14:00:00",
            "shipment_id": order["shipment_id"],
        }  # fmt: skip
        return answer({"awb_assign_status": 1, "response": {"data": data}})

    def _serviceability(self, request: Request) -> Response:
        if int(request.args.get("order_id", 0)) not in self.orders:
            return answer({"status": 404, "message": "Order does not exist!"})
        rows = [{"id": 900 + n, "courier_company_id": n} for n in (10, 43)]
        data = {"available_courier_companies": rows, "recommended_courier_company_id": 43}
        return answer({"status": 200, "currency": "INR", "data": data})

    def _pickup(self, request: Request) -> Response:
        wanted = self._json(request).get("shipment_id")
        order = self._of_shipment(wanted[0]) if isinstance(wanted, list) and wanted else None
        if order is None or not order["awb"]:
            return answer({"message": "Invalid shipment id", "status_code": 400}, 400)
        if order["token_number"]:
            return answer({"message": "Already in Pickup Queue.", "status_code": 400}, 400)
        order["token_number"] = f"Reference No: {order['id']}"
        self.effects.append(("pickup", order["reference"]))
        told = {
            "pickup_scheduled_date": "2026-11-20 14:00:00", "pickup_token_number": order["token_number"],
            "status": 3, "data": "Pickup is confirmed",
        }  # fmt: skip
        return answer({"pickup_status": 1, "response": told})

    def _label(self, request: Request) -> Response:
        order = self._of_shipment(self._json(request)["shipment_id"][0])
        if order is None or not order["awb"] or self.label_lags > 0:
            self.label_lags -= 1
            return answer(
                {
                    "label_created": 0,
                    "not_created": [],
                    "response": "No valid shipment ids to print label",
                }
            )
        url = f"{self.base}/label/{order['awb']}.pdf"
        return answer({"label_created": 1, "label_url": url, "response": "Label has been created"})

    # --- cancelling ---

    def _cancel_orders(self, request: Request) -> Response:
        for number in self._json(request).get("ids", []):
            if number not in self.orders:
                return answer({"message": "Trying to get property of non-object"}, 500)
            order = self.orders[number]
            order["status"], order["status_code"] = "CANCELED", 5
            self.effects.append(("cancel", order["reference"]))
        return Response(status=204)

    def _cancel_awbs(self, request: Request) -> Response:
        for order in self.orders.values():
            is_meant = order["awb"] in self._json(request).get("awbs", [])
            if is_meant and order["code"] in {42, 18, 17, 7}:
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
        order["scans"].append(
            {
                "date": at.astimezone(INDIA).strftime("%Y-%m-%d %H:%M:%S"), "status": f"X-{code}",
                "activity": f"{LABELS[code].title()} - scanned", "location": place,
                "sr-status": str(code), "sr-status-label": LABELS[code],
            }
        )  # fmt: skip
        order["code"] = code
        return self.message(order, code, at)

    def message(self, order: dict[str, Any], code: int, at: datetime) -> dict[str, Any]:
        """The webhook's body."""
        return {
            "awb": order["awb"], "courier_name": "Delhivery Surface", "current_status": LABELS[code],
            "current_status_id": ORDER_CODE.get(code, 0), "shipment_status": LABELS[code],
            "shipment_status_id": code, "current_timestamp": at.astimezone(INDIA).strftime("%d %m %Y %H:%M:%S"),
            "order_id": order["reference"], "sr_order_id": order["id"], "etd": "2026-11-24 19:28:00",
            "scans": order["scans"], "is_return": 0, "channel_id": 6120045,
        }  # fmt: skip

    def tell(self, message: dict[str, Any], token: str | None = None) -> None:
        """Post a webhook, with the token that was set in the panel."""
        given = self.webhook_token if token is None else token
        body = json.dumps(message).encode()
        self.send(Hook(self.webhook_url, body, lambda _body: {"x-api-key": given} if given else {}))

    def _track(self, request: Request, awb: str) -> Response:
        order = next((one for one in self.orders.values() if one["awb"] == awb), None)
        if order is None or not order["scans"]:
            words = "Aahh! There is no activities found in our DB. Please have some patience."
            return answer({"tracking_data": {"track_status": 0, "error": words}})
        delivered = [scan["date"] for scan in order["scans"] if scan["sr-status"] == "7"]
        track = {
            "awb_code": awb,
            "current_status": "x",
            "delivered_date": delivered[-1] if delivered else None,
        }
        data = {
            "track_status": 1, "shipment_status": order["code"], "shipment_track": [track],
            "shipment_track_activities": list(reversed(order["scans"])), "etd": "2026-11-24 19:28:00",
        }  # fmt: skip
        return answer({"tracking_data": data})

    def done(self, what: str) -> list[str]:
        """References for which this effect happened, once for each time."""
        return [reference for kind, reference in self.effects if kind == what]

    @staticmethod
    def _json(request: Request) -> dict[str, Any]:
        body = request.get_json(silent=True)
        return body if isinstance(body, dict) else {}


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON."""
    return Response(json.dumps(body), status, headers, "application/json")


def _refused(words: str) -> Response:
    return answer({"awb_assign_status": 0, "response": {"data": {"awb_assign_error": words}}})
