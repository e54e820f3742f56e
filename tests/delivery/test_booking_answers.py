"""What the courier may answer while a parcel is booked or cancelled, and what comes of it."""

import json

import pytest
from sqlalchemy import func, select

from shop import providers
from shop.clock import in_future
from shop.database import transaction
from shop.delivery.models import Shipment, ShipmentStatus, Step
from shop.extensions import db
from shop.jobs import runner
from shop.jobs.models import Job
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import advance
from shop.orders.models import Order, OrderStatus
from tests.factories import STAFF, make_order, make_product

CREATE = "delivery.create_shipment"

CANCEL = "delivery.cancel_shipments"

MADE = (Step.ORDERED, Step.AWB_ASSIGNED, Step.PICKUP_SCHEDULED, Step.LABELLED)

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@sqlite_only
def test_the_courier_is_told_what_the_order_holds(parcels, run_parcels, the_order):
    make_order("paid", lines={make_product(weight_grams=400): 3})
    run_parcels()

    (wish,) = [order["wish"] for order in parcels.orders.values()]
    order = the_order()
    assert wish["order_id"] == order.number
    assert wish["weight"] == 1.2
    assert (wish["length"], wish["breadth"], wish["height"]) == (20.0, 15.0, 18.0)
    assert wish["billing_phone"] == "9812345678"
    assert wish["billing_pincode"] == 560001
    assert wish["payment_method"] == "Prepaid"
    paise = round(100 * (wish["sub_total"] + wish["shipping_charges"]))
    assert paise == order.total_minor
    assert wish["order_items"][0]["units"] == 3


@sqlite_only
def test_a_time_out_after_the_order_was_made_makes_one_order(
    paid, parcels, run_parcels, the_parcel, monkeypatch
):
    monkeypatch.setattr("shop.delivery.couriers.shiprocket.STEP_SECONDS", 0.4)
    parcels.fault("hang_after", path="/v1/external/orders/create")
    run_parcels()
    assert the_parcel().trying == Step.ORDERED
    run_parcels(ahead=120)

    assert the_parcel().step == Step.LABELLED
    assert len(parcels.done("order")) == 1


@sqlite_only
def test_a_busy_courier_is_asked_later(paid, parcels, run_parcels, the_parcel):
    for status in (429, 503):
        parcels.fault(
            "refuse",
            path="/v1/external/orders/create",
            status=status,
            headers={"Retry-After": "90"},
        )
    asked = []
    for ahead in (80, 150, 200, 270, 400):
        run_parcels(ahead=ahead)
        asked.append(len(parcels.seen("POST", "/v1/external/orders/create")))
        assert the_parcel().step == (Step.RESERVED if ahead < 400 else Step.LABELLED)
    assert asked == [1, 1, 2, 2, 3]


@sqlite_only
def test_a_second_asker_after_the_first_finds_the_parcel(shipped, parcels, run_parcels, the_parcel):
    with transaction():
        enqueue(CREATE, {"order_id": shipped.order_id})
    assert run_parcels() == 1
    assert the_parcel().step == Step.LABELLED
    assert len(parcels.done("order")) == 1


def test_a_cancelled_record_leads_to_the_next_reference(
    paid, parcels, run_parcels, the_parcel, the_order
):
    parcels._make({"order_id": the_order().number})
    parcels.cancel_in_panel(the_order().number)
    parcels.effects.clear()
    run_parcels()

    number = the_order().number
    assert the_parcel().reference == f"{number}-R1"
    assert the_parcel().step == Step.LABELLED
    assert parcels.done("awb") == [f"{number}-R1"]


@sqlite_only
def test_a_cancelled_record_that_only_create_shows_leads_to_the_next_reference(
    paid, parcels, run_parcels, the_parcel, the_order, monkeypatch
):
    from shop.delivery.couriers.shiprocket import Shiprocket

    parcels._make({"order_id": the_order().number})
    parcels.cancel_in_panel(the_order().number)
    monkeypatch.setattr(Shiprocket, "find", lambda self, reference: None)
    run_parcels()
    assert the_parcel().reference == f"{the_order().number}-R1"
    assert the_parcel().step == Step.LABELLED


