"""Takings add up by the shop's days, and every difference to a gateway's own list is a line."""

from datetime import UTC, date, datetime, timedelta
from secrets import token_hex
from typing import Any

import pytest
import sqlalchemy as sa

from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.queue import enqueue
from shop.payments import attempts, takings
from shop.payments.comparing import words_of
from shop.payments.models import Payment, PaymentDifference, Refund
from shop.payments.refunds import request_refund
from shop.sandbox.models import SandboxPayment
from tests.factories import make_order, make_product
from tests.payments.conftest import let_only_money_move

#: What the second database proves nothing more of.
on_one = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def paid(price: int = 10_000, **facts: Any) -> Payment:
    """A payment by the sandbox, with facts that the gateway told of it."""
    order = make_order("paid", lines={make_product(price=price): 1})
    payment = attempts.latest(order.id)
    assert payment
    with transaction() as session:
        session.execute(sa.update(Payment).where(Payment.id == payment.id).values(**facts))
    return payment


def beside(payment: Payment, **facts: Any) -> None:
    """One more like it, of the same order: a report of payments asks for nothing else."""
    columns = Payment.__table__.c
    new = {name: token_hex(8) for name in ("reference", "gateway_id", "idempotency_key")}
    kept = [column for column in columns if column.name not in {"id", *new, *facts}]
    with transaction() as session:
        row = session.execute(sa.select(*kept).where(columns.id == payment.id)).mappings().one()
        session.execute(sa.insert(Payment).values(**row, **new, **facts))


def refunded(payment: Payment, amount: int, run_money: Any) -> None:
    with transaction():
        request_refund(payment.id, amount, [], "goodwill", "user:1")
    run_money()


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def test_a_day_is_the_shops_own_and_captured_less_refunds_and_fees_is_the_payout(
    money_alone, run_money
):
    # Midnight in Kolkata is half past six in the evening, UTC.
    first = paid(captured_at=at(4, 18, 29), fee_minor=300)
    second = paid(20_000, captured_at=at(4, 18, 30), fee_minor=None)
    refunded(first, 5_000, run_money)
    with transaction() as session:
        session.execute(sa.update(Refund).values(finished_at=at(4, 19)))
    rows = takings.between(date(2026, 3, 1), date(2026, 3, 31))
    db.session.refresh(first)
    db.session.refresh(second)
    shown = [
        (row.day, row.captured_minor, row.refunded_minor, row.fees_minor, row.without_fee)
        for row in rows
    ]
    assert shown == [
        (date(2026, 3, 5), second.captured_minor, 5_000, 0, 1),
        (date(2026, 3, 4), first.captured_minor, 0, 300, 0),
    ]
    assert rows[0].payout_minor == second.captured_minor - 5_000
    (total,) = takings.totals(rows)
    assert total.payments == 2
    assert total.payout_minor == first.captured_minor + second.captured_minor - 5_300


@on_one
def test_the_report_takes_three_statements_whatever_was_sold(settled, sql_count):
    paid()
    with sql_count() as told:
        takings.between(utcnow().date() - timedelta(days=1), utcnow().date() + timedelta(days=1))
    assert len(told) == 3


# --- differences --------------------------------------------------------------------------------


def compare(run_money: Any, **payload: Any) -> list[str]:
    """The nightly comparison; the lines that are open after it."""
    with transaction():
        enqueue("payments.reconcile", payload, key="test")
    run_money()
    open_ones = sa.select(PaymentDifference).where(PaymentDifference.settled_at.is_(None))
    db.session.rollback()
    return [words_of(one) for one in db.session.scalars(open_ones.order_by(PaymentDifference.id))]


@pytest.fixture
def settled(shop: Any, live: str, configure: Any) -> Payment:
    """A payment of two hours ago, by the sandbox over HTTP."""
    configure(sandbox_api_base=live, payment_gateways=("sandbox", "bank_transfer", "cod"))

    def make() -> int:
        let_only_money_move()
        return paid(captured_at=utcnow() - timedelta(hours=2)).id

    return db.session.get_one(Payment, shop.scene("settled_payment", make))


def at_the_gateway(payment: Payment, **values: Any) -> None:
    with transaction() as session:
        session.execute(
            sa.update(SandboxPayment)
            .where(SandboxPayment.reference == payment.reference)
            .values(**values)
        )


@pytest.mark.forces("difference")
def test_books_that_agree_have_no_line_and_another_amount_is_one_until_it_is_settled(
    settled, run_money
):
    """And an incident."""
    assert compare(run_money) == []
    amount = settled.captured_minor
    at_the_gateway(settled, amount_minor=amount - 100)
    for _ in range(2):
        (line,) = compare(run_money)
        assert settled.reference in line
    issues = db.session.scalars(sa.select(Incident.issue)).all()
    assert len([one for one in issues if "our books differ" in one]) == 1
    at_the_gateway(settled, amount_minor=amount)
    assert compare(run_money) == []


