"""An order's money by Razorpay, from the page to the refund, with webhooks over HTTP to the live shop."""

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
from shop.payments.models import AttemptStatus, Payment, PaymentEvent, Refund, RefundStatus
from shop.preferences import change
from shop.stock.models import StockLevel
from shop.webhooks.models import WebhookEvent, WebhookStatus
from tests.checkout.shopping import open_form, put_in_cart, send
from tests.factories import make_order, make_product
from tests.payments.scenes import Begun, copied
from tests.payments.sides.razorpay import RAZORPAY_SECRETS
from tests.simulators.razorpay import KEY_ID, KEY_SECRET, WEBHOOK_SECRET, Razorpay
from tests.simulators.razorpay_objects import hexed

#: The second database proves nothing more.
on_one = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
WAYS = ("sandbox", "razorpay", "bank_transfer", "cod")


@pytest.fixture
def server(live: str, configure: Callable[..., None]) -> Iterator[Razorpay]:
    made = Razorpay()
    configure(
        razorpay_key_id=KEY_ID, razorpay_key_secret=KEY_SECRET, razorpay_api_base=made.url,
        razorpay_webhook_secret=RAZORPAY_SECRETS, payment_gateways=WAYS,
    )  # fmt: skip
    made.endpoints.append((f"{live}/webhooks/razorpay", WEBHOOK_SECRET))
    yield made
    made.stop()


def latest(order: Order) -> Payment:
    payment = attempts.latest(order.id)
    assert payment
    return payment


def place() -> Begun:
    order = make_order(method="razorpay", lines={make_product(stock=3): 1})
    return order, latest(order)


def pay_one(server: Razorpay, run_news: Callable[..., int]) -> tuple[Order, Payment]:
    order, payment = place()
    server.pay(str(payment.gateway_id))
    run_news()
    seen_afresh(order, payment)
    assert order.paid_at
    return order, payment


@pytest.fixture
def placed(shop: Any, server: Razorpay) -> Begun:
    """An order whose page is open, and that payment; they are copied."""
    return copied(shop, server, "placed-by-razorpay", lambda: place()[0])


@pytest.fixture
def paid(shop: Any, server: Razorpay, run_news: Callable[..., int]) -> Begun:
    """An order that was paid, and that payment; they are copied."""
    return copied(shop, server, "paid-by-razorpay", lambda: pay_one(server, run_news)[0])


def seen_afresh(*rows: Any) -> None:
    db.session.rollback()
    for row in rows:
        db.session.refresh(row)


def run(kind: str, run_news: Callable[..., int]) -> None:
    with transaction():
        enqueue(kind)
    run_news()


def stored() -> list[WebhookEvent]:
    return list(db.session.scalars(sa.select(WebhookEvent).order_by(WebhookEvent.id)))


def issues() -> list[str]:
    return list(db.session.scalars(sa.select(Incident.issue)))


# --- paying by a link ------------------------------------------------------------------------


