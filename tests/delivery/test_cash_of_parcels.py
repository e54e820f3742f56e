"""What couriers collect at the doors is what the order costs, in however many parcels."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from shop.clock import utcnow
from shop.database import transaction
from shop.delivery import by_hand, shipping, tracking
from shop.delivery.couriers.base import Scan, Tracking
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import advance
from shop.orders.locking import lock_order
from shop.orders.models import Order
from shop.payments.models import Payment
from shop.preferences import change
from tests.factories import STAFF, let_in, make_order, make_product, make_user

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

CREATE = "delivery.create_shipment"


@sqlite_only
def test_cash_to_be_collected_is_the_orders_total(parcels, run_parcels, the_parcel, the_order):
    make_order("pending_payment", method="cod")
    run_parcels()
    parcel, order = the_parcel(), the_order()
    (wish,) = [one["wish"] for one in parcels.orders.values()]
    assert parcel.collect_minor == order.total_minor
    assert wish["payment_method"] == "COD"
    assert round(100 * (wish["sub_total"] + wish["shipping_charges"])) == order.total_minor


def test_cash_is_shared_by_the_parcels_and_sums_to_the_total(app, run_parcels):
    order = make_order(
        "pending_payment", method="cod", lines={make_product(): 3, make_product(): 2}
    )
    with transaction():
        locked = lock_order(order.id)
        first = shipping.reserve(locked, quantities={locked.lines[0].id: 2})
        second = shipping.reserve(locked)
    assert first.collect_minor + second.collect_minor == order.total_minor
    assert (first.sequence, second.sequence) == (1, 2)
    assert second.reference == f"{order.number}-R1"


@sqlite_only
def test_the_courier_collects_at_all_doors_together_what_the_order_costs(
    parcels, run_parcels, the_order
):
    order = make_order(
        "pending_payment", method="cod", lines={make_product(): 3, make_product(): 2}
    )
    with transaction():
        locked = lock_order(order.id)
        made = [shipping.reserve(locked, {locked.lines[0].id: 1}) for _ in range(3)]
        made.append(shipping.reserve(locked))
        for one in made:
            enqueue(CREATE, {"order_id": order.id, "shipment_id": one.id})
    run_parcels()
    wishes = [one["wish"] for one in parcels.orders.values()]
    assert {wish["payment_method"] for wish in wishes} == {"COD"}
    paise = sum(round(100 * (wish["sub_total"] + wish["shipping_charges"])) for wish in wishes)
    assert len(wishes) == 4
    assert paise == the_order().total_minor


def make_split():
    order = make_order("pending_payment", method="cod")
    with transaction():
        locked = lock_order(order.id)
        made = [
            shipping.reserve(locked, {locked.lines[0].id: 1}, courier_key="manual"),
            shipping.reserve(locked, courier_key="manual"),
        ]
        for number, one in enumerate(made):
            by_hand.name(one, f"N{number}")
    for number in range(2):
        told(number, "picked_up", 1)
    return order.id


@pytest.fixture
def split(shop):
    """An order paid at the door, in two parcels that have both left."""
    return db.session.get_one(Order, shop.scene("cod_split", make_split))


def told(number, status, hour):
    at = utcnow().replace(microsecond=0) - timedelta(hours=20 - hour)
    with transaction():
        scan = Scan(status, status, status, "", at)
        tracking.apply(Tracking(f"N{number}", "", [scan]), "manual", "poll")


def captured():
    db.session.rollback()
    return db.session.scalars(select(Payment.captured_minor)).one()


def test_where_one_parcel_came_back_the_cash_of_the_other_is_recorded_and_no_more(
    split, the_parcel, the_order
):
    told(0, "rto_delivered", 2)
    assert captured() == 0
    told(1, "delivered", 3)
    assert captured() == the_parcel(2).collect_minor < the_order().total_minor
    assert the_order().payment_status == "partially_paid"
    assert (
        the_order().attention.startswith("Paid too little") or "came back" in the_order().attention
    )


def test_marking_delivered_records_only_what_was_collected(split, the_parcel, new_client):
    told(0, "lost", 2)
    browser, page = new_client(), f"/admin/orders/{split.number}"
    let_in(browser, make_user("fulfilment"))
    answer = browser.post_form(f"{page}/transition", {"event": "delivered"}, page=page)
    assert answer.status_code == 303
    assert the_parcel(2).status == "delivered"
    assert captured() == the_parcel(2).collect_minor


def test_cash_waits_while_a_part_of_the_order_is_still_to_leave(app, the_order):
    order = make_order("pending_payment", method="cod")
    with transaction():
        locked = lock_order(order.id)
        first = shipping.reserve(locked, {locked.lines[0].id: 1}, courier_key="manual")
        by_hand.name(first, "N0")
    told(0, "delivered", 1)
    assert captured() == 0
    with transaction():
        by_hand.name(shipping.reserve(lock_order(order.id), courier_key="manual"), "N1")
    told(1, "delivered", 2)
    assert captured() == the_order().total_minor


@sqlite_only
def test_cash_for_a_parcel_sent_again_is_for_a_person_to_record(split, the_parcel, the_order):
    told(0, "rto_delivered", 2)
    told(1, "delivered", 3)
    rest = the_order().total_minor - captured()
    with transaction():
        again = shipping.reserve(lock_order(split.id), courier_key="manual")
        by_hand.name(again, "N2")
        assert again.collect_minor == rest
    told(2, "delivered", 4)
    assert "record it as a payment" in the_order().attention


@sqlite_only
def test_an_order_that_was_cancelled_before_any_parcel_brought_no_cash(app, run_parcels, the_order):
    with transaction():
        change("auto_ship", "false")
    order = make_order("pending_payment", method="cod")
    with transaction():
        advance(lock_order(order.id), "cancelled", STAFF)
    run_parcels()
    assert captured() == 0
    assert the_order().paid_at is None
