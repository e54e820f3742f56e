"""The way back at Shiprocket: the customer is `pickup_*` there, the shop is `shipping_*`.

Source: provider page, 2.2 and 2.9. The shop's address is the one of its pickup location, asked of
Shiprocket and kept for an hour in this process; the nickname is matched letter by letter.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from shop.config import settings
from shop.delivery.couriers import shiprocket_words as said
from shop.delivery.couriers.base import ReturnParcel
from shop.delivery.couriers.shiprocket_line import body_of
from shop.providers import Answer, ProviderRefused

KEPT_SECONDS = 3600

_locations: dict[tuple[str, str, str], tuple[float, dict[str, Any]]] = {}


def location(ask: Callable[[], Answer]) -> dict[str, Any]:
    """The pickup location named by SHIPROCKET_PICKUP_LOCATION; `ask` is called when it is not known.

    Raises ProviderRefused when the account has none of that name: the first one offered would ship
    from the wrong address.
    """
    held = settings()
    name = held.shiprocket_pickup_location
    key = held.shiprocket_api_base, held.shiprocket_email, name
    found = _locations.get(key)
    if found is None or found[0] < time.monotonic():
        found = time.monotonic() + KEPT_SECONDS, _named(body_of(ask()), name)
        _locations[key] = found
    return found[1]


def _named(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    data = body.get("data")
    rows = data.get("shipping_address") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise ProviderRefused("the pickup locations could not be read")
    for row in rows:
        if isinstance(row, dict) and row.get("pickup_location") == name:
            return row
    raise ProviderRefused(f"the account has no pickup location {name!r}")


def return_wish(parcel: ReturnParcel, shop: Mapping[str, Any]) -> dict[str, Any]:
    """The body of "create return order". Raises ProviderRefused for what cannot be carried."""
    at = parcel.collect_from
    if parcel.currency != "INR" or at.get("country") != "IN":
        raise ProviderRefused("Shiprocket carries parcels in rupees from addresses in India")
    first, last = _names(at.get("recipient", ""))
    desk, desk_last = _names(str(shop.get("name") or settings().shop_name))
    return {
        "order_id": parcel.reference,
        "order_date": parcel.asked_at.astimezone(said.INDIA).strftime("%Y-%m-%d"),
        "pickup_customer_name": first,
        "pickup_last_name": last,
        "pickup_address": at.get("line1", ""),
        "pickup_address_2": said.second_line(at),
        "pickup_city": at.get("city", "")[:30],
        "pickup_state": at.get("state", ""),
        "pickup_country": "India",
        "pickup_pincode": said.pin_code(at.get("postal_code", "")),
        "pickup_email": parcel.email,
        "pickup_phone": said.phone(at.get("phone") or parcel.phone),
        "pickup_isd_code": "91",
        "shipping_customer_name": desk,
        "shipping_last_name": desk_last,
        "shipping_address": str(shop.get("address") or ""),
        "shipping_address_2": str(shop.get("address_2") or ""),
        "shipping_city": str(shop.get("city") or ""),
        "shipping_country": str(shop.get("country") or "India"),
        "shipping_pincode": said.pin_code(str(shop.get("pin_code") or "")),
        "shipping_state": str(shop.get("state") or ""),
        "shipping_email": str(shop.get("email") or settings().support_email),
        "shipping_isd_code": "91",
        "shipping_phone": said.phone(str(shop.get("phone") or "")),
        "order_items": [_returned(item) for item in said.items(parcel.lines)],
        "payment_method": "PREPAID",
        "total_discount": "0",
        "sub_total": said.rupees(parcel.goods_minor),
        "length": said.side(parcel.length_mm),
        "breadth": said.side(parcel.width_mm),
        "height": said.side(parcel.height_mm),
        "weight": round(parcel.weight_grams / 1000, 3),
    }


def _names(whole: str) -> tuple[str, str]:
    first, _, last = whole.strip().partition(" ")
    return first, last.strip()


def _returned(item: Mapping[str, Any]) -> dict[str, Any]:
    """A return's item names no tax, and is not inspected at the door."""
    return {name: value for name, value in item.items() if name != "tax"} | {"qc_enable": False}
