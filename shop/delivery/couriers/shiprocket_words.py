"""Shiprocket's words and this shop's: the order it is sent, and what its answers mean.

Two status tables share their numbers: the order table, in which 20 is "in transit", and the
shipment table, in which 18 is. Only the shipment table is read for tracking.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from shop.clock import utcnow
from shop.config import settings
from shop.delivery.couriers.base import Booking, Parcel, ParcelLine, Scan, Tracking
from shop.provider_json import checked_moment
from shop.providers import Answer, ProviderRefused

INDIA = ZoneInfo("Asia/Kolkata")
NO_TIME = "0000-00-00"
TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%d %m %Y %H:%M:%S", "%d %b %Y, %I:%M %p",
    "%d %b %Y %I:%M %p", "%b %d, %Y", "%Y-%m-%d %H:%M", "%Y-%m-%d",
)  # fmt: skip

STATUS_OF = {
    "pickup_scheduled": (1, 2, 3, 4, 5, 11, 15, 19, 27, 52),
    "picked_up": (42, 6, 51),
    "in_transit": (18, 22, 38, 39, 48),
    "out_for_delivery": (17,),
    "delivered": (7, 26, 43),
    "rto_initiated": (9, 14, 75),
    "rto_in_transit": (40, 41, 46, 78),
    "rto_delivered": (10,),
    # 16 is no more than a request to cancel.
    "cancelled": (8, 45),
    "lost": (12, 76),
    "damaged": (24, 25, 44),
}
"""The shipment table. What is not here is kept and moves nothing."""

MEANING = {code: status for status, codes in STATUS_OF.items() for code in codes}
FAILED_ATTEMPT_CODES = {21, 77}
FAILED_PICKUP_CODES = {13, 20}
#: Stages that are worth a scan of their own when only the headline tells of them.
MOVING_CODES = {code for code, status in MEANING.items() if status != "pickup_scheduled"}


# --- what is sent ----------------------------------------------------------------------------


def order_wish(parcel: Parcel) -> dict[str, Any]:
    """The body of "create order". Raises ProviderRefused for what Shiprocket cannot carry."""
    to = parcel.to
    if parcel.currency != "INR" or to.get("country") != "IN":
        raise ProviderRefused("Shiprocket carries orders in rupees to addresses in India")
    first, _, last = to.get("recipient", "").strip().partition(" ")
    sub_total = parcel.goods_minor - parcel.discount_minor
    if parcel.collect_minor and sub_total + parcel.shipping_minor != parcel.collect_minor:
        raise ProviderRefused("what is to be collected is not the sum of goods and delivery")
    return {
        "order_id": parcel.reference,
        "order_date": parcel.placed_at.astimezone(INDIA).strftime("%Y-%m-%d %H:%M"),
        "pickup_location": _pickup_location(),
        **_channel(),
        "billing_customer_name": first,
        "billing_last_name": last,
        "billing_address": to.get("line1", ""),
        "billing_address_2": second_line(to),
        "billing_city": to.get("city", "")[:30],
        "billing_pincode": pin_code(to.get("postal_code", "")),
        "billing_state": to.get("state", ""),
        "billing_country": "India",
        "billing_email": parcel.email,
        "billing_isd_code": "91",
        "billing_phone": phone(to.get("phone") or parcel.phone),
        "shipping_is_billing": True,
        "order_items": items(parcel.lines),
        "payment_method": "COD" if parcel.collect_minor else "Prepaid",
        "shipping_charges": rupees(parcel.shipping_minor),
        "giftwrap_charges": 0,
        "transaction_charges": 0,
        # The items' discounts are taken off the sub-total already.
        "total_discount": 0,
        "sub_total": rupees(sub_total),
        "length": side(parcel.length_mm),
        "breadth": side(parcel.width_mm),
        "height": side(parcel.height_mm),
        "weight": round(parcel.weight_grams / 1000, 3),
    }


def _pickup_location() -> str:
    return settings().shiprocket_pickup_location


def _channel() -> dict[str, int]:
    channel = settings().shiprocket_channel_id
    return {"channel_id": int(channel)} if channel.isdigit() else {}


def items(lines: Iterable[ParcelLine]) -> list[dict[str, Any]]:
    """What is inside, as the API takes it. A SKU may stand once in an order."""
    found: list[dict[str, Any]] = []
    used: set[str] = set()
    for number, line in enumerate(lines, start=1):
        sku = line.sku or f"item-{number}"
        sku = f"{sku}-{number}" if sku in used else sku
        used.add(sku)
        found.append(
            {
                "name": line.name,
                "sku": sku,
                "units": line.quantity,
                "selling_price": rupees(line.unit_minor),
                "discount": rupees(line.discount_minor),
                "tax": line.tax_rate_bp / 100,
                "hsn": line.hsn_code,
            }
        )
    return found


def rupees(minor: int) -> float:
    """Paise as the JSON number that the API takes: two decimals, exact."""
    return round(minor / 100, 2)


def centimetres(millimetres: int) -> float:
    """One decimal is enough for a box."""
    return round(millimetres / 10, 1)


def side(millimetres: int) -> float:
    """A side of a box: the API wants more than half a centimetre."""
    return max(1, centimetres(millimetres))


def second_line(to: Mapping[str, str]) -> str:
    """The rest of an address, with its landmark."""
    return ", ".join(part for part in (to.get("line2", ""), to.get("landmark", "")) if part)


def pin_code(written: str) -> int:
    """Six digits. Raises ProviderRefused."""
    plain = written.replace(" ", "")
    if not re.fullmatch(r"[1-9][0-9]{5}", plain, re.ASCII):
        raise ProviderRefused("the PIN code has not six digits")
    return int(plain)


def phone(written: str) -> str:
    """Ten digits, without the country's code. Raises ProviderRefused."""
    digits = re.sub(r"[^0-9]", "", written)
    if len(digits) < 10:
        raise ProviderRefused("the phone number has not ten digits")
    return digits[-10:]


