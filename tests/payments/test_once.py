"""Time-outs after success: the provider did it and its answer was lost, and money moves once all the same.

Opening, capturing, cancelling and refunding, at every stand-in over HTTP. The shop hears no
webhook here: it repeats and asks. TIMEOUTS=200 loses that many answers of each on both databases,
shared out among the gateways; the suite loses one at each.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.orders.models import Order
from shop.payments import attempts, refunds
from shop.payments.gateways.base import Opened
from shop.payments.models import AttemptStatus, Payment, Refund, RefundStatus
from shop.preferences import change
from shop.stock.models import StockLevel
from tests.factories import make_order, make_product
from tests.payments import sides
from tests.payments.histories import hold_ends
from tests.payments.sides import Bench, Side
from tests.simulators.receiver import Receiver

TIMEOUTS = int(os.environ.get("TIMEOUTS", "1"))
#: The rules are proven on both databases elsewhere; what answers are lost does not depend on them.
ENGINES = ["sqlite", "postgresql"] if TIMEOUTS > 1 else ["sqlite"]
KINDS = ("half_body", "fail_after", "garbage", "hang_after")
LATER = 300

pytestmark = [
    pytest.mark.parametrize("engine", ENGINES, indirect=True),
    pytest.mark.timeout(0 if TIMEOUTS > 1 else 180),
]


@dataclass(frozen=True)
class Provider:
    """Where a gateway's calls go, and what its stand-in holds, in minor units."""

    opens: tuple[str, str]
    refunds: tuple[str, str]
    closes: tuple[str, str] | None
    came: Callable[[Any], list[int]]
    gone: Callable[[Any], list[int]]
    pages: Callable[[Any], int]
    #: Answers without a body cannot be cut or spoilt.
    kinds: tuple[str, ...] = KINDS


PROVIDERS = {
    "stripe": Provider(
        ("POST", "/v1/checkout/sessions"), ("POST", "/v1/refunds"), ("POST", "/v1/checkout/sessions/"),
        lambda s: [one["amount_received"] for one in s.intents.values() if one["status"] == "succeeded"],
        lambda s: [one["amount"] for one in s.refunds.values()],
        lambda s: sum(one["status"] == "open" for one in s.sessions.values()),
    ),
    "razorpay": Provider(
        ("POST", "/v1/payment_links"), ("POST", "/v1/payments/"), ("POST", "/v1/payment_links/"),
        lambda s: [one["amount"] for one in s.payments.values() if one["captured"]],
        lambda s: [one["amount"] for one in s.refunds.values()],
        lambda s: sum(one["status"] == "created" for one in s.links.values()),
    ),
    "paystack": Provider(
        ("POST", "/transaction/initialize"), ("POST", "/refund"), None,
        lambda s: [one["amount"] for one in s.transactions.values() if one["status"] == "success"],
        lambda s: [int(one["amount"]) for one in s.refunds.values()],
        lambda s: len(s.pages),
    ),
    "flutterwave": Provider(
        ("POST", "/v3/payments"), ("POST", "/v3/transactions/"), ("POST", "/v3/payments/link/disable"),
        lambda s: [_minor(one["amount"]) for one in s.transactions.values() if one["status"] == "successful"],
        lambda s: [_minor(one["amount_refunded"]) for one in s.refunds.values()],
        lambda s: sum(one.is_open for one in s.pages.values()),
    ),
    "swish": Provider(
        ("PUT", "/swish-cpcapi/api/v2/paymentrequests/"), ("PUT", "/swish-cpcapi/api/v2/refunds/"),
        ("PATCH", "/swish-cpcapi/api/v1/paymentrequests/"),
        lambda s: [_minor(one["amount"]) for one in s.payments.values() if one["status"] == "PAID"],
        lambda s: [_minor(one["amount"]) for one in s.refunds.values()],
        lambda s: sum(one["status"] == "CREATED" for one in s.payments.values()),
        ("fail_after", "hang_after"),
    ),
}  # fmt: skip
CLOSING = [key for key, provider in PROVIDERS.items() if provider.closes]
MODULES = (
    "stripe", "razorpay", "razorpay_calls", "paystack", "flutterwave", "flutterwave_calls", "swish",
    "swish_calls",
)  # fmt: skip


