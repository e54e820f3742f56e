"""A dispute, a refund and a late payment that cross: money goes out once, and what stays has a desk."""

import copy

import pytest
import sqlalchemy as sa

from shop.clock import utcnow
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.jobs.models import Job
from shop.orders.lifecycle import Actor, Who, advance
from shop.orders.models import Order, OrderStatus
from shop.payments import attempts, recording
from shop.payments.excess import excess_minor, give_back_excess
from shop.payments.gateways import GATEWAYS
from shop.payments.models import AttemptStatus, Payment, Refund, RefundStatus
from shop.payments.refunds import LOST_WORDS, RefundLine, request_refund
from shop.preferences import change
from shop.promotions import gift_cards
from tests.factories import make_order, make_product
from tests.payments import memory_gateway
from tests.payments.conftest import let_only_money_move
from tests.payments.histories import hold_ends

#: A rule whose statements the other tests, and the histories, bring to the second database.
on_one = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


either_way = pytest.mark.parametrize(
    ("engine", "outcome"),
    [
        ("sqlite", "won"),
        ("sqlite", "lost"),
        pytest.param("postgresql", "won", marks=pytest.mark.pg),
    ],
    indirect=["engine"],
)
ADMIN = Actor(Who.ADMIN, "user:1")


@pytest.fixture(autouse=True)
def provider(app, monkeypatch):
    """The provider's side, in memory; attempts build addresses of pages."""
    monkeypatch.setitem(GATEWAYS, "sandbox", "tests.payments.memory_gateway:MemoryGateway")
    with app.test_request_context(base_url=app.extensions["settings"].public_url):
        yield memory_gateway.fresh()


@pytest.fixture
def begin(shop, provider):
    """`begin("paid", make)` copies the order and payment that `make()` returns, and the provider's pages."""

    def begun(name, make):
        def made():
            let_only_money_move()
            order, payment = make()
            return order.id, payment.id, copy.deepcopy(provider.pages)

        order_id, payment_id, pages = shop.scene(f"crossing-{name}", made)
        provider.pages = copy.deepcopy(pages)
        return db.session.get_one(Order, order_id), db.session.get_one(Payment, payment_id)

    return begun


def fresh(order):
    return db.session.get_one(Order, order.id, populate_existing=True)


def placed(**more):
    """An order with its page open at the provider, and that payment."""
    order = make_order(lines={make_product(price=100_000, stock=1): 1}, **more)
    return order, attempts.latest(order.id)


def paid_at(provider, payment, amount=None):
    """The shopper pays on the page, and the news of it arrives."""
    page = provider.pages[payment.reference]
    page.state, page.captured = "paid", amount or page.amount
    return tell(page.news())


def tell(event):
    with transaction():
        return recording.record(event, "sandbox", "webhook")


def paid(provider, **more):
    """A paid order and its payment."""
    order, payment = placed(**more)
    paid_at(provider, payment)
    return fresh(order), payment


@pytest.fixture
def the_paid(begin, provider):
    """A paid order and its payment, copied."""
    return begin("paid", lambda: paid(provider))


@pytest.fixture
def the_placed(begin):
    """An order whose page is open, and its payment, copied."""
    return begin("placed", placed)


def disputed(provider, payment, stands):
    """The dispute of a payment stands so at the provider, who tells of it."""
    page = provider.pages[payment.reference]
    page.dispute = stands
    return tell(page.dispute_news())


def refund_asked(payment, amount):
    with transaction():
        return request_refund(payment.id, amount, [], "goodwill", "user:1").id


def the(refund_id):
    return db.session.get_one(Refund, refund_id, populate_existing=True)


# --- refunds and disputes ---------------------------------------------------------------------


