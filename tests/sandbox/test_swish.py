"""Swish with pretend money: a person picks on the payment's own page what the app would do."""

from collections.abc import Callable
from typing import Any

import pytest

from shop.database import transaction
from shop.extensions import db
from shop.orders.models import Order, OrderStatus
from shop.payments import attempts, refunds
from shop.payments.models import AttemptStatus, Payment
from tests.factories import make_order


@pytest.fixture
def paying(shop: Any, configure: Callable[..., None]) -> tuple[Order, Payment]:
    """An order with an open pretend payment."""
    configure(default_currency="SEK", payment_gateways=("sandbox", "swish"))
    key = shop.scene("pretend-swish", lambda: make_order(lines=1, method="swish").id)
    order = db.session.get_one(Order, key)
    payment = attempts.latest(order.id)
    assert payment
    return order, payment


def pick(client: Any, payment: Payment, outcome: str) -> Any:
    return client.send(
        f"/sandbox/swish/{payment.reference}", {"outcome": outcome},
    )  # fmt: skip


def seen_afresh(*rows: Any) -> None:
    db.session.rollback()
    for row in rows:
        db.session.refresh(row)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_page_says_that_no_money_moves(client: Any, paying: tuple[Order, Payment]) -> None:
    order, payment = paying
    page = client.get(f"/pay/swish/{payment.reference}").text
    assert "Pretend money." in page
    assert "swish://" not in page
    pick(client, payment, "declined")
    assert "Swish (pretend money)" in client.get(f"/orders/{order.token}/pay").text


@pytest.mark.parametrize(
    ("outcome", "order_status", "status", "words"),
    [
        ("paid", OrderStatus.PAID, AttemptStatus.CAPTURED, "Thank you"),
        ("declined", OrderStatus.PAYMENT_FAILED, AttemptStatus.CANCELLED, "You said no to the payment"),
        ("RF07", OrderStatus.PAYMENT_FAILED, AttemptStatus.FAILED, "Your bank declined the payment"),
        ("BANKIDCL", OrderStatus.PAYMENT_FAILED, AttemptStatus.CANCELLED, "cancelled in BankID"),
        ("TM01", OrderStatus.PAYMENT_FAILED, AttemptStatus.EXPIRED, "not approved in time"),
        ("DS24", OrderStatus.PENDING_PAYMENT, AttemptStatus.UNKNOWN, "Look in your bank before you pay again"),
    ],
)  # fmt: skip
def test_what_is_picked_happens_and_the_page_leads_on(
    client: Any,
    paying: tuple[Order, Payment],
    outcome: str,
    order_status: Any,
    status: Any,
    words: str,
) -> None:
    order, payment = paying
    answer = pick(client, payment, outcome)
    assert answer.headers["Location"] == f"/pay/swish/{payment.reference}"
    seen_afresh(order, payment)
    assert (order.status, payment.status) == (order_status, status)
    on = client.get(answer.headers["Location"])
    assert on.status_code == 303
    assert words in client.get(on.headers["Location"]).text


def test_what_nobody_picks_ends_by_itself(
    run_jobs: Callable[..., int], paying: tuple[Order, Payment], turn_clock: Callable[..., None]
) -> None:
    order, payment = paying
    run_jobs(ahead=35)
    seen_afresh(payment)
    assert payment.status == AttemptStatus.OPEN
    turn_clock(minutes=6)
    run_jobs()
    seen_afresh(order, payment)
    assert (order.status, payment.status) == (OrderStatus.PAYMENT_FAILED, AttemptStatus.EXPIRED)


def test_pretend_money_goes_back_at_once(
    client: Any, run_jobs: Callable[..., int], paying: tuple[Order, Payment]
) -> None:
    _, payment = paying
    pick(client, payment, "paid")
    with transaction():
        refunds.request_refund(payment.id, 10_000, [], "scratched", "user:1")
    run_jobs(kinds="payments.")
    seen_afresh(payment)
    assert payment.refunded_minor == 10_000


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_only_what_is_offered_can_be_picked(client: Any, paying: tuple[Order, Payment]) -> None:
    _, payment = paying
    for outcome in ("", "free", "FF08"):
        assert pick(client, payment, outcome).status_code == 400
    seen_afresh(payment)
    assert payment.status == AttemptStatus.OPEN


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "settings",
    [
        {"shop_env": "production"},
        {"swish_environment": "test"},
        {"swish_environment": "production"},
    ],
)
def test_where_money_is_real_nobody_can_pick(
    client: Any,
    paying: tuple[Order, Payment],
    configure: Callable[..., None],
    settings: dict[str, Any],
) -> None:
    _, payment = paying
    token = client.csrf_token()
    configure(**settings)
    answer = client.post(
        f"/sandbox/swish/{payment.reference}", data={"outcome": "paid", "csrf_token": token},
        headers={"Sec-Fetch-Site": "same-origin"},
    )  # fmt: skip
    assert answer.status_code == 404
    seen_afresh(payment)
    assert payment.status == AttemptStatus.OPEN


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_payment_that_is_not_pretended_cannot_be_picked(
    client: Any, paying: tuple[Order, Payment]
) -> None:
    order, payment = paying
    with transaction():
        db.session.get_one(Payment, payment.id).gateway_refs = {"test": payment.gateway_id}
    assert pick(client, payment, "paid").status_code == 404
    other = make_order(method="sandbox")
    theirs = attempts.latest(other.id)
    assert theirs
    answer = client.send(f"/sandbox/swish/{theirs.reference}", {"outcome": "paid"})
    assert answer.status_code == 404
    seen_afresh(order, other)
    assert (order.paid_at, other.paid_at) == (None, None)