def _minor(amount: Any) -> int:
    return round(float(amount) * 100)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for 25 seconds in a test."""
    for name in MODULES:
        for seconds in ("OPEN_SECONDS", "ASK_SECONDS", "WORKER_SECONDS"):
            monkeypatch.setattr(f"shop.payments.gateways.{name}.{seconds}", 0.5, raising=False)


class Scene:
    """A shop with one gateway, whose stand-in's webhooks are all lost."""

    def __init__(self, key: str, side: Side, run_jobs: Callable[..., int]) -> None:
        self.key, self.side, self.server = key, side, side.server  # type: ignore[attr-defined]
        self.provider, self.run_jobs = PROVIDERS[key], run_jobs
        self.server.delivers = False
        with transaction():
            change("auto_ship", "false")
        self.product = make_product(stock=3 * TIMEOUTS)
        self.total = 0

    def kinds(self, among: list[str]) -> list[str]:
        """The ways in which answers get lost here: this gateway's share of all."""
        share = -(-TIMEOUTS // len(among)) if TIMEOUTS > 1 else 1
        first = among.index(self.key)
        own = self.provider.kinds
        return [own[(first + number) % len(own)] for number in range(share)]

    def loses(self, kind: str, call: tuple[str, str]) -> None:
        """The next answer of that call is lost."""
        self.server.fault(kind, method=call[0], path=call[1])

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
            enqueue("payments.ask_due", key="once")
        self.run_jobs()
        self.run_jobs(ahead=LATER)
        seen_afresh(payment, db.session.get_one(Order, payment.order_id))

    def judge(self, came: int, gone: int = 0) -> None:
        """So many payments and refunds at the provider, and not one more; nothing is left undone."""
        assert not self.server.faults, "an answer was to be lost and nobody asked"
        payments, refunded = self.provider.came(self.server), self.provider.gone(self.server)
        assert (len(payments), len(refunded)) == (came, gone)
        assert sum(payments) == (self.total if came else 0)
        held = db.session.execute(
            sa.select(sa.func.sum(Payment.captured_minor), sa.func.sum(Payment.refunded_minor))
        ).one()
        assert tuple(held) == (sum(payments), sum(refunded))


@pytest.fixture
def scene(
    request: pytest.FixtureRequest, live: str, configure: Callable[..., None], client: Any,
    run_jobs: Callable[..., int], loose_limits: None,
) -> Iterator[Scene]:  # fmt: skip
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
    db.session.rollback()
    for row in rows:
        db.session.refresh(row)


@pytest.mark.parametrize("scene", list(PROVIDERS), indirect=True)
def test_an_opening_whose_answer_is_lost_brings_one_payment(scene: Scene) -> None:
    kinds = scene.kinds(list(PROVIDERS))
    for kind in kinds:
        scene.loses(kind, scene.provider.opens)
        order, payment = scene.placed()
        assert payment.status == AttemptStatus.UNKNOWN
        scene.ask(payment)
        assert payment.status == AttemptStatus.OPEN
        scene.pay(payment)
        scene.ask(payment)
        assert (payment.status, payment.captured_minor) == (
            AttemptStatus.CAPTURED,
            order.total_minor,
        )
        assert order.paid_at
    scene.judge(came=len(kinds))


@pytest.mark.parametrize("scene", ["razorpay"], indirect=True)
def test_a_capture_whose_answer_is_lost_takes_the_money_once(scene: Scene) -> None:
    scene.server.captures_itself = False
    kinds = scene.kinds(["razorpay"])
    for kind in kinds:
        order, payment = scene.placed()
        scene.pay(payment)
        scene.loses(kind, ("POST", "/v1/payments/"))
        scene.ask(payment)
        assert (payment.status, payment.captured_minor) == (
            AttemptStatus.CAPTURED,
            order.total_minor,
        )
    scene.judge(came=len(kinds))
    captures = [one for _, one, _ in scene.server.requests if one.endswith("/capture")]
    assert len(captures) == len(kinds)


@pytest.mark.parametrize("scene", CLOSING, indirect=True)
def test_an_ending_whose_answer_is_lost_ends_the_page_and_frees_the_stock_once(
    scene: Scene,
) -> None:
    for kind in scene.kinds(CLOSING):
        order, payment = scene.placed()
        assert scene.provider.closes
        scene.loses(kind, scene.provider.closes)
        hold_ends(order.id, scene.run_jobs)
        scene.run_jobs(ahead=LATER)
        seen_afresh(order, payment)
        assert payment.status in {AttemptStatus.EXPIRED, AttemptStatus.CANCELLED}
        assert not order.paid_at
    assert scene.provider.pages(scene.server) == 0
    assert db.session.scalars(sa.select(StockLevel.reserved)).one() == 0
    scene.judge(came=0)


@pytest.mark.parametrize("scene", list(PROVIDERS), indirect=True)
def test_a_refund_whose_answer_is_lost_gives_back_once(scene: Scene) -> None:
    kinds = scene.kinds(list(PROVIDERS))
    for kind in kinds:
        _, payment = scene.paid()
        scene.loses(kind, scene.provider.refunds)
        with transaction():
            refunds.request_refund(payment.id, 10_000, [], "scratched", "user:1")
        scene.run_jobs()
        scene.run_jobs(ahead=LATER)
        scene.ask(payment)
        assert payment.refunded_minor == 10_000
    assert db.session.scalars(sa.select(Refund.status)).all() == [RefundStatus.SUCCEEDED] * len(
        kinds
    )
    scene.judge(came=len(kinds), gone=len(kinds))
