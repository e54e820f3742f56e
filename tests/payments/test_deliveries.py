"""Shuffled deliveries from many sides: however often and in whatever order money is told, it counts once.

Ten messages come of each payment, of several kinds, some twice or more, by HTTP from several
threads while workers work. DELIVERIES=10000 sends that many on each database; the suite fewer.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from flask import Flask

from shop.database import transaction
from shop.extensions import db
from shop.jobs import runner
from shop.jobs.models import Job
from shop.orders.models import Order, OrderEvent
from shop.payments.models import AttemptStatus, Payment, PaymentEvent
from shop.preferences import change
from shop.stock.models import MovementReason, StockLevel, StockMovement
from shop.webhooks.models import WebhookEvent, WebhookStatus
from tests.factories import make_order, make_product
from tests.payments.sides.stripe import STRIPE_SECRETS
from tests.simulators.base import Hook, Simulator
from tests.simulators.razorpay import KEY_ID, KEY_SECRET, WEBHOOK_SECRET, Razorpay
from tests.simulators.stripe import Stripe

DELIVERIES = int(os.environ.get("DELIVERIES", "40"))
TOLD = 10
"""Messages of each payment."""
SENDERS, WORKERS = 4, 3
ENDED = (WebhookStatus.PROCESSED, WebhookStatus.IGNORED)


@pytest.fixture
def servers(
    live: str, configure: Callable[..., None], loose_limits: None
) -> Iterator[dict[str, Simulator]]:
    """Both keep their webhooks back, so that the test delivers them."""
    stripe, razorpay = Stripe(), Razorpay()
    configure(
        stripe_secret_key=stripe.key, stripe_api_base=stripe.url, stripe_webhook_secret=STRIPE_SECRETS,
        razorpay_key_id=KEY_ID, razorpay_key_secret=KEY_SECRET, razorpay_api_base=razorpay.url,
        razorpay_webhook_secret=(WEBHOOK_SECRET,), payment_gateways=("stripe", "razorpay", "cod"),
        default_payment_gateway="stripe",
    )  # fmt: skip
    stripe.endpoints.append((f"{live}/webhooks/stripe", [STRIPE_SECRETS[0]]))
    razorpay.endpoints.append((f"{live}/webhooks/razorpay", WEBHOOK_SECRET))
    stripe.delivers = razorpay.delivers = False
    yield {"stripe": stripe, "razorpay": razorpay}
    stripe.stop()
    razorpay.stop()


def told_of(servers: Any, key: str, product: Any, chance: random.Random) -> list[Hook]:
    """An order that was paid at its provider: every message of it, and repeats up to ten."""
    order = make_order(method=key, lines={product: 1})
    name = db.session.scalars(sa.select(Payment.gateway_id).filter_by(order_id=order.id)).one()
    server = servers[key]
    server.complete(name) if key == "stripe" else server.pay(name)
    messages, server.outbox = server.outbox, []
    assert len(messages) == {"stripe": 2, "razorpay": 4}[key]
    return messages + chance.choices(messages, k=TOLD - len(messages))


def deliver(hooks: list[Hook]) -> set[int]:
    """One sender: a message after the other, over one connection."""
    with requests.Session() as session:
        session.trust_env = False
        return {
            session.post(
                hook.url, hook.body, headers={"Content-Type": "application/json", **hook.sign(hook.body)}
            ).status_code
            for hook in hooks
        }  # fmt: skip


def work(app: Flask, name: str, all_sent: threading.Event) -> None:
    """One worker, until all is delivered and processed."""
    with app.app_context():
        while not all_sent.is_set() or _waiting():
            if not runner.run_next(name):
                time.sleep(0.01)


def _waiting() -> bool:
    found = db.session.scalar(sa.select(WebhookEvent.id).filter_by(status="received").limit(1))
    db.session.rollback()
    return found is not None


@pytest.mark.timeout(0 if DELIVERIES > 1_000 else 180)
def test_shuffled_deliveries_have_one_effect_for_each_payment(
    app: Flask, servers: dict[str, Simulator]
) -> None:
    with transaction():
        change("auto_ship", "false")
    chance = random.Random(DELIVERIES)
    payments = DELIVERIES // TOLD
    product = make_product(stock=payments)
    hooks = [
        hook
        for number in range(payments)
        for hook in told_of(servers, ("stripe", "razorpay")[number % 2], product, chance)
    ]
    assert len(hooks) == DELIVERIES
    chance.shuffle(hooks)
    db.session.rollback()

    all_sent = threading.Event()
    with ThreadPoolExecutor(SENDERS + WORKERS) as pool:
        working = [pool.submit(work, app, f"worker-{n}", all_sent) for n in range(WORKERS)]
        sending = [pool.submit(deliver, hooks[n::SENDERS]) for n in range(SENDERS)]
        assert set().union(*(one.result() for one in sending)) == {200}
        all_sent.set()
        for one in working:
            one.result()

    _judge(payments)


def _judge(payments: int) -> None:
    """One capture, one sale, one line and one message for each payment; the sum is the orders'."""
    count = sa.func.count()
    told = sa.select(count).select_from(PaymentEvent).filter_by(kind="captured")
    sold = sa.select(count).select_from(StockMovement).filter_by(reason=MovementReason.SALE)
    noted = sa.select(count).select_from(OrderEvent).where(OrderEvent.text.like("Payment of %"))
    mailed = sa.select(count).select_from(Job).where(Job.key.like("order_confirmed:%"))
    assert [db.session.scalar(one) for one in (told, sold, noted, mailed)] == [payments] * 4
    paid = sa.select(count, sa.func.sum(Payment.captured_minor)).filter_by(
        status=AttemptStatus.CAPTURED
    )
    asked = sa.select(count, sa.func.sum(Order.total_minor)).where(Order.paid_at.is_not(None))
    assert db.session.execute(paid).one() == db.session.execute(asked).one()
    assert db.session.scalar(sa.select(count).select_from(Order)) == payments
    level = db.session.scalars(sa.select(StockLevel)).one()
    assert (level.on_hand, level.reserved) == (0, 0)
    repeats, stored = db.session.execute(
        sa.select(sa.func.sum(WebhookEvent.repeats), count).where(WebhookEvent.status.in_(ENDED))
    ).one()
    assert repeats + stored == DELIVERIES
    assert stored == payments * 3
