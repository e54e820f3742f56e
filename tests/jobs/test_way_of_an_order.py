"""A worker killed at each step of an order's way leaves a job that another finishes, once."""

import pytest
import sqlalchemy as sa

from shop.database import transaction
from shop.delivery.models import Shipment
from shop.extensions import db
from shop.jobs.models import Job
from shop.messaging.models import Notification
from shop.orders.models import Order
from shop.payments import attempts
from shop.payments.models import Payment
from shop.sandbox import gateway as sandbox
from shop.stock.models import StockMovement
from tests.factories import make_order
from tests.jobs.conftest import states, until

pytestmark = pytest.mark.timeout(240)

STEPS = [
    "sandbox.deliver_webhook:call",
    "webhooks.process:prepare",
    "delivery.create_shipment:prepare",
    "delivery.create_shipment:call",
    "delivery.create_shipment:record",
    "messaging.tell:local",
    "messaging.send:prepare",
    "messaging.send:record",
]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_there_loses_nothing_and_does_nothing_twice(
    app, workers, smtp_server, step, tmp_path
):
    order = make_order("pending_payment")
    order_id = order.id
    with transaction():
        sandbox.pay(sandbox.find(attempts.latest(order_id).reference, lock=True), webhooks=2)

    workers.start(KILL_AT=step, KILL_FLAG=tmp_path / "killed")

    until(lambda: (tmp_path / "killed").exists())
    until(lambda: db.session.get_one(Order, order_id).status == "ready_for_shipment")
    until(lambda: set(states()) == {"succeeded"})
    payments = db.session.scalars(sa.select(Payment.captured_minor)).all()
    assert payments == [db.session.get_one(Order, order_id).total_minor]
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Shipment)) == 1
    sales = sa.select(sa.func.count()).where(StockMovement.reason == "sale")
    assert db.session.scalar(sales) == 2
    templates = db.session.scalars(sa.select(Notification.template)).all()
    assert len(templates) == len(set(templates))
    # One mail each; after a crash between sending and noting it, one may come twice, never more.
    most = len(templates) + (step == "messaging.send:record")
    assert len(templates) <= len(smtp_server.messages) <= most
    assert db.session.scalar(sa.select(sa.func.max(Job.attempts))) == 2
