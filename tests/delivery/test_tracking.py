"""News moves a parcel forward only, however it arrives, and the order follows in legal steps."""

import itertools
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from shop.clock import utcnow
from shop.database import transaction
from shop.delivery import shipping, tracking
from shop.delivery.couriers.base import Scan, Tracking
from shop.delivery.models import Shipment, ShipmentStatus, TrackingEvent
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import Actor, Who, advance
from shop.orders.locking import lock_order
from shop.orders.models import Order, OrderEvent, OrderStatus
from shop.payments.models import Payment
from tests.factories import make_order, make_product

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

GATEWAY = Actor(Who.GATEWAY, "gateway:sandbox")
START = utcnow().replace(microsecond=0) - timedelta(hours=20)
WAY = {"picked_up": 1, "in_transit": 2, "out_for_delivery": 3, "delivered": 4}


def scan_of(status, hours, failed=False):
    return Scan(
        f"c-{status}", f"{status} happened", status, "Kochi", START + timedelta(hours=hours), failed
    )


def news(parcel, *scans):
    with transaction():
        return tracking.apply(
            Tracking(parcel.awb, parcel.reference, scans), parcel.courier, "webhook"
        )


def events():
    db.session.rollback()
    rows = db.session.scalars(select(OrderEvent).order_by(OrderEvent.id))
    return [row.kind for row in rows if row.actor.startswith("courier")]


def test_each_scan_moves_parcel_and_order(booked, the_parcel, the_order):
    for status, hours in WAY.items():
        news(booked, scan_of(status, hours))
        assert the_parcel().status == status
        assert the_order().status == {"picked_up": "shipped"}.get(status, status)
    assert the_order().fulfilment_status == "delivered"
    assert the_parcel().delivered_at == START + timedelta(hours=4)


def test_all_scans_at_once_take_every_step(booked, the_order):
    news(booked, *[scan_of(status, hours) for status, hours in WAY.items()])
    assert the_order().status == "delivered"
    assert events() == [
        "accepted",
        "packed",
        "shipped",
        "in_transit",
        "out_for_delivery",
        "delivered",
    ]


@sqlite_only
def test_a_courier_may_skip_to_the_door(booked, the_parcel, the_order):
    news(booked, scan_of("delivered", 4))
    assert the_parcel().status == "delivered"
    assert the_order().status == "delivered"
    assert events() == ["accepted", "packed", "shipped", "delivered"]


@pytest.mark.parametrize("order_of_arrival", list(itertools.permutations(WAY))[::5])
def test_in_whatever_order_the_news_comes_it_ends_at_the_door(
    booked, the_parcel, the_order, order_of_arrival
):
    for status in order_of_arrival:
        for _ in range(2):
            news(booked, scan_of(status, WAY[status]))
    assert the_parcel().status == "delivered"
    assert the_order().status == "delivered"
    assert db.session.scalar(select(func.count(TrackingEvent.id))) == 4


@sqlite_only
def test_old_news_of_a_higher_rank_moves_nothing(booked, the_parcel):
    news(booked, scan_of("in_transit", 5))
    news(booked, scan_of("rto_initiated", 3))
    assert the_parcel().status == "in_transit"


@sqlite_only
def test_news_from_the_day_after_tomorrow_moves_nothing(booked, the_parcel):
    news(booked, scan_of("delivered", 100))
    assert the_parcel().status == "pickup_scheduled"


def test_a_parcel_is_found_by_our_reference_exactly(booked, the_parcel):
    with transaction():
        assert tracking.apply(
            Tracking("", booked.reference, [scan_of("picked_up", 1)]), "sandbox", "webhook"
        )
        assert not tracking.apply(
            Tracking("other", booked.reference + "_1", [scan_of("delivered", 2)]),
            "sandbox",
            "webhook",
        )
        assert not tracking.apply(
            Tracking(booked.awb, booked.reference, [scan_of("delivered", 2)]), "parcel", "webhook"
        )
    assert the_parcel().status == "picked_up"


@pytest.mark.forces("parcel")
def test_failed_attempts_go_out_again_and_the_third_opens_an_incident(
    booked, the_parcel, the_order
):
    news(booked, scan_of("picked_up", 1))
    for turn in range(3):
        news(booked, scan_of("out_for_delivery", 2 + 2 * turn))
        assert the_order().status == "out_for_delivery"
        assert not db.session.scalars(select(Incident)).all()
        news(booked, scan_of(None, 3 + 2 * turn, failed=True))
        assert the_order().status == "in_transit"
    assert the_parcel().failed_attempts == 3
    assert "could not be delivered" in db.session.scalars(select(Incident)).one().issue
    news(booked, scan_of("out_for_delivery", 9), scan_of("delivered", 10))
    assert the_order().status == "delivered"


