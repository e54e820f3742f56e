"""A shop with one gateway, whose stand-in's webhooks are all lost: what it learns it learns by asking."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.orders.models import Order
from shop.payments import attempts
from shop.payments.gateways.base import Opened
from shop.payments.models import Payment
from tests.factories import make_order, make_product
from tests.payments import sides
from tests.payments.sides import Bench, Side
from tests.simulators.receiver import Receiver

LATER = 300
"""Seconds until jobs that failed are due again."""


class Scene:
    """The shop, the gateway's key, and the stand-in."""

    def __init__(self, key: str, side: Side, run_jobs: Callable[..., int]) -> None:
        self.key, self.side, self.run_jobs = key, side, run_jobs
        self.server: Any = side.server  # type: ignore[attr-defined]
        self.server.delivers = False
        self.product = make_product(stock=1_000)
        #: What the orders come to.
        self.total = 0

    def placed(self) -> tuple[Order, Payment]:
        """An order at this gateway."""
        order = make_order(method=self.key, lines={self.product: 1})
        payment = attempts.latest(order.id)
        assert payment
        self.total += order.total_minor
        return order, payment

    def paid(self) -> tuple[Order, Payment]:
        """One that was paid."""
        order, payment = self.placed()
        self.pay(payment)
        self.ask(payment)
        assert order.paid_at
        return order, payment

    def pay(self, payment: Payment) -> None:
        """The shopper pays at the provider."""
        self.side.pay(Opened(str(payment.gateway_id), {}, refs=payment.gateway_refs))

    def ask(self, payment: Payment) -> None:
        """The sweep asks, and jobs that failed are tried again."""
        with transaction() as session:
            session.execute(
                sa.update(Payment).where(Payment.id == payment.id).values(ask_at=utcnow())
            )
            enqueue("payments.ask_due", key="scene")
        self.run_jobs()
        self.run_jobs(ahead=LATER)
        seen_afresh(payment, db.session.get_one(Order, payment.order_id))

    def compare(self) -> None:
        """The nightly comparison, and what it takes in."""
        with transaction():
            enqueue("payments.reconcile", key="scene")
        self.run_jobs()
        db.session.rollback()


@pytest.fixture
def scene(
    request: pytest.FixtureRequest, live: str, configure: Callable[..., None], client: Any,
    run_jobs: Callable[..., int], loose_limits: None, money_alone: None,
) -> Iterator[Scene]:  # fmt: skip
    """The scene of the gateway that the test is parametrized with."""
    key, receiver = request.param, Receiver()
    side = sides.of(key)(key, Bench(receiver, configure, client, run_jobs))
    configure(
        default_currency=side.currency, payment_gateways=(key,), default_payment_gateway=key,
        # Swish calls back by https only.
        public_url=live.replace("http:", "https:") if key == "swish" else live,
    )  # fmt: skip
    yield Scene(key, side, run_jobs)
    side.stop()
    receiver.stop()


def seen_afresh(*rows: Any) -> None:
    """Read the rows again."""
    db.session.rollback()
    for row in rows:
        db.session.refresh(row)
