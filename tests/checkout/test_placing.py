"""Placing: once, at today's prices, with all of the stock or none."""

import re
import threading
from dataclasses import replace

import pytest
import sqlalchemy as sa

from shop.cart.models import Cart, CartLine
from shop.catalog.models import VariantPrice
from shop.checkout.placing import CartGone, FiguresMoved, StockGone, place
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.orders.models import Order, OrderEvent, OrderStatus, PaymentStatus
from shop.orders.numbers import draw_number
from shop.payments.gateways.transfer_reference import shown, transfer_reference
from shop.payments.models import AttemptStatus, Payment, PaymentPart
from shop.stock.models import Reservation, ReservationState, StockLevel
from tests.factories import make_cart, make_product, make_wish


@pytest.fixture(autouse=True)
def in_request(app):
    """Placing builds addresses of pages."""
    with app.test_request_context(base_url=app.extensions["settings"].public_url):
        yield


def level_of(product):
    return db.session.scalar(
        sa.select(StockLevel).where(StockLevel.variant_id == product.variants[0].id)
    )


def test_an_order_holds_its_stock_and_opens_one_attempt(app):
    ball, net = make_product(stock=5), make_product("Net", stock=2, price=99_900)
    placed = place(make_wish(make_cart({ball: 2, net: 1})))
    order = db.session.get_one(Order, placed.order_id)
    assert re.fullmatch(r"\d{4}\.\d{3,}", order.number)
    assert order.status == OrderStatus.PENDING_PAYMENT
    assert order.payment_status == PaymentStatus.PENDING
    assert order.subtotal_minor == 2 * 49_900 + 99_900
    assert order.total_minor == order.subtotal_minor + order.shipping_minor
    assert [level_of(ball).reserved, level_of(net).reserved] == [2, 1]
    payment = db.session.scalars(sa.select(Payment)).one()
    assert payment.status == AttemptStatus.OPEN
    assert payment.amount_minor == order.total_minor
    assert placed.is_external
    assert "/sandbox/pay/" in placed.url
    kinds = list(db.session.scalars(sa.select(OrderEvent.kind)))
    assert kinds == ["placed"]


def test_the_same_form_sent_five_times_makes_one_order(app):
    wish = make_wish()
    urls = {place(wish).url for _ in range(5)}
    assert len(urls) == 1
    assert db.session.scalar(sa.select(sa.func.count(Order.id))) == 1
    assert db.session.scalar(sa.select(sa.func.count(Payment.id))) == 1


def test_two_tabs_of_one_cart_make_one_order(app):
    cart = make_cart()
    first, second = make_wish(cart), make_wish(cart)
    assert place(first).order_id == place(second).order_id


def test_a_cart_that_was_bought_and_paid_is_no_checkout_any_more(app):
    cart = make_cart()
    wish = make_wish(cart)
    again = replace(wish, idempotency_key="another form")
    placed = place(wish)
    from tests.factories import bring

    bring(db.session.get_one(Order, placed.order_id), OrderStatus.PAID)
    with pytest.raises(CartGone):
        place(again)


def test_a_price_that_moved_stops_and_shows_the_new_total(app):
    ball = make_product(price=49_900)
    wish = make_wish(make_cart({ball: 1}))
    with transaction():
        db.session.execute(sa.update(VariantPrice).values(amount_minor=39_900))
    with pytest.raises(FiguresMoved) as moved:
        place(wish)
    assert moved.value.status == 409
    assert "₹499.00 to ₹399.00" in moved.value.changes[0]
    assert moved.value.quote.lines[0].unit_price_minor == 39_900
    assert db.session.scalar(sa.select(sa.func.count(Order.id))) == 0
    assert db.session.scalars(sa.select(Cart)).one().ordered_at is None
    assert level_of(ball).reserved == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_total_made_up_in_the_form_is_refused(app):
    with pytest.raises(FiguresMoved):
        place(replace(make_wish(), quoted_total_minor=1))
    assert db.session.scalar(sa.select(sa.func.count(Order.id))) == 0


