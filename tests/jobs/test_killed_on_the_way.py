"""Workers killed with SIGKILL at each step of orders' ways: everything is done, and done once.

One start of the shop for all ways at once: the ways stand in a table, each with how it begins,
where its worker is killed, and what must be so in the end. Each death costs half a second: on SQLite
every second step has one, unless KILLS=all.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
import sqlalchemy as sa

from shop.clock import utcnow
from shop.database import transaction
from shop.delivery.models import Shipment, TrackingEvent
from shop.extensions import db
from shop.jobs.models import Job
from shop.jobs.queue import enqueue
from shop.messaging.models import Notification
from shop.orders.lifecycle import advance
from shop.orders.models import Order, OrderEvent
from shop.payments import attempts
from shop.payments.models import Payment, Refund
from shop.payments.refunds import request_refund
from shop.sandbox import courier as sandbox_courier
from shop.sandbox import gateway as sandbox
from shop.sandbox.models import SandboxParcel, SandboxPayment
from shop.stock.models import Reservation, StockLevel, StockMovement
from shop.webhooks.models import WebhookEvent
from tests.factories import STAFF, make_order
from tests.jobs.conftest import states, until

pytestmark = pytest.mark.timeout(240)

PART = 10_000
KILLS_ALL = os.environ.get("KILLS") == "all"


@dataclass(frozen=True)
class Way:
    """`begin(order_id)` sets it off, from a booked or an unpaid order; `holds(order)` in the end."""

    is_booked: bool
    begin: Callable[[int], None]
    kill_at: str
    holds: Callable[[Order], None]


def count(query):
    return db.session.scalar(sa.select(sa.func.count()).select_from(query.subquery()))


def payment_of(order_id):
    return db.session.scalars(sa.select(Payment).where(Payment.order_id == order_id)).one()


def at_gateway(order_id):
    reference = payment_of(order_id).reference
    query = sa.select(SandboxPayment).where(SandboxPayment.reference == reference)
    return db.session.scalars(query).one()


def parcel_of(order_id):
    return db.session.scalars(sa.select(Shipment).where(Shipment.order_id == order_id)).one()


def at_courier(order_id):
    reference = parcel_of(order_id).reference
    query = sa.select(SandboxParcel).where(SandboxParcel.reference == reference)
    return db.session.scalars(query).one()


def sold(order_id):
    return [line.quantity for line in db.session.get_one(Order, order_id).lines]


def movements(order, reason):
    ids = [line.id for line in order.lines]
    moved = sa.select(StockMovement.delta).where(
        StockMovement.order_line_id.in_(ids), StockMovement.reason == reason
    )
    return db.session.scalars(moved).all()


# --- paid, booked, told ------------------------------------------------------------------------


def pay_told_twice(order_id):
    sandbox.pay(sandbox.find(attempts.latest(order_id).reference, lock=True), webhooks=2)


def is_booked_once(order):
    assert order.status == "ready_for_shipment"
    assert payment_of(order.id).captured_minor == order.total_minor
    assert at_courier(order.id).awb == parcel_of(order.id).awb
    assert movements(order, "sale") == [-1, -1]


# --- money back --------------------------------------------------------------------------------


def ask_for_part(order_id):
    request_refund(payment_of(order_id).id, PART, [], "Scratched", "user:1")


def part_went_back_once(order):
    given = [row["amount_minor"] for row in at_gateway(order.id).refunds.values()]
    assert given == [PART]
    refunds = db.session.scalars(sa.select(Refund).where(Refund.order_id == order.id)).all()
    assert [(one.amount_minor, one.status) for one in refunds] == [(PART, "succeeded")]
    assert payment_of(order.id).refunded_minor == PART


# --- a hold that runs out ----------------------------------------------------------------------


def let_hold_run_out(order_id):
    db.session.execute(
        sa.update(Reservation)
        .where(Reservation.order_id == order_id)
        .values(expires_at=utcnow() - timedelta(seconds=1))
    )
    enqueue("stock.expire_holds")


def page_and_hold_ended_once(order):
    assert order.status == "payment_failed"
    assert at_gateway(order.id).status == "cancelled"
    assert payment_of(order.id).status in {"cancelled", "expired"}
    holds = db.session.scalars(sa.select(Reservation).where(Reservation.order_id == order.id)).all()
    assert [one.state for one in holds] == ["expired", "expired"]
    for hold in holds:
        level = sa.select(StockLevel.on_hand, StockLevel.reserved).where(
            StockLevel.variant_id == hold.variant_id
        )
        assert db.session.execute(level).one() == (10, 0)


# --- cancelled when it was packed --------------------------------------------------------------


def cancel(order_id):
    advance(db.session.get_one(Order, order_id, with_for_update=True), "cancelled", STAFF)


def parcel_and_money_came_back_once(order):
    assert order.status == "cancelled"
    assert at_courier(order.id).status == "cancelled"
    assert parcel_of(order.id).status == "cancelled"
    told = sa.select(OrderEvent).where(
        OrderEvent.order_id == order.id, OrderEvent.kind == "cancelled"
    )
    assert count(told) == 1
    given = [row["amount_minor"] for row in at_gateway(order.id).refunds.values()]
    assert given == [order.total_minor]
    assert payment_of(order.id).refunded_minor == order.total_minor


# --- the courier tells -------------------------------------------------------------------------


def pick_up(order_id):
    reference = parcel_of(order_id).reference
    sandbox_courier.scan(sandbox_courier.by_reference(reference, lock=True), "next")


def is_shipped_once(order):
    assert order.status == "shipped"
    scans = sa.select(TrackingEvent).where(TrackingEvent.shipment_id == parcel_of(order.id).id)
    assert count(scans) == 1
    told = sa.select(OrderEvent).where(
        OrderEvent.order_id == order.id, OrderEvent.kind == "shipped"
    )
    assert count(told) == 1


WAYS = {
    "paid and booked": Way(
        False, pay_told_twice,
        "sandbox.deliver_webhook:call webhooks.process:prepare@sandbox messaging.tell:local"
        " delivery.create_shipment:prepare delivery.create_shipment:call delivery.create_shipment:record"
        " messaging.send:prepare messaging.send:record",
        is_booked_once,
    ),
    "money back": Way(
        True, ask_for_part,
        "payments.refund:prepare payments.refund:call payments.refund:record",
        part_went_back_once,
    ),
    "hold ran out": Way(
        False, let_hold_run_out,
        "stock.expire_holds:local stock.end_hold:local payments.close_attempt:prepare"
        " payments.close_attempt:call payments.close_attempt:record",
        page_and_hold_ended_once,
    ),
    "cancelled": Way(
        True, cancel,
        "delivery.cancel_shipments:prepare delivery.cancel_shipments:call"
        " delivery.cancel_shipments:record payments.refund_in_full:local",
        parcel_and_money_came_back_once,
    ),
    "shipped": Way(
        True, pick_up,
        "sandbox.deliver_scan:call webhooks.process:prepare@delivery/sandbox",
        is_shipped_once,
    ),
}  # fmt: skip
PAIRS = [
    pytest.param("sqlite", "embedded"),
    pytest.param("postgresql", "redis", marks=[pytest.mark.pg, pytest.mark.redis]),
]


@pytest.fixture
def mode(request, app, configure):
    """Without Redis, or with it."""
    if request.param == "redis":
        configure(redis_url=request.getfixturevalue("redis_url"))
    return request.param


@pytest.fixture
def orders(app, run_jobs, smtp_server):
    """An order for each way, at its beginning; nothing else is to be done."""
    ids = {}
    for name, way in WAYS.items():
        ids[name] = make_order("paid" if way.is_booked else "pending_payment").id
    run_jobs(kinds="delivery.create_shipment")
    smtp_server.clear()
    with transaction() as session:
        session.execute(sa.delete(Job))
    return ids


def places_of(way, engine):
    steps = way.kill_at.split()
    return steps if KILLS_ALL or engine == "postgresql" else steps[1::2]


@pytest.mark.parametrize(("engine", "mode"), PAIRS, indirect=True)
def test_workers_killed_at_every_step_lose_nothing_and_do_nothing_twice(
    engine, mode, orders, workers, smtp_server, tmp_path
):
    notices_before = count(sa.select(Notification.id))
    with transaction():
        for name, way in WAYS.items():
            way.begin(orders[name])
    places = [place for way in WAYS.values() for place in places_of(way, engine)]
    workers.start(
        KILL_AT=" ".join(places), KILL_FLAGS=tmp_path, REPUSH_SECONDS=0, SWEEP_SECONDS=0.2
    )
    until(lambda: set(states()) == {"succeeded"})
    workers.stop()

    assert {flag.name for flag in tmp_path.iterdir()} == {one.replace("/", "-") for one in places}
    for name, way in WAYS.items():
        way.holds(db.session.get_one(Order, orders[name]))
    assert count(sa.select(Job.id).where(Job.attempts > 1)) >= len(places) / 3
    messages = db.session.execute(sa.select(WebhookEvent.status)).scalars().all()
    assert set(messages) == {"processed"}
    told = db.session.execute(sa.select(Notification.order_id, Notification.template)).all()
    assert len(told) == len(set(told))
    # One mail each; after a crash between sending and noting it, one may come twice, never more.
    assert len(told) - notices_before <= len(smtp_server.messages)
    assert len(smtp_server.messages) <= len(told) - notices_before + 1
