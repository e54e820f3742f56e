"""A shop with one gateway, whose stand-in's webhooks are all lost: what it learns it learns by asking."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from shop.catalog.models import Product
from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.orders.models import Order
from shop.payments import attempts
from shop.payments.gateways.base import Opened
from shop.payments.models import Payment
from tests.factories import make_order, make_product
from tests.payments import sides
from tests.payments.conftest import MONEY, let_only_money_move
from tests.payments.sides import Bench, Side
from tests.simulators.receiver import Receiver

SCENE_SECONDS = 20
"""How long an order is copied: a gateway may be asked about its payment half a minute after the opening."""
LATER = 300
"""Seconds until jobs that failed are due again."""


Begun = tuple[Order, Payment]
"""What a test begins with."""


class Scene:
    """The shop, the gateway's key, and the stand-in."""

    def __init__(self, key: str, side: Side, run_jobs: Callable[..., int]) -> None:
        self.key, self.side = key, side
        self.run_jobs: Callable[..., int] = functools.partial(run_jobs, kinds=MONEY)
        self.server: Any = side.server  # type: ignore[attr-defined]
        self.server.delivers = False
        self.product_id = 0
        #: The order that a test begins with (fixtures `placed` and `paid`).
        self.order_id = 0
        #: What the orders come to.
        self.total = 0

    @property
    def product(self) -> Product:
        """What they buy."""
        return db.session.get_one(Product, self.product_id)

    def begin(self, shop: Any, way: str) -> None:
        """Fill the empty shop, and the stand-in; `way`: with no order, one "placed" or one "paid"."""
        name = f"{way or 'nothing'}-at-{self.key}"
        self.product_id, self.order_id, self.total, known = shop.scene(
            name, functools.partial(self._made, way), SCENE_SECONDS
        )
        self.server.remember(known)

    def _made(self, way: str) -> tuple[int, int, int, dict[str, Any]]:
        let_only_money_move()
        self.product_id = make_product(stock=1_000).id
        order_id = getattr(self, way)()[0].id if way else 0
        return self.product_id, order_id, self.total, self.server.known()

    def first(self) -> tuple[Order, Payment]:
        """The order that the test begins with."""
        payment = attempts.latest(self.order_id)
        assert payment
        return db.session.get_one(Order, self.order_id), payment

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
        """The sweep asks, and jobs of money that failed or wait run too."""
        with transaction() as session:
            session.execute(
                sa.update(Payment).where(Payment.id == payment.id).values(ask_at=utcnow())
            )
            enqueue("payments.ask_due", key="scene")
        self.run_jobs()
        later = Job.kind.startswith("payments."), Job.status == JobStatus.QUEUED
        if db.session.scalar(sa.select(Job.id).where(*later).limit(1)):
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
    run_jobs: Callable[..., int], loose_limits: None, shop: Any,
) -> Iterator[Scene]:  # fmt: skip
    """The scene of the gateway that the test is parametrized with."""
    key, receiver = request.param, Receiver()
    side = sides.of(key)(key, Bench(receiver, configure, client, run_jobs))
    configure(
        default_currency=side.currency, payment_gateways=(key,), default_payment_gateway=key,
        # Swish calls back by https only.
        public_url=live.replace("http:", "https:") if key == "swish" else live,
    )  # fmt: skip
    made = Scene(key, side, run_jobs)
    asked_for = [way for way in ("paid", "placed") if way in request.fixturenames]
    made.begin(shop, asked_for[0] if asked_for else "")
    yield made
    side.stop()
    receiver.stop()


def copied(shop: Any, server: Any, name: str, make: Callable[[], Order]) -> Begun:
    """The order that `make()` brings about where only money moves, in the empty shop and the stand-in.

    The next stand-in is at another port than the one that the order's page was made by.
    """

    def made() -> tuple[int, dict[str, Any]]:
        let_only_money_move()
        return make().id, server.known()

    order_id, known = shop.scene(name, made, SCENE_SECONDS)
    server.remember(known)
    payment = attempts.latest(order_id)
    assert payment
    return db.session.get_one(Order, order_id), payment


@pytest.fixture
def placed(scene: Scene) -> tuple[Order, Payment]:
    """An order at this gateway, whose rows are copied."""
    return scene.first()


@pytest.fixture
def paid(scene: Scene) -> tuple[Order, Payment]:
    """One that was paid, whose rows are copied."""
    return scene.first()


def seen_afresh(*rows: Any) -> None:
    """Read the rows again."""
    db.session.rollback()
    for row in rows:
        db.session.refresh(row)
