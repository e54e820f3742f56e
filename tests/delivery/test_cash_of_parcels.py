"""What couriers collect at the doors is what the order costs, in however many parcels."""

from shop.database import transaction
from shop.delivery import shipping
from shop.jobs.queue import enqueue
from shop.orders.locking import lock_order
from tests.factories import make_order, make_product

CREATE = "delivery.create_shipment"


def test_cash_to_be_collected_is_the_orders_total(parcels, run_jobs, the_parcel, the_order):
    make_order("pending_payment", method="cod")
    run_jobs()
    parcel, order = the_parcel(), the_order()
    (wish,) = [one["wish"] for one in parcels.orders.values()]
    assert parcel.collect_minor == order.total_minor
    assert wish["payment_method"] == "COD"
    assert round(100 * (wish["sub_total"] + wish["shipping_charges"])) == order.total_minor


def test_cash_is_shared_by_the_parcels_and_sums_to_the_total(app, run_jobs):
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


def test_the_courier_collects_at_all_doors_together_what_the_order_costs(
    parcels, run_jobs, the_order
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
    run_jobs()
    wishes = [one["wish"] for one in parcels.orders.values()]
    assert {wish["payment_method"] for wish in wishes} == {"COD"}
    paise = sum(round(100 * (wish["sub_total"] + wish["shipping_charges"])) for wish in wishes)
    assert len(wishes) == 4
    assert paise == the_order().total_minor
