"""By every way to pay the whole purchase, with nothing left out: the money, the parcel, and what is told.

Most tests of money let neither parcels nor messages go out beside it (conftest.py); these do.
"""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from shop.database import transaction
from shop.delivery.models import Shipment
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.models import Job, JobStatus
from shop.orders.models import Order, OrderStatus, PaymentStatus
from shop.payments import attempts
from shop.payments.gateways.base import Opened
from shop.payments.models import AttemptStatus, Payment
from shop.payments.statements import matching
from shop.sandbox import courier
from shop.sandbox.models import SandboxParcel
from shop.stock.models import StockLevel
from tests.factories import make_order, make_product
from tests.payments import sides
from tests.payments.sides import Bench, Side
from tests.payments.transfers import by_hand

#: What happens beside the money is the same for each: one of them shows it on the second database.
WAYS = [
    *(("sqlite", key) for key in ("sandbox", "stripe", "razorpay", "paystack", "flutterwave", "swish", "bank_transfer", "cod")),
    pytest.param("postgresql", "stripe", marks=pytest.mark.pg),
]  # fmt: skip
#: Once it has left, a parcel does not know who took the money: one for each time at which money comes.
TO_THE_DOOR = ("stripe", "bank_transfer", "cod")


@pytest.fixture
def side(
    key: str, live: str, configure: Callable[..., None], client: Any, run_jobs: Callable[..., int]
) -> Iterator[Side]:
    """The gateway's counterpart, whose webhooks go to the shop itself."""
    shop_itself: Any = SimpleNamespace(url=f"{live}/webhooks/{key}", taken=[])
    made = sides.of(key)(key, Bench(shop_itself, configure, client, run_jobs))
    if key == "swish":
        made.server.needs_https = False  # type: ignore[attr-defined]
    configure(default_currency=made.currency, payment_gateways=(key,), default_payment_gateway=key)
    yield made
    made.stop()


def pay(side: Side, payment: Payment) -> None:
    """The shopper pays, where and when one does."""
    if payment.gateway == "bank_transfer":
        with transaction():
            matching.confirm(payment.id, by_hand(payment.amount_minor), "user:1")
    elif payment.gateway != "cod":
        side.pay(Opened(str(payment.gateway_id), {}, refs=payment.gateway_refs))


def scan(run_jobs: Callable[..., int]) -> None:
    """The courier's next scan, by its webhook over HTTP."""
    with transaction():
        courier.scan(db.session.scalars(sa.select(SandboxParcel)).one(), "next")
    run_jobs()


@pytest.mark.parametrize(("engine", "key"), WAYS, indirect=["engine"])
def test_the_money_comes_the_parcel_leaves_and_arrives_and_each_step_is_told_once(
    key: str, side: Side, run_jobs: Callable[..., int], smtp_server: Any
) -> None:
    order = make_order(method=key, lines={make_product(stock=3): 1})
    number, payment = order.number, attempts.latest(order.id)
    assert payment
    pay(side, payment)
    run_jobs()
    arrives = key in TO_THE_DOOR
    for _ in range(4 if arrives else 2):
        scan(run_jobs)
    db.session.rollback()
    order, payment = db.session.get_one(Order, order.id), db.session.get_one(Payment, payment.id)
    assert order.status == (OrderStatus.DELIVERED if arrives else OrderStatus.IN_TRANSIT)
    if key != "cod":
        assert order.payment_status == PaymentStatus.PAID
        assert (payment.status, payment.captured_minor) == (AttemptStatus.CAPTURED, order.total_minor)  # fmt: skip
    assert bool(db.session.scalars(sa.select(Shipment)).one().delivered_at) == arrives
    level = db.session.scalars(sa.select(StockLevel)).one()
    assert (level.on_hand, level.reserved) == (2, 0)
    told = [mail["Subject"] for mail in smtp_server.messages if mail["To"] == order.email]
    steps = [
        f"We have your order {number}",
        f"Order {number} is on its way",
        f"Order {number} is arriving today",
        f"Order {number} is delivered",
    ]
    wanted = steps if arrives else steps[:2]
    assert told[-len(wanted) :] == wanted
    assert len(told) == len(set(told))
    assert db.session.scalars(sa.select(Incident.issue)).all() == []
    assert db.session.scalars(sa.select(Job.kind).where(Job.status == JobStatus.FAILED)).all() == []
