"""What the stand-in for Shiprocket shows: its orders, carriers, scans and messages."""

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from werkzeug import Response

INDIA = timezone(timedelta(hours=5, minutes=30))
WALLET = "Please recharge your ShipRocket wallet. The minimum required balance is Rs 100"
ETD = "2026-11-24 19:28:00"
LABELS = {
    1: "AWB ASSIGNED", 5: "MANIFEST GENERATED", 7: "DELIVERED", 8: "CANCELED", 9: "RTO INITIATED",
    10: "RTO DELIVERED", 12: "LOST", 13: "PICKUP ERROR", 17: "OUT FOR DELIVERY", 18: "IN TRANSIT",
    19: "OUT FOR PICKUP", 20: "PICKUP EXCEPTION", 21: "UNDELIVERED", 25: "DAMAGED", 42: "PICKED UP", 45: "CANCELLED BEFORE DISPATCHED", 46: "RTO IN TRANSIT",
}  # fmt: skip
ORDER_CODE = {42: 51, 18: 20, 17: 19, 7: 7, 21: 36, 9: 15, 10: 16, 8: 5}
#: Once one of these was scanned, nothing cancels the parcel.
GONE = {42, 18, 17, 7, 9, 46, 10}

REQUIRED = (
    "order_id", "order_date", "pickup_location", "billing_customer_name", "billing_address",
    "billing_city", "billing_pincode", "billing_state", "billing_country", "billing_email",
    "billing_phone", "shipping_is_billing", "order_items", "payment_method", "sub_total", "length",
    "breadth", "height", "weight",
)  # fmt: skip
REQUIRED_OF_RETURN = (
    "order_id", "order_date", "pickup_customer_name", "pickup_address", "pickup_city", "pickup_state",
    "pickup_country", "pickup_pincode", "pickup_email", "pickup_phone", "shipping_customer_name",
    "shipping_address", "shipping_city", "shipping_country", "shipping_pincode", "shipping_state",
    "shipping_phone", "order_items", "payment_method", "sub_total", "length", "breadth", "height", "weight",
)  # fmt: skip

#: Id, name, rupees for each started half kilogram, days, whether it collects at the door.
CARRIERS = (
    (10, "Delhivery Air", 88.4, 2, 1),
    (43, "Delhivery Surface", 36.25, 4, 1),
    (51, "Xpressbees Surface", 31.5, 5, 0),
)
RECOMMENDED = 43
NAMES = {carrier: name for carrier, name, *_ in CARRIERS}


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON."""
    return Response(json.dumps(body), status, headers, "application/json")


def lacking(wish: dict[str, Any], required: tuple[str, ...]) -> Response | None:
    """The 422 for fields that are not there; None when all are."""
    missing = [name for name in required if wish.get(name) in (None, "", [])]
    if not missing:
        return None
    errors = {name: [f"The {name.replace('_', ' ')} field is required."] for name in missing}
    return answer({"message": "Oops! Invalid Data.", "errors": errors, "status_code": 422}, 422)


def refused(words: str) -> Response:
    """An assignment that failed, with HTTP 200."""
    return answer({"awb_assign_status": 0, "response": {"data": {"awb_assign_error": words}}})


def billed_kilograms(wish: dict[str, Any]) -> float:
    """The greater of weight and length × breadth × height / 5000."""
    sides = [float(wish.get(side) or 0) for side in ("length", "breadth", "height")]
    return max(float(wish.get("weight") or 0.5), math.prod(sides) / 5000)


def made_order(number: int, wish: dict[str, Any], *, is_return: bool = False) -> dict[str, Any]:
    """A new order."""
    status, code = ("RETURN PENDING", 21) if is_return else ("NEW", 1)
    return {
        "id": number, "shipment_id": number - 3_843_867, "reference": wish["order_id"], "status": status,
        "status_code": code, "awb": "", "carrier": None, "assigned_at": None, "token_number": None,
        "pickup_date": None, "scans": [], "wish": wish, "code": None, "is_return": is_return,
        "manifested": False,
    }  # fmt: skip


def shown(order: dict[str, Any]) -> dict[str, Any]:
    """The answer of "create order"."""
    return {
        "order_id": order["id"], "channel_order_id": order["reference"], "shipment_id": order["shipment_id"],
        "status": order["status"], "status_code": order["status_code"], "onboarding_completed_now": 0,
        "awb_code": order["awb"], "courier_company_id": order["carrier"] or "",
        "courier_name": NAMES.get(order["carrier"], ""),
    }  # fmt: skip


def row(order: dict[str, Any]) -> dict[str, Any]:
    """An order in a list."""
    shipment = {
        "id": order["shipment_id"], "courier": NAMES.get(order["carrier"], ""), "awb": order["awb"],
        "pickup_scheduled_date": order["pickup_date"] or ("2026-11-20 14:00:00" if order["awb"] else None),
        "pickup_token_number": order["token_number"], "etd": ETD, "rto_delivered_date": "0000-00-00 00:00:00",
    }  # fmt: skip
    return {
        "id": order["id"], "channel_order_id": order["reference"], "status": order["status"],
        "status_code": order["status_code"], "shipments": [shipment],
    }  # fmt: skip


def assigned(order: dict[str, Any]) -> Response:
    """A waybill number was assigned."""
    data = {
        "courier_company_id": order["carrier"], "awb_code": order["awb"], "courier_name": NAMES[order["carrier"]],
        "applied_weight": round(billed_kilograms(order["wish"]), 3), "shipment_id": order["shipment_id"],
        "assigned_date_time": {"date": f"{order['assigned_at']:%Y-%m-%d %H:%M:%S}.000000", "timezone": "Asia/Kolkata"},
        "pickup_scheduled_date": "2026-11-20 14:00:00", "routing_code": "COK/KLM", "invoice_no": "Retail00118",
    }  # fmt: skip
    return answer({"awb_assign_status": 1, "response": {"data": data}})


def carriers(kilograms: float, cod: bool, blocked: set[int]) -> dict[str, Any]:
    """The data of serviceability."""
    steps = max(1, math.ceil(kilograms / 0.5))
    rows = [
        {
            "id": 901_245_000 + carrier, "courier_company_id": carrier, "courier_name": name,
            "rate": round(rupees * steps + 30 * cod, 2), "freight_charge": rupees * steps, "cod_charges": 30 * cod,
            "cod": collects, "etd": f"{datetime.now(UTC) + timedelta(days=days):%b %d, %Y}", "etd_hours": 24 * days,
            "estimated_delivery_days": str(days), "charge_weight": steps * 0.5, "min_weight": 0.5,
            "is_surface": days > 2, "rating": 4.2, "cutoff_time": "11:00", "zone": "z_b", "blocked": 0,
        }
        for carrier, name, rupees, days, collects in CARRIERS if carrier not in blocked
    ]  # fmt: skip
    return {
        "available_courier_companies": rows,
        "blocked_courier_companies": [{"courier_company_id": carrier, "block_reason": "Operational Issues"} for carrier in blocked],
        "recommended_courier_company_id": RECOMMENDED, "shiprocket_recommended_courier_id": RECOMMENDED,
    }  # fmt: skip


def location(name: str) -> dict[str, Any]:
    """The one pickup address of the account."""
    return {
        "id": 3_318_842, "pickup_location": name, "address": "Unit 7, Industrial Estate", "address_2": "",
        "city": "Kochi", "state": "Kerala", "country": "India", "pin_code": "682030", "name": "Dispatch desk",
        "email": "dispatch@shop.example.com", "phone": "9847011223", "status": 2, "phone_verified": 1,
    }  # fmt: skip


def pickup_date(asked: str | None) -> str:
    """The day that was asked for; a Sunday moves on. Without one, a day of the courier's own."""
    if not asked:
        return "2026-11-20 14:00:00"
    day = date.fromisoformat(asked)
    return f"{day + timedelta(days=day.weekday() == 6)} 14:00:00"


