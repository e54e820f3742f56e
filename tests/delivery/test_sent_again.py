"""What was lost on its way is sent again from the shelf, and the counts say so."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from shop.clock import utcnow
from shop.database import transaction
from shop.delivery import restocking, shipping, tracking
from shop.delivery.couriers.base import Scan, Tracking
from shop.delivery.models import Shipment
from shop.errors import Refused
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import advance
from shop.orders.locking import lock_order
from shop.orders.models import Order, OrderLine
from shop.preferences import change
from shop.stock import ledger
from shop.stock.models import MovementReason, StockLevel, StockMovement
from tests.factories import STAFF, let_in, make_order, make_product, make_user

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

CREATE = "delivery.create_shipment"


def make_three():
    """Three balls, paid; ten were on the shelf. Nothing ships by itself."""
    with transaction():
        change("auto_ship", "false")
    return make_order("paid", lines={make_product("Ball"): 3}).id


@pytest.fixture
def order(shop):
    return db.session.get_one(Order, shop.scene("three_paid", make_three))


def reserved(order, units):
    with transaction():
        locked = lock_order(order.id)
        return shipping.reserve(locked, {locked.lines[0].id: units}, courier_key="manual").id


def told(parcel_id, *statuses):
    for hour, status in enumerate(statuses):
        at = utcnow().replace(microsecond=0) - timedelta(hours=20 - hour)
        with transaction():
            reference = db.session.get_one(Shipment, parcel_id).reference
            news = Tracking("", reference, [Scan(status, status, status, "", at)])
            tracking.apply(news, "manual", "poll")


def shelf():
    db.session.rollback()
    return db.session.scalars(select(StockLevel.on_hand)).one()


def empty_shelf():
    with transaction():
        level = db.session.scalars(select(StockLevel)).one()
        ledger.move(level.variant_id, -level.on_hand, MovementReason.ADJUST, "user:1")


@pytest.mark.parametrize("end", ["lost", "damaged"])
def test_what_was_lost_is_taken_from_the_shelf_when_it_is_sent_again(order, end):
    first = reserved(order, 2)
    told(first, "picked_up", end)
    assert shelf() == 7
    reserved(order, 2)  # one was still here, one is taken
    assert shelf() == 6
    written = select(StockMovement.delta).filter_by(reason=MovementReason.WRITE_OFF)
    assert db.session.scalars(written).all() == [-1]
    reserved(order, 1)
    assert shelf() == 5


def test_a_replacement_that_was_cancelled_is_not_taken_twice(order):
    told(reserved(order, 3), "picked_up", "lost")
    again = reserved(order, 3)
    assert shelf() == 4
    with transaction():
        locked = lock_order(order.id)
        shipping.mark_cancelled(db.session.get_one(Shipment, again), locked)
    reserved(order, 3)
    assert shelf() == 4


def test_what_came_back_is_sent_again_without_the_shelf(order):
    told(reserved(order, 1), "picked_up")
    told(reserved(order, 2), "picked_up", "rto_delivered")
    reserved(order, 2)
    assert shelf() == 7


def test_an_empty_shelf_refuses_politely_and_a_job_asks_a_person(
    order, new_client, run_parcels, the_order
):
    told(reserved(order, 3), "picked_up", "lost")
    empty_shelf()
    with pytest.raises(Refused, match="The shelf has no"):
        reserved(order, 3)
    db.session.rollback()
    browser, page = new_client(), f"/admin/orders/{order.number}"
    let_in(browser, make_user("fulfilment"))
    answer = browser.post_form(f"{page}/shipments/put-together", page=page)
    assert answer.status_code == 422
    assert "The shelf has no" in answer.text
    with transaction():
        enqueue(CREATE, {"order_id": order.id})
    run_parcels()
    assert "The shelf has no" in the_order().attention
    assert db.session.scalars(select(Shipment)).one().status == "lost"
    assert not [one for one in db.session.scalars(select(Incident)) if "job:" in one.fingerprint]


def test_cancelling_after_a_lost_parcel_puts_back_only_what_is_here(order):
    told(reserved(order, 1), "picked_up", "lost")
    with transaction():
        advance(db.session.scalars(select(Order)).one(), "cancelled", STAFF)
    assert shelf() == 9
    faults = db.session.scalars(select(Incident.fingerprint)).all()
    assert f"count_after_cancel:{order.id}" in faults


@sqlite_only
def test_cancelling_before_the_replacement_left_puts_the_replacement_back(order):
    told(reserved(order, 2), "picked_up", "lost")
    reserved(order, 2)
    with transaction():
        advance(db.session.scalars(select(Order)).one(), "cancelled", STAFF)
    assert shelf() == 8
    assert db.session.scalars(select(OrderLine.lost_quantity)).one() == 1


@sqlite_only
def test_an_order_that_came_back_is_sent_again_by_staff(order, new_client, run_parcels, the_order):
    told(reserved(order, 3), "picked_up", "rto_delivered")
    assert the_order().status == "returned"
    browser, page = new_client(), f"/admin/orders/{order.number}"
    let_in(browser, make_user("fulfilment"))
    assert "Send again" in browser.get(page).text
    answer = browser.post_form(f"{page}/transition", {"event": "sent_again"}, page=page)
    assert answer.status_code == 303
    assert the_order().status == "processing"
    second = reserved(order, 3)
    told(second, "picked_up", "delivered")
    assert the_order().status == "delivered"
    assert shelf() == 7


def test_what_was_restocked_is_taken_from_the_shelf_when_it_is_sent_again(order):
    parcel_id = reserved(order, 3)
    told(parcel_id, "picked_up", "rto_delivered")
    with transaction():
        locked = lock_order(order.id)
        restocking.restock(db.session.get_one(Shipment, parcel_id), locked, "system")
        advance(locked, "sent_again", STAFF)
    assert shelf() == 10
    reserved(order, 3)
    assert shelf() == 7
