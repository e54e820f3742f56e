"""Time-outs after success: the provider did it and its answer was lost, and money moves once all the same.

Opening, capturing, cancelling and refunding, at every stand-in over HTTP. The shop hears no
webhook here: it repeats and asks. TIMEOUTS=200 loses that many answers of each on both databases,
shared out among the gateways; the suite loses one at each. Answers are lost in several ways in turn:
cut in the middle, replaced by an error or by garbage, or never given. TIMEOUT_KINDS=hang_after takes
that way alone (or several, with commas).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from shop.database import transaction
from shop.extensions import db
from shop.payments import refunds
from shop.payments.models import AttemptStatus, Payment, Refund, RefundStatus
from shop.stock.models import StockLevel
from tests.payments.histories import hold_ends
from tests.payments.scenes import LATER, Begun, Scene, paid, placed, scene, seen_afresh

__all__ = ["paid", "placed", "scene"]

TIMEOUTS = int(os.environ.get("TIMEOUTS", "1"))
#: The rules are proven on both databases elsewhere; what answers are lost does not depend on them.
ENGINES = ["sqlite", "postgresql"] if TIMEOUTS > 1 else ["sqlite"]
KINDS = ("half_body", "fail_after", "garbage", "hang_after")
WANTED = os.environ.get("TIMEOUT_KINDS", ",".join(KINDS)).split(",")

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


def kinds_of(scene: Scene, among: list[str]) -> list[str]:
    """The ways in which answers get lost here: this gateway's share of all."""
    share = -(-TIMEOUTS // len(among)) if TIMEOUTS > 1 else 1
    own = [kind for kind in PROVIDERS[scene.key].kinds if kind in WANTED]
    return [own[(among.index(scene.key) + number) % len(own)] for number in range(share)]


def lose(scene: Scene, kind: str, call: tuple[str, str] | None) -> None:
    """The next answer of that call is lost."""
    assert call
    scene.server.fault(kind, method=call[0], path=call[1])


def judge(scene: Scene, came: int, gone: int = 0) -> None:
    """So many payments and refunds at the provider, and not one more; our rows say the same."""
    assert not scene.server.faults, "an answer was to be lost and nobody asked"
    provider = PROVIDERS[scene.key]
    payments, refunded = provider.came(scene.server), provider.gone(scene.server)
    assert (len(payments), len(refunded)) == (came, gone)
    assert sum(payments) == (scene.total if came else 0)
    held = db.session.execute(
        sa.select(sa.func.sum(Payment.captured_minor), sa.func.sum(Payment.refunded_minor))
    ).one()
    assert tuple(held) == (sum(payments), sum(refunded))


@pytest.mark.parametrize("scene", list(PROVIDERS), indirect=True)
def test_an_opening_whose_answer_is_lost_brings_one_payment(scene: Scene) -> None:
    kinds = kinds_of(scene, list(PROVIDERS))
    for kind in kinds:
        lose(scene, kind, PROVIDERS[scene.key].opens)
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
    judge(scene, came=len(kinds))


@pytest.mark.parametrize("scene", ["razorpay"], indirect=True)
def test_a_capture_whose_answer_is_lost_takes_the_money_once(scene: Scene) -> None:
    scene.server.captures_itself = False
    kinds = kinds_of(scene, ["razorpay"])
    for kind in kinds:
        order, payment = scene.placed()
        scene.pay(payment)
        lose(scene, kind, ("POST", "/v1/payments/"))
        scene.ask(payment)
        assert (payment.status, payment.captured_minor) == (
            AttemptStatus.CAPTURED,
            order.total_minor,
        )
    judge(scene, came=len(kinds))
    captures = [one for _, one, _ in scene.server.requests if one.endswith("/capture")]
    assert len(captures) == len(kinds)


@pytest.mark.parametrize("scene", CLOSING, indirect=True)
def test_an_ending_whose_answer_is_lost_ends_the_page_and_frees_the_stock_once(
    scene: Scene, placed: Begun
) -> None:
    for number, kind in enumerate(kinds_of(scene, CLOSING)):
        order, payment = scene.placed() if number else placed
        lose(scene, kind, PROVIDERS[scene.key].closes)
        hold_ends(order.id, scene.run_jobs)
        scene.run_jobs(ahead=LATER)
        seen_afresh(order, payment)
        assert payment.status in {AttemptStatus.EXPIRED, AttemptStatus.CANCELLED}
        assert not order.paid_at
    assert PROVIDERS[scene.key].pages(scene.server) == 0
    assert db.session.scalars(sa.select(StockLevel.reserved)).one() == 0
    judge(scene, came=0)


@pytest.mark.parametrize("scene", list(PROVIDERS), indirect=True)
def test_a_refund_whose_answer_is_lost_gives_back_once(scene: Scene, paid: Begun) -> None:
    kinds = kinds_of(scene, list(PROVIDERS))
    for number, kind in enumerate(kinds):
        _, payment = scene.paid() if number else paid
        lose(scene, kind, PROVIDERS[scene.key].refunds)
        with transaction():
            refunds.request_refund(payment.id, 10_000, [], "scratched", "user:1")
        scene.run_jobs()
        scene.run_jobs(ahead=LATER)
        scene.ask(payment)
        assert payment.refunded_minor == 10_000
    assert db.session.scalars(sa.select(Refund.status)).all() == [RefundStatus.SUCCEEDED] * len(
        kinds
    )
    judge(scene, came=len(kinds), gone=len(kinds))