@either_way
def test_a_refund_waits_while_its_payment_is_disputed(provider, the_paid, run_money, outcome):
    order, payment = the_paid
    refund = refund_asked(payment, 30_000)
    disputed(provider, payment, "open")
    run_money()
    assert the(refund).status == RefundStatus.REQUESTED
    assert provider.pages[payment.reference].refunds == {}
    failed = sa.select(Job.id).where(Job.kind == "payments.refund", Job.status == "failed")
    assert db.session.scalar(failed) is None
    disputed(provider, payment, outcome)
    run_money()
    db.session.refresh(payment)
    if outcome == "won":
        assert the(refund).status == RefundStatus.SUCCEEDED
        assert payment.refunded_minor == 30_000
    else:
        assert (the(refund).status, the(refund).failure_words) == (RefundStatus.FAILED, LOST_WORDS)
        assert payment.refund_held_minor == 0
        assert [line.refunded_quantity for line in fresh(order).lines] == [1]


@on_one
def test_a_refund_that_may_have_left_is_asked_for_after_a_lost_dispute_and_not_made(
    provider, the_paid, run_money
):
    order, payment = the_paid
    refund = refund_asked(payment, 30_000)
    provider.moods = ["later"]
    run_money()
    assert the(refund).sent_at is not None
    disputed(provider, payment, "open")
    run_money(ahead=300)
    disputed(provider, payment, "lost")
    run_money(ahead=600)
    assert (the(refund).status, the(refund).failure_words) == (RefundStatus.FAILED, LOST_WORDS)
    assert provider.pages[payment.reference].refunds == {}
    assert fresh(order).status == OrderStatus.REFUNDED
    assert [line.refunded_quantity for line in order.lines] == [1]


@on_one
def test_what_is_lost_is_not_given_back_as_excess(provider, the_placed):
    order, payment = the_placed
    paid_at(provider, payment, 150_000)
    assert excess_minor(fresh(order)) > 0
    disputed(provider, payment, "open")
    with pytest.raises(Refused, match="disputed"), transaction():
        give_back_excess(order.id, "user:1")
    disputed(provider, payment, "lost")
    assert excess_minor(fresh(order)) == 0


@on_one
def test_one_of_two_payments_lost_leaves_the_other_for_a_person(provider, money_alone, configure):
    configure(payment_gateways=("sandbox", "bank_transfer", "cod", "gift_card"))
    with transaction():
        code = gift_cards.issue(50_000, "INR", "user:1")[1]
    order, payment = paid(provider, gift_code=code)
    assert payment.amount_minor == order.total_minor - 50_000
    disputed(provider, payment, "open")
    disputed(provider, payment, "lost")
    assert fresh(order).status == OrderStatus.REFUNDED
    assert "₹500.00 of the order is still here" in order.attention


@either_way
def test_late_money_that_was_disputed_does_not_stay_with_a_cancelled_order(
    provider, begin, run_money, outcome
):
    def make():
        ball = make_product(price=100_000, stock=1)
        order = make_order(lines={ball: 1})
        payment = attempts.latest(order.id)
        hold_ends(order.id, run_money)
        with transaction():
            advance(fresh(order), "cancelled", ADMIN)
        paid_at(provider, attempts.latest(make_order(lines={ball: 1}).id))
        run_money()
        paid_at(provider, payment)
        return order, payment

    order, payment = begin("late", make)
    assert fresh(order).late_money_due_at is not None
    disputed(provider, payment, "open")
    assert fresh(order).late_money_due_at is None
    disputed(provider, payment, outcome)
    run_money()
    db.session.refresh(payment)
    assert payment.refunded_minor == (payment.captured_minor if outcome == "won" else 0)
    ends = {"won": OrderStatus.CANCELLED, "lost": OrderStatus.REFUNDED}
    assert (fresh(order).status, order.attention) == (ends[outcome], None)


# --- money that comes for nothing -------------------------------------------------------------


