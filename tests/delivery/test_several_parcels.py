"""An order in several parcels: split by units, each booked, tracked, told of and cancelled by itself."""

import pytest
from sqlalchemy import func, select

from shop.database import transaction
from shop.delivery import shipping
from shop.delivery.models import Shipment, ShipmentStatus
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.messaging.models import Notification
from shop.orders.locking import lock_order
from shop.orders.models import Order, OrderEvent, OrderLine
from shop.payments import attempts, refunds
from shop.payments.refunds import RefundLine
from shop.preferences import change
from shop.sandbox import courier
from shop.sandbox.models import SandboxParcel
from tests.factories import let_in, make_order, make_product, make_user

CREATE = "delivery.create_shipment"
TELLING = ("messaging.tell",)


def make_unshipped():
    """Three balls and two nets, paid; nothing ships by itself."""
    with transaction():
        change("auto_ship", "false")
    lines = {make_product("Ball", price=10_000): 3, make_product("Net", price=20_000): 2}
    return make_order("paid", lines=lines).id


@pytest.fixture
def order(shop):
    return db.session.get_one(Order, shop.scene("unshipped", make_unshipped))


@pytest.fixture
def packer(order, new_client):
    held = new_client()
    let_in(held, make_user("fulfilment"))
    return held


@pytest.fixture
def in_two(shop, run_parcels):
    """The same in two booked parcels: two balls, then one and both nets."""

    def make_two():
        order_id = make_unshipped()
        for balls, nets in ((2, 0), (1, 2)):
            with transaction():
                held = lock_order(order_id)
                units = zip(held.lines, (balls, nets), strict=True)
                parcel = shipping.reserve(held, {line.id: n for line, n in units if n})
                enqueue(CREATE, {"order_id": order_id, "shipment_id": parcel.id})
        run_parcels()
        return order_id

    return db.session.get_one(Order, shop.scene("in_two_parcels", make_two))


def make(packer, order, made, *units, **more):
    fields = {f"qty-{line.id}": n for line, n in zip(order.lines, units, strict=False)}
    return packer.send(f"/admin/orders/{order.number}/parcels", {"made": made, **fields, **more})


def parcels():
    db.session.rollback()
    return db.session.scalars(select(Shipment).order_by(Shipment.sequence)).all()


def fresh(order):
    db.session.rollback()
    return db.session.get_one(Order, order.id, populate_existing=True)


def scan(sequence, times=1):
    """The pretend courier scans that parcel."""
    (reference,) = [one.reference for one in parcels() if one.sequence == sequence]
    for _ in range(times):
        with transaction():
            courier.scan(
                db.session.scalars(select(SandboxParcel).filter_by(reference=reference)).one(),
                "next",
            )


def told(template):
    db.session.rollback()
    rows = db.session.scalars(select(Notification).filter_by(template=template, channel="email"))
    return [row.context["shipment_id"] for row in rows if row.status != "suppressed"]


def test_staff_choose_the_units_of_each_parcel(packer, order, run_parcels):
    shown = packer.get(f"/admin/orders/{order.number}")
    assert "Make a parcel" in shown.text
    dialog = packer.get(f"/admin/orders/{order.number}/parcels/new").text
    assert 'value="3"' in dialog
    assert 'value="2"' in dialog

    assert make(packer, order, 0, 2, 0).status_code == 303
    assert make(packer, order, 1, 1, 2).status_code == 303
    run_parcels(also=("delivery.keep_paper",))
    first, second = parcels()
    assert [(line.order_line_id, line.quantity) for line in first.lines] == [(order.lines[0].id, 2)]
    assert {line.order_line_id: line.quantity for line in second.lines} == {
        order.lines[0].id: 1, order.lines[1].id: 2,
    }  # fmt: skip
    assert first.awb
    assert second.awb
    assert first.awb != second.awb
    assert (first.reference, second.reference) == (order.number, f"{order.number}-R1")
    assert first.label_key != second.label_key
    assert "Make a parcel" not in packer.get(f"/admin/orders/{order.number}").text


def test_the_order_has_left_with_its_last_line_and_arrived_with_its_last_parcel(
    in_two, run_parcels, client
):
    order = in_two
    scan(1)
    run_parcels(also=TELLING)
    assert (fresh(order).status, fresh(order).fulfilment_status) == (
        "ready_for_shipment",
        "partly_shipped",
    )
    scan(2)
    run_parcels(also=TELLING)
    assert fresh(order).status == "shipped"
    scan(2, times=3)
    run_parcels(also=TELLING)
    assert fresh(order).status in {"shipped", "in_transit"}
    page = client.get(f"/orders/{order.token}").text
    assert "Parcel 1 of 2" in page
    assert "In this parcel: 2 × Halflong Ball" in page
    assert "1 × Halflong Ball; 2 × Halflong Net" in page
    scan(1, times=3)
    run_parcels(also=TELLING)
    assert (fresh(order).status, fresh(order).fulfilment_status) == ("delivered", "delivered")

    first, second = (one.id for one in parcels())
    assert sorted(told("order_shipped")) == [first, second]
    assert sorted(told("order_delivered")) == [first, second]
    assert len(set(told("out_for_delivery"))) == len(told("out_for_delivery"))


