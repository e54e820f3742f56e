"""The samples of Shiprocket's page, and a stand-in that answers with them."""

import json
from datetime import UTC, datetime
from pathlib import Path

from werkzeug import Request

from shop.delivery.couriers.base import (
    Booking,
    Parcel,
    ParcelLine,
    RateWish,
    ReturnParcel,
)  # fmt: skip
from tests.simulators.shiprocket import Shiprocket, answer

SAMPLES = Path(__file__).parent / "samples"
PARCEL = Parcel(
    reference="SHOP-1042", order_number="2611.042", placed_at=datetime(2026, 11, 19, 8, 52, tzinfo=UTC),
    email="asha.nair@example.com", phone="+919876543210",
    to={
        "recipient": "Asha Nair", "phone": "+91 98765 43210", "line1": "Flat 4B, Palm Residency, 12 MG Road",
        "line2": "Near City Library", "landmark": "", "city": "Kochi", "state": "Kerala",
        "postal_code": "682 016", "country": "IN",
    },
    lines=[
        ParcelLine("Cotton tote bag, navy", "TOTE-NVY", 2, 44_900, 0, 500, "42022220"),
        ParcelLine("Enamel mug", "MUG-ENM", 1, 29_900, 0, 1200, "73239390"),
    ],
    currency="INR", goods_minor=119_700, shipping_minor=6_000, discount_minor=0, collect_minor=0,
    weight_grams=750, length_mm=300, width_mm=220, height_mm=80,
)  # fmt: skip
BOOKING = Booking("1502847719", "1499003852", reference="SHOP-1042", postal_code="682016")
WISH = RateWish("682 016", "IN", 750, 300, 220, 80, 119_700, "INR")
RETURN = ReturnParcel(
    reference="SHOP-1042-RET1", order_number="2611.042", asked_at=datetime(2026, 11, 26, 9, 0, tzinfo=UTC),
    email="asha.nair@example.com", phone="+919876543210", collect_from=PARCEL.to,
    lines=[ParcelLine("Cotton tote bag, navy", "TOTE-NVY", 1, 44_900, 0, 500, "42022220")],
    currency="INR", goods_minor=44_900, weight_grams=400, length_mm=300, width_mm=220, height_mm=50,
)  # fmt: skip


class Canned(Shiprocket):
    """Answers each path with what a test says."""

    def __init__(self):
        self.canned = {}
        super().__init__()

    def handle(self, request: Request):
        for path, (body, status) in self.canned.items():
            if request.path == "/v1/external" + path:
                return answer(body, status)
        return super().handle(request)


def sample(name):
    return json.loads((SAMPLES / f"{name}.json").read_text())


def sample_bytes(name: str) -> bytes:
    """A sample as it stands."""
    return (SAMPLES / f"{name}.json").read_bytes()
