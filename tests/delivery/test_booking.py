"""A parcel is booked once, whatever happens on the way."""

import threading

import pytest
from sqlalchemy import func, select

from shop.database import transaction
from shop.delivery import shipping
from shop.delivery.models import Parked, Shipment, ShipmentStatus, Step
from shop.errors import Conflict, Refused
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs import runner
from shop.jobs.models import Job
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import Actor, Who, advance
from shop.orders.locking import lock_order
from shop.orders.models import Order, OrderStatus
from tests.factories import STAFF, make_order, make_product

CREATE = "delivery.create_shipment"
CANCEL = "delivery.cancel_shipments"
MADE = (Step.ORDERED, Step.AWB_ASSIGNED, Step.PICKUP_SCHEDULED, Step.LABELLED)


def book_again(order, key=None):
    with transaction():
        enqueue(CREATE, {"order_id": order.id}, key=key)


def test_a_paid_order_is_booked_step_by_step(paid, parcels, run_jobs, the_parcel, the_order):
    run_jobs(kinds="delivery.")

    parcel, order = the_parcel(), the_order()
    assert parcel.step == Step.LABELLED
    assert parcel.status == ShipmentStatus.PICKUP_SCHEDULED
    assert parcel.awb
    assert parcel.courier_order_id
    assert parcel.courier_name == "Delhivery Surface"
    assert parcel.label_key
    assert parcel.booked_by_job is None
    assert order.status == OrderStatus.READY_FOR_SHIPMENT
    assert [parcels.done(what) for what in ("order", "awb", "pickup")] == [[order.number]] * 3


@pytest.mark.parametrize("kind", ["fail_after", "half_body"])
def test_a_lost_answer_makes_nothing_twice(paid, parcels, run_parcels, the_parcel, the_order, kind):
    for path in ("orders/create", "courier/assign", "courier/generate/pickup", "courier/generate/label"):  # fmt: skip
        parcels.fault(kind, path=f"/v1/external/{path}", status=500)
    for turn, step in enumerate(MADE):
        run_parcels(ahead=7200 * turn)
        assert the_parcel().trying == step
    run_parcels(ahead=7200 * len(MADE))

    assert the_parcel().step == Step.LABELLED
    assert not parcels.faults
    number = the_order().number
    assert [parcels.done(what) for what in ("order", "awb", "pickup")] == [[number]] * 3


def test_a_worker_that_dies_between_call_and_record_leaves_a_parcel_that_another_finishes(
    paid, parcels, run_parcels, the_parcel, monkeypatch
):
    from shop.delivery.booking import CreateShipment

    class Killed(BaseException):
        pass

    whole, died = CreateShipment.record, []

    def dying(self, work, request, answer):
        if request.done not in died:
            died.append(request.done)
            raise Killed
        return whole(self, work, request, answer)

    monkeypatch.setattr(CreateShipment, "record", dying)
    for step in MADE:
        with pytest.raises(Killed):
            run_parcels()
        db.session.rollback()
        assert the_parcel().trying == step
        runner.release("test")
    run_parcels()

    assert died == [Step.RESERVED, *MADE[:3]]
    assert the_parcel().step == Step.LABELLED
    assert [len(parcels.done(what)) for what in ("order", "awb", "pickup")] == [1, 1, 1]


