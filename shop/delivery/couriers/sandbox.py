"""The pretend courier of the demo, spoken to over HTTP like any other. Refused in production."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from shop.config import settings
from shop.delivery.couriers.base import (
    STAGES,
    Booking,
    LiveRate,
    Parcel,
    RateWish,
    ReturnParcel,
    Scan,
    TokenStore,
    Tracking,
    TrackingHook,
)  # fmt: skip
from shop.payments.gateways.signatures import check_signature, header_value
from shop.provider_json import NOT_AS_EXPECTED, checked_moment, name_in, read_json
from shop.providers import Answer, OutcomeUnknown, ProviderRefused, call
from shop.secret_box import derived_secret

STEP_SECONDS = 30
TRACK_SECONDS = 15
RATE_SECONDS = 4


def shared_secret() -> str:
    """What the shop and its pretend courier both know: it opens the API and signs the webhooks."""
    return derived_secret("sandbox")


class SandboxCourier:
    """Its parcels move when somebody presses "next scan"."""

    key = "sandbox"
    name = "Sandbox courier"
    is_dry_run = False
    is_authoritative = True

    def __init__(self, tokens: TokenStore) -> None:
        """No log-in is kept: the secret is derived."""

    def find(self, reference: str) -> Booking | None:
        """By our reference."""
        answer = _call("GET", f"/{reference}", STEP_SECONDS)
        return None if answer.status == 404 else _booking(_body(answer))

    def create(self, parcel: Parcel) -> Booking:
        """The same reference gets the same parcel again."""
        wish = {
            "reference": parcel.reference,
            "city": parcel.to.get("city", ""),
            "webhook_url": _webhook_url(),
            "weight_grams": parcel.weight_grams,
            "collect_minor": parcel.collect_minor,
        }
        return _booking(_body(_call("POST", "", STEP_SECONDS, wish)))

    def offers(self, booking: Booking) -> Sequence[LiveRate]:
        """Its two ways to carry the parcel."""
        return _rates(_body(_call("GET", f"/{booking.reference}/rates", RATE_SECONDS)))

    def assign_awb(self, booking: Booking, carrier_id: str = "") -> Booking:
        """Its waybill number."""
        wish = {"carrier": carrier_id} if carrier_id else {}
        return _booking(_body(_call("POST", f"/{booking.reference}/awb", STEP_SECONDS, wish)))

    def schedule_pickup(self, booking: Booking) -> Booking:
        """The next working day, always."""
        return _booking(_body(_call("POST", f"/{booking.reference}/pickup", STEP_SECONDS, {})))

    def label(self, booking: Booking) -> Booking:
        """A small PDF."""
        made = _body(_call("POST", f"/{booking.reference}/label", STEP_SECONDS, {}))
        return replace(booking, label_url=str(made["label_url"]))

    def manifest(self, booking: Booking) -> str:
        """A small PDF too."""
        made = _body(_call("POST", f"/{booking.reference}/manifest", STEP_SECONDS, {}))
        return str(made["manifest_url"])

    def invoice(self, booking: Booking) -> str:
        """And another."""
        made = _body(_call("POST", f"/{booking.reference}/invoice", STEP_SECONDS, {}))
        return str(made["invoice_url"])

    def paper_file(self, url: str) -> bytes:
        """Only from the pretend courier's own address."""
        if not url.startswith(settings().sandbox_api_base + "/sandbox/api/"):
            raise ProviderRefused("the paper's address is not the courier's")
        answer = call("sandbox-courier", "GET", url, read_seconds=STEP_SECONDS, headers=_bearer())
        if answer.status != 200:
            raise OutcomeUnknown(f"HTTP {answer.status} for the paper")
        return answer.body

    def cancel(self, booking: Booking) -> None:
        """Refused once it is picked up."""
        _body(_call("POST", f"/{booking.reference}/cancel", STEP_SECONDS, {}))

    def track(self, awb: str) -> Tracking | None:
        """All its scans."""
        answer = _call("GET", f"/track/{awb}", TRACK_SECONDS)
        return None if answer.status == 404 else _tracking(_body(answer))

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """HMAC over time and body, in X-Sandbox-Signature."""
        check_signature(body, header_value(headers, "X-Sandbox-Signature"), [shared_secret()])

    def parse(self, body: bytes) -> TrackingHook:
        """One message tells of one scan."""
        try:
            message = read_json(body)
            news = _tracking(message["data"])
            event_id, kind = name_in(message, "id"), name_in(message, "type")
            if message["data"].get("is_return"):
                return TrackingHook(event_id, "return", None, returning=news)
            return TrackingHook(event_id, kind, news)
        except NOT_AS_EXPECTED as error:
            raise ValueError("not a message of the sandbox courier") from error

    def rates(self, wish: RateWish) -> Sequence[LiveRate]:
        """Two carriers, priced by weight."""
        asked = {"weight_grams": wish.weight_grams, "collect": int(wish.collect)}
        return _rates(_body(_call("GET", "/rates", RATE_SECONDS, params=asked)))

    def create_return(self, wish: ReturnParcel) -> Booking:
        """A parcel like any other, whose scans tell of the way to the shop."""
        sent = {
            "reference": wish.reference,
            "city": wish.collect_from.get("city", ""),
            "webhook_url": _webhook_url(),
            "weight_grams": wish.weight_grams,
            "is_return": True,
        }
        return _booking(_body(_call("POST", "", STEP_SECONDS, sent)))


