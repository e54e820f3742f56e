"""A webhook that the shop does not take comes again by its provider's schedule, and has one effect."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from werkzeug import Response

from shop.extensions import db
from shop.payments import attempts
from shop.payments.models import AttemptStatus, PaymentEvent
from shop.webhooks.models import WebhookEvent
from tests.factories import make_order
from tests.payments.sides.stripe import STRIPE_SECRETS
from tests.simulators.base import Hook, Simulator
from tests.simulators.flutterwave import Flutterwave
from tests.simulators.interakt import Interakt
from tests.simulators.msg91 import Msg91
from tests.simulators.paystack import Paystack
from tests.simulators.razorpay import Razorpay
from tests.simulators.receiver import Receiver
from tests.simulators.ses import Ses
from tests.simulators.shiprocket import Shiprocket
from tests.simulators.stripe import Stripe
from tests.simulators.swish import Swish
from tests.simulators.termii import Termii
from tests.simulators.twilio import Twilio
from tests.simulators.wati import Wati
from tests.simulators.whatsapp_cloud import WhatsAppCloud

MINUTE, HOUR, DAY = 60, 3600, 86_400
START = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def refusing(receiver: Receiver) -> Receiver:
    """Stands where the shop would be, and takes nothing."""
    receiver.status = 503
    return receiver


@pytest.fixture
def provider(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    made: Simulator = request.param()
    yield made
    made.stop()


def tried(provider: Simulator, url: str, before: int = 0) -> list[float]:
    """When a webhook was sent that is never taken, in seconds after the first time.

    It was tried so often `before` that.
    """
    begin = START.timestamp()
    with time_machine.travel(START, tick=False):
        provider.outbox.append(Hook(url, b"{}", lambda _: {}, tries=before))
        assert provider.deliver_due() == [503]
    moments = [begin]
    while provider.outbox:
        due = provider.outbox[0].next_at
        with time_machine.travel(due - 0.5, tick=False):
            assert provider.deliver_due() == []
        with time_machine.travel(due, tick=False):
            assert provider.deliver_due() == [503]
        moments.append(due)
    assert len(provider.given_up) == 1
    with time_machine.travel(START + timedelta(days=365)):
        assert provider.deliver_due() == []
    return [moment - begin for moment in moments]


@pytest.mark.parametrize(("provider", "moments"), [
    (Paystack, [number * 3 * MINUTE for number in range(5)] + [12 * MINUTE + hour * HOUR for hour in range(1, 72)]),
    (Flutterwave, [0, 30 * MINUTE, 60 * MINUTE, 90 * MINUTE]),
    (Swish, [0, 5, 15, 35, 75, 135, 195, 255, 315, 375, 435]),
    (Ses, [0, 20, 40, 60]),
    (Twilio, [0, 1]),
    (Shiprocket, [0]), (Interakt, [0]), (Msg91, [0]), (Termii, [0]),
], indirect=["provider"])  # fmt: skip
def test_what_is_not_taken_comes_again_when_the_provider_says(
    provider: Simulator, moments: list[float], refusing: Receiver
) -> None:
    assert tried(provider, refusing.url) == moments
    assert len(refusing.taken) == len(moments)


@pytest.mark.parametrize("provider", [Wati], indirect=True)
def test_wati_comes_every_ten_minutes_144_times(provider: Wati, refusing: Receiver) -> None:
    assert set(provider.RETRIES) == {10 * MINUTE}
    assert tried(provider, refusing.url, before=140) == [0, 600, 1200, 1800]


@pytest.mark.parametrize(
    ("provider", "until"),
    [(Stripe, 3 * DAY), (Razorpay, DAY), (WhatsAppCloud, 7 * DAY)],
    indirect=["provider"],
)
def test_others_wait_longer_each_time_and_say_only_how_long_they_go_on(
    provider: Simulator, until: int, refusing: Receiver
) -> None:
    moments = tried(provider, refusing.url)
    assert moments[-1] == until
    assert len(refusing.taken) == len(moments) > 5
    waits = [later - sooner for sooner, later in pairwise(moments)]
    assert all(longer > shorter for shorter, longer in pairwise(waits))


def test_razorpay_switches_a_webhook_off_that_failed_for_a_day(refusing: Receiver) -> None:
    razorpay = Razorpay()
    other = refusing.url.replace("/hook", "/other")
    razorpay.endpoints += [(refusing.url, "secret"), (other, "secret")]
    tried(razorpay, refusing.url)
    refusing.taken.clear()
    refusing.status = 200

    razorpay._emit("payment.captured", payment={"id": "pay_1"})
    assert len(refusing.taken) == 1  # at the other address

    razorpay.disabled.clear()  # as a person does in the dashboard
    razorpay._emit("payment.captured", payment={"id": "pay_2"})
    assert len(refusing.taken) == 3
    razorpay.stop()


def test_a_demo_goes_through_the_same_schedule_in_less_time(refusing: Receiver) -> None:
    flutterwave = Flutterwave()
    flutterwave.pace = 1 / 60
    assert tried(flutterwave, refusing.url) == [0, 30, 60, 90]
    flutterwave.stop()


def test_a_shop_that_was_down_takes_the_later_try_and_is_paid_once(
    shop: Any, run_jobs: Callable[..., int], turn_clock: Callable[..., None], money_alone: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stripe = Stripe()
    shop.configure(
        stripe_secret_key=stripe.key, stripe_api_base=stripe.url, stripe_webhook_secret=STRIPE_SECRETS,
        payment_gateways=("sandbox", "stripe"),
    )  # fmt: skip
    stripe.endpoints.append((f"{shop.live.url}/webhooks/stripe", [STRIPE_SECRETS[0]]))
    order = make_order(method="stripe")
    payment = attempts.latest(order.id)
    assert payment
    with monkeypatch.context() as down:
        down.setattr(shop.live, "app", SimpleNamespace(wsgi_app=Response(status=503)))
        stripe.complete(str(payment.gateway_id))
        sent = len(stripe.outbox)
        assert stripe.answers == [503] * sent
        assert stripe.deliver_due() == []
        for wait in Stripe.RETRIES[:2]:
            turn_clock(seconds=wait)
            assert stripe.deliver_due() == [503] * sent

    turn_clock(seconds=Stripe.RETRIES[2])
    assert stripe.deliver_due() == [200] * sent
    assert stripe.outbox == stripe.given_up == []

    run_jobs()
    db.session.rollback()
    db.session.refresh(payment)
    assert (payment.status, payment.captured_minor) == (AttemptStatus.CAPTURED, order.total_minor)
    captured = sa.select(sa.func.count()).select_from(PaymentEvent).filter_by(changed="captured")
    assert db.session.scalar(captured) == 1
    assert db.session.scalar(sa.select(sa.func.count()).select_from(WebhookEvent)) == sent
    stripe.stop()