@sqlite_only
def test_another_courier_is_tried_where_the_first_does_not_serve_and_none_is_asked_twice(
    paid, parcels, run_parcels, the_parcel
):
    parcels.refused_couriers = {None, 43, 51}
    run_parcels()
    assert the_parcel().step == Step.LABELLED
    asked = parcels.seen("POST", "/v1/external/courier/assign/awb")
    assert [json.loads(one["body"]).get("courier_id") for one in asked] == [None, 51, 10]


@sqlite_only
def test_where_no_courier_serves_a_person_is_told(
    paid, parcels, run_parcels, the_parcel, the_order
):
    parcels.awb_error = "Selected courier does not service this pincode pair"
    run_parcels()
    assert the_parcel().step == Step.ORDERED
    assert "does not service" in the_order().attention


@sqlite_only
def test_a_wrong_pickup_location_is_refused_and_not_guessed(paid, parcels, run_parcels, the_order):
    parcels.pickup_location = "main-warehouse"
    run_parcels()
    assert "Wrong Pickup location" in the_order().attention
    assert parcels.orders == {}


@sqlite_only
def test_a_label_that_lags_is_fetched_later(paid, parcels, run_parcels, the_parcel):
    parcels.label_lags = 1
    run_parcels()
    assert the_parcel().step == Step.PICKUP_SCHEDULED
    run_parcels(ahead=120)
    assert the_parcel().step == Step.LABELLED


@sqlite_only
def test_a_cancellation_of_unknown_outcome_is_asked_about(
    shipped, parcels, run_parcels, the_parcel
):
    parcels.fault("fail_after", path="/v1/external/orders/cancel", times=1)
    with transaction():
        advance(db.session.scalars(select(Order)).one(), "cancelled", STAFF)
    run_parcels()
    run_parcels(ahead=300)
    assert the_parcel().status == ShipmentStatus.CANCELLED


@sqlite_only
def test_what_left_already_cannot_be_cancelled_and_a_person_is_told(
    shipped, parcels, run_parcels, the_parcel, the_order
):
    parcels.scan(42, in_future(minutes=-1))
    with transaction():
        advance(db.session.scalars(select(Order)).one(), "cancelled", STAFF)
    run_parcels()
    assert the_parcel().status == ShipmentStatus.PICKUP_SCHEDULED
    assert "could not be cancelled" in the_order().attention


@sqlite_only
def test_a_failed_booking_is_gone_on_with_by_hand(paid, parcels, run_parcels, the_parcel):
    parcels.fault("refuse", path="/v1/external/courier/generate/pickup", status=400)
    run_parcels()
    failed = db.session.scalars(select(Job).where(Job.kind == CREATE)).one()
    assert failed.status == "failed"
    with transaction():
        runner.retry(failed.id)
    run_parcels()
    assert the_parcel().step == Step.LABELLED
    assert len(parcels.done("order")) == 1


@sqlite_only
def test_a_breaker_does_not_use_up_tries(paid, parcels, run_parcels, the_parcel):
    line = providers._lines.setdefault("shiprocket", providers._Line())
    import time

    line.closed_until = time.monotonic() + 60
    run_parcels()
    job = db.session.scalars(select(Job).where(Job.kind == CREATE)).one()
    assert (job.status, job.attempts) == ("queued", 0)
    providers.reset_lines()
    run_parcels(ahead=60)
    assert the_parcel().step == Step.LABELLED


@sqlite_only
def test_the_dry_run_in_development_is_believable_and_asks_nobody(
    paid, configure, parcels, run_parcels, the_parcel, the_order
):
    configure(shiprocket_dry_run=True)
    run_parcels()
    parcel = the_parcel()
    assert parcel.is_dry_run
    assert parcel.step == Step.LABELLED
    assert parcel.awb.isdigit()
    assert len(parcel.awb) == 12
    assert the_order().status == OrderStatus.READY_FOR_SHIPMENT
    assert parcels.requests == []


@sqlite_only
def test_the_dry_run_in_production_books_nothing_and_asks_for_attention(
    paid, configure, parcels, run_parcels, the_order, shop
):
    configure(shiprocket_dry_run=True, shop_env="production")
    try:
        run_parcels()
    finally:
        configure(shop_env="development")
    assert the_order().attention == "Dry run: no parcel was booked"
    assert the_order().status == OrderStatus.PAID
    assert db.session.scalar(select(func.count(Shipment.id))) == 0
    assert [line.shipped_quantity for line in the_order().lines] == [0, 0]
    assert parcels.requests == []
