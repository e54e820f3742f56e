"""Two people of the staff refund the same money at the same moment: it goes back once."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from shop.extensions import db
from shop.orders.models import Order, OrderLine
from shop.payments import attempts
from shop.payments.models import Payment, Refund, RefundStatus
from tests.factories import make_order, make_product
from tests.payments.sides.stripe import STRIPE_SECRETS
from tests.simulators.stripe import Stripe

pytestmark = pytest.mark.usefixtures("money_alone")


@pytest.fixture
def server(live: str, configure: Callable[..., None]) -> Iterator[Stripe]:
    made = Stripe()
    configure(
        stripe_secret_key=made.key, stripe_api_base=made.url, stripe_webhook_secret=STRIPE_SECRETS,
        payment_gateways=("stripe",), default_payment_gateway="stripe",
    )  # fmt: skip
    made.endpoints.append((f"{live}/webhooks/stripe", [STRIPE_SECRETS[0]]))
    yield made
    made.stop()


@pytest.fixture
def paid(server: Stripe, run_news: Callable[..., int]) -> Order:
    """Two balls, paid by card."""
    order = make_order(method="stripe", lines={make_product(price=100_000, stock=5): 2})
    payment = attempts.latest(order.id)
    assert payment
    server.complete(str(payment.gateway_id))
    run_news()
    db.session.refresh(order)
    assert order.paid_at
    return order


def at_once(browsers: list[Any], url: str, fields: dict[str, str]) -> list[Any]:
    """Every browser sends the same form at the same moment; returns what each was answered."""
    tokens = [browser.csrf_token() for browser in browsers]
    ready, answers = threading.Barrier(len(browsers)), []

    def send(browser: Any, token: str) -> None:
        ready.wait()
        headers = {"Sec-Fetch-Site": "same-origin"}
        answers.append(
            (browser, browser.post(url, data={**fields, "csrf_token": token}, headers=headers))
        )

    threads = [
        threading.Thread(target=send, args=pair) for pair in zip(browsers, tokens, strict=True)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return answers


def test_two_who_refund_all_of_it_at_once_refund_once(
    server: Stripe, paid: Order, staff: Callable[..., Any], run_news: Callable[..., int]
) -> None:
    browsers = [staff("manager"), staff("owner")]
    line = db.session.scalars(sa.select(OrderLine).filter_by(order_id=paid.id)).one()
    total = paid.total_minor
    shipping = f"{(total - line.total_minor) / 100:.2f}"
    page = f"/admin/orders/{paid.number}"
    db.session.rollback()
    answers = at_once(
        browsers, f"{page}/refunds",
        {"do": "refund", "reason": "Customer returned it", "seen": str(total), f"qty-{line.id}": "2", "shipping": shipping},
    )  # fmt: skip
    read = sorted(_words(browser, answer, page) for browser, answer in answers)
    assert ["sent to Stripe" in words for words in read].count(True) == 1, read
    assert ["refunded any more" in words or "still be refunded" in words for words in read].count(True) == 1, read  # fmt: skip
    run_news()
    (refund,) = db.session.scalars(sa.select(Refund))
    assert (refund.amount_minor, refund.status) == (total, RefundStatus.SUCCEEDED)
    payment = db.session.scalars(sa.select(Payment)).one()
    assert (payment.refund_held_minor, payment.refunded_minor) == (total, total)
    assert [one["amount"] for one in server.refunds.values()] == [total]


def _words(browser: Any, answer: Any, page: str) -> str:
    """What this person reads after the button."""
    assert answer.status_code in {303, 422}, answer.status_code
    return str(browser.get(page).text if answer.status_code == 303 else answer.text)
