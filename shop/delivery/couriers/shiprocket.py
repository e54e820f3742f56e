"""Shiprocket, a courier aggregator in India. Its key here is `parcel`: its panel refuses its own name.

HTTP 200 proves nothing there: every answer is accepted only by the fields that say so. There is
no idempotency key; the shop's reference stands in for one, and `find` looks it up. Times are
Indian, without a zone. See docs/couriers/shiprocket.md.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shop.clock import in_future, utcnow
from shop.config import settings
from shop.delivery.couriers import shiprocket_words as said
from shop.delivery.couriers.base import (
    Booking,
    Parcel,
    TokenStore,
    Tracking,
    TrackingHook,
    WalletEmpty,
)  # fmt: skip
from shop.payments.gateways.signatures import header_value
from shop.providers import Answer, BadSignature, OutcomeUnknown, ProviderRefused, TryLater, call

STEP_SECONDS = 30
TRACK_SECONDS = 15
#: Of the order table: cancelled.
CANCELLED_CODES = {5, 18}
FRESH_CODE = 1
WALLET_CODE = 350
#: How many other couriers are tried when the first does not serve the address.
OTHER_COURIERS = 2
TOKEN_DAYS = 10


class Shiprocket:
    """The real thing, or its rehearsal: with SHIPROCKET_DRY_RUN it never speaks to anybody."""

    key = "parcel"
    name = "Shiprocket"
    is_authoritative = False

    def __init__(self, tokens: TokenStore) -> None:
        self.tokens = tokens

    @property
    def is_dry_run(self) -> bool:
        """SHIPROCKET_DRY_RUN."""
        return settings().shiprocket_dry_run

    def find(self, reference: str) -> Booking | None:
        """By our reference, compared whole: the search may match parts. A living one comes first."""
        if self.is_dry_run:
            return None
        body = self._get("/orders", {"search": reference}).json
        if not isinstance(body, dict) or not isinstance(body.get("data"), list):
            raise OutcomeUnknown("the search did not answer with a list")
        ours = [row for row in body["data"] if str(row.get("channel_order_id")) == reference]
        found = [said.booking_of_order(row, CANCELLED_CODES) for row in ours]
        return min(found, key=lambda booking: booking.is_cancelled, default=None)

    def create(self, parcel: Parcel) -> Booking:
        """Make the order. The old record of a cancelled order counts as cancelled, not as made."""
        wish = said.order_wish(parcel)
        if self.is_dry_run:
            return _rehearsed(parcel.reference)
        answer = self._post("/orders/create/adhoc", wish)
        body = answer.json if isinstance(answer.json, dict) else {}
        ids = body.get("order_id"), body.get("shipment_id")
        if not all(type(number) is int for number in ids):
            return self._not_created(answer, parcel.reference)
        if str(body.get("channel_order_id") or parcel.reference) != parcel.reference:
            raise ProviderRefused("the answer names another order", str(ids[0]))
        booking = Booking(
            order_id=str(ids[0]), shipment_id=str(ids[1]), reference=parcel.reference,
            awb=str(body.get("awb_code") or ""), courier_name=str(body.get("courier_name") or ""),
            is_cancelled=body.get("status_code") in CANCELLED_CODES,
        )  # fmt: skip
        if booking.is_cancelled or booking.awb or body.get("status_code") == FRESH_CODE:
            return booking
        raise ProviderRefused(f"the courier answered with an order that is {body.get('status')}")

    def _not_created(self, answer: Answer, reference: str) -> Booking:
        """Refused; a reference that is taken already leads to its order."""
        if answer.json is None:
            raise OutcomeUnknown(f"HTTP {answer.status} with a body that is not JSON")
        words = said.failure(answer)
        found = self.find(reference) if "already been taken" in words else None
        if found is None:
            raise ProviderRefused(words, str(answer.status))
        return found

    def assign_awb(self, booking: Booking) -> Booking:
        """The account's own rule picks the courier; where that one refuses, others that serve the way."""
        if self.is_dry_run:
            return _rehearsed(booking.reference, awb=True)
        refusal = ""
        for courier_id in self._candidates(booking):
            answer = self._post(
                "/courier/assign/awb",
                {"shipment_id": _number(booking.shipment_id)}
                | ({"courier_id": courier_id} if courier_id else {}),
            )
            if answer.json is None:
                raise OutcomeUnknown(f"HTTP {answer.status} with a body that is not JSON")
            awb, refusal = said.awb_of(answer)
            if awb is not None:
                return replace(booking, awb=awb.awb, courier_name=awb.courier_name)
            if said.is_wallet_empty(answer, refusal):
                raise WalletEmpty(refusal, str(WALLET_CODE))
            if said.is_done_before(refusal):
                return self._adopted(booking)
        raise ProviderRefused(refusal or "no courier took the parcel")

    def _candidates(self, booking: Booking) -> Any:
        """None (the account's rule), then the ids of other couriers, asked for only when needed."""
        yield None
        answer = self._get("/courier/serviceability/", {"order_id": booking.order_id})
        yield from said.courier_ids(answer)[:OTHER_COURIERS]

    def _adopted(self, booking: Booking) -> Booking:
        """An earlier try has worked: read what it brought."""
        found = self.find(booking.reference)
        if found is None or not found.awb:
            raise OutcomeUnknown("the waybill number is assigned, but not to be read yet")
        return replace(booking, awb=found.awb, courier_name=found.courier_name)

    def schedule_pickup(self, booking: Booking) -> Booking:
        """Ask for pickup."""
        if self.is_dry_run:
            return _rehearsed(booking.reference, awb=True, pickup=True)
        answer = self._post(
            "/courier/generate/pickup", {"shipment_id": [_number(booking.shipment_id)]}
        )
        body = answer.json if isinstance(answer.json, dict) else {}
        inner = body.get("response")
        if answer.status < 300 and body.get("pickup_status") == 1 and isinstance(inner, dict):
            return replace(booking, pickup_at=said.moment(inner.get("pickup_scheduled_date")))
        if answer.json is None:
            raise OutcomeUnknown(f"HTTP {answer.status} with a body that is not JSON")
        words = said.failure(answer)
        if said.is_done_before(words):
            found = self.find(booking.reference)
            return replace(booking, pickup_at=found.pickup_at if found else None)
        raise ProviderRefused(words, str(answer.status))

    def label(self, booking: Booking) -> Booking:
        """It may lag the waybill number by seconds: then later."""
        if self.is_dry_run:
            return _rehearsed(booking.reference, awb=True, pickup=True)
        answer = self._post(
            "/courier/generate/label", {"shipment_id": [_number(booking.shipment_id)]}
        )
        body = answer.json if isinstance(answer.json, dict) else {}
        if answer.status >= 400:
            raise ProviderRefused(said.failure(answer), str(answer.status))
        if body.get("label_created") != 1 or not body.get("label_url"):
            raise TryLater(said.failure(answer))
        return replace(booking, label_url=str(body["label_url"]))

    def label_file(self, url: str) -> bytes:
        """From the storage that the courier names: over TLS, at a public address."""
        said.check_label_address(url, settings().shiprocket_api_base)
        answer = call("shiprocket-labels", "GET", url, read_seconds=STEP_SECONDS)
        if answer.status in {403, 404, 410}:
            raise ProviderRefused("the label is not there any more", str(answer.status))
        if answer.status != 200:
            raise OutcomeUnknown(f"HTTP {answer.status} for the label")
        return answer.body

    def cancel(self, booking: Booking) -> None:
        """The shipment, where it has a waybill number, and the order. Any 2xx counts, body or not."""
        if self.is_dry_run:
            return
        if booking.awb:
            _accepted(self._post("/orders/cancel/shipment/awbs", {"awbs": [booking.awb]}))
        if booking.order_id:
            _accepted(self._post("/orders/cancel", {"ids": [_number(booking.order_id)]}))

    def track(self, awb: str) -> Tracking | None:
        """No activity for hours after the assignment is normal: None."""
        if self.is_dry_run:
            return None
        answer = self._get(f"/courier/track/awb/{awb}", {}, TRACK_SECONDS)
        if answer.status == 404:
            return None
        data = said.tracking_data(answer.json, awb)
        if answer.status >= 400 or data is None:
            raise OutcomeUnknown(f"tracking answered HTTP {answer.status}")
        return said.tracking_of_poll(data, awb) if data.get("track_status") == 1 else None

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """The token comes unchanged in x-api-key. Without one of ours, nobody is believed."""
        given = (header_value(headers, "x-api-key") or "").encode()
        matches = [
            hmac.compare_digest(given, token.encode())
            for token in settings().shiprocket_webhook_token
        ]
        if not any(matches):
            raise BadSignature("the x-api-key is missing or wrong")

    def parse(self, body: bytes) -> TrackingHook:
        """Both shapes. An empty or dummy body is what the panel sends when the address is saved."""
        if not body.strip():
            return TrackingHook(hashlib.sha256(body).hexdigest(), "ping", None)
        message = json.loads(body)
        if not isinstance(message, dict):
            raise ValueError("not an object")
        if not message.get("awb"):
            return TrackingHook(hashlib.sha256(body).hexdigest(), "ping", None)
        named = f"{message['awb']}:{message.get('shipment_status_id')}:{message.get('current_timestamp')}"
        event_id = hashlib.sha256(named.encode()).hexdigest()
        if str(message.get("is_return", 0)) == "1":
            # "Delivered" would mean: back at the shop. Returns are not made here.
            return TrackingHook(event_id, "return", None)
        kind = str(message.get("shipment_status") or "tracking").lower()
        return TrackingHook(event_id, kind, said.tracking_of_hook(message))

    def rates(self, postal_code: str, country: str, weight_grams: int) -> Sequence[Any]:
        """None yet: the shop's own table counts."""
        return []

    # --- the line out ---

    def _get(
        self, path: str, params: Mapping[str, Any], read_seconds: float = STEP_SECONDS
    ) -> Answer:
        return self._call("GET", path, read_seconds, params=params)

    def _post(self, path: str, wish: Any) -> Answer:
        return self._call("POST", path, STEP_SECONDS, json=wish)

    def _call(self, method: str, path: str, read_seconds: float, **more: Any) -> Answer:
        """With the token in force. After a 401: one log-in, one repeat, no more."""
        token = self._token()
        answer = _call_with(token, method, path, read_seconds, **more)
        if answer.status == 401:
            token = self._token(stale=token)
            answer = _call_with(token, method, path, read_seconds, **more)
        if answer.status == 401:
            raise ProviderRefused("the courier refuses a fresh token", "401")
        return answer

    def _token(self, stale: str = "") -> str:
        held = settings()
        credentials = f"{held.shiprocket_email}\n{held.shiprocket_password}"
        return self.tokens.token(credentials, _log_in, stale)