def test_two_parallel_bookings_make_one_parcel(paid, parcels, app, the_parcel, run_parcels):
    book_again(paid)
    job_ids = db.session.scalars(select(Job.id).where(Job.kind == CREATE)).all()
    db.session.rollback()
    assert len(job_ids) == 2

    def work(job_id):
        with app.app_context():
            runner.run(job_id, f"worker-{job_id}")

    threads = [threading.Thread(target=work, args=(job_id,)) for job_id in job_ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    run_parcels(ahead=120)

    assert the_parcel().step == Step.LABELLED
    assert [len(parcels.done(what)) for what in ("order", "awb", "pickup")] == [1, 1, 1]


def test_an_empty_wallet_parks_the_parcel_and_tells_a_person(
    paid, parcels, run_parcels, the_parcel, the_order
):
    parcels.wallet_is_empty = True
    for turn, shape in enumerate(["top", "nested"], 1):
        parcels.wallet_shape = shape
        run_parcels(ahead=7200)
        assert (the_parcel().step, the_parcel().parked) == (Step.ORDERED, Parked.WALLET)
        assert "wallet" in the_order().attention
        found = db.session.scalars(select(Incident).where(Incident.category == "delivery")).all()
        assert [row.severity for row in found] == ["high"]
        assert len(parcels.seen("POST", "/v1/external/courier/assign")) == turn
        db.session.rollback()
        book_again(paid)

    parcels.wallet_is_empty = False
    run_parcels()
    assert the_parcel().step == Step.LABELLED
    assert the_order().attention is None
    assert len(parcels.done("order")) == 1


def test_no_more_than_was_bought_goes_into_parcels(app):
    order = make_order("paid", lines={make_product(): 3})
    line_id = order.lines[0].id
    with transaction():
        shipping.reserve(lock_order(order.id), quantities={line_id: 2})
    with pytest.raises(Conflict), transaction():
        shipping.reserve(lock_order(order.id), quantities={line_id: 2})
    with transaction():
        last = shipping.reserve(lock_order(order.id))
        assert [line.quantity for line in last.lines] == [1]
    with transaction():
        assert shipping.reserve(lock_order(order.id)) is None


def test_units_that_were_refunded_do_not_ship(app):
    order = make_order("paid", lines={make_product(): 3})
    with transaction():
        locked = lock_order(order.id)
        locked.lines[0].refunded_quantity = 2
    with transaction():
        parcel = shipping.reserve(lock_order(order.id))
        assert [line.quantity for line in parcel.lines] == [1]
    with transaction():  # what the test made up is taken back, so that the books add up
        lock_order(order.id).lines[0].refunded_quantity = 0


@pytest.mark.parametrize("state", ["cancelled", "disputed"])
def test_nothing_ships_once_the_order_may_not(paid, parcels, run_parcels, the_order, state):
    with transaction():
        order = db.session.scalars(select(Order)).one()
        if state == "cancelled":
            advance(order, "cancelled", STAFF)
        else:
            advance(order, "dispute_opened", Actor(Who.GATEWAY, "gateway:sandbox"))
    run_parcels()
    db.session.rollback()
    assert db.session.scalar(select(func.count(Shipment.id))) == 0
    assert parcels.orders == {}
    with pytest.raises(Refused), transaction():
        shipping.reserve(lock_order(the_order().id))


def test_a_cancelled_order_cancels_its_parcel_and_gives_the_units_back(
    shipped, parcels, run_parcels, the_parcel, the_order
):
    with transaction():
        advance(db.session.scalars(select(Order)).one(), "cancelled", STAFF)
    run_parcels()

    assert the_parcel().status == ShipmentStatus.CANCELLED
    assert [line.shipped_quantity for line in the_order().lines] == [0, 0]
    assert parcels.done("cancel") == [the_order().number]


def test_an_order_cancelled_while_the_outcome_is_unknown_is_cancelled_at_the_courier_too(
    paid, parcels, run_parcels, the_parcel, the_order
):
    parcels.fault("fail_after", path="/v1/external/orders/create")
    run_parcels()
    assert the_parcel().courier_order_id is None
    with transaction():
        advance(db.session.scalars(select(Order)).one(), "cancelled", STAFF)
    run_parcels(ahead=300)
    assert the_parcel().status == ShipmentStatus.CANCELLED
    assert parcels.done("cancel") == [the_order().number]


def test_a_parcel_begun_in_a_dry_run_is_made_anew_for_real(
    paid, configure, parcels, run_parcels, the_parcel
):
    configure(shiprocket_dry_run=True)
    with transaction():
        locked = lock_order(paid.id)
        shipping.reserve(locked, {locked.lines[0].id: 1})
    configure(shiprocket_dry_run=False)
    run_parcels()
    assert the_parcel(1).status == ShipmentStatus.CANCELLED
    assert the_parcel(2).step == Step.LABELLED
    held = [[(one.order_line_id, one.quantity) for one in the_parcel(n).lines] for n in (1, 2)]
    assert held[0] == held[1]
    assert len(parcels.done("order")) == 1


def test_one_parcel_of_an_order_can_be_booked_and_cancelled_by_itself(
    parcels, run_parcels, the_parcel, the_order, app
):
    order = make_order("paid", lines={make_product(): 3})
    with transaction():
        for job in db.session.scalars(select(Job).where(Job.kind == CREATE)):
            db.session.delete(job)
        parcel = shipping.reserve(lock_order(order.id), quantities={the_order_line().id: 2})
        enqueue(CREATE, {"order_id": order.id, "shipment_id": parcel.id})
    run_parcels()
    assert the_parcel().step == Step.LABELLED
    assert [line.shipped_quantity for line in the_order().lines] == [2]
    payload = {"order_id": the_order().id, "shipment_id": the_parcel().id}
    with transaction():
        enqueue(CANCEL, payload)
    run_parcels()
    assert the_parcel().status == ShipmentStatus.CANCELLED
    assert [line.shipped_quantity for line in the_order().lines] == [0]


def the_order_line():
    return db.session.scalars(select(Order)).one().lines[0]