@sqlite_only
def test_a_late_word_of_a_failed_attempt_does_not_undo_the_delivery(booked, the_order, the_parcel):
    news(booked, *[scan_of(status, hours) for status, hours in WAY.items()])
    news(booked, scan_of(None, 3.5, failed=True))
    assert the_order().status == "delivered"
    assert the_parcel().failed_attempts == 0


@pytest.mark.forces("returned")
def test_a_parcel_that_comes_back_returns_the_order_and_its_units(booked, the_parcel, the_order):
    news(booked, *[scan_of(s, h) for s, h in list(WAY.items())[:3]])
    news(booked, scan_of("rto_initiated", 5))
    assert the_order().status == "out_for_delivery"
    news(booked, scan_of("rto_in_transit", 6))
    assert [line.shipped_quantity for line in the_order().lines] == [1, 1]
    news(booked, scan_of("rto_delivered", 7))
    assert the_order().status == "returned"
    assert the_order().fulfilment_status == "returned"
    assert [line.shipped_quantity for line in the_order().lines] == [0, 0]
    assert db.session.scalars(select(Incident)).one().fingerprint.startswith("returned:")


@sqlite_only
def test_a_parcel_that_is_gone_needs_a_person_and_may_be_sent_again(
    booked, the_parcel, the_order, run_parcels
):
    for number, end in enumerate(["lost", "damaged"], 1):
        news(the_parcel(number), scan_of("picked_up", 1), scan_of(end, 2))
        assert the_parcel(number).status == end
        assert the_order().attention
        severities = db.session.scalars(select(Incident.severity)).all()
        assert severities == ["critical"] * number
        assert [line.shipped_quantity for line in the_order().lines] == [0, 0]
        with transaction():
            order = db.session.scalars(select(Order)).one()
            order.attention = None
            enqueue("delivery.create_shipment", {"order_id": order.id})
        run_parcels()
        assert the_parcel(number + 1).reference == f"{booked.reference}-R{number}"
    news(the_parcel(3), scan_of("delivered", 4))
    assert the_order().status == "delivered"


def test_a_cancellation_before_pickup_gives_the_units_back(booked, the_parcel, the_order):
    news(booked, scan_of("cancelled", 1))
    assert the_parcel().status == "cancelled"
    assert [line.shipped_quantity for line in the_order().lines] == [0, 0]


@sqlite_only
def test_a_cancellation_after_pickup_is_not_believed(booked, the_parcel):
    news(booked, scan_of("picked_up", 1), scan_of("cancelled", 2))
    assert the_parcel().status == "picked_up"


def test_an_order_in_two_parcels_ships_with_the_last_line_and_arrives_with_the_last_parcel(
    app, run_parcels, the_parcel, the_order, configure
):
    order = make_order("paid", lines={make_product(): 2, make_product(): 1})
    with transaction():
        locked = lock_order(order.id)
        first = shipping.reserve(locked, quantities={locked.lines[0].id: 1})
    run_parcels()
    with transaction():
        enqueue("delivery.create_shipment", {"order_id": order.id})
    run_parcels()
    first, second = the_parcel(1), the_parcel(2)
    assert second.awb
    news(first, scan_of("in_transit", 1))
    assert the_order().status == "ready_for_shipment"
    assert the_order().fulfilment_status == "partly_shipped"
    news(second, scan_of("picked_up", 2))
    assert the_order().status == "shipped"
    news(first, scan_of("delivered", 3))
    assert the_order().status == "shipped"
    news(second, scan_of("out_for_delivery", 4))
    assert the_order().status == "out_for_delivery"
    news(second, scan_of("delivered", 5))
    assert the_order().status == "delivered"
    assert the_order().fulfilment_status == "delivered"


@sqlite_only
def test_a_disputed_order_stays_disputed_and_remembers_the_way(booked, the_order):
    with transaction():
        advance(db.session.scalars(select(Order)).one(), "dispute_opened", GATEWAY)
    news(booked, *[scan_of(status, hours) for status, hours in WAY.items()])
    assert the_order().status == "disputed"
    assert the_order().status_before == "delivered"
    assert the_order().fulfilment_status == "delivered"


@sqlite_only
def test_a_cancelled_order_stays_cancelled_while_its_parcel_moves(booked, the_order, the_parcel):
    with transaction():
        advance(db.session.scalars(select(Order)).one(), "cancelled", Actor(Who.ADMIN, "system"))
    news(booked, *[scan_of(status, hours) for status, hours in WAY.items()])
    assert the_order().status == "cancelled"
    assert the_parcel().status == "delivered"
    assert the_order().fulfilment_status == "delivered"


@pytest.fixture
def cash(shop, run_parcels, the_parcel):
    """A booked parcel that is paid for at the door."""

    def book():
        make_order("pending_payment", method="cod")
        run_parcels()

    shop.scene("cash_booked", book)
    return the_parcel()