# --- what is answered ------------------------------------------------------------------------


def failure(answer: Answer) -> str:
    """What an answer says went wrong, in one line."""
    body = answer.json if isinstance(answer.json, dict) else {}
    words = [body.get("message"), body.get("response"), body.get("error")]
    errors = body.get("errors")
    if isinstance(errors, dict):
        words += [f"{field}: {texts}" for field, texts in errors.items()]
    found = [str(word) for word in words if word and not isinstance(word, dict)]
    return " ".join(found)[:300] or f"HTTP {answer.status}"


def is_done_before(words: str) -> bool:
    """Refusals that mean that an earlier try has worked."""
    lower = words.lower()
    return "already assigned" in lower or "already in pickup" in lower or "cannot reassign" in lower


def is_manifested(answer: Answer) -> bool:
    """Refused because the manifest was made before."""
    body = answer.json if isinstance(answer.json, dict) else {}
    return bool(body.get("already_manifested_shipment_ids")) or "already generated" in str(
        body.get("message")
    )


def is_wallet_empty(answer: Answer, words: str) -> bool:
    """The account must be topped up."""
    body = answer.json if isinstance(answer.json, dict) else {}
    return body.get("status_code") == 350 or "recharge your shiprocket wallet" in words.lower()


@dataclass(frozen=True)
class Assigned:
    """A waybill number, who carries the parcel, and by what weight it is billed (grams)."""

    awb: str
    courier_name: str
    applied_grams: int | None


def awb_of(answer: Answer) -> tuple[Assigned | None, str]:
    """The number assigned, or why none was."""
    body = answer.json if isinstance(answer.json, dict) else {}
    inner = body.get("response")
    data = inner.get("data") if isinstance(inner, dict) else None
    data = data if isinstance(data, dict) else {}
    if answer.status < 300 and body.get("awb_assign_status") == 1 and data.get("awb_code"):
        carrier = str(data.get("courier_name") or "")
        return Assigned(str(data["awb_code"]), carrier, _grams(data.get("applied_weight"))), ""
    return None, str(data.get("awb_assign_error") or failure(answer))


def _grams(kilograms: Any) -> int | None:
    if isinstance(kilograms, bool) or not isinstance(kilograms, int | float) or kilograms <= 0:
        return None
    return round(1000 * kilograms)


def tracking_page(awb: str) -> str:
    """Shiprocket's public page about a parcel; the form of `track_url` in its answers."""
    return f"https://shiprocket.co/tracking/{quote(awb, safe='')}" if awb else ""


def pages_of(body: Mapping[str, Any]) -> int:
    """How many pages a list has; 1 where it does not say."""
    meta = body.get("meta")
    pages = meta.get("pagination") if isinstance(meta, dict) else None
    count = pages.get("total_pages") if isinstance(pages, dict) else None
    return count if isinstance(count, int) else 1


def booking_of_order(row: Mapping[str, Any], cancelled: set[int]) -> Booking:
    """An order of the search. A pickup date alone is a plan; its token number is the pickup."""
    shipments = row.get("shipments") or [{}]
    shipment = shipments[0] if isinstance(shipments, list) else shipments
    is_picked = bool(shipment.get("pickup_token_number"))
    return Booking(
        order_id=str(row.get("id") or ""),
        shipment_id=str(shipment.get("id") or ""),
        reference=str(row.get("channel_order_id") or ""),
        awb=str(shipment.get("awb") or ""),
        courier_name=str(shipment.get("courier") or ""),
        pickup_at=moment(shipment.get("pickup_scheduled_date")) if is_picked else None,
        estimated_at=moment(shipment.get("etd")),
        is_cancelled=row.get("status_code") in cancelled,
        tracking_url=tracking_page(str(shipment.get("awb") or "")),
    )


def moment(written: Any) -> datetime | None:
    """One of the courier's ways to write a time, in UTC. What cannot be read is unknown."""
    if isinstance(written, Mapping):
        written = written.get("date")
    text = re.sub(r"(\d)(st|nd|rd|th)\b", r"\1", str(written or "").strip())
    if not text or text.startswith(NO_TIME):
        return None
    for wanted in TIME_FORMATS:
        try:
            shown = datetime.strptime(text, wanted).replace(tzinfo=INDIA)
            return checked_moment(shown).astimezone(UTC)
        except ValueError:
            continue
    return None