def test_what_is_sold_out_names_what_is_left_and_holds_nothing(app):
    ball, net = make_product("Ball", stock=5), make_product("Net", stock=1)
    cart = make_cart({ball: 3, net: 1})
    wish = make_wish(cart)
    place(make_wish(make_cart({ball: 4})))
    with pytest.raises(StockGone) as gone:
        place(wish)
    assert "Only 1 of Halflong Ball left. We took 2 off your order." in gone.value.changes
    line = db.session.scalars(
        sa.select(CartLine).where(CartLine.variant_id == ball.variants[0].id, CartLine.cart_id == cart.id)
    ).one()  # fmt: skip
    assert line.quantity == 1
    assert level_of(net).reserved == 0
    placed = place(make_wish(cart))
    assert db.session.get_one(Order, placed.order_id).lines[0].quantity == 1


def test_cash_on_delivery_is_confirmed_at_once_and_has_its_fee(app):
    ball = make_product(stock=3)
    placed = place(make_wish(make_cart({ball: 1}), method="cod"))
    order = db.session.get_one(Order, placed.order_id)
    assert order.status == OrderStatus.PROCESSING
    assert order.fee_minor == 4_900
    assert order.payment_status == PaymentStatus.NOT_PAID
    assert (level_of(ball).on_hand, level_of(ball).reserved) == (2, 0)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("method", "address", "words"),
    [
        ("cod", {"country": "SE", "postal_code": "11122"}, "Only for deliveries in India."),
        ("stripe", {}, "Choose how you want to pay."),
        ("no-such-method", {}, "Choose how you want to pay."),
    ],
)
def test_a_way_to_pay_that_does_not_fit_is_refused_with_the_reason(app, method, address, words):
    wish = make_wish(address=address)
    with pytest.raises(Refused) as refused:
        place(replace(wish, method=method))
    assert words in str(refused.value)
    assert db.session.scalar(sa.select(sa.func.count(Order.id))) == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_more_of_one_thing_than_the_limit_is_refused(app):
    ball = make_product(stock=500)
    with pytest.raises(Refused, match="Not more than 20"):
        place(make_wish(make_cart({ball: 21})))


def test_bank_transfer_is_held_for_three_days_with_instructions(app):
    from shop.clock import utcnow

    placed = place(make_wish(method="bank_transfer"))
    payment = db.session.scalars(sa.select(Payment)).one()
    order = db.session.get_one(Order, placed.order_id)
    rows = dict(payment.next_step["rows"])
    assert rows["Reference"] == shown(transfer_reference(payment.reference))
    assert rows["Pay by"]
    assert rows["Amount"] == f"₹{order.total_minor / 100:,.2f}"
    held_until = db.session.scalars(sa.select(Reservation.expires_at)).one()
    assert 71 * 3600 < (held_until - utcnow()).total_seconds() < 73 * 3600


def test_parts_sum_to_what_is_due(app):
    placed = place(make_wish())
    parts = db.session.scalars(sa.select(PaymentPart.amount_minor)).all()
    assert sum(parts) == db.session.get_one(Order, placed.order_id).total_minor


def test_two_hundred_parallel_drawings_give_two_hundred_numbers(app):
    drawn, lock = [], threading.Lock()

    def draw():
        with app.app_context():
            for _ in range(25):
                number = draw_number()
                with lock:
                    drawn.append(number)

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(drawn)) == len(drawn) == 200


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_shops_time_zone_decides_the_month(app, turn_clock):
    from datetime import UTC, datetime

    turn_clock(datetime(2026, 11, 30, 19, 0, tzinfo=UTC))
    assert draw_number().startswith("2612.")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_placing_needs_few_statements_however_many_tabs_are_open(app, sql_count):
    wish = make_wish(make_cart({make_product(): 1}))
    with sql_count() as told:
        place(wish)
    shops_own = [line for line in told if "sandbox_payments" not in line]
    assert len(shops_own) <= 17, "\n".join(shops_own)


def test_a_gateway_that_refuses_frees_the_stock_and_says_what_to_do(app, configure):
    configure(sandbox_api_base="http://127.0.0.1:9")
    ball = make_product(stock=1)
    placed = place(make_wish(make_cart({ball: 1})))
    order = db.session.get_one(Order, placed.order_id)
    assert placed.url.endswith(f"/orders/{order.token}/pay")
    assert order.status == OrderStatus.PAYMENT_FAILED
    assert level_of(ball).reserved == 0
    assert db.session.scalars(sa.select(Reservation.state)).one() == ReservationState.EXPIRED
    payment = db.session.scalars(sa.select(Payment)).one()
    assert payment.status == AttemptStatus.FAILED
    assert "Choose another way to pay" in payment.failure_words
