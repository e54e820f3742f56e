"""What stops halfway is gone on with, and one parcel's trouble does not hold up the next."""

import pytest
from sqlalchemy import select

from shop.database import transaction
from shop.delivery import by_hand, shipping
from shop.delivery.booking import CreateShipment
from shop.delivery.couriers.base import WalletEmpty
from shop.delivery.models import Shipment, ShipmentStatus, Step
from shop.errors import Refused
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.handlers import Work
from shop.jobs.models import Job
from shop.jobs.queue import cancel, enqueue
from shop.orders.lifecycle import Actor, Who, advance
from shop.orders.locking import lock_order
from shop.orders.models import Order
from tests.factories import STAFF, make_order

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

CREATE = "delivery.create_shipment"
GATEWAY = Actor(Who.GATEWAY, "gateway:sandbox")


def move(event, actor=STAFF):
    with transaction():
        advance(db.session.scalars(select(Order)).one(), event, actor)


def jobs(kind=CREATE):
    db.session.rollback()
    return db.session.scalars(select(Job).where(Job.kind == kind).order_by(Job.id)).all()


def unstick(run_parcels):
    with transaction():
        enqueue("orders.unstick")
    run_parcels()


def in_two_parcels(order):
    """Both parcels' ids; nothing is asked of the courier."""
    for job in jobs():
        with transaction():
            cancel(job.id)
    with transaction():
        locked = lock_order(order.id)
        first = shipping.reserve(locked, quantities={locked.lines[0].id: 1})
        return first.id, shipping.reserve(locked).id


def half_made_incidents():
    rows = db.session.scalars(select(Incident).where(Incident.fingerprint.like("half_made:%")))
    return [(row.category, row.severity) for row in rows]


@pytest.fixture
def half_made(paid, parcels, run_parcels, the_parcel):
    """A parcel that the courier knows, of an order that was disputed before its waybill was there."""
    parcels.fault("refuse", path="/v1/external/courier/assign", status=503)
    run_parcels()
    move("dispute_opened", GATEWAY)
    run_parcels(ahead=120)
    assert the_parcel().step == Step.ORDERED
    assert the_parcel().booked_by_job is None


@pytest.mark.forces("half_made")
def test_a_parcel_half_made_when_its_order_was_disputed_is_finished_when_the_dispute_is_won(
    half_made, parcels, run_parcels, the_parcel, turn_clock
):
    move("dispute_won", GATEWAY)
    turn_clock(minutes=14)
    unstick(run_parcels)
    assert the_parcel().step == Step.ORDERED

    turn_clock(minutes=4)
    unstick(run_parcels)
    assert the_parcel().step == Step.LABELLED
    assert len(parcels.done("order")) == 1
    assert half_made_incidents() == [("delivery", "medium")]

    turn_clock(minutes=20)
    unstick(run_parcels)
    assert len(jobs()) == 2


@sqlite_only
def test_a_half_made_parcel_is_left_alone_while_its_order_is_disputed(
    half_made, run_parcels, the_parcel, turn_clock
):
    turn_clock(minutes=20)
    unstick(run_parcels)
    assert len(jobs()) == 1
    assert half_made_incidents() == []


@sqlite_only
def test_a_label_that_was_forgotten_is_asked_for_again(
    paid, parcels, run_parcels, the_parcel, turn_clock
):
    parcels.label_lags = 1
    run_parcels()
    assert the_parcel().step == Step.PICKUP_SCHEDULED
    with transaction():
        cancel(jobs()[0].id)
    turn_clock(minutes=16)
    unstick(run_parcels)
    assert the_parcel().step == Step.LABELLED


def test_each_half_made_parcel_of_an_order_is_finished(
    paid, parcels, run_parcels, the_parcel, turn_clock
):
    in_two_parcels(paid)
    turn_clock(minutes=16)
    unstick(run_parcels)
    assert the_parcel(1).step == the_parcel(2).step == Step.LABELLED
    assert half_made_incidents() == [("delivery", "medium")]


@sqlite_only
def test_a_parcel_whose_job_waits_for_its_next_try_is_not_asked_for_twice(
    paid, parcels, run_parcels, turn_clock
):
    parcels.fault(
        "refuse", path="/v1/external/orders/create", status=503, headers={"Retry-After": "3600"}
    )
    run_parcels()
    turn_clock(minutes=16)
    unstick(run_parcels)
    assert len(jobs()) == 1
    assert half_made_incidents() == []


