"""An order's money by Stripe, from the page to the refund, with webhooks over HTTP to the live shop."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.orders.models import Order, OrderStatus
from shop.payments import attempts, refunds
from shop.payments.models import AttemptStatus, Refund, RefundStatus
from shop.stock.models import StockLevel
from shop.webhooks.models import WebhookEvent, WebhookStatus
from tests.factories import make_order
from tests.payments.scenes import Begun, copied
from tests.payments.sides.stripe import STRIPE_SECRETS
from tests.simulators.stripe import Stripe

#: What the second database proves nothing more of.
on_one = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def server(live: str, configure: Callable[..., None]) -> Iterator[Stripe]:
    made = Stripe()
    configure(
        stripe_secret_key=made.key, stripe_api_base=made.url, stripe_webhook_secret=STRIPE_SECRETS,
        payment_gateways=("sandbox", "stripe", "bank_transfer", "cod"),
    )  # fmt: skip
    made.endpoints.append((f"{live}/webhooks/stripe", [STRIPE_SECRETS[0]]))
    yield made
    made.stop()


def place() -> Begun:
    order = make_order(method="stripe")
    payment = attempts.latest(order.id)
    assert payment
    return order, payment


@pytest.fixture
def placed(shop: Any, server: Stripe) -> Begun:
    """An order whose page is open, and that payment; they are copied."""
    return copied(shop, server, "placed-by-stripe", lambda: place()[0])


@pytest.fixture
def paid(shop: Any, server: Stripe, run_news: Callable[..., int]) -> Begun:
    """An order that was paid, and that payment; they are copied."""

    def make() -> Order:
        order, payment = place()
        server.complete(str(payment.gateway_id))
        run_news()
        seen_afresh(order)
        assert order.paid_at
        return order

    return copied(shop, server, "paid-by-stripe", make)


def seen_afresh(*rows: Any) -> None:
    db.session.rollback()
    for row in rows:
        db.session.refresh(row)


@on_one
def test_a_paid_session_makes_a_paid_order(
    server: Stripe, placed: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = placed
    assert payment.status == AttemptStatus.OPEN
    server.complete(str(payment.gateway_id))
    assert set(server.answers) == {200}
    run_news()
    seen_afresh(order, payment)
    assert order.paid_at
    assert (payment.status, payment.captured_minor) == (AttemptStatus.CAPTURED, order.total_minor)
    assert payment.gateway_refs["payment_intent"].startswith("pi_")


def test_news_that_comes_twice_and_backwards_pays_once(
    server: Stripe, placed: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = placed
    server.delivers, server.copies = False, 3
    server.complete(str(payment.gateway_id))
    server.deliver(backwards=True)
    run_news()
    seen_afresh(order, payment)
    assert payment.captured_minor == order.total_minor
    assert len(db.session.scalars(sa.select(WebhookEvent)).all()) == 2
    assert sum(level.reserved for level in db.session.scalars(sa.select(StockLevel))) == 0


@on_one
def test_when_every_webhook_is_lost_the_sweep_finds_the_money(
    server: Stripe, placed: Begun, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    from shop.jobs.queue import enqueue

    order, payment = placed
    server.delivers = False
    server.complete(str(payment.gateway_id))
    server.lose()
    turn_clock(minutes=3)
    with transaction():
        enqueue("payments.ask_due")
    run_news()
    seen_afresh(order)
    assert order.paid_at


@on_one
def test_coming_back_asks_stripe_and_believes_nothing_else(
    server: Stripe, placed: Begun, client: Any
) -> None:
    order, payment = placed
    address = f"/pay/stripe/return?reference={payment.reference}"
    client.get(address + "&left=1")
    seen_afresh(order)
    assert order.paid_at is None
    server.delivers = False
    server.complete(str(payment.gateway_id))
    assert client.get(address).status_code == 303
    seen_afresh(order)
    assert order.paid_at


@on_one
def test_a_forged_message_leaves_no_row(server: Stripe, placed: Begun, client: Any) -> None:
    _, payment = placed
    server.endpoints[0][1][:] = ["whsec_forged"]
    server.complete(str(payment.gateway_id))
    assert set(server.answers) == {400}
    assert db.session.scalars(sa.select(WebhookEvent)).all() == []


def test_a_refund_goes_out_once_and_its_news_comes_back(
    server: Stripe, paid: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = paid
    server.fault("half_body", path="/v1/refunds")
    with transaction():
        refunds.request_refund(payment.id, 10_000, [], "scratched", "user:1")
    run_news()
    run_news(ahead=60)
    seen_afresh(order, payment)
    (refund,) = db.session.scalars(sa.select(Refund))
    assert refund.status == RefundStatus.SUCCEEDED
    assert len(server.refunds) == 1
    assert (payment.refund_held_minor, payment.refunded_minor) == (10_000, 10_000)


@on_one
@pytest.mark.usefixtures("money_alone")
def test_an_opening_that_timed_out_is_resolved_without_a_second_session(
    server: Stripe, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    from shop.jobs.queue import enqueue

    server.fault("half_body", path="/v1/checkout/sessions")
    _, payment = place()
    assert (payment.status, payment.gateway_id) == (AttemptStatus.UNKNOWN, None)
    turn_clock(minutes=1)
    with transaction():
        enqueue("payments.ask_due")
    run_news()
    seen_afresh(payment)
    assert payment.status == AttemptStatus.OPEN
    assert [payment.gateway_id] == list(server.sessions)
    assert payment.next_step["url"].endswith(str(payment.gateway_id))


def test_when_the_hold_ends_the_session_is_ended_first(
    server: Stripe, placed: Begun, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    from shop.jobs.queue import enqueue

    order, payment = placed
    turn_clock(minutes=11)
    with transaction():
        enqueue("stock.expire_holds")
    run_news()
    seen_afresh(order, payment)
    assert server.sessions[str(payment.gateway_id)]["status"] == "expired"
    assert payment.status == AttemptStatus.EXPIRED
    assert order.status == OrderStatus.PAYMENT_FAILED
    assert sum(level.reserved for level in db.session.scalars(sa.select(StockLevel))) == 0


def test_a_dispute_stops_the_order_and_opens_an_incident(
    server: Stripe, paid: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = paid
    dispute_id = server.dispute(payment.gateway_refs["payment_intent"])
    run_news()
    seen_afresh(order)
    assert order.status == OrderStatus.DISPUTED
    issues = db.session.scalars(sa.select(Incident.issue)).all()
    assert any("disputed" in issue for issue in issues)
    server.close_dispute(dispute_id, "won")
    run_news()
    seen_afresh(order)
    assert order.status != OrderStatus.DISPUTED


@on_one
def test_a_dashboard_refund_is_known_here_too(
    server: Stripe, paid: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = paid
    server.refund_from_dashboard(payment.gateway_refs["payment_intent"], 5_000)
    run_news()
    seen_afresh(order, payment)
    assert payment.refunded_minor == 5_000


@on_one
def test_news_of_another_shop_on_the_same_account_waits_and_harms_nothing(
    server: Stripe, placed: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = placed
    server.sessions[str(payment.gateway_id)]["client_reference_id"] = "SOMEBODY-ELSE"
    server.intent_data[str(payment.gateway_id)]["metadata"] = {}
    # Only the session's id leads to us; another id would lead nowhere.
    other = dict(server.sessions[str(payment.gateway_id)], id="cs_test_other")
    server.sessions["cs_test_other"] = other
    server.intent_data["cs_test_other"] = {}
    server.complete("cs_test_other")
    assert set(server.answers) == {200}
    run_news()
    seen_afresh(order)
    assert order.paid_at is None
    stored = db.session.scalars(sa.select(WebhookEvent)).all()
    assert {event.status for event in stored} == {WebhookStatus.RECEIVED}
