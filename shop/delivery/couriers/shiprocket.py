"""Shiprocket, a courier aggregator in India. Its key here is `parcel`: its panel refuses its own name.

HTTP 200 proves nothing there: every answer is accepted only by the fields that say so. There is
no idempotency key; the shop's reference stands in for one, and `find` looks it up. Times are
Indian, without a zone. See docs/couriers/shiprocket.md.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from shop.clock import in_future, local, utcnow
from shop.config import settings
from shop.delivery.couriers import shiprocket_rates, shiprocket_returns
from shop.delivery.couriers import shiprocket_words as said
from shop.delivery.couriers.base import (
    Booking,
    LiveRate,
    NotServed,
    Parcel,
    RateWish,
    ReturnParcel,
    TokenStore,
    Tracking,
    TrackingHook,
    WalletEmpty,
)  # fmt: skip
from shop.delivery.couriers.pickup_slot import pickup_day
from shop.delivery.couriers.shiprocket_line import PROVIDER, RATES, Line, body_of, number
from shop.payments.gateways.signatures import header_value
from shop.provider_json import name_in, read_object
from shop.providers import Answer, BadSignature, OutcomeUnknown, ProviderRefused, TryLater, call

STEP_SECONDS = 30
TRACK_SECONDS = 15
#: Of a search; a shop's reference is a part of a few others.
SEARCH_PAGES = 20
RATE_SECONDS = 4
#: Of the order table: cancelled.
CANCELLED_CODES = {5, 18}
FRESH_CODE = 1
RETURN_PENDING_CODE = 21
WALLET_CODE = 350
#: How many other couriers are tried when the first does not serve the address.
OTHER_COURIERS = 2


class Shiprocket:
    """The real thing, or its rehearsal: with SHIPROCKET_DRY_RUN it never speaks to anybody."""

    key = "parcel"
    name = "Shiprocket"
    is_authoritative = False

    def __init__(self, tokens: TokenStore) -> None:
        self.line = Line(tokens)

    @property
    def is_dry_run(self) -> bool:
        """SHIPROCKET_DRY_RUN."""
        return settings().shiprocket_dry_run

    def find(self, reference: str) -> Booking | None:
        """By our reference, compared whole: the search may match parts. A living one comes first."""
        if self.is_dry_run:
            return None
        ours = [
            row for row in self._orders(reference) if str(row.get("channel_order_id")) == reference
        ]
        found = [said.booking_of_order(row, CANCELLED_CODES) for row in ours]
        return min(found, key=lambda booking: booking.is_cancelled, default=None)

    def _orders(self, search: str) -> Iterator[dict[str, Any]]:
        """What the search finds, page after page: 2611.04 finds 2611.042 too, and there may be many."""
        for page in range(1, SEARCH_PAGES + 1):
            body = body_of(self._get("/orders", {"search": search, "page": page}))
            if not isinstance(body.get("data"), list):
                raise OutcomeUnknown("the search did not answer with a list")
            yield from body["data"]
            if page >= said.pages_of(body):
                return

    def create(self, parcel: Parcel) -> Booking:
        """Make the order. The old record of a cancelled order counts as cancelled, not as made."""
        wish = said.order_wish(parcel)
        if self.is_dry_run:
            return _rehearsed(parcel.reference)
        return self._made(self._post("/orders/create/adhoc", wish), parcel.reference, FRESH_CODE)

    def _made(self, answer: Answer, reference: str, fresh: int) -> Booking:
        """The order that the answer tells of, fresh (that status code) or known already."""
        body = body_of(answer)
        ids = body.get("order_id"), body.get("shipment_id")
        if answer.status >= 300 or not all(type(one) is int for one in ids):
            return self._not_created(answer, reference)
        if str(body.get("channel_order_id") or reference) != reference:
            raise ProviderRefused("the answer names another order", str(ids[0]))
        awb = str(body.get("awb_code") or "")
        booking = Booking(
            order_id=str(ids[0]), shipment_id=str(ids[1]), reference=reference, awb=awb,
            courier_name=str(body.get("courier_name") or ""), tracking_url=said.tracking_page(awb),
            is_cancelled=body.get("status_code") in CANCELLED_CODES,
        )  # fmt: skip
        if booking.is_cancelled or booking.awb or body.get("status_code") == fresh:
            return booking
        raise ProviderRefused(f"the courier answered with an order that is {body.get('status')}")

    def _not_created(self, answer: Answer, reference: str) -> Booking:
        """Refused; a reference that is taken already leads to its order."""
        words = said.failure(answer)
        found = self.find(reference) if "already been taken" in words else None
        if found is None:
            raise ProviderRefused(words, str(answer.status))
        return found

    def offers(self, booking: Booking) -> Sequence[LiveRate]:
        """Serviceability of the booked order."""
        if self.is_dry_run:
            return _rehearsed_rates(booking.collect)
        asked = shiprocket_rates.question_about(booking, self._shop_code(RATE_SECONDS))
        answer = self._get("/courier/serviceability/", asked, RATE_SECONDS)
        return shiprocket_rates.rates_of(answer, booking.collect)

    def assign_awb(self, booking: Booking, carrier_id: str = "") -> Booking:
        """The carrier named, else the one of the account's own rule, else others that serve the way."""
        if self.is_dry_run:
            return _rehearsed(booking.reference, awb=True)
        refusal = ""
        for candidate in self._candidates(booking, carrier_id):
            wish = {"shipment_id": number(booking.shipment_id)}
            answer = self._post(
                "/courier/assign/awb", wish | ({"courier_id": candidate} if candidate else {})
            )
            body_of(answer)
            awb, refusal = said.awb_of(answer)
            if awb is not None:
                return replace(
                    booking, awb=awb.awb, courier_name=awb.courier_name,
                    applied_grams=awb.applied_grams, tracking_url=said.tracking_page(awb.awb),
                )  # fmt: skip
            if said.is_wallet_empty(answer, refusal):
                raise WalletEmpty(refusal, str(WALLET_CODE))
            if said.is_done_before(refusal):
                return self._adopted(booking)
            if answer.status >= 300:
                raise ProviderRefused(self._why(booking, refusal), str(answer.status))
        raise NotServed(refusal or "no courier took the parcel")

    def _candidates(self, booking: Booking, carrier_id: str) -> Iterator[int | None]:
        """The one picked; else None (the account's rule), then others, asked for only when needed.

        Whom the rule took, and who has refused by then, is the one that it recommends.
        """
        if carrier_id:
            yield number(carrier_id)
            return
        yield None
        others = [int(one.courier_id) for one in self.offers(booking) if not one.is_recommended]
        yield from others[:OTHER_COURIERS]

    def _why(self, booking: Booking, refusal: str) -> str:
        """A shipment of a cancelled order is refused with misleading words (provider page, 2.5)."""
        found = self.find(booking.reference)
        is_cancelled = found is not None and found.is_cancelled
        return "the order was cancelled at the courier" if is_cancelled else refusal

    def _adopted(self, booking: Booking) -> Booking:
        """An earlier try has worked: read what it brought."""
        found = self.find(booking.reference)
        if found is None or not found.awb:
            raise OutcomeUnknown("the waybill number is assigned, but not to be read yet")
        return replace(
            booking, awb=found.awb, courier_name=found.courier_name, tracking_url=found.tracking_url
        )

    def schedule_pickup(self, booking: Booking) -> Booking:
        """Ask for pickup."""
        if self.is_dry_run:
            return _rehearsed(booking.reference, awb=True, pickup=True)
        wish: dict[str, Any] = {"shipment_id": [number(booking.shipment_id)]}
        day = pickup_day(local(utcnow()), settings().shiprocket_pickup_time)
        if day is not None:
            wish["pickup_date"] = [day.isoformat()]
        answer = self._post("/courier/generate/pickup", wish)
        body = body_of(answer)
        inner = body.get("response")
        if answer.status < 300 and body.get("pickup_status") == 1 and isinstance(inner, dict):
            return replace(booking, pickup_at=said.moment(inner.get("pickup_scheduled_date")))
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
            "/courier/generate/label", {"shipment_id": [number(booking.shipment_id)]}
        )
        return replace(booking, label_url=_paper(answer, "label_created", "label_url"))

    def manifest(self, booking: Booking) -> str:
        """Made once; what was made before is printed again."""
        answer = self._post("/manifests/generate", {"shipment_id": [number(booking.shipment_id)]})
        if answer.status == 400 and said.is_manifested(answer):
            wish = {"order_ids": [number(booking.order_id)]}
            answer = self._post("/manifests/print", wish)
            return _paper(answer, "", "manifest_url")
        return _paper(answer, "status", "manifest_url")

    def invoice(self, booking: Booking) -> str:
        """Shiprocket's invoice for the goods."""
        answer = self._post("/orders/print/invoice", {"ids": [number(booking.order_id)]})
        return _paper(answer, "is_invoice_created", "invoice_url")

    def paper_file(self, url: str) -> bytes:
        """From the storage that the courier names: over TLS, at a public address."""
        is_elsewhere = said.check_paper_address(url, settings().shiprocket_api_base)
        answer = call(
            "shiprocket-papers", "GET", url, read_seconds=STEP_SECONDS, only_public=is_elsewhere
        )
        if answer.status in {403, 404, 410}:
            raise ProviderRefused("the paper is not there any more", str(answer.status))
        if answer.status != 200:
            raise OutcomeUnknown(f"HTTP {answer.status} for the paper")
        return answer.body

    def cancel(self, booking: Booking) -> None:
        """The shipment, where it has a waybill number, and the order. Any 2xx counts, body or not."""
        if self.is_dry_run:
            return
        if booking.awb:
            _accepted(self._post("/orders/cancel/shipment/awbs", {"awbs": [booking.awb]}))
        if booking.order_id:
            _accepted(self._post("/orders/cancel", {"ids": [number(booking.order_id)]}))

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
        message = read_object(body)
        if not message.get("awb"):
            return TrackingHook(hashlib.sha256(body).hexdigest(), "ping", None)
        named = f"{name_in(message, 'awb')}:{message.get('shipment_status_id')}:{message.get('current_timestamp')}"
        event_id = hashlib.sha256(named.encode()).hexdigest()
        news = said.tracking_of_hook(message)
        if str(message.get("is_return", 0)) in {"1", "True"}:
            # "Delivered" means here: back at the shop.
            return TrackingHook(event_id, "return", None, returning=news)
        kind = str(message.get("shipment_status") or "tracking").lower()
        return TrackingHook(event_id, kind, news)

    def rates(self, wish: RateWish) -> Sequence[LiveRate]:
        """Serviceability by PIN code, weight and box; rupees and India only."""
        if wish.currency != "INR" or wish.country != "IN":
            return []
        if self.is_dry_run:
            return _rehearsed_rates(wish.collect)
        asked = shiprocket_rates.question(wish, self._shop_code(RATE_SECONDS, RATES))
        answer = self.line.get("/courier/serviceability/", asked, RATE_SECONDS, RATES)
        found = shiprocket_rates.rates_of(answer, wish.collect)
        if not found:
            raise NotServed(f"no carrier of the account goes to {wish.postal_code}")
        return found

    def create_return(self, wish: ReturnParcel) -> Booking:
        """The customer is picked up at, the shop is shipped to: its pickup location's own address."""
        if self.is_dry_run:
            return replace(_rehearsed(wish.reference), is_return=True)
        sent = shiprocket_returns.return_wish(wish, self._shop(STEP_SECONDS))
        answer = self._post("/orders/create/return", sent)
        made = self._made(answer, wish.reference, RETURN_PENDING_CODE)
        return replace(
            made, is_return=True, goods_minor=wish.goods_minor,
            postal_code=wish.collect_from.get("postal_code", ""),
        )  # fmt: skip

    def _shop(self, read_seconds: float, provider: str = PROVIDER) -> Mapping[str, Any]:
        return shiprocket_returns.location(
            lambda: self.line.get("/settings/company/pickup", {}, read_seconds, provider)
        )

    def _shop_code(self, read_seconds: float, provider: str = PROVIDER) -> int:
        return said.pin_code(str(self._shop(read_seconds, provider).get("pin_code") or ""))

    # --- the line out ---

    def _get(
        self, path: str, params: Mapping[str, Any], read_seconds: float = STEP_SECONDS
    ) -> Answer:
        return self.line.get(path, params, read_seconds)

    def _post(self, path: str, wish: Any) -> Answer:
        return self.line.post(path, wish, STEP_SECONDS)


def _paper(answer: Answer, flag: str, name: str) -> str:
    """A paper's address. HTTP 200 without one, or with its flag down, means: not yet.

    Of an answer that has no flag, `flag` is empty.
    """
    body = body_of(answer)
    if answer.status >= 300:
        raise ProviderRefused(said.failure(answer), str(answer.status))
    address = str(body.get(name) or "")
    if not address or (flag and body.get(flag) not in (1, True)):
        raise TryLater(said.failure(answer))
    return address


def _accepted(answer: Answer) -> None:
    words = said.failure(answer)
    if answer.status >= 300 and "already" not in words.lower():
        raise ProviderRefused(words, str(answer.status))


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


def _rehearsed_rates(collect: bool) -> list[LiveRate]:
    """Two believable carriers; nobody is asked."""
    rows = (("1", "Dry run surface", 6400, 5), ("2", "Dry run air", 11_800, 2))
    return [
        LiveRate(
            carrier, name, paise + 3000 * collect, days, in_future(hours=24 * days), is_cod=True,
            is_recommended=carrier == "1",
        )
        for carrier, name, paise, days in rows
    ]  # fmt: skip