def scan_of(code: int, at: datetime, place: str) -> dict[str, Any]:
    """A scan, in Shiprocket's words."""
    return {
        "date": at.astimezone(INDIA).strftime("%Y-%m-%d %H:%M:%S"), "status": f"X-{code}",
        "activity": f"{LABELS[code].title()} - scanned", "location": place,
        "sr-status": str(code), "sr-status-label": LABELS[code],
    }  # fmt: skip


def message(order: dict[str, Any], code: int, at: datetime) -> dict[str, Any]:
    """The webhook's body."""
    return {
        "awb": order["awb"], "courier_name": NAMES.get(order["carrier"], ""), "current_status": LABELS[code],
        "current_status_id": ORDER_CODE.get(code, 0), "shipment_status": LABELS[code],
        "shipment_status_id": code, "current_timestamp": at.astimezone(INDIA).strftime("%d %m %Y %H:%M:%S"),
        "order_id": order["reference"], "sr_order_id": order["id"], "etd": ETD,
        "scans": order["scans"], "is_return": int(order["is_return"]), "channel_id": 6120045,
    }  # fmt: skip


def legacy(message: dict[str, Any], at: datetime) -> dict[str, Any]:
    """The same in the older shape: an integer AWB, the courier's order id, no numbers in its scans."""
    return {
        "awb": int(message["awb"]), "current_status": message["current_status"],
        "order_id": message["sr_order_id"], "channel_order_id": message["order_id"], "channel": "CUSTOM",
        "current_timestamp": at.astimezone(INDIA).strftime("%Y-%m-%d %H:%M:%S"),
        "shipment_status": message["shipment_status"], "shipment_status_id": message["shipment_status_id"],
        "scans": [{"date": one["date"], "activity": one["activity"], "location": one["location"]} for one in message["scans"]],
    }  # fmt: skip


def tracking(order: dict[str, Any] | None, awb: str) -> dict[str, Any]:
    """The answer about one parcel. None of our parcels, or no scan: HTTP 200 with an error inside."""
    if order is None or not order["scans"]:
        words = "Aahh! There is no activities found in our DB. Please have some patience."
        return {"tracking_data": {"track_status": 0, "error": words}}
    delivered = [scan["date"] for scan in order["scans"] if scan["sr-status"] == "7"]
    track = {
        "awb_code": awb,
        "current_status": LABELS[order["code"]].title(),
        "delivered_date": delivered[-1] if delivered else None,
    }
    data = {
        "track_status": 1, "shipment_status": order["code"], "shipment_track": [track],
        "shipment_track_activities": list(reversed(order["scans"])), "etd": ETD,
        "track_url": f"https://shiprocket.co//tracking/{awb}",
    }  # fmt: skip
    return {"tracking_data": data}
