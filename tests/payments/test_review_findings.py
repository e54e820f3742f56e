"""Money that crosses a cancelling, a refund or another attempt moves no goods and no other money."""

import pytest
import sqlalchemy as sa

from shop.clock import in_future
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import SYSTEM, Actor, Who, advance
from shop.orders.models import Order, OrderStatus, PaymentStatus
from shop.payments import attempts, recording
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.gateways.sandbox import Sandbox
from shop.payments.gateways.transfer_reference import transfer_reference
from shop.payments.models import Payment, Refund
from shop.payments.statements.matching import TWIN
from shop.payments.statements.models import BankStatementLine, LineState
from shop.payments.statements.reading import read_statement
from shop.payments.statements.storing import keep_statement
from shop.preferences import change
from shop.promotions import gift_cards
from shop.promotions.models import GiftCard
from shop.providers import TryLater
from shop.stock import ledger
from shop.stock.models import Reservation, ReservationState, StockLevel
from tests.factories import PASSWORD, make_order, make_product, make_user, pay, sign_in
from tests.payments.conftest import let_only_money_move
from tests.payments.histories import hold_ends
from tests.payments.transfers import csv_of

#: A rule whose statements the other tests, and the histories, bring to the second database.
on_one = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


CARD_MINOR = 50_000


@pytest.fixture(autouse=True)
def in_request(app):
    """Attempts build addresses of pages."""
    with app.test_request_context(base_url=app.extensions["settings"].public_url):
        yield


@pytest.fixture
def begin(shop):
    """`begin("x", make)` copies the order that `make()` brings about where only money moves."""

    def begun(name, make):
        def made():
            let_only_money_move()
            return make().id

        return db.session.get_one(Order, shop.scene(f"review-{name}", made))

    return begun


@pytest.fixture
def code(money_alone, configure):
    """The code of a card of ₹500.00, where only money moves."""
    configure(payment_gateways=("sandbox", "bank_transfer", "cod", "gift_card"))
    with transaction():
        return gift_cards.issue(CARD_MINOR, "INR", "user:1")[1]


def fresh(order):
    return db.session.get_one(Order, order.id, populate_existing=True)


def captured(payment):
    event = GatewayEvent(
        EventKind.CAPTURED, amount_minor=payment.amount_minor, currency=payment.currency
    )
    with transaction():
        return recording.record(event, payment.gateway, "webhook", payment.id)


def refunded(order):
    return sorted(
        db.session.scalars(sa.select(Refund.amount_minor).where(Refund.order_id == order.id))
    )


def sold_out_and_paid_late(run_money, ball):
    """An order whose money waits on the desk, since another bought the last one."""
    order = make_order(lines={ball: 1})
    hold_ends(order.id, run_money)
    pay(make_order(lines={ball: 1}))
    pay(order)
    assert fresh(order).late_money_due_at is not None
    with transaction():
        ledger.receive(ball.variants[0].id, 1, "user:1")
    return order


def test_the_rest_that_comes_after_the_gift_card_was_refilled_goes_back_too(code, run_money):
    ball = make_product(price=80_000, stock=3)
    order = make_order(lines={ball: 1}, gift_code=code)
    hold_ends(order.id, run_money)
    assert db.session.scalar(sa.select(GiftCard.balance_minor)) == CARD_MINOR
    rest = attempts.latest(order.id)
    pay(order)
    run_money()
    assert (fresh(order).status, order.payment_status) == (
        OrderStatus.CANCELLED,
        PaymentStatus.REFUNDED,
    )
    assert refunded(order) == sorted([CARD_MINOR, rest.amount_minor])
    assert db.session.execute(sa.select(StockLevel.on_hand, StockLevel.reserved)).one() == (3, 0)


@on_one
def test_late_money_that_went_back_is_accepted_no_more(money_alone, run_money):
    order = sold_out_and_paid_late(run_money, make_product(stock=1))
    attempts.cancel_by_shopper(order.id)
    run_money()
    assert refunded(order) == [order.total_minor]
    with pytest.raises(Refused, match="gone back"), transaction():
        recording.decide_late(order.id, "accept", "user:1")
    assert fresh(order).status == OrderStatus.CANCELLED


@on_one
def test_money_that_revives_a_cancelled_order_is_not_refunded_for_the_cancelling(begin, run_money):
    order = begin("placed", make_order)
    with transaction():
        advance(fresh(order), "expired", SYSTEM)
    pay(order)
    assert fresh(order).status == OrderStatus.PAID
    run_money()
    assert refunded(order) == []


