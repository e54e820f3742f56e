"""A parcel that is cancelled, by us or at the courier, is neither lost from sight nor sent twice."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from shop.clock import utcnow
from shop.database import transaction
from shop.delivery.models import Shipment
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.models import Job
from shop.jobs.queue import enqueue
from shop.orders.models import Order
from tests.factories import let_in, make_user

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

CREATE = "delivery.create_shipment"
TRACKING = "/v1/external/courier/track"


@pytest.fixture
def packer(new_client):
    browser = new_client()
    let_in(browser, make_user("fulfilment"))
    return browser


@pytest.fixture
def cancel(packer, the_parcel, the_order):
    """Staff press the button of the parcel."""

    def press():
        path = f"/admin/orders/{the_order().number}/shipments/{the_parcel(1).id}/cancel"
        assert packer.send(path).status_code == 303

    return press


def faults():
    db.session.rollback()
    rows = db.session.scalars(select(Incident).order_by(Incident.id))
    return [(row.fingerprint.split(":")[2], row.severity.value) for row in rows]


def poll(run_parcels):
    with transaction():
        enqueue("delivery.poll")
    run_parcels()


def hear(parcels, run_parcels, code, minutes=-5):
    parcels.tell(parcels.scan(code, utcnow() + timedelta(minutes=minutes)))
    run_parcels()


@sqlite_only
@pytest.mark.parametrize("code", [8, 45])
def test_a_parcel_that_the_courier_cancels_needs_a_person(
    shipped, parcels, run_parcels, the_parcel, the_order, code
):
    hear(parcels, run_parcels, code)
    assert the_parcel().status == "cancelled"
    assert "was cancelled at the courier: book it again" in the_order().attention
    assert faults() == [("dropped", "high")]


def test_a_dropped_parcel_is_booked_again_once_a_person_has_looked(
    shipped, parcels, run_parcels, the_parcel, turn_clock
):
    hear(parcels, run_parcels, 8)
    for mark in ("seen", None):
        turn_clock(minutes=31)
        with transaction():
            enqueue("orders.unstick")
        run_parcels()
        if mark:
            assert len(db.session.scalars(select(Shipment)).all()) == 1
            with transaction():
                db.session.scalars(select(Order)).one().attention = None
    assert the_parcel(2).reference.endswith("-R1")
    assert the_parcel(2).awb


@sqlite_only
def test_what_staff_cancelled_raises_no_alarm_and_is_not_booked_again(
    shipped, parcels, run_parcels, the_parcel, the_order, cancel, turn_clock
):
    cancel()
    hear(parcels, run_parcels, 8)  # told while our job has not run yet
    run_parcels()
    assert the_parcel().status == "cancelled"
    assert the_order().attention is None
    assert faults() == []
    turn_clock(minutes=40)
    with transaction():
        enqueue("orders.unstick")
    run_parcels()
    assert len(db.session.scalars(select(Shipment)).all()) == 1


def test_a_cancelled_parcel_is_asked_about_for_some_days(
    shipped, parcels, run_parcels, cancel, turn_clock, the_order
):
    cancel()
    run_parcels()
    turn_clock(hours=13)
    poll(run_parcels)
    assert len(parcels.seen("GET", TRACKING)) == 1
    turn_clock(hours=90)
    poll(run_parcels)
    assert len(parcels.seen("GET", TRACKING)) == 1
    assert faults() == []


@pytest.mark.parametrize(
    ("engine", "code"),
    [
        ("sqlite", 42),
        ("sqlite", 7),
        ("sqlite", 21),
        pytest.param("postgresql", 7, marks=pytest.mark.pg),
    ],
    indirect=["engine"],
)
def test_a_cancelled_parcel_that_moves_all_the_same_is_left_to_a_person(
    shipped, parcels, run_parcels, cancel, the_parcel, the_order, code
):
    cancel()
    run_parcels()
    hear(parcels, run_parcels, code)
    assert the_parcel().status == "cancelled"
    assert "but the courier says" in the_order().attention
    assert faults() == [("contradicted", "critical")]


@sqlite_only
def test_a_lost_parcel_that_arrives_is_left_to_a_person(
    shipped, parcels, run_parcels, the_parcel, the_order
):
    hear(parcels, run_parcels, 42, minutes=-9)
    hear(parcels, run_parcels, 12, minutes=-8)
    hear(parcels, run_parcels, 18, minutes=-20)  # old news
    assert faults() == [("critical", "critical")]
    hear(parcels, run_parcels, 7, minutes=-5)
    assert the_parcel().status == "lost"
    assert "is lost here, but the courier says: delivered" in the_order().attention
    assert faults() == [("critical", "critical"), ("contradicted", "critical")]


def test_a_parcel_that_staff_cancel_is_not_begun_again_by_the_job_that_made_it(
    paid, parcels, run_parcels, the_parcel, cancel
):
    parcels.fault("refuse", path="/v1/external/courier/assign", status=503)
    run_parcels()
    assert the_parcel().step == "ordered"
    cancel()
    run_parcels()
    assert the_parcel().status == "cancelled"
    run_parcels(ahead=7200)
    assert the_parcel().status == "cancelled"
    jobs = db.session.scalars(select(Job.status).where(Job.kind == CREATE)).all()
    assert jobs == ["cancelled"]


@sqlite_only
def test_a_repeated_cancel_uses_the_ids_it_knows_where_the_search_finds_nothing(
    shipped, parcels, run_parcels, the_parcel, cancel
):
    parcels.fault("refuse", path="/v1/external/orders/cancel/shipment/awbs", status=503)
    parcels.is_unsearchable = True
    cancel()
    run_parcels()
    run_parcels(ahead=120)
    assert the_parcel().status == "cancelled"
    assert parcels.done("cancel") == [shipped.reference]