def test_cash_is_recorded_when_the_parcel_is_handed_over(cash, the_parcel, the_order):
    assert the_order().payment_status != "paid"
    news(cash, *[scan_of(status, hours) for status, hours in WAY.items()])
    order = the_order()
    assert (order.status, order.payment_status) == ("delivered", "paid")
    payment = db.session.scalars(select(Payment)).one()
    assert payment.captured_minor == order.total_minor
    db.session.rollback()
    news(the_parcel(), scan_of("delivered", 4))
    assert db.session.scalars(select(Payment)).one().captured_minor == order.total_minor


def test_cash_taken_for_a_cancelled_order_is_recorded_and_a_person_told(
    cash, the_parcel, the_order
):
    with transaction():
        advance(db.session.scalars(select(Order)).one(), "cancelled", Actor(Who.ADMIN, "user:1"))
    for _ in range(2):
        news(the_parcel(), *[scan_of(status, hours) for status, hours in WAY.items()])
    order = the_order()
    assert order.status == "cancelled"
    assert "Cash was taken for a cancelled order" in order.attention
    assert db.session.scalars(select(Payment)).one().captured_minor == order.total_minor
    fault = Incident.fingerprint == f"cash_for_cancelled:{order.id}"
    assert db.session.scalars(select(Incident.repeats).where(fault)).all() == [0]


def test_cash_for_a_part_of_a_cancelled_order_waits_for_its_last_parcel(
    app, run_parcels, the_parcel, the_order
):
    order = make_order("pending_payment", method="cod")
    with transaction():
        locked = lock_order(order.id)
        shipping.reserve(locked, quantities={locked.lines[0].id: 1})
        shipping.reserve(locked)
    run_parcels()
    collected = the_parcel(1).collect_minor
    with transaction():
        advance(db.session.scalars(select(Order)).one(), "cancelled", Actor(Who.ADMIN, "user:1"))
    news(the_parcel(1), *[scan_of(status, hours) for status, hours in WAY.items()])
    assert db.session.scalars(select(Payment)).one().captured_minor == 0
    run_parcels()  # the second parcel, which was not handed over, is cancelled
    assert the_parcel(2).status == "cancelled"
    assert db.session.scalars(select(Payment)).one().captured_minor == collected
    assert the_order().attention


# --- over HTTP: a hint is asked about ---


def test_the_whole_way_by_hints(shipped, parcels, run_parcels, the_order):
    for number, code in enumerate([42, 18, 17, 21, 17, 7]):
        parcels.tell(parcels.scan(code, START + timedelta(hours=number)))
        run_parcels()
    assert the_order().status == "delivered"
    assert events()[-2:] == ["out_for_delivery", "delivered"]


def test_hints_may_be_lost_doubled_and_reversed(shipped, parcels, run_parcels, the_order):
    parcels.delivers, parcels.copies = False, 2
    for number, code in enumerate([42, 18, 17, 7]):
        parcels.tell(parcels.scan(code, START + timedelta(hours=number)))
    parcels.outbox = parcels.outbox[3:]
    parcels.deliver(backwards=True)
    run_parcels()
    assert the_order().status == "delivered"
    assert set(parcels.answers) == {200}


def test_without_any_hint_the_poll_finds_out(shipped, parcels, run_parcels, the_order, turn_clock):
    parcels.scan(42, utcnow())
    with transaction():
        enqueue("delivery.poll")
    run_parcels()
    assert the_order().status == "ready_for_shipment"
    turn_clock(hours=13)
    with transaction():
        enqueue("delivery.poll")
    run_parcels()
    assert the_order().status == "shipped"


@pytest.mark.forces("silent")
def test_two_days_of_silence_open_an_incident_once(shipped, parcels, run_parcels, turn_clock):
    turn_clock(hours=49)
    for _ in range(2):
        with transaction():
            enqueue("delivery.poll")
        run_parcels()
    silent = [
        row for row in db.session.scalars(select(Incident)) if row.fingerprint.startswith("silent")
    ]
    assert [row.severity for row in silent] == ["medium"]


def test_shipments_reserved_by_two_at_once_never_hold_more_than_was_bought(app):
    import threading

    order = make_order("paid", lines={make_product(): 3})
    order_id, line_id = order.id, order.lines[0].id
    db.session.rollback()

    def take():
        with app.app_context():
            try:
                with transaction():
                    shipping.reserve(lock_order(order_id), quantities={line_id: 2})
            except shipping.Conflict:
                pass

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert db.session.scalar(select(func.count(Shipment.id))) == 1
    assert db.session.scalar(select(Shipment.status)) == ShipmentStatus.PENDING
    assert db.session.scalar(select(Order.status)) == OrderStatus.PAID