def test_what_they_do_not_list_is_a_line(settled, run_money):
    with transaction() as session:
        session.execute(sa.delete(SandboxPayment))
    assert compare(run_money) == [f"payment {settled.reference}: ours ₹199.00, theirs none"]


@on_one
def test_what_moved_within_the_hour_is_none_yet(settled, run_money):
    with transaction() as session:
        session.execute(sa.update(Payment).values(captured_at=utcnow()))
        session.execute(sa.delete(SandboxPayment))
    assert compare(run_money) == []


def test_money_that_we_never_saw_is_a_line(settled, run_money):
    with transaction() as session:
        session.execute(sa.update(SandboxPayment).values(reference="NOBODY", public_id="sb_nobody"))
        session.execute(sa.update(Payment).values(gateway_id="elsewhere", captured_at=utcnow()))
    (line,) = compare(run_money)
    assert "ours none" in line


@on_one
def test_a_line_is_judged_only_by_a_comparison_that_reaches_back_to_it(settled, run_money):
    amount = settled.captured_minor
    at_the_gateway(settled, amount_minor=amount - 100)
    assert len(compare(run_money)) == 1
    earlier = utcnow() - timedelta(days=5)
    at_the_gateway(settled, amount_minor=amount, created_at=earlier)
    with transaction() as session:
        session.execute(sa.update(Payment).values(created_at=earlier))
        session.execute(sa.update(PaymentDifference).values(happened_at=earlier))
    assert len(compare(run_money)) == 1
    assert compare(run_money, days=30) == []


# --- payouts ------------------------------------------------------------------------------------


@pytest.mark.breaks_books  # one order with the money of seven
def test_payments_of_the_days_stand_by_their_payout_and_those_without_together(
    money_alone, sql_count
):
    first = paid(gateway="razorpay", payout_reference="setl_0", captured_at=at(2, 12))
    for minute, (gateway, payout, fee) in enumerate(
        [
            ("razorpay", "setl_1", 300), ("razorpay", "setl_1", 200), ("razorpay", "setl_2", 100),
            ("razorpay", None, None), ("sandbox", None, 5), ("swish", None, None),
        ]
    ):  # fmt: skip
        told = {"payout_reference": payout, "fee_minor": fee, "captured_at": at(4, 12, minute)}
        beside(first, gateway=gateway, **told)
    one = int(db.session.scalar(sa.select(sa.func.max(Payment.captured_minor))) or 0)
    db.session.rollback()
    with sql_count() as told:
        rows = takings.payouts(date(2026, 3, 4), date(2026, 3, 4))
    assert len(told) == 1
    assert [(row.reference, row.payments, row.without_fee, row.net_minor) for row in rows] == [
        (None, 1, 1, one), ("setl_2", 1, 0, one - 100), ("setl_1", 2, 0, 2 * one - 500),
    ]  # fmt: skip


@on_one
def test_the_screens_name_payouts_and_what_is_not_paid_out_yet(money_alone, staff):
    first = paid(gateway="razorpay", payout_reference="setl_1", fee_minor=250)
    browser = staff("owner")
    number = first.order.number
    paid(gateway="paystack")
    page = browser.get("/admin/takings").text
    assert "setl_1" in page
    assert "Not paid out yet" in page
    assert "₹196.50" in page
    assert "paid out by setl_1" in browser.get(f"/admin/orders/{number}").text


# --- the screen ---------------------------------------------------------------------------------


@on_one
def test_the_screen_shows_days_totals_and_differences(settled, run_money, staff):
    at_the_gateway(settled, amount_minor=1)
    compare(run_money)
    page = staff("manager").get("/admin/takings").text
    assert "Sandbox" in page
    assert settled.reference.lower() in page.lower()
    assert "₹199.00" in page


@on_one
def test_the_export_is_the_same_in_major_units(settled, staff):
    with transaction() as session:
        session.execute(sa.update(Payment).values(captured_at=at(4, 12), fee_minor=250))
    answer = staff("manager").get("/admin/takings.csv?first=2026-03-01&last=2026-03-31")
    assert answer.mimetype == "text/csv"
    assert answer.text.splitlines()[1] == (
        "2026-03-04,sandbox,INR,1,199.00,0.00,0.00,2.50,0,196.50"
    )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_days_that_are_none_are_refused_in_words(staff):
    browser = staff("manager")
    none = ("first=yesterday", "first=2026-03-02&last=2026-03-01", "first=2020-01-01&last=2026-01-01")  # fmt: skip
    for days in none:
        for path in ("/admin/takings", "/admin/takings.csv"):
            assert browser.get(f"{path}?{days}").status_code == 422, days


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_support_does_not_see_takings(staff):
    assert staff("support").get("/admin/takings").status_code == 403
