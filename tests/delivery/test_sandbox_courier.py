"""The pretend courier carries an order from booking to the door, over real HTTP."""

import pytest
from sqlalchemy import select

from shop.clock import utcnow
from shop.database import transaction
from shop.delivery.couriers import courier as courier_of
from shop.delivery.couriers.base import RateWish, ReturnParcel
from shop.delivery.models import Shipment, ShipmentStatus, Step
from shop.extensions import db
from shop.jobs.models import Job
from shop.orders.models import Order
from shop.sandbox import courier
from shop.sandbox.models import SandboxParcel

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def scan(wish="next"):
    with transaction():
        parcel = db.session.scalars(select(SandboxParcel)).one()
        courier.scan(parcel, wish)


def the_parcel():
    db.session.rollback()
    return db.session.scalars(select(Shipment)).one()


def the_order():
    db.session.rollback()
    return db.session.scalars(select(Order)).one()


def test_a_paid_order_is_booked_labelled_and_ready(paid, app, run_jobs):
    run_jobs()

    parcel, order = the_parcel(), the_order()
    assert parcel.step == Step.LABELLED
    assert parcel.status == ShipmentStatus.PICKUP_SCHEDULED
    assert parcel.awb.startswith("SBX")
    assert parcel.reference == order.number
    assert all((parcel.label_key, parcel.manifest_key, parcel.invoice_key))
    assert order.status == "ready_for_shipment"
    assert [line.shipped_quantity for line in order.lines] == [1, 1]


def test_four_scans_bring_it_to_the_door_and_the_order_follows(paid, app, run_parcels):
    run_parcels()
    for expected in ("shipped", "in_transit", "out_for_delivery", "delivered"):
        scan()
        run_parcels()
        assert the_order().status == expected
    assert the_order().fulfilment_status == "delivered"
    assert the_parcel().delivered_at


@sqlite_only
def test_its_two_carriers_have_prices_by_weight(app, live, configure):
    configure(sandbox_api_base=live)
    light = RateWish("560001", "IN", 400, 200, 150, 60, 50_000, "INR")
    heavy = RateWish("560001", "IN", 1_200, 200, 150, 60, 50_000, "INR", collect=True)
    way = courier_of("sandbox")
    assert [(one.courier_name, one.price_minor) for one in way.rates(light)] == [
        ("Sandbox surface", 6000), ("Sandbox air", 11_000),
    ]  # fmt: skip
    assert [one.price_minor for one in way.rates(heavy)] == [14_000, 26_000]
    assert [one.is_recommended for one in way.rates(heavy)] == [True, False]


@sqlite_only
def test_a_return_is_a_parcel_whose_messages_say_so(app, live, configure):
    configure(sandbox_api_base=live)
    way = courier_of("sandbox")
    wish = ReturnParcel(
        "2611.001-RET1", "2611.001", utcnow(), "a@shop.example", "", {"city": "Kochi"}, [], "INR",
        1000, 400, 200, 150, 60,
    )  # fmt: skip
    made = way.create_return(wish)
    assert way.create_return(wish).order_id == made.order_id
    assert [one.courier_name for one in way.offers(made)] == ["Sandbox surface", "Sandbox air"]
    made = way.schedule_pickup(way.assign_awb(made))
    assert made.is_return
    assert made.pickup_at
    db.session.rollback()
    with transaction():
        parcel = db.session.scalars(select(SandboxParcel)).one()
        courier.scan(parcel, "next")
        sent = db.session.scalars(select(Job).where(Job.kind == "sandbox.deliver_scan")).one()
    news = way.parse(sent.payload["body"].encode())
    assert (news.tracking, news.returning.scans[-1].status) == (None, "picked_up")
