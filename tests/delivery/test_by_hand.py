"""Parcels that staff take to a carrier themselves."""

import pytest
from sqlalchemy import func, select

from shop.database import transaction
from shop.delivery import by_hand, shipping
from shop.delivery.models import Shipment, ShipmentStatus, Step
from shop.errors import Conflict, Refused
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.models import Job
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import advance
from shop.orders.locking import lock_order
from shop.orders.models import FulfilmentStatus, Order, OrderStatus
from shop.preferences import change
from tests.factories import STAFF, make_order, make_product

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

UPS = "1Z5R89390357567127"


@pytest.fixture
def by_staff(configure):
    """Staff book every parcel themselves."""
    configure(courier="manual")


def parcel_of(order, **more):
    with transaction():
        return shipping.reserve(lock_order(order.id), courier_key="manual", **more).id


def named(shipment_id, number, carrier=""):
    with transaction():
        by_hand.name(db.session.get_one(Shipment, shipment_id), number, carrier)
    return db.session.get_one(Shipment, shipment_id)


def moved(shipment_id, seen):
    with transaction():
        shipment = db.session.get_one(Shipment, shipment_id)
        by_hand.move(shipment, lock_order(shipment.order_id), STAFF, seen)


def test_a_paid_order_gets_a_parcel_that_waits_for_its_number(
    paid, by_staff, run_parcels, the_parcel, the_order, turn_clock
):
    run_parcels()
    parcel = the_parcel()
    assert (parcel.courier, parcel.step, parcel.awb) == ("manual", Step.RESERVED, None)
    assert the_order().status == OrderStatus.PAID
    turn_clock(minutes=40)
    with transaction():
        enqueue("orders.unstick")
    run_parcels()
    assert db.session.scalar(select(func.count(Shipment.id))) == 1
    assert db.session.scalars(select(Incident)).all() == []
    kinds = set(db.session.scalars(select(Job.kind).where(Job.status == "failed")))
    assert kinds == set()


@sqlite_only
def test_the_number_tells_the_carrier_and_its_page(paid, app, the_parcel):
    parcel = named(parcel_of(paid), f" {UPS[:6]} {UPS[6:]}".lower())
    assert (parcel.awb, parcel.courier_name, parcel.step) == (UPS, "UPS", Step.LABELLED)
    assert parcel.tracking_url == f"https://www.ups.com/track?tracknum={UPS}"


@sqlite_only
def test_a_carrier_that_is_not_in_the_table_is_kept_as_typed(paid, app):
    parcel = named(parcel_of(paid), "NL-77 x", "Northline")
    assert (parcel.awb, parcel.courier_name, parcel.tracking_url) == ("NL-77x", "Northline", None)


@sqlite_only
def test_a_number_of_several_carriers_is_asked_about(paid, app):
    assert by_hand.candidates("986578788855") == ["delhivery", "fedex"]
    assert by_hand.candidates(UPS) == []
    parcel = named(parcel_of(paid), "986578788855", "fedex")
    assert (parcel.courier_name, parcel.tracking_url) == (
        "FedEx", "https://www.fedex.com/fedextrack/?trknbr=986578788855",
    )  # fmt: skip


def test_a_number_stands_for_one_parcel(app):
    named(parcel_of(make_order("paid")), UPS)
    second = parcel_of(make_order("paid"))
    with pytest.raises(Refused, match="already"):
        named(second, UPS)
    db.session.rollback()
    with pytest.raises(Refused, match="Type the tracking number"):
        named(second, "  ")
    db.session.rollback()


def test_the_order_follows_its_parcels_one_by_one(app, the_order):
    order = make_order("paid", lines={make_product(): 2})
    line_id = order.lines[0].id
    first = parcel_of(order, quantities={line_id: 1})
    second = parcel_of(order)
    moved(first, "pending")
    assert the_order().status == OrderStatus.PAID
    assert the_order().fulfilment_status == FulfilmentStatus.PARTLY_SHIPPED
    moved(second, "pending")
    assert the_order().status == OrderStatus.SHIPPED
    moved(first, "picked_up")
    moved(second, "picked_up")
    assert the_order().status == OrderStatus.DELIVERED
    assert db.session.get_one(Shipment, first).delivered_at
    with pytest.raises(Refused, match="not moved by hand"):
        moved(first, "delivered")
    db.session.rollback()


@sqlite_only
def test_who_saw_an_older_state_is_told(paid, app):
    parcel = parcel_of(paid)
    moved(parcel, "pending")
    with pytest.raises(Conflict):
        moved(parcel, "pending")
    db.session.rollback()


@sqlite_only
def test_cash_at_the_door_is_the_orders_when_it_has_arrived(app, the_order):
    parcel = parcel_of(make_order("pending_payment", method="cod"))
    assert db.session.get_one(Shipment, parcel).collect_minor == the_order().total_minor
    moved(parcel, "pending")
    moved(parcel, "picked_up")
    assert the_order().paid_at is not None


def test_a_cancelled_order_takes_its_parcel_back(
    paid, by_staff, run_parcels, the_parcel, the_order
):
    run_parcels()
    named(the_parcel().id, UPS)
    with transaction():
        advance(db.session.scalars(select(Order)).one(), "cancelled", STAFF)
    run_parcels()
    assert the_parcel().status == ShipmentStatus.CANCELLED
    assert [line.shipped_quantity for line in the_order().lines] == [0, 0]


def test_a_parcel_that_no_courier_has_heard_of_can_be_sent_by_hand(paid, parcels, app, run_parcels):
    with transaction():
        parcel = shipping.reserve(lock_order(paid.id))
    with pytest.raises(Refused, match="tells the number"):
        named(parcel.id, UPS)
    db.session.rollback()
    with transaction():
        held = lock_order(paid.id)
        for job in db.session.scalars(select(Job).where(Job.kind == "delivery.create_shipment")):
            job.status = "cancelled"
        by_hand.take_over(db.session.get_one(Shipment, parcel.id), held)
    assert named(parcel.id, UPS).courier == "manual"
    run_parcels()
    assert parcels.orders == {}


@sqlite_only
def test_a_parcel_that_a_courier_knows_is_cancelled_there_first(booked_at, the_parcel):
    with pytest.raises(Refused, match="Cancel it there first"), transaction():
        by_hand.take_over(the_parcel(), lock_order(the_parcel().order_id))


@pytest.fixture
def booked_at(paid, parcels, run_parcels):
    """A parcel that Shiprocket knows."""
    run_parcels()


@sqlite_only
def test_nobody_sends_messages_about_such_parcels(app, client):
    answer = client.post("/webhooks/delivery/manual", data=b"{}")
    assert answer.status_code in {400, 401, 404}


def test_where_staff_book_nothing_is_booked_by_itself(parcels, run_parcels, turn_clock, the_parcel):
    with transaction():
        change("auto_ship", "false")
    paid = make_order("paid")
    run_parcels()
    assert db.session.scalar(select(func.count(Shipment.id))) == 0
    with transaction():
        shipping.reserve(lock_order(paid.id))
    turn_clock(minutes=40)
    with transaction():
        enqueue("orders.unstick")
    run_parcels()
    assert the_parcel().step == Step.RESERVED
    assert parcels.orders == {}
    with transaction():
        change("auto_ship", "true")
        enqueue("orders.unstick")
    run_parcels()
    assert the_parcel().step == Step.LABELLED
