"""What only a person can mend parks the parcel: no try is lost on it, and one press goes on."""

import pytest
from sqlalchemy import select

from shop.database import transaction
from shop.delivery import choosing, parking
from shop.delivery.models import Parked, Shipment, Step
from shop.errors import Conflict, Refused
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs import runner
from shop.jobs.models import Job
from shop.jobs.queue import enqueue
from shop.orders.locking import lock_order
from shop.orders.models import Order
from tests.factories import make_order

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

CREATE = "delivery.create_shipment"
ASSIGN = "/v1/external/courier/assign"


def the_job():
    db.session.rollback()
    return db.session.scalars(select(Job).where(Job.kind == CREATE)).one()


def the_incident():
    return db.session.scalars(select(Incident).where(Incident.fingerprint.like("job:%"))).one()


@pytest.fixture(params=["wallet", "not_served"])
def parked(request, shop, make_paid, parcels, run_parcels):
    """A parcel for which nobody pays, or nobody goes."""

    def make():
        if request.param == "wallet":
            parcels.wallet_is_empty = True
        else:
            parcels.awb_error = "Selected courier does not service this pincode pair"
        make_paid()
        run_parcels()
        return parcels.memory()

    parcels.remember(shop.scene(f"parked_{request.param}", make))
    return Parked(request.param)


def mend(parcels):
    parcels.wallet_is_empty, parcels.awb_error = False, None


def test_the_parcel_says_why_and_the_incident_what_to_do(parked, the_parcel):
    parcel, incident = the_parcel(), the_incident()
    assert (parcel.parked, parcel.step, parcel.awb) == (parked, Step.ORDERED, None)
    assert parcel.parked_at
    assert "parked" in incident.issue
    assert incident.context["whatToDo"] == parking.WHAT_TO_DO[parked]
    assert incident.context["parked"] == parked
    assert (incident.category, incident.severity, incident.job_id) == (
        "delivery", "high", parcel.parked_job,
    )  # fmt: skip


@sqlite_only
def test_nothing_tries_it_again_by_itself(parked, parcels, run_parcels, turn_clock):
    asked = len(parcels.seen("POST", ASSIGN))
    with transaction():
        db.session.scalars(select(Order)).one().attention = None
    for _ in range(3):
        turn_clock(minutes=30)
        with transaction():
            enqueue("orders.unstick")
        run_parcels()
    assert len(parcels.seen("POST", ASSIGN)) == asked
    assert (the_job().status, the_job().attempts) == ("failed", 1)


def test_one_press_goes_on_with_the_same_job_and_all_its_tries(
    parked, parcels, run_parcels, the_parcel, the_order
):
    mend(parcels)
    with transaction():
        lock_order(the_order().id)
        parking.try_again(the_parcel())
    assert (the_job().status, the_job().attempts) == ("queued", 0)
    run_parcels()
    assert (the_parcel().step, the_parcel().parked) == (Step.LABELLED, None)
    assert the_order().attention is None
    assert [len(parcels.done(what)) for what in ("order", "awb", "pickup")] == [1, 1, 1]
    with pytest.raises(Conflict), transaction():
        parking.try_again(the_parcel())


@sqlite_only
@pytest.mark.parametrize("parked", ["wallet"], indirect=True)
def test_it_is_gone_on_with_from_the_incident_too(parked, parcels, run_parcels, the_parcel):
    mend(parcels)
    with transaction():
        assert runner.retry(the_incident().job_id)
    run_parcels()
    assert (the_parcel().step, the_parcel().parked) == (Step.LABELLED, None)
    assert len(parcels.done("order")) == 1


@sqlite_only
def test_it_is_parked_again_while_nothing_was_mended(parked, run_parcels, the_parcel):
    with transaction():
        parking.try_again(the_parcel())
    run_parcels()
    assert the_parcel().parked == parked
    assert the_incident().repeats == 1


@pytest.mark.parametrize("parked", ["wallet"], indirect=True)
def test_a_parcel_whose_job_is_forgotten_gets_a_new_one(parked, parcels, run_parcels, the_parcel):
    mend(parcels)
    with transaction():
        db.session.delete(the_job())
    with transaction():
        parking.try_again(the_parcel())
    run_parcels()
    assert the_parcel().step == Step.LABELLED


def test_another_carrier_is_chosen_and_paid_at_its_price(paid, parcels, run_parcels, the_parcel):
    parcels.refused_couriers = {None, 43, 51, 10}
    run_parcels()
    assert the_parcel().parked == Parked.NOT_SERVED
    offers = choosing.offers_for(the_parcel())
    assert [one.courier_id for one in offers] == ["43", "51", "10"]
    parcels.refused_couriers.remove(10)
    with transaction():
        choosing.choose(the_parcel(), offers[2])
    run_parcels()
    parcel = the_parcel()
    assert (parcel.step, parcel.courier_name, parcel.carrier_id) == (
        Step.LABELLED, "Delhivery Air", "10",
    )  # fmt: skip
    assert parcel.cost_minor == offers[2].price_minor
    assert parcel.tracking_url == f"https://shiprocket.co/tracking/{parcel.awb}"
    with pytest.raises(Refused, match="settled"):
        choosing.offers_for(parcel)


@sqlite_only
def test_a_carrier_that_does_not_collect_is_not_offered_for_cash(parcels, run_parcels, the_parcel):
    parcels.awb_error = "Busy"
    make_order("pending_payment", method="cod")
    run_parcels()
    assert [one.courier_id for one in choosing.offers_for(the_parcel())] == ["43", "10"]


@sqlite_only
@pytest.mark.parametrize("parked", ["wallet"], indirect=True)
def test_a_courier_that_does_not_answer_says_so(parked, parcels, the_parcel):
    parcels.fault("refuse", method="GET", path="/v1/external/courier/serviceability", status=429)
    with pytest.raises(choosing.NoOffers, match="gave no answer"):
        choosing.offers_for(the_parcel())


@sqlite_only
def test_a_second_parcel_is_booked_while_the_first_is_parked(
    paid, parcels, run_parcels, the_parcel
):
    from shop.delivery import shipping

    with transaction():
        job = db.session.scalars(select(Job).where(Job.kind == CREATE)).one()
        job.status = "cancelled"
        held = lock_order(paid.id)
        first = shipping.reserve(held, {held.lines[0].id: 1})
        second = shipping.reserve(held)
        for one in (first, second):
            wish = {"order_id": paid.id, "shipment_id": one.id}
            enqueue(CREATE, wish, key=f"{paid.id}:{one.id}")
    parcels.fault("refuse", path=ASSIGN, status=503)
    parcels.wallet_is_empty = True
    run_parcels()
    assert the_parcel(2).parked == Parked.WALLET
    parcels.wallet_is_empty = False
    run_parcels(ahead=120)
    assert db.session.get_one(Shipment, first.id).step == Step.LABELLED
    assert the_parcel(2).parked == Parked.WALLET
