"""The pretend courier's own rules: its parcels, their scans, and the messages it sends.

It stands for a provider, so it keeps its own state and tells the shop by webhook only. Functions
that change something run inside the caller's transaction.
"""

import json
import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from shop.clock import utcnow
from shop.database import insert_ignore
from shop.errors import Conflict, NotFound, Refused
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.sandbox.models import SandboxParcel

ORDERED, ASSIGNED, WAITING, CANCELLED = "ordered", "awb_assigned", "pickup_scheduled", "cancelled"

WAY = ("picked_up", "in_transit", "out_for_delivery", "delivered")
WAY_BACK = ("rto_initiated", "rto_in_transit", "rto_delivered")

WORDS = {
    "picked_up": "Shipment picked up",
    "in_transit": "Sorted at the hub",
    "out_for_delivery": "With the courier for delivery today",
    "delivered": "Delivered",
    "failed_attempt": "Nobody was there to take the parcel",
    "rto_initiated": "Sent back to its origin",
    "rto_in_transit": "On its way back",
    "rto_delivered": "Back at its origin",
}
HUB = "Hosur"


def create(wish: dict[str, Any]) -> SandboxParcel:
    """Take a parcel in, once for a reference."""
    reference, url = wish.get("reference"), wish.get("webhook_url")
    if not isinstance(reference, str) or not reference or not isinstance(url, str):
        raise Refused("reference and webhook_url are needed.")
    values = {
        "reference": reference[:50], "webhook_url": url[:400], "city": str(wish.get("city", ""))[:80],
        "awb": "SBX" + "".join(secrets.choice("0123456789") for _ in range(10)), "status": ORDERED,
        "is_return": wish.get("is_return") is True, "scans": [],
    }  # fmt: skip
    insert_ignore(SandboxParcel, values)
    return by_reference(reference)


def by_reference(reference: str, *, lock: bool = False) -> SandboxParcel:
    """A parcel by the shop's reference. Raises NotFound."""
    return _one(SandboxParcel.reference == reference, lock)


def by_awb(awb: str, *, lock: bool = False) -> SandboxParcel:
    """A parcel by its waybill number. Raises NotFound."""
    return _one(SandboxParcel.awb == awb, lock)


def _one(condition: Any, lock: bool) -> SandboxParcel:
    query = select(SandboxParcel).where(condition)
    parcel = db.session.scalars(query.with_for_update() if lock else query).one_or_none()
    if parcel is None:
        raise NotFound("There is no such parcel.")
    return parcel


def assign_awb(parcel: SandboxParcel) -> None:
    """Give it its waybill number."""
    _refuse_cancelled(parcel)
    if parcel.status == ORDERED:
        parcel.status = ASSIGNED


def schedule_pickup(parcel: SandboxParcel) -> None:
    """Put it on the list of the next pickup."""
    _refuse_cancelled(parcel)
    if parcel.status == ORDERED:
        raise Refused("It has no waybill number yet.")
    if parcel.status == ASSIGNED:
        parcel.status = WAITING


def cancel(parcel: SandboxParcel) -> None:
    """Only before it was picked up."""
    if parcel.status not in {ORDERED, ASSIGNED, WAITING, CANCELLED}:
        raise Refused("It has been picked up already.")
    parcel.status = CANCELLED


def _refuse_cancelled(parcel: SandboxParcel) -> None:
    if parcel.status == CANCELLED:
        raise Refused("This parcel was cancelled.")


def next_status(parcel: SandboxParcel) -> str | None:
    """What the next scan will say; None when it has come to its end or is not waiting yet."""
    if parcel.status == WAITING:
        return WAY[0]
    for way in (WAY, WAY_BACK):
        if parcel.status in way[:-1]:
            return way[way.index(parcel.status) + 1]
    return None


def may_fail(parcel: SandboxParcel) -> bool:
    """Only a courier at the door can find nobody there."""
    return parcel.status == "out_for_delivery"


def may_return(parcel: SandboxParcel) -> bool:
    """It is away and has not arrived."""
    return parcel.status in WAY[:-1]


def scan(parcel: SandboxParcel, wish: str) -> None:
    """One scan: "next", "fail" (an attempt failed) or "return" (to its origin). Raises Conflict."""
    following = next_status(parcel)
    if wish == "fail" and may_fail(parcel):
        parcel.status = "in_transit"
        _add(parcel, "failed_attempt", "in_transit")
    elif wish == "return" and may_return(parcel):
        parcel.status = WAY_BACK[0]
        _add(parcel, WAY_BACK[0], WAY_BACK[0])
    elif wish == "next" and following:
        parcel.status = following
        _add(parcel, following, following)
    else:
        raise Conflict("That cannot happen to this parcel now.")


