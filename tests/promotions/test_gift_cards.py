"""Gift cards: spent once, refilled once, and what they leave is paid another way."""

import re
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from shop.checkout.placing import FiguresMoved, place
from shop.clock import in_future, utcnow
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.orders.models import Order, OrderStatus, PaymentStatus
from shop.payments import attempts
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import Payment, PaymentPart
from shop.payments.recording import record
from shop.payments.refunds import request_refund
from shop.promotions import gift_cards
from shop.promotions.models import GiftCard, GiftCardEntry
from tests.factories import make_cart, make_order, make_product, make_wish, pay
from tests.payments.conftest import run_money
from tests.payments.histories import hold_ends

__all__ = ["run_money"]

#: A rule whose statements the other tests, and the histories, bring to the second database.
on_one = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def card(app: Any, configure: Any) -> tuple[int, str]:
    """A card of ₹500.00: its id and its code."""
    configure(payment_gateways=("sandbox", "bank_transfer", "cod", "gift_card"))
    return issued(50_000)


def issued(amount: int, **more: Any) -> tuple[int, str]:
    with transaction():
        made, code = gift_cards.issue(amount, "INR", "user:1", **more)
    return made.id, code


def balance(card_id: int) -> int:
    db.session.rollback()
    return int(db.session.get_one(GiftCard, card_id).balance_minor)


def placed_with(code: str, price: int = 80_000, **more: Any) -> Order:
    return make_order(lines={make_product(price=price): 1}, gift_code=code, **more)


@pytest.fixture
def half_paid(shop: Any, configure: Any) -> tuple[Order, int, str]:
    """An order that the whole of such a card paid in part; the card's id and code. They are copied."""
    configure(payment_gateways=("sandbox", "bank_transfer", "cod", "gift_card"))

    def make() -> tuple[int, int, str]:
        card_id, code = issued(50_000)
        return placed_with(code).id, card_id, code

    order_id, card_id, code = shop.scene("half-paid-by-card", make)
    return db.session.get_one(Order, order_id), card_id, code


@on_one
def test_the_code_is_kept_only_as_a_hash_and_read_as_people_type_it(card):
    card_id, code = card
    assert re.fullmatch(r"([A-HJ-NP-Z2-9]{4}-){3}[A-HJ-NP-Z2-9]{4}", code)
    assert code not in str(db.session.execute(sa.select(GiftCard.__table__)).all())
    assert gift_cards.usable(f"  {code.lower().replace('-', ' ')} ", "INR").id == card_id


def test_it_pays_a_part_and_another_way_the_rest(half_paid):
    order, card_id, _ = half_paid
    assert (order.status, order.payment_status) == (
        OrderStatus.PENDING_PAYMENT,
        PaymentStatus.PARTIALLY_PAID,
    )
    assert balance(card_id) == 0
    amounts = db.session.execute(
        sa.select(Payment.gateway, Payment.amount_minor)
        .order_by(PaymentPart.sequence)
        .join(PaymentPart)
    ).all()
    assert amounts == [("gift_card", 50_000), ("sandbox", order.total_minor - 50_000)]
    pay(order)
    db.session.refresh(order)
    assert (order.status, order.payment_status) == (OrderStatus.PAID, PaymentStatus.PAID)


@on_one
def test_it_pays_all_of_it_without_a_gateway(card):
    card_id, code = card
    order = placed_with(code, price=30_000)
    assert (order.status, order.payment_status) == (OrderStatus.PAID, PaymentStatus.PAID)
    assert order.payment_method == "gift_card"
    assert balance(card_id) == 50_000 - order.total_minor


@on_one
def test_with_cash_on_delivery_the_courier_collects_only_the_rest(card, run_jobs):
    from shop.delivery.models import Shipment

    _, code = card
    order = placed_with(code, method="cod")
    assert order.status == OrderStatus.PROCESSING
    run_jobs(kinds="delivery.create_shipment")
    (parcel,) = db.session.scalars(sa.select(Shipment)).all()
    assert parcel.collect_minor == order.total_minor - 50_000


def test_what_it_paid_comes_back_when_the_rest_does_not_come_in_time(half_paid, run_money):
    order, card_id, _ = half_paid
    hold_ends(order.id, run_money)
    db.session.refresh(order)
    assert order.status == OrderStatus.CANCELLED
    assert balance(card_id) == 50_000


