"""Shiprocket's two tables share their numbers: each is read where it belongs, and nowhere else."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from shop.delivery.couriers import shiprocket_words as said
from shop.delivery.couriers.base import Scan
from shop.delivery.couriers.shiprocket import CANCELLED_CODES, Shiprocket
from shop.delivery.models import ShipmentStatus
from shop.delivery.tracking import RANK

SAMPLES = Path(__file__).parent / "samples"
SHIPMENT_TABLE = json.loads((SAMPLES / "status_codes_shipment.json").read_text())
ORDER_TABLE = json.loads((SAMPLES / "status_codes_order_partial.json").read_text())
AT = "2026-11-20 17:48:00"

#: The provider page's table, once more and by hand: what each number means to the shop.
WANTED = {
    **dict.fromkeys(("1", "2", "3", "4", "5", "11", "15", "27", "52", "19"), "pickup_scheduled"),
    **dict.fromkeys(("42", "6", "51"), "picked_up"),
    **dict.fromkeys(("18", "22", "38", "39", "48"), "in_transit"),
    "17": "out_for_delivery",
    **dict.fromkeys(("7", "26", "43"), "delivered"),
    **dict.fromkeys(("9", "14", "75"), "rto_initiated"),
    **dict.fromkeys(("40", "41", "46", "78"), "rto_in_transit"),
    "10": "rto_delivered",
    **dict.fromkeys(("8", "45"), "cancelled"),
    **dict.fromkeys(("12", "76"), "lost"),
    **dict.fromkeys(("24", "25", "44"), "damaged"),
}
FAILED_ATTEMPTS = {"21", "77"}
FAILED_PICKUPS = {"13", "20"}
#: 16 only asks for a cancellation; the rest are warehouses, borders and states that need no step.
MOVES_NOTHING = {
    "16", "23", "47", "49", "50", "54", "55", "56", "57", "59", "60", "61", "62", "63", "67", "68",
    "71", "72",
}  # fmt: skip


def scan_of(code: str) -> Scan:
    """One scan of a hook, with this number."""
    news = said.tracking_of_hook(
        {"awb": "1", "scans": [{"date": AT, "sr-status": code, "status": "X", "activity": "told"}]}
    )
    (scan,) = news.scans
    return scan


def parsed(**message):
    body = {"awb": "1", "order_id": "R-1", "current_timestamp": "20 11 2026 17:48:00", **message}
    return Shiprocket.parse(Shiprocket.__new__(Shiprocket), json.dumps(body).encode())  # fmt: skip


def test_every_number_of_the_shipment_table_is_decided_about():
    assert WANTED.keys() | FAILED_ATTEMPTS | FAILED_PICKUPS | MOVES_NOTHING == SHIPMENT_TABLE.keys()


@pytest.mark.parametrize("code", SHIPMENT_TABLE)
def test_a_scan_is_read_by_the_shipment_table(code):
    scan = scan_of(code)
    assert scan.status == WANTED.get(code)
    assert scan.status is None or ShipmentStatus(scan.status) in RANK
    assert scan.is_failed_attempt == (code in FAILED_ATTEMPTS)
    assert scan.is_failed_pickup == (code in FAILED_PICKUPS)
    assert scan.raw["sr-status"] == code


@pytest.mark.parametrize("code", SHIPMENT_TABLE)
def test_a_headline_is_read_by_the_shipment_table(code):
    """Being booked is no news: a headline says it until the first scan."""
    news = parsed(shipment_status_id=int(code), shipment_status=SHIPMENT_TABLE[code]).tracking
    told = [(scan.status, scan.is_failed_attempt, scan.is_failed_pickup) for scan in news.scans]
    wanted = WANTED.get(code)
    if code in FAILED_ATTEMPTS | FAILED_PICKUPS:
        assert told == [(None, code in FAILED_ATTEMPTS, code in FAILED_PICKUPS)]
    elif wanted in {None, "pickup_scheduled"}:
        assert told == []
    else:
        assert told == [(wanted, False, False)]


@pytest.mark.parametrize("code", ORDER_TABLE)
def test_the_order_tables_number_moves_no_parcel(code):
    """20 is "in transit" there and a failed pickup here: reading it would turn one into the other."""
    hook = parsed(current_status_id=int(code), current_status=ORDER_TABLE[code]["label"])
    assert hook.tracking.scans == []
    beside = parsed(
        current_status_id=int(code), shipment_status_id=18, shipment_status="IN TRANSIT"
    )
    assert [scan.status for scan in beside.tracking.scans] == ["in_transit"]


@pytest.mark.parametrize("code", ORDER_TABLE)
def test_an_order_is_read_by_the_order_table(code):
    row = {"id": 9, "channel_order_id": "R-1", "status_code": int(code), "shipments": []}
    is_cancelled = said.booking_of_order(row, CANCELLED_CODES).is_cancelled
    assert is_cancelled == (code in {"5", "18"})


@pytest.mark.parametrize("told", [1, "1", True])
@pytest.mark.parametrize("code", ["7", "42", "10"])
def test_a_return_says_nothing_of_the_parcel_that_went_out(code, told):
    hook = parsed(is_return=told, shipment_status_id=int(code), shipment_status="DELIVERED")
    assert hook.tracking is None
    assert hook.returning.scans[-1].status == WANTED[code]


@pytest.mark.parametrize("told", [0, "0", False, None])
def test_what_is_no_return_is_not_taken_for_one(told):
    hook = parsed(is_return=told, shipment_status_id=7, shipment_status="DELIVERED")
    assert hook.returning is None
    assert hook.tracking.scans[-1].status == "delivered"


@pytest.mark.parametrize("written", ["NA", "", None, "x", "-1", "99", "1e3", "١٨"])
def test_a_number_that_is_none_moves_nothing(written):
    assert scan_of(written).status is None


@pytest.mark.parametrize("message", [
    {"awb": 788830567028, "order_id": 5, "channel_order_id": "R-1"},
    {"awb": "788830567028", "order_id": "R-1", "sr_order_id": 5},
])  # fmt: skip
def test_both_shapes_name_the_parcel_alike(message):
    news = said.tracking_of_hook(message)
    assert (news.awb, news.reference, news.order_id) == ("788830567028", "R-1", "5")


@pytest.mark.parametrize("written", [
    "2026-11-20 17:48:00", "20 11 2026 17:48:00", "20 Nov 2026, 05:48 PM", "20th Nov 2026 05:48 PM",
    {"date": "2026-11-20 17:48:00.000000", "timezone": "Asia/Kolkata"},
])  # fmt: skip
def test_every_way_to_write_a_time_is_read_as_indias(written):
    assert said.moment(written) == datetime.fromisoformat("2026-11-20T12:18:00+00:00")