def test_ending_an_older_attempt_leaves_the_hold_of_a_newer_one(money_alone, run_money):
    order = make_order(lines={make_product(stock=1): 1})
    earlier = attempts.latest(order.id)
    with transaction():
        enqueue(
            "payments.close_attempt", {"payment_id": earlier.id, "frees_stock": True},
            key=str(earlier.id),
        )  # fmt: skip
    attempts.pay(order.id, "bank_transfer")
    run_money()
    assert db.session.scalar(sa.select(Reservation.state)) == ReservationState.ACTIVE
    assert fresh(order).status == OrderStatus.PENDING_PAYMENT


def on_deposit(ships):
    """An order of which 20 % are paid, the rest later."""
    chosen = {"deposit_percent": 20, "deposit_minimum_minor": 50_000, "deposit_ships": ships}
    with transaction():
        for key, value in chosen.items():
            change(key, str(value))
    return pay(make_order(lines={make_product(price=100_000): 1}, by_deposit=True))


@on_one
def test_a_plan_holds_the_stock_for_weeks_and_a_page_for_minutes(begin):
    order = begin("deposit", lambda: on_deposit("paid_in_full"))
    attempts.pay(order.id, "sandbox")
    assert db.session.scalar(sa.select(Reservation.expires_at)) > in_future(hours=24)
    assert attempts.latest(order.id).expires_at < in_future(hours=1)


@on_one
def test_an_instalment_for_a_cancelled_order_goes_back(money_alone, run_money):
    order = on_deposit("deposit_paid")
    attempts.pay(order.id, "sandbox")
    instalment = attempts.latest(order.id)
    with transaction():
        advance(fresh(order), "cancelled", Actor(Who.ADMIN, "user:1"))
    run_money()
    assert captured(db.session.get_one(Payment, instalment.id)) == "late"
    assert instalment.amount_minor in refunded(order)
    assert fresh(order).status == OrderStatus.CANCELLED


@on_one
def test_delivered_by_hand_takes_only_the_cash_that_a_gift_card_left(code, new_client):
    order = make_order(
        "processing", method="cod", lines={make_product(price=80_000): 1}, gift_code=code
    )
    browser, address = new_client(), f"/admin/orders/{order.number}"
    sign_in(browser, make_user("manager"), PASSWORD)
    for event in ("packed", "shipped", "delivered"):
        browser.post_form(f"{address}/transition", {"event": event})
    assert (fresh(order).status, order.payment_status) == (
        OrderStatus.DELIVERED,
        PaymentStatus.PAID,
    )
    assert db.session.scalar(sa.select(sa.func.sum(Payment.captured_minor))) == order.total_minor
    assert order.attention is None


@on_one
def test_a_lost_dispute_of_money_that_came_twice_leaves_the_order_paid(begin):
    order = begin("placed", make_order)
    earlier = attempts.latest(order.id)
    attempts.pay(order.id, "bank_transfer")
    assert captured(attempts.latest(order.id)) == "captured"
    assert captured(db.session.get_one(Payment, earlier.id)) == "second"
    for kind in (EventKind.DISPUTE_OPENED, EventKind.DISPUTE_LOST):
        event = GatewayEvent(kind, amount_minor=earlier.amount_minor, dispute_gateway_id="dp-1")
        with transaction():
            recording.record(event, "sandbox", "webhook", earlier.id)
    assert fresh(order).status == OrderStatus.PAID
    assert [line.refunded_minor for line in order.lines] == [0, 0]


@pytest.mark.parametrize(
    ("engine", "first", "second"),
    [("sqlite", "", "A1"), pytest.param("postgresql", "A1", "", marks=pytest.mark.pg)],
    indirect=["engine"],
)
def test_a_transfer_that_two_files_tell_differently_waits_for_a_person(
    begin, run_money, first, second
):
    order = begin("transfer", lambda: make_order(method="bank_transfer"))
    reference = transfer_reference(attempts.latest(order.id).reference)
    for bank_id in (first, second):
        data = csv_of((order.total_minor, f"pmt {reference} {bank_id}", bank_id))
        with transaction():
            keep_statement(read_statement(data, "INR"), "bank.csv", data, "user:1")
        run_money()
    lines = sa.select(BankStatementLine.state, BankStatementLine.remark)
    assert db.session.execute(lines.order_by(BankStatementLine.id)).all() == [
        (LineState.MATCHED, ""),
        (LineState.UNMATCHED, TWIN),
    ]
    assert refunded(order) == []


@on_one
def test_a_gateway_that_does_not_open_leaves_the_hold_of_who_has_paid_a_part(begin, monkeypatch):
    order = begin("deposit", lambda: on_deposit("paid_in_full"))

    def refused(self, request):
        raise TryLater("HTTP 503")

    monkeypatch.setattr(Sandbox, "open", refused)
    attempts.pay(order.id, "sandbox")
    assert fresh(order).status == OrderStatus.PAYMENT_FAILED
    assert db.session.scalar(sa.select(Reservation.state)) == ReservationState.ACTIVE