def _log_in() -> tuple[str, datetime]:
    """The most dangerous call: several bad ones lock the account. Called by the token store only."""
    held = settings()
    wish = {"email": held.shiprocket_email, "password": held.shiprocket_password}
    answer = call(
        "shiprocket", "POST", held.shiprocket_api_base + "/auth/login", read_seconds=TRACK_SECONDS, json=wish
    )  # fmt: skip
    token = answer.json.get("token") if isinstance(answer.json, dict) else None
    if answer.status >= 400 or not isinstance(token, str) or not token:
        raise ProviderRefused(said.failure(answer), str(answer.status))
    return token, utcnow() + timedelta(days=TOKEN_DAYS)


def _call_with(token: str, method: str, path: str, read_seconds: float, **more: Any) -> Answer:
    return call(
        "shiprocket", method, settings().shiprocket_api_base + path, read_seconds=read_seconds,
        headers={"Authorization": f"Bearer {token}"}, **more,
    )  # fmt: skip


def _accepted(answer: Answer) -> None:
    words = said.failure(answer)
    if answer.status >= 300 and "already" not in words.lower():
        raise ProviderRefused(words, str(answer.status))


def _number(written: str) -> int:
    """Shiprocket's ids are integers on the wire."""
    if not written.isdigit():
        raise ProviderRefused(f"{written!r} is no id of Shiprocket")
    return int(written)


def _rehearsed(reference: str, *, awb: bool = False, pickup: bool = False) -> Booking:
    """Believable ids made from the reference, the same ones each time; nobody is asked."""
    seed = int.from_bytes(hashlib.sha256(reference.encode()).digest()[:8])
    return Booking(
        order_id=str(1_500_000_000 + seed % 99_999_999),
        shipment_id=str(1_400_000_000 + seed % 99_999_989),
        reference=reference,
        awb=str(788_000_000_000 + seed % 999_999_999) if awb else "",
        courier_name="Dry run courier",
        pickup_at=in_future(hours=24) if pickup else None,
        estimated_at=in_future(hours=96),
    )
