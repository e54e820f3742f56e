"""The way back: ordered at the courier step by step, followed by its news, ended in every case."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from shop.clock import utcnow
from shop.database import transaction
from shop.delivery import shipping, tracking
from shop.delivery.couriers.base import Scan, Tracking
from shop.delivery.models import Shipment, Step
from shop.errors import NotFound
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.models import Job
from shop.jobs.queue import enqueue
from shop.messaging.models import Notification
from shop.orders.lifecycle import advance
from shop.orders.locking import lock_order
from shop.orders.models import OrderEvent, OrderLine
from shop.preferences import change
from shop.returns import asking, deciding, jobs, parcels, pictures, settling, steps
from shop.returns.forgetting import PICTURE_DAYS, forget_pictures
from shop.returns.models import (
    Disposition,
    ReturnPicture,
    ReturnRequest,
    ReturnShipment,
    ReturnState,
)
from shop.sandbox import courier
from shop.sandbox.models import SandboxParcel
from shop.webhooks.models import WebhookEvent
from tests.delivery import conftest as delivery
from tests.factories import STAFF
from tests.returns.conftest import make_asked, make_put_away, picture

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

parcels_of_shiprocket = delivery.parcels
TELLING = ("messaging.tell",)


def way():
    db.session.rollback()
    return db.session.scalars(select(ReturnShipment)).one()


def approve(found):
    return_id = found.id
    with transaction():
        deciding.approve(return_id, "user:1")


@pytest.fixture
def booked(shop, run_returns):
    """The return, approved; the courier comes for it."""

    def make():
        return_id = make_asked()
        approve(db.session.get_one(ReturnRequest, return_id))
        run_returns(also=TELLING)
        return return_id

    return db.session.get_one(ReturnRequest, shop.scene("return_booked", make))


def scan(wish="next"):
    with transaction():
        courier.scan(
            db.session.scalars(select(SandboxParcel).filter_by(is_return=True)).one(), wish
        )


def told():
    db.session.rollback()
    return list(db.session.scalars(select(Notification.template).filter_by(channel="email")))


def incidents():
    db.session.rollback()
    return [row.fingerprint.partition(":")[0] for row in db.session.scalars(select(Incident))]


def test_an_approved_return_is_fetched_by_the_courier(asked, run_returns, client):
    approve(asked)
    assert "return_approved" not in told()
    run_returns(also=TELLING)
    back = way()
    assert back.awb.startswith("SBX")
    assert back.pickup_at
    assert told().count("return_approved") == 1
    shown = client.get(f"/orders/{asked.order.token}/returns/{asked.id}").text
    assert "comes for it" in shown
    assert back.awb in shown
    assert db.session.scalar(select(func.count()).select_from(Shipment)) == 1


def test_the_couriers_news_moves_the_return_to_our_door(booked, run_returns, the_return):
    scan()
    run_returns(also=TELLING)
    assert the_return().state == ReturnState.ON_ITS_WAY
    for _ in range(3):
        scan()
        run_returns(also=TELLING)
    found = the_return()
    assert found.state == ReturnState.RECEIVED
    assert found.parcel.delivered_at
    assert found.order.status == "delivered"
    assert told().count("return_received") == 1
    events = db.session.scalars(select(WebhookEvent).filter_by(kind="return")).all()
    assert {event.status.value for event in events} == {"processed"}


def test_news_that_comes_twice_or_late_moves_nothing(booked, run_returns, the_return):
    awb, now = way().awb, utcnow()
    late = Scan("PU", "Picked up", "picked_up", "Kochi", now - timedelta(hours=2))
    here = Scan("DL", "Delivered", "delivered", "Hosur", now - timedelta(hours=1))
    for scans in ([here], [here], [late], [late, here]):
        with transaction():
            assert parcels.take_in(Tracking(awb, "", scans), "sandbox", is_authoritative=True)
    run_returns(also=TELLING)
    assert the_return().state == ReturnState.RECEIVED
    assert told().count("return_received") == 1
    moves = db.session.scalars(select(OrderEvent.text).filter_by(kind="return")).all()
    assert moves.count(f"Return {booked.reference} arrived") == 1
    assert f"Return {booked.reference} on its way to us" not in moves


def test_where_the_courier_has_no_returns_the_customer_sends_it(
    asked, run_returns, client, configure, the_return
):
    configure(courier="manual")
    with transaction():
        change("return_address", "Halflong, 1 Table Road, Kochi 682001")
    approve(asked)
    run_returns(also=TELLING)
    assert way().courier is None
    assert told().count("return_approved") == 1
    path = f"/orders/{asked.order.token}/returns/{asked.id}"
    shown = client.get(path).text
    assert "1 Table Road" in shown
    sent = client.post_form(f"{path}/sent", {"courier_name": "India Post", "awb": "EK1"}, page=path)
    assert sent.status_code == 303
    found = the_return()
    assert found.state == ReturnState.ON_ITS_WAY
    assert (found.parcel.courier_name, found.parcel.awb) == ("India Post", "EK1")
    again = client.send(f"{path}/sent")
    assert again.status_code == 409
    withdrawn = client.send(f"{path}/withdraw")
    assert withdrawn.status_code == 409


@sqlite_only
def test_a_customer_does_not_send_what_a_courier_fetches(booked, client, the_return):
    path = f"/orders/{booked.order.token}/returns/{booked.id}"
    assert "I have sent it" not in client.get(path).text
    assert client.send(f"{path}/sent").status_code == 422
    assert the_return().state == ReturnState.APPROVED


def test_a_courier_that_does_not_answer_leaves_it_to_the_customer_and_an_incident(
    asked, run_returns, configure, the_return
):
    configure(sandbox_api_base="http://127.0.0.1:9")
    approve(asked)
    run_returns(also=TELLING)
    with transaction() as session:
        session.execute(update(Job).filter_by(kind="returns.book").values(attempts=7))
    run_returns(ahead=7200, also=TELLING)
    assert way().by_customer
    assert way().courier == "sandbox", "it may have heard, so its news is still found"
    assert told().count("return_approved") == 1
    assert the_return().order.attention.startswith("The way back of")
    job = db.session.scalars(select(Job).filter_by(kind="returns.book")).one()
    assert job.status.value == "failed"
    assert len(incidents()) >= 1


def test_a_withdrawn_return_is_not_fetched(booked, run_returns, the_return):
    return_id, order_id = booked.id, booked.order_id
    with transaction():
        asking.withdraw(return_id, order_id, "customer")
    run_returns()
    (parcel,) = db.session.scalars(select(SandboxParcel).filter_by(is_return=True)).all()
    assert parcel.status == "cancelled"
    assert db.session.scalar(select(OrderLine.returned_quantity)) == 0
    assert the_return().state == ReturnState.WITHDRAWN


@pytest.mark.forces("return_waits")
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_never_sent_lapses_and_what_waits_is_an_incident(
    asked, run_returns, the_return, turn_clock
):
    turn_clock(days=4)
    with transaction():
        enqueue("returns.sweep")
    run_returns()
    assert "return_waits" in incidents()
    approve(asked)
    turn_clock(days=15)
    with transaction():
        enqueue("returns.sweep")
    run_returns()
    assert the_return().state == ReturnState.WITHDRAWN
    assert db.session.scalar(select(OrderLine.returned_quantity)) == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_silent_returns_are_asked_about(booked, run_returns, turn_clock, the_return):
    with transaction():
        parcel = db.session.scalars(select(SandboxParcel).filter_by(is_return=True)).one()
        parcel.webhook_url = "http://127.0.0.1:9/nobody"
    scan()
    turn_clock(hours=13)
    with transaction():
        enqueue("returns.poll")
    run_returns()
    assert the_return().state == ReturnState.ON_ITS_WAY


@pytest.mark.forces("return_parcel")
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_lost_return_gets_a_person(booked, the_return):
    back = way()
    news = Tracking(back.awb, "", [Scan("LOST", "Lost", "lost", "Hosur", utcnow())])
    for _ in range(2):
        with transaction():
            assert parcels.take_in(news, "sandbox", is_authoritative=True)
    assert incidents().count("return_parcel") == 1
    assert "lost" in the_return().order.attention
    staff_only = db.session.scalars(select(OrderEvent).filter_by(kind="return", for_customer=False))
    assert any("lost" in event.text for event in staff_only)
    with transaction():
        assert not parcels.take_in(Tracking("UNKNOWN", "", []), "sandbox", is_authoritative=True)


def test_shiprocket_fetches_a_return_and_its_delivered_means_back_at_the_shop(
    parcels_of_shiprocket, asked, run_returns, the_return
):
    approve(asked)
    run_returns()
    back = way()
    (wish,) = [
        one
        for one in parcels_of_shiprocket.orders.values()
        if one["wish"].get("order_id") == asked.reference
    ]
    assert back.awb
    assert wish["wish"]["pickup_customer_name"]
    for code, state in ((42, ReturnState.ON_ITS_WAY), (7, ReturnState.RECEIVED)):
        told_of = parcels_of_shiprocket.scan(code, utcnow(), back.awb)
        assert told_of["is_return"] == 1
        parcels_of_shiprocket.tell(told_of)
        run_returns()
        assert the_return().state == state
    assert the_return().order.status == "delivered"
    assert db.session.scalar(select(Shipment.status)) == "delivered"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_pictures_of_old_returns_are_deleted(asked, turn_clock, the_return):
    with transaction() as session:
        key = pictures.keep(picture())
        session.add(ReturnPicture(return_id=asked.id, storage_key=key))
        deciding.refuse(asked.id, "no", "user:1")
    with transaction():
        assert forget_pictures() == 0
    turn_clock(days=PICTURE_DAYS + 1)
    with transaction():
        assert forget_pictures() == 1
    with pytest.raises(NotFound):
        pictures.read(key)


def news(*scans, now=None):
    """What the sandbox's courier tells of the only return, each scan (status, minutes ago)."""
    now = now or utcnow()
    told_of = [
        Scan(str(number), str(status), status, "Hosur", now - timedelta(minutes=ago))
        for number, (status, ago) in enumerate(scans)
    ]
    with transaction():
        assert parcels.take_in(Tracking(way().awb, "", told_of), "sandbox", is_authoritative=True)


