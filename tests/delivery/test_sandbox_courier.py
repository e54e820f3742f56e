"""The pretend courier carries an order from booking to the door, over real HTTP."""

from sqlalchemy import select

from shop.database import transaction
from shop.delivery.models import Shipment, ShipmentStatus, Step
from shop.extensions import db
from shop.orders.models import Order
from shop.sandbox import courier
from shop.sandbox.models import SandboxParcel
from tests.factories import make_order


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


def test_a_paid_order_is_booked_labelled_and_ready(app, run_jobs):
    make_order("paid")
    run_jobs()

    parcel, order = the_parcel(), the_order()
    assert parcel.step == Step.LABELLED
    assert parcel.status == ShipmentStatus.PICKUP_SCHEDULED
    assert parcel.awb.startswith("SBX")
    assert parcel.reference == order.number
    assert parcel.label_key
    assert order.status == "ready_for_shipment"
    assert [line.shipped_quantity for line in order.lines] == [1, 1]


def test_four_scans_bring_it_to_the_door_and_the_order_follows(app, run_jobs):
    make_order("paid")
    run_jobs()
    for expected in ("shipped", "in_transit", "out_for_delivery", "delivered"):
        scan()
        run_jobs()
        assert the_order().status == expected
    assert the_order().fulfilment_status == "delivered"
    assert the_parcel().delivered_at