@on_one
def test_cancelling_gives_the_balance_back_once(half_paid, run_jobs):
    order, card_id, _ = half_paid
    attempts.cancel_by_shopper(order.id)
    run_jobs(kinds="payments.")
    run_jobs(kinds="payments.")
    assert balance(card_id) == 50_000
    db.session.refresh(order)
    assert order.payment_status == PaymentStatus.REFUNDED


def test_a_refund_of_its_payment_is_back_on_the_card_at_once(card, run_jobs):
    card_id, code = card
    order = placed_with(code, price=30_000)
    payment = attempts.latest(order.id)
    assert payment
    with transaction():
        request_refund(payment.id, 10_000, [], "goodwill", "user:1")
    assert balance(card_id) == 50_000 - order.total_minor + 10_000
    with pytest.raises(Refused), transaction():
        request_refund(payment.id, order.total_minor, [], "too much", "user:1")


def test_twenty_spend_it_at_once_and_it_is_spent_once(card, app):
    _, code = card
    ball = make_product(stock=50, price=50_000)
    wish = make_wish(make_cart({ball: 1}), gift_code=code)
    wishes = [
        replace(wish, cart_id=make_cart({ball: 1}).id, idempotency_key=f"key of number {number:04}")
        for number in range(20)
    ]
    told: list[str] = []

    def buy(wish: Any) -> None:
        with app.app_context(), app.test_request_context(base_url="http://127.0.0.1:8000"):
            try:
                place(wish)
                told.append("placed")
            except (Refused, FiguresMoved):
                told.append("refused")

    threads = [threading.Thread(target=buy, args=(wish,)) for wish in wishes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.session.rollback()
    assert sorted(told) == ["placed"] + ["refused"] * 19
    assert db.session.scalar(sa.select(sa.func.sum(GiftCardEntry.amount_minor))) == 0


@on_one
def test_a_card_that_cannot_pay_says_why_and_places_nothing(card):
    card_id, code = card
    wish = make_wish(gift_code=code)
    for spoil, words in (
        ({"currency": "SEK"}, "in SEK"),
        ({"expires_at": utcnow() - timedelta(days=1)}, "expired"),
        ({"code_hash": "x"}, "no gift card with this code"),
    ):
        with transaction() as session:
            session.execute(sa.update(GiftCard).where(GiftCard.id == card_id).values(**spoil))
        with pytest.raises(Refused, match=words):
            place(wish)
    assert db.session.scalar(sa.select(sa.func.count(Order.id))) == 0


@on_one
def test_a_blocked_card_is_no_card(card):
    with transaction():
        gift_cards.block(card[0], "user:1")
    with pytest.raises(Refused, match="no gift card with this code"):
        gift_cards.usable(card[1], "INR")


@on_one
def test_an_empty_card_says_so(half_paid):
    with pytest.raises(Refused, match="nothing left"):
        gift_cards.usable(half_paid[2], "INR")


@on_one
def test_it_cannot_be_issued_over_nothing_or_for_yesterday(app):
    for amount, until in ((0, None), (-5, None), (100, in_future(hours=-1))):
        with pytest.raises(Refused), transaction():
            gift_cards.issue(amount, "INR", "user:1", until)


@on_one
def test_a_balance_that_moved_shows_the_new_figures_and_charges_nothing(card):
    from shop.checkout.quoting import quote

    _, code = card
    cart = make_cart({make_product(price=80_000): 1})
    shown = quote(cart.id, rate="standard", method="sandbox", gift_code=code)
    wish = make_wish(cart, gift_code=code, quoted_now_minor=shown.now_minor)
    placed_with(code, price=20_000)
    with pytest.raises(FiguresMoved):
        place(wish)


@on_one
def test_news_of_a_gateway_never_pays_for_a_card(half_paid):
    order = half_paid[0]
    payment = db.session.scalars(sa.select(Payment).where(Payment.gateway == "gift_card")).one()
    event = GatewayEvent(EventKind.CAPTURED, amount_minor=50_000, currency="INR")
    with transaction():
        assert record(event, "gift_card", "webhook", payment.id) == "nothing"
    db.session.refresh(order)
    assert order.payment_status == PaymentStatus.PARTIALLY_PAID
