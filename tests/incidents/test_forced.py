"""Failures that no other test makes happen. Their marks say which; that they did is checked after each."""

from datetime import timedelta

import pytest

from shop.clock import utcnow
from shop.database import transaction
from shop.delivery import shipping
from shop.delivery.booking import STEPS
from shop.delivery.couriers.base import Scan, Tracking
from shop.extensions import db
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.orders import effects
from shop.orders.locking import lock_order
from shop.orders.models import FulfilmentStatus, Order
from shop.payments import attempts, recording
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import PartStatus, PaymentPart
from shop.returns import parcels
from shop.returns.models import ReturnShipment
from tests.factories import STAFF
from tests.returns.conftest import make_asked

CREATE = "delivery.create_shipment"


def first_order() -> Order:
    return db.session.scalars(db.select(Order)).one()


def take(kind: EventKind, **more) -> str:
    payment = attempts.latest(first_order().id)
    event = GatewayEvent(
        kind, event_id=f"evt_{kind}", reference=payment.reference, gateway_id=payment.gateway_id,
        amount_minor=payment.amount_minor, currency=payment.currency, **more,
    )  # fmt: skip
    with transaction():
        return recording.record(event, payment.gateway, "webhook", payment.id)


@pytest.mark.forces("in_doubt")
def test_a_gateway_that_does_not_know(order_in):
    order_in("pending_payment")
    assert take(EventKind.IN_DOUBT, failure_code="DS24") == "unknown"


@pytest.mark.forces("open_refused")
def test_a_gateway_that_does_not_open(order_in):
    payment_id = attempts.latest(order_in("pending_payment").id).id
    with transaction():
        recording.opening_refused(payment_id, "the key has no right to this")


@pytest.mark.forces("dispute")
def test_a_disputed_payment(order_in):
    order_in("paid")
    take(EventKind.DISPUTE_OPENED, dispute_gateway_id="dp_1")


@pytest.mark.forces("instalment")
def test_an_instalment_that_is_missed_after_the_goods_have_left(order_in, run_jobs):
    order = order_in("paid")
    with transaction():
        part = db.session.scalars(db.select(PaymentPart).filter_by(order_id=order.id)).first()
        part.status, part.due_at = PartStatus.DUE, utcnow() - timedelta(days=30)
        order_id, part_id = order.id, part.id
        enqueue("payments.miss_instalment", {"part_id": part_id})
    run_jobs(kinds="payments.")
    with transaction():
        part = db.session.get_one(PaymentPart, part_id)
        part.status = PartStatus.PAID
    assert db.session.get_one(Order, order_id).attention


@pytest.mark.forces("duplicate_shipment")
def test_two_jobs_that_book_the_same_parcel(order_in, run_jobs):
    order = order_in("paid")
    with transaction():
        locked = lock_order(order.id)
        parcel = shipping.reserve(locked)
        first = db.session.scalars(db.select(Job).filter_by(kind=CREATE)).one()
        first.status, first.worker = JobStatus.RUNNING, "another"
        first.lease_until = utcnow() + timedelta(days=1)
        parcel.booked_by_job, parcel.trying = first.id, STEPS[1].value
        enqueue(CREATE, {"order_id": order.id, "shipment_id": parcel.id}, key="the second")
    run_jobs(kinds=CREATE)


@pytest.mark.breaks_books  # the parcel itself is left out
@pytest.mark.forces("count_after_cancel")
def test_an_order_that_is_cancelled_after_a_part_of_it_left(order_in):
    order = order_in("paid")
    with transaction():
        locked = lock_order(order.id)
        locked.fulfilment_status = FulfilmentStatus.PARTLY_SHIPPED
        locked.lines[0].shipped_quantity = 1
        effects.restock(locked, STAFF.name)


@pytest.mark.forces("return_waits")
def test_a_return_that_nobody_answers(app, shop, turn_clock, run_jobs):
    shop.scene("return_asked", make_asked)
    turn_clock(days=4)
    with transaction():
        enqueue("returns.sweep")
    run_jobs(kinds="returns.")


@pytest.mark.forces("return_parcel")
def test_a_return_that_the_courier_loses(app, shop):
    return_id = shop.scene("return_asked", make_asked)
    with transaction():
        db.session.add(ReturnShipment(return_id=return_id, courier="sandbox", awb="RET1"))
        db.session.flush()
        scan = Scan("12", "Lost", "lost", "Pune", utcnow())
        parcels.apply(return_id, Tracking("RET1", "", [scan]), "sandbox")