def test_a_neutral_scan_hides_no_arrival_that_was_told_late(booked, the_return):
    news(("in_transit", 60))
    news((None, 10))
    assert the_return().state == ReturnState.ON_ITS_WAY
    news(("delivered", 30))
    found = the_return()
    assert found.state == ReturnState.RECEIVED
    assert found.parcel.delivered_at
    assert found.parcel.last_words == "None"


def test_trouble_that_is_told_twice_is_noted_once(booked, the_return):
    now = utcnow()
    for _ in range(2):
        news(("lost", 30), (None, 10), now=now)
    said = db.session.scalars(select(OrderEvent.text).filter_by(kind="return")).all()
    assert sum("lost" in text for text in said) == 1
    assert incidents().count("return_parcel") == 1


def test_a_pickup_that_failed_gets_a_person(booked, the_return):
    failed = Scan("13", "Pickup error", None, "Kochi", utcnow(), is_failed_pickup=True)
    for _ in range(2):
        with transaction():
            parcels.take_in(Tracking(way().awb, "", [failed]), "sandbox", is_authoritative=True)
    assert "could not be picked up" in the_return().order.attention
    assert incidents().count("return_parcel") == 1


def silenced():
    """The sandbox tells nothing by itself."""
    with transaction():
        parcel = db.session.scalars(select(SandboxParcel).filter_by(is_return=True)).one()
        parcel.webhook_url = "http://127.0.0.1:9/nobody"