def _webhook_url() -> str:
    return settings().public_url + "/webhooks/delivery/sandbox"


def _call(
    method: str, path: str, read_seconds: float, wish: Any = None, params: Any = None
) -> Answer:
    url = settings().sandbox_api_base + "/sandbox/api/parcels" + path
    return call(
        "sandbox-courier", method, url, read_seconds=read_seconds, headers=_bearer(), json=wish,
        params=params,
    )  # fmt: skip


def _bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {shared_secret()}"}


def _body(answer: Answer) -> dict[str, Any]:
    """The answer's object. A refusal is for certain; what cannot be read tells nothing."""
    if 400 <= answer.status < 500:
        words = answer.json.get("error") if isinstance(answer.json, dict) else None
        raise ProviderRefused(str(words or f"HTTP {answer.status}"), str(answer.status))
    if not isinstance(answer.json, dict):
        raise OutcomeUnknown(f"HTTP {answer.status} with a body that is not JSON")
    return answer.json


def _booking(parcel: dict[str, Any]) -> Booking:
    return Booking(
        order_id=str(parcel["id"]),
        shipment_id=str(parcel["id"]),
        reference=parcel["reference"],
        awb=parcel["awb"] or "",
        courier_name=SandboxCourier.name,
        pickup_at=_moment(parcel["pickup_at"]),
        estimated_at=_moment(parcel["estimated_at"]),
        is_cancelled=parcel["status"] == "cancelled",
        is_return=bool(parcel.get("is_return")),
    )


def _rates(answer: dict[str, Any]) -> list[LiveRate]:
    return [
        LiveRate(
            courier_id=str(row["id"]),
            courier_name=str(row["name"]),
            price_minor=int(row["price_minor"]),
            estimated_days=int(row["days"]),
            estimated_at=_moment(row["estimated_at"]),
            is_cod=bool(row["is_cod"]),
            is_recommended=number == 0,
        )
        for number, row in enumerate(answer["rates"])
    ]


def _tracking(parcel: dict[str, Any]) -> Tracking:
    scans = [
        Scan(
            code=str(scan["code"]),
            words=str(scan["words"]),
            status=scan["status"] if scan["status"] in STAGES else None,
            place=str(scan["place"]),
            occurred_at=checked_moment(datetime.fromisoformat(scan["at"]).astimezone(UTC)),
            is_failed_attempt=scan["code"] == "failed_attempt",
            raw=dict(scan),
        )
        for scan in parcel["scans"]
    ]
    return Tracking(
        str(parcel["awb"]), str(parcel["reference"]), scans, _moment(parcel["estimated_at"])
    )


def _moment(written: str | None) -> datetime | None:
    return checked_moment(datetime.fromisoformat(written).astimezone(UTC)) if written else None
