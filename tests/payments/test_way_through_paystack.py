"""An order's money by Paystack, from the page to the refund, with webhooks over HTTP to the live shop."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.queue import enqueue
from shop.orders.models import Order, OrderEvent, OrderStatus, PaymentStatus
from shop.payments import attempts, refunds
from shop.payments.models import (
    AttemptStatus,
    Dispute,
    DisputeStatus,
    Payment,
    Refund,
    RefundStatus,
)
from shop.preferences import change
from shop.stock.models import StockLevel
from shop.webhooks.models import WebhookEvent, WebhookStatus
from tests.checkout.shopping import open_form, put_in_cart, send
from tests.factories import make_order, make_product
from tests.payments.scenes import Begun, copied
from tests.simulators.paystack import SECRET_KEY, Paystack

#: The second database proves nothing more.
on_one = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
LAGOS = {
    "country": "NG", "tel": "0803 123 4567", "name": "Adaeze Okafor", "city": "Ikeja",
    "state": "Lagos", "postal_code": "100271", "address_line1": "7 Allen Avenue",
}  # fmt: skip


@pytest.fixture
def server(live: str, configure: Callable[..., None]) -> Iterator[Paystack]:
    made = Paystack()
    configure(
        paystack_secret_key=SECRET_KEY, paystack_api_base=made.url, default_currency="NGN",
        payment_gateways=("paystack", "bank_transfer"),
    )  # fmt: skip
    made.webhook_url = f"{live}/webhooks/paystack"
    yield made
    made.stop()


def place() -> Begun:
    order = make_order(method="paystack", lines={make_product(stock=3): 1})
    return order, latest(order)


def latest(order: Order) -> Payment:
    payment = attempts.latest(order.id)
    assert payment
    return payment


def run(kind: str, run_news: Callable[..., int], **payload: Any) -> None:
    with transaction():
        enqueue(kind, payload)
    run_news()


@pytest.fixture
def placed(shop: Any, server: Paystack) -> Begun:
    """An order whose page is open, and that payment; they are copied."""
    return copied(shop, server, "placed-by-paystack", lambda: place()[0])


@pytest.fixture
def paid(shop: Any, server: Paystack, run_news: Callable[..., int]) -> Begun:
    """An order that was paid, and that payment; they are copied."""
    return copied(shop, server, "paid-by-paystack", lambda: pay_one(server, run_news)[0])


def seen_afresh(*rows: Any) -> None:
    db.session.rollback()
    for row in rows:
        db.session.refresh(row)


def pay_one(server: Paystack, run_news: Callable[..., int]) -> tuple[Order, Payment]:
    order, payment = place()
    server.pay(payment.reference)
    run_news()
    seen_afresh(order, payment)
    assert order.paid_at
    return order, payment


def issues() -> list[str]:
    return list(db.session.scalars(sa.select(Incident.issue)))


def reserved() -> int:
    return sum(level.reserved for level in db.session.scalars(sa.select(StockLevel)))


# --- paying ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("money_alone")
def test_from_the_checkout_by_paystacks_page_to_a_paid_order(
    server: Paystack, client: Any, run_news: Callable[..., int]
) -> None:
    put_in_cart(client, make_product(price=1_850_000))
    answer = send(client, open_form(client), method="paystack", **LAGOS)
    assert answer.status_code == 303, answer.text
    page = answer.headers["Location"]
    assert page.startswith(server.url)
    back = requests.post(page, data={"choice": "pay"}, allow_redirects=False, timeout=5)
    assert set(server.answers) == {200}
    run_news()
    order = db.session.scalars(sa.select(Order)).one()
    payment = latest(order)
    assert order.payment_status == PaymentStatus.PAID
    assert (payment.captured_minor, payment.currency) == (order.total_minor, "NGN")
    assert server.transactions[payment.reference]["requested_amount"] == order.total_minor
    assert (payment.method, payment.fee_minor) == ("card", 37_750)
    shown = client.get(back.headers["Location"])
    assert (shown.status_code, shown.headers["Location"]) == (303, f"/orders/{order.token}")


@on_one
def test_when_every_webhook_is_lost_the_sweep_finds_the_money(
    server: Paystack, placed: Begun, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    order, payment = placed
    server.delivers = False
    server.pay(payment.reference)
    server.lose()
    turn_clock(minutes=3)
    run("payments.ask_due", run_news)
    seen_afresh(order)
    assert order.paid_at


@on_one
@pytest.mark.usefixtures("money_alone")
def test_news_that_comes_thrice_pays_once(server: Paystack, run_news: Callable[..., int]) -> None:
    server.copies = 3
    order, payment = pay_one(server, run_news)
    assert payment.captured_minor == order.total_minor
    assert len(db.session.scalars(sa.select(WebhookEvent)).all()) == 1
    assert reserved() == 0


@on_one
def test_coming_back_asks_paystack_and_believes_nothing_else(
    server: Paystack, placed: Begun, client: Any
) -> None:
    order, payment = placed
    address = f"/pay/paystack/return?trxref={payment.reference}&reference={payment.reference}"
    assert client.get(address).headers["Location"] == f"/orders/{order.token}"
    seen_afresh(order)
    assert order.paid_at is None
    server.delivers = False
    server.pay(payment.reference)
    client.get(address)
    seen_afresh(order)
    assert order.paid_at


@on_one
def test_who_cancels_on_the_page_chooses_again_and_may_go_on_there(
    server: Paystack, placed: Begun, client: Any
) -> None:
    order, payment = placed
    leave = server.transactions[payment.reference]["metadata"]["cancel_action"]
    shown = client.get(leave)
    assert shown.headers["Location"] == f"/orders/{order.token}/pay?left=1"
    assert attempts.pay(order.id, "paystack").url == payment.next_step["url"]


@on_one
def test_a_declined_try_is_one_line_however_often_it_is_asked_about(
    server: Paystack, placed: Begun, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    order, payment = placed
    server.decline(payment.reference, "Insufficient Funds")
    for _ in range(2):
        turn_clock(minutes=4)
        run("payments.ask_due", run_news)
    seen_afresh(order, payment)
    assert (payment.status, payment.failure_code) == (AttemptStatus.OPEN, "insufficient_funds")
    assert payment.asks == 2
    tried = sa.select(OrderEvent.text).where(OrderEvent.order_id == order.id)
    lines = [text for text in db.session.scalars(tried) if "not enough money" in text]
    assert lines == ["There was not enough money in the account. Nothing was charged"]


@on_one
def test_a_forged_message_leaves_no_row_and_the_key_before_still_counts(
    server: Paystack, placed: Begun, configure: Callable[..., None], run_news: Callable[..., int]
) -> None:
    _, first = placed
    server.signs_with = "sk_test_forged"
    server.pay(first.reference)
    assert server.answers == [400]
    assert db.session.scalars(sa.select(WebhookEvent)).all() == []
    configure(paystack_previous_secret_key="sk_test_forged")
    assert server.deliver() == [200]
    run_news()
    seen_afresh(first)
    assert first.status == AttemptStatus.CAPTURED


@on_one
@pytest.mark.usefixtures("money_alone")
def test_an_opening_whose_answer_was_lost_is_replaced_and_stays_under_watch(
    server: Paystack, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    server.fault("half_body", path="/transaction/initialize")
    order, first = place()
    assert (first.status, first.gateway_id) == (AttemptStatus.UNKNOWN, None)
    turn_clock(minutes=1)
    run("payments.ask_due", run_news)
    seen_afresh(first)
    assert (first.status, first.next_step) == (AttemptStatus.OPEN, {})
    attempts.pay(order.id, "paystack")
    run_news()
    second = latest(order)
    assert second.next_step["url"].startswith(server.url)
    server.pay(second.reference)
    run_news()
    # The page nobody has the address of is paid all the same, and its webhook is lost.
    server.delivers = False
    server.pay(first.reference)
    turn_clock(minutes=9)
    run("payments.ask_due", run_news)
    seen_afresh(order, first, second)
    assert (first.status, second.status) == (AttemptStatus.CAPTURED, AttemptStatus.CAPTURED)
    assert (first.refundable_minor, second.refundable_minor) == (0, order.total_minor)
    assert [refund["amount"] for refund in server.refunds.values()] == [order.total_minor]


# --- late money ------------------------------------------------------------------------------


def hold_out(placed: Begun, run_news: Callable[..., int], turn_clock: Callable[..., None]) -> Begun:
    """The order's hold ends; its page cannot be ended with it."""
    order, payment = placed
    turn_clock(minutes=11)
    run("stock.expire_holds", run_news)
    seen_afresh(order, payment)
    return order, payment