@pytest.mark.forces("return_overdue")
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_return_of_which_nothing_is_heard_is_asked_about_now_and_then_and_reported(
    booked, run_returns, turn_clock
):
    silenced()
    for days in (1, 4):
        turn_clock(days=days)
        for _ in range(2):
            with transaction():
                enqueue("returns.poll")
            run_returns()
        asks = select(func.count()).select_from(Job).filter_by(kind="returns.track")
        assert db.session.scalar(asks) == (1 if days == 1 else 2)
        assert ("return_overdue" in incidents()) == (days == 4)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_return_on_its_way_for_weeks_is_reported(booked, run_returns, turn_clock, the_return):
    news(("in_transit", 1))
    turn_clock(days=15)
    with transaction():
        enqueue("returns.sweep")
    run_returns()
    assert "return_overdue" in incidents()
    assert the_return().state == ReturnState.ON_ITS_WAY


def fetched():
    db.session.rollback()
    wanted = select(SandboxParcel.status).filter_by(is_return=True)
    return db.session.scalars(wanted).one()


@pytest.mark.parametrize("step", ["receive", "check_in"])
def test_what_is_brought_by_hand_is_not_fetched_as_well(booked, run_returns, step, the_return):
    return_id, line_id = booked.id, booked.lines[0].id
    with transaction():
        if step == "receive":
            deciding.receive(return_id, "user:1")
        else:
            seen = {line_id: deciding.Checked(2, "", Disposition.RESTOCK)}
            deciding.check_in(return_id, seen, "user:1")
    run_returns()
    assert fetched() == "cancelled"
    assert the_return().state == ReturnState.RECEIVED
    assert "return_parcel" not in incidents()