def test_a_booking_that_gave_up_is_left_to_a_person(paid, parcels, run_parcels, turn_clock):
    parcels.wallet_is_empty = True
    run_parcels()
    turn_clock(minutes=16)
    unstick(run_parcels)
    assert [job.status for job in jobs()] == ["failed"]


@pytest.mark.parametrize(
    ("engine", "method", "minutes"),
    [
        ("sqlite", "sandbox", 15),
        ("sqlite", "cod", 30),
        pytest.param("postgresql", "cod", 30, marks=pytest.mark.pg),
    ],
    indirect=["engine"],
)
def test_an_order_without_a_parcel_is_asked_for_again(
    app, run_parcels, the_parcel, turn_clock, method, minutes
):
    make_order("paid" if method == "sandbox" else "pending_payment", method=method)
    with transaction():
        cancel(jobs()[0].id)
    turn_clock(minutes=minutes - 1)
    unstick(run_parcels)
    assert len(jobs()) == 1
    turn_clock(minutes=2)
    unstick(run_parcels)
    assert the_parcel().step == Step.LABELLED
    assert half_made_incidents() == []


def ship_by_hand():
    with transaction():
        order = lock_order(db.session.scalar(select(Order.id)))
        by_hand.follow(order, "shipped", "Post", "RR123")


@sqlite_only
def test_a_parcel_that_is_being_booked_is_not_moved_by_hand(paid, parcels, run_parcels, the_parcel):
    parcels.fault("refuse", path="/v1/external/orders/create", status=503)
    run_parcels()
    assert the_parcel().step == Step.RESERVED
    with pytest.raises(Refused, match="is being booked just now"):
        ship_by_hand()
    assert the_parcel().status == ShipmentStatus.PENDING
    assert the_parcel().awb is None


def test_a_parcel_whose_booking_gave_up_is_cancelled_there_before_it_is_sent_by_hand(
    paid, parcels, run_parcels, the_parcel
):
    parcels.wallet_is_empty = True
    run_parcels()
    with pytest.raises(Refused, match="Cancel it there first"):
        ship_by_hand()
    assert the_parcel().status == ShipmentStatus.PENDING
    assert the_parcel().courier == "parcel"


@sqlite_only
def test_giving_up_one_parcel_lets_go_of_that_parcel(paid, parcels, run_parcels):
    first, second = in_two_parcels(paid)
    parcels.wallet_is_empty = True
    with transaction():
        enqueue(CREATE, {"order_id": paid.id, "shipment_id": second})
    run_parcels()
    assert jobs()[-1].status == "failed"
    assert [db.session.get_one(Shipment, one).booked_by_job for one in (first, second)] == [
        None,
        None,
    ]


def test_a_refused_cancellation_does_not_hold_up_the_other_parcels(
    paid, parcels, run_parcels, the_parcel, the_order
):
    for shipment_id in in_two_parcels(paid):
        with transaction():
            enqueue(CREATE, {"order_id": paid.id, "shipment_id": shipment_id})
    run_parcels()
    assert the_parcel(2).step == Step.LABELLED
    parcels.fault("refuse", path="/v1/external/orders/cancel", status=400)
    move("cancelled")
    run_parcels()

    assert the_parcel(1).status == ShipmentStatus.PICKUP_SCHEDULED
    assert the_parcel(2).status == ShipmentStatus.CANCELLED
    assert "could not be cancelled" in the_order().attention
    assert [job.status for job in jobs("delivery.cancel_shipments")] == ["failed", "succeeded"]
    faults = select(Incident.severity).where(Incident.fingerprint.like("job:delivery.cancel%"))
    assert db.session.scalars(faults).all() == ["high"]


@sqlite_only
def test_a_refusal_parks_the_parcel_that_the_job_makes_and_no_other(paid, parcels, the_parcel):
    _first, second = in_two_parcels(paid)
    with transaction():
        db.session.get_one(Shipment, second).booked_by_job = 77
    with transaction():
        work = Work(77, CREATE, {"order_id": paid.id}, 1)
        CreateShipment().failed_try(work, WalletEmpty("empty", "350"))
    assert (the_parcel(1).parked, the_parcel(2).parked) == (None, "wallet")