def test_one_parcel_is_cancelled_and_its_units_ship_again(in_two, new_client, run_parcels):
    order, packer = in_two, let_in(new_client(), make_user("fulfilment"))
    first, second = parcels()
    path = f"/admin/orders/{order.number}"
    answer = packer.post_form(f"{path}/shipments/{first.id}/cancel", page=path)
    assert answer.status_code == 303
    run_parcels()
    first, second = parcels()
    assert first.status == ShipmentStatus.CANCELLED
    assert second.status == ShipmentStatus.PICKUP_SCHEDULED
    assert db.session.scalar(select(func.sum(OrderLine.shipped_quantity))) == 3
    assert packer.send(f"{path}/shipments/{first.id}/cancel").status_code == 422
    assert make(packer, order, 2, 2, 0).status_code == 303
    run_parcels()
    assert parcels()[2].awb
    assert parcels()[2].reference == f"{order.number}-R2"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_wrong_parcel_is_refused_and_what_was_typed_stays(packer, order):
    for units, words, more in (
        ((4, 0), "Only 3 of Halflong Ball can still be shipped", {}),
        ((0, 0), "at least one item", {}),
        (("1.5", 0), "whole number of Halflong Ball", {}),
        ((-1, 0), "whole number of Halflong Ball", {}),
        ((1, 0), "Choose who carries it", {"courier": "pigeon"}),
    ):
        answer = make(packer, order, 0, *units, **more)
        assert answer.status_code == 422, units
        assert words in answer.text, units
        assert f'value="{units[0]}"' in answer.text, units
    assert parcels() == []


def test_the_second_of_two_clicks_makes_no_second_parcel(packer, order):
    assert make(packer, order, 0, 1, 0).status_code == 303
    answer = make(packer, order, 0, 1, 0)
    assert answer.status_code == 409
    assert "made meanwhile" in answer.text
    assert len(parcels()) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_one_parcel_may_go_by_hand_while_the_other_is_booked(packer, order, run_parcels):
    make(packer, order, 0, 3, 0)
    assert make(packer, order, 1, 0, 2, courier="manual").status_code == 303
    run_parcels()
    booked, by_hand = parcels()
    assert booked.awb
    assert by_hand.awb is None
    path = f"/admin/orders/{order.number}"
    packer.send(f"{path}/shipments/{by_hand.id}/cancel")
    run_parcels()
    assert parcels()[1].status == ShipmentStatus.CANCELLED


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_another_orders_parcel_and_an_unpaid_order_are_refused(packer, order):
    other = make_order(lines=1)
    assert make(packer, order, 0, 1, 0).status_code == 303
    (parcel,) = parcels()
    path = f"/admin/orders/{other.number}"
    assert packer.send(f"{path}/shipments/{parcel.id}/cancel").status_code == 404
    assert make(packer, other, 0, 1).status_code == 422
    assert "Nothing ships" in packer.get(f"{path}/parcels/new").text


def test_what_is_refunded_is_not_awaited_any_more(packer, order, run_parcels):
    make(packer, order, 0, 3, 0)
    make(packer, order, 1, 0, 2)
    run_parcels(also=TELLING)
    scan(1, times=4)
    run_parcels(also=TELLING)
    assert fresh(order).fulfilment_status == "partly_shipped"
    path = f"/admin/orders/{order.number}"
    packer.send(f"{path}/shipments/{parcels()[1].id}/cancel")
    run_parcels(also=TELLING)
    with transaction():
        payment = attempts.latest(order.id)
        line = fresh(order).lines[1]
        back = [RefundLine(line.id, 2, line.total_minor)]
        refunds.request_refund(payment.id, line.total_minor, back, "not sent", "user:1")
    run_parcels(also=("payments.", *TELLING))
    assert fresh(order).fulfilment_status == "delivered"
    kinds = [event.kind for event in db.session.scalars(select(OrderEvent).order_by(OrderEvent.id))]
    assert "delivered" in kinds
    assert sorted(told("order_shipped")) == [parcels()[0].id]
    assert sorted(told("order_delivered")) == [parcels()[0].id]