@pytest.fixture
def on_deposit(begin, provider):
    """An order that leaves once 20 % are paid, that payment, and the open one of the next part."""
    chosen = {
        "deposit_percent": 20,
        "deposit_minimum_minor": 50_000,
        "deposit_ships": "deposit_paid",
    }

    def make():
        with transaction():
            for key, value in chosen.items():
                change(key, str(value))
        order, deposit = paid(provider, by_deposit=True)
        attempts.pay(order.id, "sandbox")
        return order, deposit

    order, deposit = begin("deposit", make)
    return order, deposit, attempts.latest(order.id)


def test_an_instalment_for_a_refunded_order_goes_back(provider, on_deposit, run_money):
    order, deposit, instalment = on_deposit
    refund_asked(deposit, deposit.amount_minor)
    run_money()
    assert fresh(order).status == OrderStatus.REFUNDED
    assert paid_at(provider, instalment) == "late"
    run_money()
    db.session.refresh(instalment)
    assert instalment.refunded_minor == instalment.captured_minor
    assert (fresh(order).status, order.attention) == (OrderStatus.REFUNDED, None)


@on_one
def test_cancelling_what_is_being_packed_ends_the_page_of_an_instalment(
    provider, on_deposit, run_money
):
    order, _, instalment = on_deposit
    with transaction():
        advance(fresh(order), "cancelled", ADMIN)
    run_money()
    db.session.refresh(instalment)
    assert instalment.status == AttemptStatus.SUPERSEDED
    assert provider.pages[instalment.reference].state == "cancelled"


@on_one
def test_too_little_for_a_cancelled_order_goes_back_by_itself(provider, the_placed, run_money):
    order, payment = the_placed
    with transaction():
        advance(fresh(order), "cancelled", ADMIN)
    assert paid_at(provider, payment, 100) == "late"
    run_money()
    db.session.refresh(payment)
    assert payment.refunded_minor == 100
    assert (fresh(order).status, order.attention) == (OrderStatus.CANCELLED, None)


@on_one
def test_a_part_that_is_paid_beyond_itself_says_when_the_rest_can_go_back(provider, money_alone):
    chosen = {"deposit_percent": 20, "deposit_minimum_minor": 50_000}
    with transaction():
        for key, value in chosen.items():
            change(key, str(value))
    order, deposit = placed(by_deposit=True)
    paid_at(provider, deposit, deposit.amount_minor + 100)
    assert excess_minor(fresh(order)) == 0
    assert "once the order is paid in full" in order.attention
    attempts.pay(order.id, "sandbox")
    while (rest := attempts.latest(order.id)).status == AttemptStatus.OPEN:
        paid_at(provider, rest)
        attempts.pay(order.id, "sandbox")
    assert excess_minor(fresh(order)) == 100


# --- pages ------------------------------------------------------------------------------------


@on_one
def test_nobody_is_sent_to_a_page_whose_time_is_over(the_placed):
    order, earlier = the_placed
    assert attempts.has_open_page(earlier)
    with transaction() as session:
        session.execute(sa.update(Payment).values(expires_at=utcnow()))
    db.session.refresh(earlier)
    assert not attempts.has_open_page(earlier)
    on = attempts.pay(order.id, "sandbox")
    assert attempts.latest(order.id).id != earlier.id
    assert on.url == attempts.latest(order.id).next_step["url"]


# --- locks ------------------------------------------------------------------------------------


def test_a_refund_locks_stock_before_sellers_as_a_sale_does(provider, money_alone, sql_count):
    with sql_count() as sold:
        order, payment = paid(provider)
    line = order.lines[0]
    asked = [RefundLine(line.id, 1, line.total_minor, restock=True)]
    with sql_count() as refunded, transaction():
        request_refund(payment.id, payment.captured_minor, asked, "returned", "user:1")
    for told in (sold, refunded):
        tables = [
            name for one in told for name in ("stock_levels", "sellers") if changes(one, name)
        ]
        assert tables[-1] == "sellers"
        assert "stock_levels" in tables
        assert tables == sorted(tables, reverse=True)


def changes(statement, table):
    """True for an update of the table."""
    return statement.upper().startswith(f"UPDATE {table.upper()} ")