def _add(parcel: SandboxParcel, code: str, status: str) -> None:
    at_hub = code in {"in_transit", "rto_in_transit"}
    made = {
        "code": code, "status": status, "words": WORDS[code], "at": _later_than_last(parcel).isoformat(),
        "place": HUB if at_hub else parcel.city,
    }  # fmt: skip
    # A new list: the column does not notice a change inside the old one.
    parcel.scans = [*parcel.scans, made]
    body = json.dumps(
        {
            "id": "scan_" + secrets.token_hex(12),
            "type": f"parcel.{code}",
            "data": as_tracking(parcel),
        }
    )
    enqueue("sandbox.deliver_scan", {"url": parcel.webhook_url, "body": body})


def _later_than_last(parcel: SandboxParcel) -> datetime:
    """Now; a little later where two scans fall into one moment."""
    now = utcnow()
    if not parcel.scans:
        return now
    return max(now, datetime.fromisoformat(parcel.scans[-1]["at"]) + timedelta(milliseconds=1))


def as_parcel(parcel: SandboxParcel) -> dict[str, Any]:
    """The parcel as the API shows it."""
    is_booked = parcel.status not in {ORDERED, ASSIGNED}
    return {
        "id": f"sbp_{parcel.id}",
        "reference": parcel.reference,
        "awb": None if parcel.status == ORDERED else parcel.awb,
        "status": parcel.status,
        "is_return": parcel.is_return,
        "pickup_at": _in_days(parcel, 1) if is_booked else None,
        "estimated_at": _in_days(parcel, 4),
    }


def as_tracking(parcel: SandboxParcel) -> dict[str, Any]:
    """Its scans, oldest first, as API and messages show them."""
    return {
        "awb": parcel.awb,
        "reference": parcel.reference,
        "status": parcel.status,
        "is_return": parcel.is_return,
        "scans": parcel.scans,
        "estimated_at": _in_days(parcel, 4),
    }


def _in_days(parcel: SandboxParcel, days: int) -> str:
    noon = parcel.created_at.replace(hour=6, minute=30, second=0, microsecond=0)
    return (noon + timedelta(days=days)).isoformat()


def latest(limit: int = 30) -> list[SandboxParcel]:
    """The newest parcels that have their waybill number, for the desk."""
    newest = (
        select(SandboxParcel)
        .where(SandboxParcel.status != ORDERED)
        .order_by(SandboxParcel.id.desc())
        .limit(limit)
    )
    return list(db.session.scalars(newest))


PAPER = """%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 288 432]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>endobj
4 0 obj<</Length {length}>>stream
{text}
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold>>endobj
trailer<</Root 1 0 R/Size 6>>
%%EOF
"""


def paper(parcel: SandboxParcel, kind: str) -> bytes:
    """Its label, manifest or invoice: one page, as PDF."""
    text = (
        f"BT /F1 18 Tf 24 380 Td (Sandbox courier: {kind}) Tj 0 -40 Td ({parcel.awb}) Tj"
        f" 0 -40 Td (Parcel {parcel.reference}) Tj ET"
    )
    plain = text.encode("ascii", "replace").decode()
    return PAPER.replace("{length}", str(len(plain))).replace("{text}", plain).encode()


#: Its two carriers: id, name, price of the first half kilogram and of each further one, days.
CARRIERS = (("1", "Sandbox surface", 6000, 2500, 4), ("2", "Sandbox air", 11_000, 6000, 2))
AT_THE_DOOR_MINOR = 3000
STEP_GRAMS = 500


def rates(grams: int, collect: bool) -> list[dict[str, Any]]:
    """What its carriers ask for a parcel of that weight, in minor units of the shop's currency."""
    further = max(0, -(-grams // STEP_GRAMS) - 1)
    noon = utcnow().replace(hour=6, minute=30, second=0, microsecond=0)
    return [
        {
            "id": key, "name": name, "price_minor": first + further * more + AT_THE_DOOR_MINOR * collect,
            "days": days, "estimated_at": (noon + timedelta(days=days)).isoformat(), "is_cod": True,
        }
        for key, name, first, more, days in CARRIERS
    ]  # fmt: skip
