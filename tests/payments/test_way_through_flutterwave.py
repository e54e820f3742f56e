"""An order's money by Flutterwave, from its page to the refund, with webhooks over HTTP to the live shop."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import sqlalchemy as sa

from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.queue import enqueue
from shop.orders.models import OrderStatus, PaymentStatus
from shop.payments import attempts, refunds
from shop.payments.models import AttemptStatus, Payment, Refund, RefundStatus
from shop.stock.models import StockLevel
from shop.webhooks.models import WebhookEvent, WebhookStatus
from tests.factories import make_order
from tests.payments.scenes import Begun, copied
from tests.payments.sides.flutterwave import FLUTTERWAVE_HASHES
from tests.simulators.flutterwave import SECRET_HASH, SECRET_KEY, Flutterwave

#: What the second database proves nothing more of.
on_one = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def server(live: str, configure: Callable[..., None]) -> Iterator[Flutterwave]:
    made = Flutterwave()
    configure(
        flutterwave_secret_key=SECRET_KEY, flutterwave_api_base=made.base,
        flutterwave_webhook_hash=FLUTTERWAVE_HASHES, default_currency="NGN",
        payment_gateways=("sandbox", "flutterwave", "bank_transfer", "cod"),
    )  # fmt: skip
    made.endpoints.append((f"{live}/webhooks/flutterwave", SECRET_HASH))
    yield made
    made.stop()


def place() -> Begun:
    order = make_order(method="flutterwave")
    payment = attempts.latest(order.id)
    assert payment
    return order, payment


@pytest.fixture
def placed(shop: Any, server: Flutterwave) -> Begun:
    """An order whose page is open, and that payment; they are copied."""
    return copied(shop, server, "placed-by-flutterwave", lambda: place()[0])


def seen_afresh(*rows: Any) -> None:
    db.session.rollback()
    for row in rows:
        db.session.refresh(row)


def page_of(server: Flutterwave, payment: Payment) -> str:
    """Where the payment's page is answered; the order may be older than the stand-in."""
    return server.url + urlsplit(payment.next_step["url"]).path


def choose(server: Flutterwave, payment: Payment, choice: str, **more: str) -> requests.Response:
    """What a person does on Flutterwave's page; the answer leads back to the shop."""
    wish = {"choice": choice, **more}
    return requests.post(page_of(server, payment), data=wish, allow_redirects=False, timeout=5)


def way_back(answer: requests.Response) -> str:
    """The shop's address that the browser is sent to, without its host."""
    return "/pay/" + answer.headers["Location"].partition("/pay/")[2]