@on_one
def test_when_the_hold_ends_no_call_is_made_and_money_that_comes_is_late_money(
    server: Paystack, placed: Begun, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    asked = len(server.requests)
    order, payment = hold_out(placed, run_news, turn_clock)
    assert (payment.status, order.status) == (AttemptStatus.EXPIRED, OrderStatus.PAYMENT_FAILED)
    assert reserved() == 0
    assert len(server.requests) == asked
    server.pay(payment.reference)
    run_news()
    seen_afresh(order, payment)
    assert order.paid_at
    assert payment.status == AttemptStatus.CAPTURED
    assert any("the stock was taken again" in issue for issue in issues())


@on_one
def test_the_page_is_watched_after_the_hold_and_late_money_goes_back_by_the_policy(
    server: Paystack, placed: Begun, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    with transaction():
        change("late_policy", "refund")
    order, payment = hold_out(placed, run_news, turn_clock)
    server.delivers = False
    server.pay(payment.reference)
    server.lose()
    server.delivers = True
    turn_clock(minutes=9)
    run("payments.ask_due", run_news)
    seen_afresh(order, payment)
    assert payment.refunded_minor == payment.captured_minor == order.total_minor
    assert order.payment_status == PaymentStatus.REFUNDED


@on_one
def test_a_page_that_is_never_paid_is_asked_about_for_three_days_and_no_longer(
    server: Paystack, placed: Begun, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    _, payment = hold_out(placed, run_news, turn_clock)
    assert payment.ask_at
    turn_clock(hours=73)
    run("payments.ask_due", run_news)
    seen_afresh(payment)
    assert (payment.status, payment.ask_at) == (AttemptStatus.EXPIRED, None)


# --- refunds and disputes --------------------------------------------------------------------


def test_a_refund_goes_out_once_and_its_news_comes_back(
    server: Paystack, paid: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = paid
    server.refunds_go = ()
    server.fault("half_body", path="/refund")
    with transaction():
        refunds.request_refund(payment.id, 10_000, [], "scratched", "user:1")
    run_news()
    run_news(ahead=60)
    (refund,) = db.session.scalars(sa.select(Refund))
    assert refund.status == RefundStatus.SENT
    (number,) = server.refunds
    assert refund.gateway_id == str(number)
    for status in ("processing", "processed"):
        server.move_refund(number, status)
        run_news()
    seen_afresh(refund, payment, order)
    assert refund.status == RefundStatus.SUCCEEDED
    assert (payment.refund_held_minor, payment.refunded_minor) == (10_000, 10_000)


@on_one
def test_two_equal_part_refunds_are_two(
    server: Paystack, paid: Begun, run_news: Callable[..., int]
) -> None:
    _, payment = paid
    for _ in range(2):
        with transaction():
            refunds.request_refund(payment.id, 10_000, [], "scratched", "user:1")
        run_news()
    seen_afresh(payment)
    assert payment.refunded_minor == 20_000
    assert len(server.refunds) == 2
    kept = db.session.scalars(sa.select(WebhookEvent.status)).all()
    assert set(kept) == {WebhookStatus.PROCESSED}


@on_one
def test_a_refund_that_needs_attention_is_told_to_a_person_and_goes_on(
    server: Paystack, paid: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = paid
    server.refunds_go = ("processing", "needs-attention")
    with transaction():
        refunds.request_refund(payment.id, 10_000, [], "scratched", "user:1")
    run_news()
    seen_afresh(order)
    assert "bank details" in str(order.attention)
    assert any("waits for a person" in issue for issue in issues())
    (number,) = server.refunds
    server.move_refund(number, "processed")
    run_news()
    (refund,) = db.session.scalars(sa.select(Refund).execution_options(populate_existing=True))
    assert (refund.status, refund.failure_words) == (RefundStatus.SUCCEEDED, None)


@on_one
def test_a_refund_that_fails_gives_its_hold_back(
    server: Paystack, paid: Begun, run_news: Callable[..., int]
) -> None:
    _, payment = paid
    server.refunds_go = ("processing", "failed")
    with transaction():
        refunds.request_refund(payment.id, 10_000, [], "scratched", "user:1")
    run_news()
    seen_afresh(payment)
    assert (payment.refund_held_minor, payment.refunded_minor) == (0, 0)
    assert any("failed: Paystack could not pay" in issue for issue in issues())


@on_one
def test_a_dispute_stops_the_order_until_it_is_decided(
    server: Paystack, paid: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = paid
    number = server.dispute(payment.reference)
    run_news()
    seen_afresh(order)
    assert order.status == OrderStatus.DISPUTED
    server.remind_dispute(number, "2040-01-02T03:04:05.000Z")
    run_news()
    (dispute,) = db.session.scalars(sa.select(Dispute).execution_options(populate_existing=True))
    assert dispute.evidence_due_at
    assert dispute.evidence_due_at.year == 2040
    server.resolve_dispute(number, "declined")
    run_news()
    seen_afresh(order, dispute)
    assert (order.status == OrderStatus.DISPUTED, dispute.status) == (False, DisputeStatus.WON)


# --- comparing with Paystack's own lists -----------------------------------------------------


@on_one
def test_too_little_that_no_webhook_told_of_is_taken_in_and_pays_nothing(
    server: Paystack, placed: Begun, run_news: Callable[..., int]
) -> None:
    """All else that no webhook told of: test_planted.py."""
    order, payment = placed
    server.delivers = False
    server.pay(payment.reference, amount=100)
    server.lose()
    run("payments.reconcile", run_news)
    seen_afresh(order, payment)
    assert (order.paid_at, payment.captured_minor) == (None, 100)
    assert any("Paid too little" in issue for issue in issues())
