"""The way back: ordered at the courier step by step, followed by its news, ended in every case."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from shop.clock import utcnow
from shop.database import transaction
from shop.delivery.couriers.base import Scan, Tracking
from shop.delivery.models import Shipment
from shop.errors import NotFound
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.models import Job
from shop.jobs.queue import enqueue
from shop.messaging.models import Notification
from shop.orders.models import OrderEvent, OrderLine
from shop.preferences import change
from shop.returns import asking, deciding, parcels, pictures
from shop.returns.forgetting import PICTURE_DAYS, forget_pictures
from shop.returns.models import ReturnPicture, ReturnShipment, ReturnState
from shop.sandbox import courier
from shop.sandbox.models import SandboxParcel
from shop.webhooks.models import WebhookEvent
from tests.delivery import conftest as delivery
from tests.returns.conftest import picture

parcels_of_shiprocket = delivery.parcels


def way():
    db.session.rollback()
    return db.session.scalars(select(ReturnShipment)).one()


def approve(found):
    return_id = found.id
    with transaction():
        deciding.approve(return_id, "user:1")


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


def test_an_approved_return_is_fetched_by_the_courier(asked, run_jobs, client):
    approve(asked)
    assert "return_approved" not in told()
    run_jobs()
    back = way()
    assert back.awb.startswith("SBX")
    assert back.pickup_at
    assert told().count("return_approved") == 1
    shown = client.get(f"/orders/{asked.order.token}/returns/{asked.id}").text
    assert "comes for it" in shown
    assert back.awb in shown
    assert db.session.scalar(select(func.count()).select_from(Shipment)) == 1


def test_the_couriers_news_moves_the_return_to_our_door(asked, run_jobs, the_return):
    approve(asked)
    run_jobs()
    scan()
    run_jobs()
    assert the_return().state == ReturnState.ON_ITS_WAY
    for _ in range(3):
        scan()
        run_jobs()
    found = the_return()
    assert found.state == ReturnState.RECEIVED
    assert found.parcel.delivered_at
    assert found.order.status == "delivered"
    assert told().count("return_received") == 1
    events = db.session.scalars(select(WebhookEvent).filter_by(kind="return")).all()
    assert {event.status.value for event in events} == {"processed"}


def test_news_that_comes_twice_or_late_moves_nothing(asked, run_jobs, the_return):
    approve(asked)
    run_jobs()
    awb, now = way().awb, utcnow()
    late = Scan("PU", "Picked up", "picked_up", "Kochi", now - timedelta(hours=2))
    here = Scan("DL", "Delivered", "delivered", "Hosur", now - timedelta(hours=1))
    for scans in ([here], [here], [late], [late, here]):
        with transaction():
            assert parcels.take_in(Tracking(awb, "", scans), "sandbox", is_authoritative=True)
    run_jobs()
    assert the_return().state == ReturnState.RECEIVED
    assert told().count("return_received") == 1
    moves = db.session.scalars(select(OrderEvent.text).filter_by(kind="return")).all()
    assert moves.count(f"Return {asked.reference} arrived") == 1
    assert f"Return {asked.reference} on its way to us" not in moves


def test_where_the_courier_has_no_returns_the_customer_sends_it(
    asked, run_jobs, client, configure, the_return
):
    configure(courier="manual")
    with transaction():
        change("return_address", "Halflong, 1 Table Road, Kochi 682001")
    approve(asked)
    run_jobs()
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
    again = client.post_form(f"{path}/sent", page="/none")
    assert again.status_code == 409
    withdrawn = client.post_form(f"{path}/withdraw", page="/none")
    assert withdrawn.status_code == 409


def test_a_customer_does_not_send_what_a_courier_fetches(asked, run_jobs, client, the_return):
    approve(asked)
    run_jobs()
    path = f"/orders/{asked.order.token}/returns/{asked.id}"
    assert "I have sent it" not in client.get(path).text
    assert client.post_form(f"{path}/sent", page="/none").status_code == 422
    assert the_return().state == ReturnState.APPROVED


def test_a_courier_that_does_not_answer_leaves_it_to_the_customer_and_an_incident(
    asked, run_jobs, configure, the_return
):
    configure(sandbox_api_base="http://127.0.0.1:9")
    approve(asked)
    run_jobs()
    with transaction() as session:
        session.execute(update(Job).filter_by(kind="returns.book").values(attempts=7))
    run_jobs(ahead=7200)
    assert way().courier is None
    assert told().count("return_approved") == 1
    assert the_return().order.attention.startswith("The way back of")
    job = db.session.scalars(select(Job).filter_by(kind="returns.book")).one()
    assert job.status.value == "failed"
    assert len(incidents()) >= 1


def test_a_withdrawn_return_is_not_fetched(asked, run_jobs, the_return):
    approve(asked)
    run_jobs()
    return_id, order_id = asked.id, asked.order_id
    with transaction():
        asking.withdraw(return_id, order_id, "customer")
    run_jobs()
    (parcel,) = db.session.scalars(select(SandboxParcel).filter_by(is_return=True)).all()
    assert parcel.status == "cancelled"
    assert db.session.scalar(select(OrderLine.returned_quantity)) == 0
    assert the_return().state == ReturnState.WITHDRAWN


@pytest.mark.forces("return_waits")
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_never_sent_lapses_and_what_waits_is_an_incident(
    asked, run_jobs, the_return, turn_clock
):
    turn_clock(days=4)
    with transaction():
        enqueue("returns.sweep")
    run_jobs()
    assert "return_waits" in incidents()
    approve(asked)
    turn_clock(days=15)
    with transaction():
        enqueue("returns.sweep")
    run_jobs()
    assert the_return().state == ReturnState.WITHDRAWN
    assert db.session.scalar(select(OrderLine.returned_quantity)) == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_silent_returns_are_asked_about(asked, run_jobs, turn_clock, the_return):
    approve(asked)
    run_jobs()
    with transaction():
        parcel = db.session.scalars(select(SandboxParcel).filter_by(is_return=True)).one()
        parcel.webhook_url = "http://127.0.0.1:9/nobody"
    scan()
    turn_clock(hours=13)
    with transaction():
        enqueue("returns.poll")
    run_jobs()
    assert the_return().state == ReturnState.ON_ITS_WAY


@pytest.mark.forces("return_parcel")
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_lost_return_gets_a_person(asked, run_jobs, the_return):
    approve(asked)
    run_jobs()
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
    parcels_of_shiprocket, asked, run_jobs, the_return
):
    approve(asked)
    run_jobs()
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
        run_jobs()
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