@sqlite_only
def test_what_the_courier_brought_is_not_called_off(booked, run_returns, the_return):
    news(("in_transit", 5))
    return_id = booked.id
    with transaction():
        deciding.receive(return_id, "user:1")
    run_returns()
    assert fetched() != "cancelled"


def test_a_courier_that_gave_up_late_is_told_not_to_come_and_its_news_still_counts(
    booked, run_returns, client, the_return
):
    with transaction():
        request, order = steps.locked(booked.id)
        jobs._by_customer(request, order, "no rider")
    shown = client.get(f"/orders/{booked.order.token}/returns/{booked.id}").text
    assert "I have sent it" in shown
    assert "comes for it" not in shown
    run_returns()
    assert fetched() == "cancelled"
    news(("delivered", 1))
    assert the_return().state == ReturnState.RECEIVED


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_each_return_lapses_by_a_job_of_its_own_unless_it_moved_meanwhile(
    asked, run_returns, turn_clock, the_return
):
    approve(asked)
    turn_clock(days=15)
    return_id = asked.id
    with transaction():
        enqueue("returns.sweep")
        enqueue("returns.lapse", {"return_id": return_id})
        deciding.receive(return_id, "user:1")
    run_returns()
    assert the_return().state == ReturnState.RECEIVED
    assert "failed" not in {job.status.value for job in db.session.scalars(select(Job))}


@pytest.fixture
def replaced(shop):
    """The return is here, and another order was sent for it; that order's id."""

    def make():
        return_id = make_put_away()
        with transaction():
            return settling.exchange(return_id, {}, "2611.905", "user:1").replacement_order_id

    return shop.scene("return_replaced", make)


@pytest.mark.forces("replacement_ended")
@pytest.mark.parametrize("how", ["was cancelled", "is lost", "came back"])
def test_a_replacement_that_does_not_arrive_is_told_of_at_the_first_order(
    replaced, run_returns, the_return, how
):
    made_id = replaced
    if how == "was cancelled":
        with transaction():
            advance(lock_order(made_id), "cancelled", STAFF)
    else:
        with transaction():
            made = shipping.reserve(lock_order(made_id), courier_key="sandbox")
            made.awb, made.step, made.is_dry_run = "SBX7", Step.LABELLED, False
        status = "lost" if how == "is lost" else "rto_delivered"
        scans = [Scan(name, name, name, "Pune", utcnow()) for name in ("picked_up", status)]
        with transaction():
            tracking.apply(Tracking("SBX7", "", scans), "sandbox", "poll")
    run_returns()
    said = the_return().order.attention
    assert said == (
        f"Order 2611.905, which replaces return {the_return().reference}, {how}: refund or send again?"
    )
    assert incidents().count("replacement_ended") == 1