def pay_elsewhere(server: Flutterwave, reference: str) -> None:
    """Money on the same account that has nothing to do with the shop."""
    wish = {
        "tx_ref": reference, "amount": 77.77, "redirect_url": "https://elsewhere.example/",
        "customer": {"email": "adaeze.okafor@example.com"},
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    requests.post(f"{server.base}/payments", json=wish, headers=headers, timeout=5)
    server.pay(server.token(reference))


def sweep(run_news: Callable[..., int], kind: str) -> None:
    with transaction():
        enqueue(kind)
    run_news()


def issues() -> list[str]:
    return list(db.session.scalars(sa.select(Incident.issue)))


@on_one
def test_a_paid_page_makes_a_paid_order(
    server: Flutterwave, placed: Begun, client: Any, run_news: Callable[..., int]
) -> None:
    order, payment = placed
    assert (payment.status, payment.gateway_id) == (AttemptStatus.OPEN, payment.reference)
    back = choose(server, payment, "card")
    assert set(server.answers) == {200}
    run_news()
    seen_afresh(order, payment)
    assert order.paid_at
    assert (payment.status, payment.captured_minor) == (AttemptStatus.CAPTURED, order.total_minor)
    assert payment.gateway_refs["transaction"] in map(str, server.transactions)
    assert payment.method == "card"
    assert payment.fee_minor
    assert client.get(way_back(back)).headers["Location"].endswith(f"/orders/{order.token}")


def test_news_that_comes_twice_and_backwards_pays_once(
    server: Flutterwave, placed: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = placed
    server.delivers, server.copies = False, 3
    choose(server, payment, "5258585922666506")
    choose(server, payment, "card")
    server.deliver(backwards=True)
    run_news()
    seen_afresh(order, payment)
    assert payment.captured_minor == order.total_minor
    stored = db.session.scalars(sa.select(WebhookEvent)).all()
    assert {event.status for event in stored} == {WebhookStatus.PROCESSED}
    assert len(stored) == 2
    assert sum(level.reserved for level in db.session.scalars(sa.select(StockLevel))) == 0


@on_one
def test_what_a_message_says_of_money_is_not_believed(
    server: Flutterwave, placed: Begun, run_news: Callable[..., int]
) -> None:
    """The secret hash leaks once it is logged: whoever has it can say anything."""
    order, payment = placed
    forged = {
        "id": 1, "tx_ref": payment.reference, "status": "successful", "currency": "NGN",
        "amount": order.total_minor // 100, "payment_type": "card",
    }  # fmt: skip
    server.tell({"event": "charge.completed", "data": forged})
    assert server.answers == [200]
    run_news()
    seen_afresh(order, payment)
    assert (order.paid_at, payment.status) == (None, AttemptStatus.OPEN)


@on_one
def test_a_message_without_the_secret_leaves_no_row(server: Flutterwave, placed: Begun) -> None:
    _, payment = placed
    server.endpoints[0] = (server.endpoints[0][0], "shop-flw-secret-hash-9999")
    choose(server, payment, "card")
    assert set(server.answers) == {400}
    assert db.session.scalars(sa.select(WebhookEvent)).all() == []


@on_one
def test_when_every_webhook_is_lost_the_sweep_finds_the_money(
    server: Flutterwave,
    placed: Begun,
    run_news: Callable[..., int],
    turn_clock: Callable[..., None],
) -> None:
    order, payment = placed
    server.delivers = False
    choose(server, payment, "card")
    server.lose()
    turn_clock(minutes=3)
    sweep(run_news, "payments.ask_due")
    seen_afresh(order)
    assert order.paid_at


@on_one
def test_coming_back_asks_and_believes_nothing_else(
    server: Flutterwave, placed: Begun, client: Any
) -> None:
    order, payment = placed
    address = f"/pay/flutterwave/return?reference={payment.reference}"
    client.get(f"{address}&status=successful&tx_ref={payment.reference}&transaction_id=9418820")
    seen_afresh(order)
    assert order.paid_at is None
    server.delivers = False
    assert client.get(way_back(choose(server, payment, "card"))).status_code == 303
    seen_afresh(order)
    assert order.paid_at


@on_one
def test_who_cancels_chooses_anew_and_may_go_on(
    server: Flutterwave, placed: Begun, client: Any
) -> None:
    order, payment = placed
    back = client.get(way_back(choose(server, payment, "cancel")))
    assert back.headers["Location"].endswith(f"/orders/{order.token}/pay?left=1")
    seen_afresh(payment)
    assert payment.status == AttemptStatus.OPEN
    assert attempts.pay(order.id, "flutterwave").url == payment.next_step["url"]


@on_one
def test_who_comes_back_declined_gets_a_new_page(
    server: Flutterwave, placed: Begun, client: Any, run_news: Callable[..., int]
) -> None:
    order, payment = placed
    first = page_of(server, payment)
    back = client.get(way_back(choose(server, payment, "5258585922666506", give_up="1")))
    assert back.headers["Location"].endswith(f"/orders/{order.token}/pay")
    seen_afresh(order, payment)
    assert order.status == OrderStatus.PAYMENT_FAILED
    assert payment.status == AttemptStatus.CANCELLED
    assert payment.failure_words == "There was not enough money in the account."
    run_news()
    second = attempts.pay(order.id, "flutterwave").url
    assert second != first
    assert requests.get(first, timeout=5).status_code == 410


@on_one
def test_a_transfer_of_too_little_leaves_the_order_unpaid(
    server: Flutterwave, placed: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = placed
    choose(server, payment, "transfer", amount=str(order.total_minor // 100 - 500))
    run_news()
    seen_afresh(order, payment)
    assert order.paid_at is None
    assert payment.captured_minor < order.total_minor
    assert any("too little" in issue for issue in issues())


def test_a_refund_goes_out_once_and_comes_back_as_made(
    server: Flutterwave, placed: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = placed
    choose(server, payment, "card")
    run_news()
    server.fault("half_body", path="/v3/transactions")
    with transaction():
        refunds.request_refund(payment.id, 10_050, [], "scratched", "user:1")
    run_news()
    run_news(ahead=60)
    seen_afresh(order, payment)
    (refund,) = db.session.scalars(sa.select(Refund))
    assert refund.status == RefundStatus.SUCCEEDED
    assert [str(made["amount_refunded"]) for made in server.refunds.values()] == ["100.5"]
    assert (payment.refund_held_minor, payment.refunded_minor) == (10_050, 10_050)


@on_one
@pytest.mark.usefixtures("money_alone")
def test_an_opening_that_timed_out_gets_a_page_by_the_sweep(
    server: Flutterwave, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    server.fault("half_body", path="/v3/payments")
    order, payment = place()
    assert (payment.status, payment.gateway_id) == (AttemptStatus.UNKNOWN, None)
    turn_clock(minutes=1)
    sweep(run_news, "payments.ask_due")
    seen_afresh(payment)
    assert payment.status == AttemptStatus.OPEN
    choose(server, payment, "card")
    run_news()
    seen_afresh(order, payment)
    assert payment.captured_minor == order.total_minor


@on_one
def test_when_the_hold_ends_the_page_is_ended_first_and_later_money_is_late(
    server: Flutterwave,
    placed: Begun,
    run_news: Callable[..., int],
    turn_clock: Callable[..., None],
) -> None:
    order, payment = placed
    transfer = server.begin(server.token(payment.reference), method="bank_transfer")
    turn_clock(minutes=11)
    sweep(run_news, "stock.expire_holds")
    seen_afresh(order, payment)
    assert requests.get(page_of(server, payment), timeout=5).status_code == 410
    assert payment.status == AttemptStatus.CANCELLED
    assert order.status == OrderStatus.PAYMENT_FAILED
    assert sum(level.reserved for level in db.session.scalars(sa.select(StockLevel))) == 0
    server.succeed(transfer)
    run_news()
    seen_afresh(order, payment)
    assert payment.status == AttemptStatus.CAPTURED
    assert order.paid_at


@on_one
def test_the_daily_comparison_takes_in_what_nobody_told(
    server: Flutterwave, placed: Begun, run_news: Callable[..., int]
) -> None:
    """A payment that no message told of; money that came once more, or names no order of ours.

    Refunds and chargebacks that no message told of: test_planted.py.
    """
    server.delivers = False
    order, payment = placed
    choose(server, payment, "card")
    second = server.pay(server.token(payment.reference))
    pay_elsewhere(server, "SOMEBODY-ELSE")
    run_news()
    sweep(run_news, "payments.reconcile")
    seen_afresh(order, payment)
    assert (payment.status, order.payment_status) == (AttemptStatus.CAPTURED, PaymentStatus.PAID)
    unknown = db.session.scalars(
        sa.select(Incident).where(Incident.issue.contains("names no order of ours"))
    ).all()
    assert {incident.context["gatewayOrderId"] for incident in unknown} == {
        "SOMEBODY-ELSE", f"{payment.reference}/{second}",
    }  # fmt: skip


@on_one
def test_a_chargeback_that_is_hinted_at_is_asked_about(
    server: Flutterwave, placed: Begun, run_news: Callable[..., int]
) -> None:
    order, payment = placed
    choose(server, payment, "card")
    run_news()
    seen_afresh(payment)
    name = server.charge_back(int(payment.gateway_refs["transaction"]))
    server.tell({"event": "chargeback.initiated", "data": {"id": name, "tx_ref": payment.reference}})  # fmt: skip
    run_news()
    seen_afresh(order)
    assert order.status == OrderStatus.DISPUTED
    server.set_chargeback(name, "won")
    sweep(run_news, "payments.reconcile")
    seen_afresh(order)
    assert order.status != OrderStatus.DISPUTED
