"""What Shiprocket's serviceability call is asked, and the carriers with prices that it answers.

Source: provider page, 2.3. A row's `courier_company_id` names the carrier; its `id` is another
number. A failure comes with HTTP 200 and `status: 404` in the body.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from shop.delivery.couriers import shiprocket_words as said
from shop.delivery.couriers.base import Booking, LiveRate, RateWish
from shop.delivery.couriers.shiprocket_line import body_of
from shop.providers import Answer, ProviderRefused

#: What Shiprocket answers, in its body, where nobody serves the way.
NOT_FOUND = 404


def question(wish: RateWish, pickup_code: int) -> dict[str, Any]:
    """The query for a parcel that is not booked yet. Raises ProviderRefused for a wrong PIN code."""
    return {
        "pickup_postcode": pickup_code,
        "delivery_postcode": said.pin_code(wish.postal_code),
        "cod": int(wish.collect),
        "weight": max(round(wish.weight_grams / 1000, 3), 0.001),
        "length": said.centimetres(wish.length_mm),
        "breadth": said.centimetres(wish.width_mm),
        "height": said.centimetres(wish.height_mm),
        "declared_value": said.rupees(wish.goods_minor),
    }


def question_about(booking: Booking, shop_code: int) -> dict[str, Any]:
    """The query for a booked parcel; of a return the way runs from the customer to the shop."""
    theirs = said.pin_code(booking.postal_code)
    start, end = (theirs, shop_code) if booking.is_return else (shop_code, theirs)
    asked: dict[str, Any] = {
        "pickup_postcode": start, "delivery_postcode": end, "order_id": booking.order_id,
    }  # fmt: skip
    if booking.is_return:
        asked |= {"is_return": 1, "declared_value": said.rupees(booking.goods_minor)}
    return asked


def rates_of(answer: Answer, collect: bool = False) -> list[LiveRate]:
    """The carriers that serve the way, the recommended one first, then by price.

    Blocked ones are left out, and those that do not collect where it is paid at the door. None
    when nobody serves. Raises ProviderRefused when the question was not understood.
    """
    body = body_of(answer)
    data = body.get("data")
    if body.get("status") == NOT_FOUND:
        return []
    if body.get("status") != 200 or not isinstance(data, dict):
        raise ProviderRefused(said.failure(answer), str(answer.status))
    best = data.get("recommended_courier_company_id")
    blocked = {row.get("courier_company_id") for row in _rows(data, "blocked_courier_companies")}
    read = [
        _rate(row, best)
        for row in _rows(data, "available_courier_companies")
        if not row.get("blocked") and row.get("courier_company_id") not in blocked
    ]
    found = [one for one in read if one is not None and (one.is_cod or not collect)]
    return sorted(found, key=lambda one: (not one.is_recommended, one.price_minor))


def _rows(data: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return [row for row in data.get(name) or [] if isinstance(row, dict)]


def _rate(row: Mapping[str, Any], best: Any) -> LiveRate | None:
    """One carrier; None without an id or a price that can be read."""
    carrier, price = row.get("courier_company_id"), _paise(row.get("rate"))
    if type(carrier) is not int or price is None:
        return None
    days = str(row.get("estimated_delivery_days") or "")
    return LiveRate(
        courier_id=str(carrier),
        courier_name=str(row.get("courier_name") or f"Carrier {carrier}"),
        price_minor=price,
        estimated_days=int(days) if days.isascii() and days.isdigit() else None,
        estimated_at=said.moment(row.get("etd")),
        is_cod=row.get("cod") in (1, "1", True),
        is_recommended=carrier == best,
    )


def _paise(rupees: Any) -> int | None:
    """Rupees as Shiprocket writes them, in paise."""
    try:
        paise = Decimal(str(rupees)) * 100
        return int(paise.quantize(Decimal(1), ROUND_HALF_UP))
    except (InvalidOperation, ValueError, OverflowError):
        return None