# --- tracking --------------------------------------------------------------------------------


def tracking_data(body: Any, awb: str) -> dict[str, Any] | None:
    """The tracking part: it may lie in an array, or under the waybill number."""
    while isinstance(body, list):
        body = body[0] if body else None
    if isinstance(body, dict) and isinstance(body.get(awb), dict):
        body = body[awb]
    data = body.get("tracking_data") if isinstance(body, dict) else None
    return data if isinstance(data, dict) else None


def tracking_of_poll(data: Mapping[str, Any], awb: str) -> Tracking:
    """The answer to a question; its activities come newest first."""
    scans = _scans(data.get("shipment_track_activities"))
    track = next(iter(_objects(data.get("shipment_track"))), {})
    headline = _code(data.get("shipment_status"))
    at = moment(track.get("delivered_date")) if headline == 7 else None
    newest = max((scan.occurred_at for scan in scans), default=None)
    fallback = utcnow().replace(minute=0, second=0, microsecond=0)
    words = str(track.get("current_status") or "")
    _add_headline(scans, headline, words, at or newest or fallback, is_undated=at is None)
    expected = moment(track.get("edd")) or moment(data.get("etd"))
    return Tracking(awb, "", scans, expected, _https(data.get("track_url")))


def _https(written: Any) -> str:
    """An address that may be linked to; nothing else."""
    address = str(written or "")
    return address if address.startswith("https://") and len(address) <= 500 else ""


def tracking_of_hook(message: Mapping[str, Any]) -> Tracking:
    """A message, of the present or the older shape. In the older one `order_id` is the courier's."""
    scans = _scans(message.get("scans"))
    at = moment(message.get("current_timestamp"))
    if at is not None:
        words = str(message.get("shipment_status") or "")
        _add_headline(scans, _code(message.get("shipment_status_id")), words, at)
    is_older = "channel_order_id" in message
    reference = message.get("channel_order_id" if is_older else "order_id") or ""
    number = message.get("order_id" if is_older else "sr_order_id") or ""
    return Tracking(
        str(message["awb"]), str(reference), scans, moment(message.get("etd")), order_id=str(number)
    )


def _scans(rows: Any) -> list[Scan]:
    """Scans with a time that can be read, oldest first."""
    found = [_scan(row) for row in _objects(rows)]
    return sorted((scan for scan in found if scan is not None), key=lambda scan: scan.occurred_at)


def _objects(rows: Any) -> list[dict[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _scan(row: Mapping[str, Any]) -> Scan | None:
    at = moment(row.get("date"))
    if at is None:
        return None
    code = _code(row.get("sr-status"))
    return Scan(
        code=str(row.get("status") or row.get("sr-status") or "scan")[:40],
        words=str(row.get("activity") or row.get("sr-status-label") or ""),
        status=MEANING.get(code),
        place=str(row.get("location") or ""),
        occurred_at=at,
        is_failed_attempt=code in FAILED_ATTEMPT_CODES,
        is_failed_pickup=code in FAILED_PICKUP_CODES,
        raw=dict(row),
    )


def _add_headline(
    scans: list[Scan], code: int, words: str, at: datetime, *, is_undated: bool = False
) -> None:
    """The status that no scan tells of, as a scan of its own (a cancellation has none)."""
    if code not in MOVING_CODES | FAILED_ATTEMPT_CODES | FAILED_PICKUP_CODES:
        return
    headline = Scan(
        f"status-{code}", words.capitalize(), MEANING.get(code), "", at,
        is_failed_attempt=code in FAILED_ATTEMPT_CODES, is_failed_pickup=code in FAILED_PICKUP_CODES,
        is_undated=is_undated,
    )  # fmt: skip
    if _meaning(headline) not in map(_meaning, scans):
        scans.append(headline)


def _meaning(scan: Scan) -> tuple[str | None, bool, bool]:
    return scan.status, scan.is_failed_attempt, scan.is_failed_pickup


def _code(written: Any) -> int:
    """A status number; -1 for "NA" and the like."""
    text = str(written if written is not None else "").strip()
    return int(text) if text.isascii() and text.isdigit() else -1


# --- the paper's address ---------------------------------------------------------------------


def check_paper_address(url: str, api_base: str) -> bool:
    """Only https to public addresses, or the API's own host: an address may not lead inwards.

    True for another host than the API's: of it the connection must be looked at, too.
    """
    parts, base = urlsplit(url), urlsplit(api_base)
    if (parts.scheme, parts.netloc) == (base.scheme, base.netloc):
        return False
    if parts.scheme != "https" or not parts.hostname:
        raise ProviderRefused("the paper's address is not https")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ProviderRefused("the paper's host is not known") from error
    if not all(ipaddress.ip_address(entry[4][0]).is_global for entry in found):
        raise ProviderRefused("the paper's address leads inwards")
    return True
