"""What Stripe kept of a payment and by which payout the rest left, as far as Stripe says it."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from shop.clock import utcnow
from shop.payments.gateways import gateway
from shop.payments.gateways.base import PaysOut
from shop.payments.models import Payment
from tests.payments.scenes import Scene, scene, seen_afresh
from tests.payments.sides import Bench
from tests.payments.sides.stripe import StripeSide
from tests.payments.test_planted import lines
from tests.simulators.receiver import Receiver
from tests.simulators.stripe import Stripe

__all__ = ["scene"]

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def side(
    app: Any, configure: Callable[..., None], client: Any, run_jobs: Any
) -> Iterator[StripeSide]:
    receiver = Receiver()
    made = StripeSide("stripe", Bench(receiver, configure, client, run_jobs))
    yield made
    made.stop()
    receiver.stop()


@pytest.fixture
def server(side: StripeSide) -> Stripe:
    return side.server


def long_ago() -> datetime:
    return utcnow() - timedelta(minutes=1)


def stripe() -> PaysOut:
    way = gateway("stripe")
    assert isinstance(way, PaysOut)
    return way


def test_the_fee_is_told_when_asked(side: StripeSide) -> None:
    made, attempt = side.opened()
    side.pay(made)
    (event,) = side.gateway.fetch(attempt)
    assert event.fee_minor == side.amount * 29 // 1_000
    (listed,) = side.gateway.list_payments(long_ago())
    assert listed.fee_minor == event.fee_minor


def test_a_fee_that_is_not_booked_yet_is_not_guessed(side: StripeSide, server: Stripe) -> None:
    server.books_at_once = False
    side.paid()
    (event,) = side.gateway.list_payments(long_ago())
    assert event.fee_minor is None
    (charge,) = server.charges.values()
    server.book(charge)
    (event,) = side.gateway.list_payments(long_ago())
    assert event.fee_minor


def test_a_fee_in_the_accounts_own_currency_is_no_part_of_the_payment(
    side: StripeSide, server: Stripe
) -> None:
    side.paid()
    (booked,) = server.balance.values()
    booked["currency"] = "eur"
    (event,) = side.gateway.list_payments(long_ago())
    assert event.fee_minor is None


def test_a_payout_names_our_payments_and_nobody_elses(side: StripeSide, server: Stripe) -> None:
    attempt = side.paid()
    side.paid()
    elsewhere = list(server.charges.values())[-1]
    elsewhere["metadata"] = {}
    server.refund_from_dashboard(attempt.refs["payment_intent"], 5_000)
    payout = server.pay_out()
    (event,) = stripe().list_payouts(long_ago())
    assert (event.reference, event.payout_reference) == (attempt.reference, payout)
    assert (event.amount_minor, event.currency) == (side.amount, side.currency)
    assert event.fee_minor == side.amount * 29 // 1_000
    assert event.occurred_at


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_payout_that_came_back_is_none(side: StripeSide, server: Stripe, status: str) -> None:
    side.paid()
    server.payouts[server.pay_out()]["status"] = status
    assert stripe().list_payouts(long_ago()) == []


def test_of_a_payout_by_hand_stripe_does_not_say_what_is_in_it(
    side: StripeSide, server: Stripe
) -> None:
    side.paid()
    server.pay_out(automatic=False)
    assert stripe().list_payouts(long_ago()) == []


@pytest.mark.parametrize("scene", ["stripe"], indirect=True)
def test_the_nightly_comparison_learns_fee_and_payout(scene: Scene) -> None:
    scene.server.books_at_once = False
    _, payment = scene.paid()
    assert _facts(payment) == (None, None)
    (charge,) = scene.server.charges.values()
    scene.server.book(charge)
    payout = scene.server.pay_out()
    for _ in range(2):
        scene.compare()
        seen_afresh(payment)
        assert _facts(payment) == (payment.captured_minor * 29 // 1_000, payout)
        assert lines() == []


def _facts(payment: Payment) -> tuple[int | None, str | None]:
    return payment.fee_minor, payment.payout_reference