@pytest.mark.usefixtures("money_alone")
def test_from_the_checkout_by_razorpays_page_to_a_paid_order(
    server: Razorpay, client: Any, run_news: Callable[..., int]
) -> None:
    put_in_cart(client, make_product(price=129_900))
    answer = send(client, open_form(client), method="razorpay")
    assert answer.status_code == 303, answer.text
    page = answer.headers["Location"]
    assert page.startswith(f"{server.url}/l/")
    declined = requests.post(page, data={"choice": "decline"}, allow_redirects=False, timeout=5)
    assert "declined" in declined.text
    back = requests.post(page, data={"choice": "pay"}, allow_redirects=False, timeout=5)
    assert set(server.answers) == {200}
    run_news()
    order = db.session.scalars(sa.select(Order)).one()
    payment = latest(order)
    assert order.payment_status == PaymentStatus.PAID
    assert payment.captured_minor == order.total_minor
    assert (payment.method, payment.fee_minor) == ("upi", order.total_minor * 236 // 10_000)
    shown = client.get(back.headers["Location"])
    assert (shown.status_code, shown.headers["Location"]) == (303, f"/orders/{order.token}")
    lines = db.session.scalars(sa.select(OrderEvent.text)).all()
    assert any("not enough money in the account" in line for line in lines)


def test_four_messages_that_come_thrice_and_backwards_pay_once(
    server: Razorpay, placed: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = placed
    server.delivers, server.copies = False, 3
    server.pay(str(payment.gateway_id))
    server.deliver(backwards=True)
    run_news()
    seen_afresh(order, payment)
    assert payment.captured_minor == order.total_minor
    assert [event.repeats for event in stored()] == [2] * 4
    assert {event.event_id for event in stored()} == {event_id for event_id, _ in server.events}
    assert {event.status for event in stored()} == {WebhookStatus.PROCESSED}
    changed = db.session.scalars(sa.select(PaymentEvent.changed)).all()
    assert changed.count("captured") == 1
    assert sum(level.reserved for level in db.session.scalars(sa.select(StockLevel))) == 0


@on_one
def test_older_addresses_take_the_messages_too(
    server: Razorpay, placed: Begun, live: str, run_news: Callable[..., int]
) -> None:
    _, payment = placed
    older = ("/payment/webhook", "/api/webhooks/razorpay")
    server.endpoints[:] = [(live + address, WEBHOOK_SECRET) for address in older]
    server.expire(str(payment.gateway_id))
    assert server.answers == [200, 200]
    run_news()
    seen_afresh(payment)
    assert [event.repeats for event in stored()] == [1]
    assert payment.status == AttemptStatus.EXPIRED


@on_one
def test_without_the_header_a_message_is_told_apart_by_what_it_is_about(
    server: Razorpay, placed: Begun, client: Any
) -> None:
    _, payment = placed
    server.delivers = False
    server.pay(str(payment.gateway_id))
    hook = server.outbox[1]
    signed = {"X-Razorpay-Signature": hook.sign(hook.body)["X-Razorpay-Signature"]}
    for _ in range(2):
        answer = client.post("/webhooks/razorpay", data=hook.body, headers=signed)
        assert answer.status_code == 200
    (event,) = stored()
    assert event.event_id.startswith("payment.captured:")
    assert event.repeats == 1


@on_one
def test_a_signed_message_under_a_new_id_changes_nothing(
    server: Razorpay, paid: Begun, client: Any, run_news: Callable[..., int]
) -> None:
    order, payment = paid
    body = next(one for one in stored() if one.kind == "payment.captured").raw_body
    signature = hexed(WEBHOOK_SECRET, body)
    again = {"X-Razorpay-Signature": signature, "x-razorpay-event-id": "made-up"}
    assert client.post("/webhooks/razorpay", data=body, headers=again).status_code == 200
    run_news()
    seen_afresh(order, payment)
    assert payment.captured_minor == order.total_minor
    assert db.session.scalars(sa.select(PaymentEvent.changed)).all().count("captured") == 1


@on_one
def test_a_forged_message_leaves_no_row(server: Razorpay, placed: Begun) -> None:
    _, payment = placed
    server.endpoints[0] = (server.endpoints[0][0], "forged")
    server.pay(str(payment.gateway_id))
    assert set(server.answers) == {400}
    assert stored() == []


@on_one
def test_when_every_webhook_is_lost_the_sweep_finds_the_money(
    server: Razorpay, placed: Begun, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    order, payment = placed
    server.delivers = False
    server.pay(str(payment.gateway_id))
    server.lose()
    turn_clock(minutes=3)
    run("payments.ask_due", run_news)
    seen_afresh(order)
    assert order.paid_at


@on_one
def test_coming_back_asks_razorpay_and_believes_nothing_else(
    server: Razorpay, placed: Begun, client: Any
) -> None:
    order, payment = placed
    name = str(payment.gateway_id)
    signed = "&razorpay_payment_link_status=paid&razorpay_signature=0"
    address = f"/pay/razorpay/return?reference={payment.reference}"
    assert client.get(address + signed).status_code == 303
    seen_afresh(order)
    assert order.paid_at is None
    server.delivers = False
    back = server.way_back(name, server.pay(name))
    assert back.startswith(server.links[name]["callback_url"] + "&razorpay_payment_id=pay_")
    assert client.get(back).status_code == 303
    seen_afresh(order)
    assert order.paid_at


@on_one
def test_when_the_hold_ends_the_link_is_cancelled_first_and_late_money_is_late(
    server: Razorpay, placed: Begun, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    with transaction():
        change("late_policy", "refund")
    order, payment = placed
    name = str(payment.gateway_id)
    turn_clock(minutes=11)
    run("stock.expire_holds", run_news)
    seen_afresh(order, payment)
    assert server.links[name]["status"] == "cancelled"
    assert (payment.status, order.status) == (AttemptStatus.CANCELLED, OrderStatus.PAYMENT_FAILED)
    # The bank confirms long after.
    server.capture(server.authorize(name, late=True))
    run_news()
    seen_afresh(order, payment)
    assert payment.refunded_minor == payment.captured_minor == order.total_minor
    assert order.payment_status == PaymentStatus.REFUNDED


# --- promised money --------------------------------------------------------------------------


@on_one
def test_promised_money_holds_the_order_and_is_taken_within_a_minute(
    server: Razorpay, placed: Begun, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    server.captures_itself = False
    order, payment = placed
    payment_id = server.pay(str(payment.gateway_id))
    run_news()
    seen_afresh(order, payment)
    assert (payment.status, order.paid_at) == (AttemptStatus.AUTHORIZED, None)
    turn_clock(seconds=31)
    run("payments.ask_due", run_news)
    seen_afresh(order, payment)
    assert server.payments[payment_id]["status"] == "captured"
    assert payment.status == AttemptStatus.CAPTURED
    assert order.paid_at


@on_one
def test_a_promise_that_was_not_kept_leaves_the_page_open(
    server: Razorpay, placed: Begun, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    server.captures_itself = False
    order, payment = placed
    payment_id = server.pay(str(payment.gateway_id))
    run_news()
    server.payments[payment_id]["status"] = "failed"
    turn_clock(seconds=31)
    run("payments.ask_due", run_news)
    seen_afresh(order, payment)
    assert (payment.status, order.paid_at) == (AttemptStatus.OPEN, None)


@on_one
def test_when_the_hold_ends_promised_money_is_taken_instead(
    server: Razorpay, placed: Begun, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    server.captures_itself = False
    order, payment = placed
    server.delivers = False
    server.pay(str(payment.gateway_id))
    turn_clock(minutes=11)
    run("stock.expire_holds", run_news)
    seen_afresh(order, payment)
    assert order.paid_at
    assert payment.status == AttemptStatus.CAPTURED


# --- refunds and disputes --------------------------------------------------------------------


def test_a_refund_goes_out_once_and_its_news_comes_back(
    server: Razorpay, paid: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = paid
    server.keeps_refund_keys = False
    server.refunds_begin = "pending"
    server.fault("half_body", path="/v1/payments/")
    with transaction():
        refunds.request_refund(payment.id, 10_000, [], "scratched", "user:1")
    run_news()
    run_news(ahead=60)
    (refund,) = db.session.scalars(sa.select(Refund))
    assert (refund.status, len(server.refunds)) == (RefundStatus.SENT, 1)
    server.process_refund(next(iter(server.refunds)))
    run_news()
    seen_afresh(order, payment, refund)
    assert refund.status == RefundStatus.SUCCEEDED
    assert (payment.refund_held_minor, payment.refunded_minor) == (10_000, 10_000)


@on_one
def test_a_refund_that_overtakes_the_payment_waits_for_it(
    server: Razorpay, placed: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = placed
    server.delivers = False
    server.refund_from_dashboard(server.pay(str(payment.gateway_id)), 5_000)
    server.deliver(backwards=True)
    for ahead in (0, 60, 120, 240):
        run_news(ahead=ahead)
    seen_afresh(order, payment)
    assert (payment.captured_minor, payment.refunded_minor) == (order.total_minor, 5_000)
    assert order.paid_at


@on_one
def test_a_dispute_stops_the_order_until_it_is_decided(
    server: Razorpay, paid: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = paid
    dispute_id = server.dispute(payment.gateway_refs["payment"])
    run_news()
    seen_afresh(order)
    assert order.status == OrderStatus.DISPUTED
    assert any("disputed" in issue for issue in issues())
    server.move_dispute(dispute_id, "under_review")
    server.move_dispute(dispute_id, "won")
    run_news()
    seen_afresh(order)
    assert order.status != OrderStatus.DISPUTED


# --- comparing with Razorpay's own lists -----------------------------------------------------


@on_one
def test_too_little_that_no_webhook_told_of_is_taken_in_and_pays_nothing(
    server: Razorpay, placed: Begun, run_news: Callable[..., int]
) -> None:
    """All else that no webhook told of: test_planted.py."""
    order, payment = placed
    server.delivers = False
    server.pay(str(payment.gateway_id), amount=100)
    server.lose()
    run("payments.reconcile", run_news)
    seen_afresh(order, payment)
    assert (order.paid_at, payment.captured_minor) == (None, 100)
    assert any("Paid too little" in issue for issue in issues())
