"""Orders that are paid in parts: two methods, a deposit and instalments."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shop.clock import utcnow
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.queue import enqueue
from shop.messaging.models import Notification
from shop.orders.models import Order, OrderStatus, PaymentStatus
from shop.payments import attempts, parts
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import LIVE, AttemptStatus, PartStatus, Payment, PaymentPart, Refund
from shop.payments.recording import record
from shop.preferences import change
from shop.promotions import gift_cards
from shop.stock import reservations
from tests.factories import make_order, make_product, pay
from tests.payments.histories import hold_ends

#: A rule whose statements the other tests, and the histories, bring to the second database.
on_one = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def prefer(**values: Any) -> None:
    with transaction():
        for key, value in values.items():
            change(key, str(value))


def amounts(order: Order) -> list[tuple[int, str]]:
    return [(part.amount_minor, part.status.value) for part in parts.of_order(order.id)]


def status_of(order: Order) -> tuple[OrderStatus, PaymentStatus]:
    db.session.rollback()
    db.session.refresh(order)
    return order.status, order.payment_status


# --- two methods ------------------------------------------------------------------------------


def make_whole() -> int:
    return make_order(lines={make_product(price=60_000): 1}).id


@pytest.fixture
def whole(shop: Any) -> Order:
    """An order of one part, whose payment is open."""
    return db.session.get_one(Order, shop.scene("one_part", make_whole))


@pytest.fixture
def in_two(shop: Any, client: Any) -> Order:
    """An order of which ₹100.00 are being paid by the sandbox, the rest to be paid by another way."""

    def make() -> int:
        key = make_whole()
        page = f"/orders/{db.session.get_one(Order, key).token}/pay"
        answer = client.post_form(page, {"method": "sandbox", "first": "100.00"})
        assert answer.status_code == 303
        return key

    return db.session.get_one(Order, shop.scene("in_two_parts", make))


def live_of(order: Order) -> list[Payment]:
    return list(
        db.session.scalars(
            sa.select(Payment).where(Payment.order_id == order.id, Payment.status.in_(LIVE))
        )
    )


def test_two_methods_are_paid_one_after_the_other_and_one_is_live_at_a_time(in_two, client):
    assert amounts(in_two) == [(10_000, "due"), (in_two.total_minor - 10_000, "due")]
    assert [one.amount_minor for one in live_of(in_two)] == [10_000]
    pay(in_two)
    assert status_of(in_two) == (OrderStatus.PENDING_PAYMENT, PaymentStatus.PARTIALLY_PAID)
    page = client.get(f"/orders/{in_two.token}/pay").text
    assert f"Pay ₹{(in_two.total_minor - 10_000) / 100:,.2f}" in page
    attempts.pay(in_two.id, "bank_transfer")
    assert [one.gateway for one in live_of(in_two)] == ["bank_transfer"]
    attempts.pay(in_two.id, "sandbox")
    pay(in_two)
    assert status_of(in_two) == (OrderStatus.PAID, PaymentStatus.PAID)


def test_the_first_part_goes_back_when_the_rest_does_not_come_before_the_hold_ends(
    in_two, run_money
):
    pay(in_two)
    hold_ends(in_two.id, run_money)
    run_money()
    assert status_of(in_two) == (OrderStatus.CANCELLED, PaymentStatus.REFUNDED)
    (refund,) = db.session.scalars(sa.select(Refund)).all()
    assert (refund.amount_minor, refund.status.value) == (10_000, "succeeded")


@on_one
def test_money_for_the_whole_that_an_earlier_attempt_still_brings_goes_back(in_two, run_money):
    earlier = db.session.scalars(
        sa.select(Payment).where(Payment.status == AttemptStatus.SUPERSEDED)
    ).one()
    event = GatewayEvent(EventKind.CAPTURED, amount_minor=earlier.amount_minor, currency="INR")
    with transaction():
        assert record(event, "sandbox", "webhook", earlier.id) == "second"
    assert db.session.scalars(sa.select(Refund.amount_minor)).all() == [earlier.amount_minor]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_amount_that_is_none_is_refused_beside_its_field_with_what_was_typed(whole, client):
    order_id, url = whole.id, f"/orders/{whole.token}/pay"
    for first in ("0", "-1", "1e3", "9999999", "12.345", "all", "٣"):
        fields = {"method": "sandbox", "first": first, "csrf_token": client.csrf_token()}
        answer = client.post(url, data=fields, headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status_code == 422, first
        assert "first-error" in answer.text, first
        assert f'value="{first}"' in answer.text, first
        assert len(parts.of_order(order_id)) == 1, first


@on_one
def test_an_order_is_not_split_without_end(whole):
    with pytest.raises(Refused, match="too many parts"):
        for _ in range(12):
            with transaction():
                part = parts.awaited(whole)
                assert part
                parts.split(whole, part, part.amount_minor // 2)


# --- a deposit and instalments ----------------------------------------------------------------


def offer_plan(**more: Any) -> None:
    """20 % now, the rest in two parts, 30 and 60 days later."""
    prefer(
        deposit_percent=20, deposit_minimum_minor=50_000, instalments=2, instalment_days=30, **more
    )  # fmt: skip


@pytest.fixture
def plan(app: Any) -> None:
    """The plan is on offer."""
    offer_plan()


@pytest.fixture
def on_plan(shop: Any) -> Order:
    """An order by the plan, of which nothing is paid yet."""

    def make() -> int:
        offer_plan()
        return on_deposit().id

    return db.session.get_one(Order, shop.scene("on_plan", make))


def begun_plan(shop: Any, ships: str) -> Order:
    """One whose deposit is paid, and whose goods leave then or once all is paid."""

    def make() -> int:
        offer_plan(deposit_ships=ships)
        return pay(on_deposit()).id

    return db.session.get_one(Order, shop.scene(f"begun_plan_{ships}", make))


@pytest.fixture
def begun(shop: Any) -> Order:
    """One whose deposit is paid; the goods wait for the rest."""
    return begun_plan(shop, "paid_in_full")


def on_deposit(price: int = 100_000) -> Order:
    return make_order(
        lines={make_product(price=price): 1}, by_deposit=True, rate="express"
    )  # fmt: skip


def test_a_deposit_is_paid_now_and_the_goods_wait_for_the_rest(on_plan):
    order = on_plan
    first, second, third = parts.of_order(order.id)
    assert first.amount_minor == round(order.total_minor * 0.2)
    assert first.amount_minor + second.amount_minor + third.amount_minor == order.total_minor
    pay(order)
    assert status_of(order) == (OrderStatus.PENDING_PAYMENT, PaymentStatus.PARTIALLY_PAID)
    held_until = reservations.hold_ends_at(order.id)
    assert held_until
    assert third.due_at
    assert held_until == third.due_at + timedelta(days=7)
    for _ in range(2):
        attempts.pay(order.id, "sandbox")
        pay(order)
    assert status_of(order) == (OrderStatus.PAID, PaymentStatus.PAID)


@on_one
def test_where_the_owner_says_so_the_goods_leave_after_the_deposit(shop):
    order = begun_plan(shop, "deposit_paid")
    assert status_of(order) == (OrderStatus.PAID, PaymentStatus.PARTIALLY_PAID)
    for _ in range(2):
        attempts.pay(order.id, "sandbox")
        pay(order)
    assert status_of(order) == (OrderStatus.PAID, PaymentStatus.PAID)


def remind(at: Any, run_jobs: Any) -> list[str]:
    """Run the reminders at that moment; the subjects of all mails about instalments so far."""
    with time_machine.travel(at, tick=True):
        with transaction():
            enqueue("payments.remind", key="test")
        run_jobs()
    wanted = sa.select(Notification.subject).where(Notification.template == "instalment_due")
    return list(db.session.scalars(wanted.order_by(Notification.id)))


def test_a_pay_link_is_mailed_before_each_date_on_it_and_after_it_once_each(on_plan, run_jobs):
    order = on_plan
    assert remind(utcnow() + timedelta(days=28), run_jobs) == []
    pay(order)
    due = parts.of_order(order.id)[1].due_at
    assert due
    assert remind(due - timedelta(days=5), run_jobs) == []
    assert len(remind(due - timedelta(days=3), run_jobs)) == 1
    assert len(remind(due - timedelta(days=2), run_jobs)) == 1
    told = remind(due + timedelta(hours=1), run_jobs)
    assert len(told) == 2
    assert told[-1].endswith("is due today")
    assert len(remind(due + timedelta(days=2), run_jobs)) == 3


def test_an_instalment_that_never_comes_cancels_what_has_not_left_and_pays_it_back(
    begun, run_money
):
    order = begun
    due = parts.of_order(order.id)[1].due_at
    assert due
    remind(due + timedelta(days=8), run_money)
    run_money()
    assert status_of(order) == (OrderStatus.CANCELLED, PaymentStatus.REFUNDED)


@on_one
def test_one_that_never_comes_for_goods_that_left_is_an_incident(shop, run_money):
    order = begun_plan(shop, "deposit_paid")
    due = parts.of_order(order.id)[1].due_at
    assert due
    remind(due + timedelta(days=8), run_money)
    issues = db.session.scalars(sa.select(Incident.issue)).all()
    assert any("instalment" in issue for issue in issues)
    db.session.refresh(order)
    assert order.attention


@on_one
def test_who_never_paid_the_deposit_is_cancelled_like_anyone(on_plan, run_money):
    order = on_plan
    with time_machine.travel(utcnow() + timedelta(hours=25), tick=True):
        hold_ends(order.id, run_money)
        with transaction():
            enqueue("orders.cancel_unpaid", key="test")
        run_money()
    assert status_of(order)[0] == OrderStatus.CANCELLED


@on_one
def test_the_deposit_is_offered_only_from_its_amount_on(plan, client):
    order = on_deposit(price=1_000)
    assert len(parts.of_order(order.id)) == 1


def test_cancelling_a_running_plan_gives_every_part_back(begun, run_money):
    order = begun
    attempts.pay(order.id, "sandbox")
    pay(order)
    attempts.cancel_by_shopper(order.id)
    run_money()
    assert status_of(order) == (OrderStatus.CANCELLED, PaymentStatus.REFUNDED)
    back = db.session.scalars(sa.select(Refund.amount_minor)).all()
    paid = db.session.scalar(
        sa.select(sa.func.sum(PaymentPart.amount_minor)).where(
            PaymentPart.status == PartStatus.PAID
        )
    )
    assert sum(back) == paid


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    total=st.integers(1, 10**9), gift=st.integers(0, 10**9), percent=st.integers(0, 90),
    count=st.integers(1, 12), by_deposit=st.booleans(),
)  # fmt: skip
def test_planned_parts_sum_to_the_total_and_none_is_empty(total, gift, percent, count, by_deposit):
    chosen = {
        "deposit_percent": percent, "deposit_minimum_minor": 0, "deposit_ships": "paid_in_full",
        "instalments": count, "instalment_days": 30,
    }  # fmt: skip
    planned = parts.shares(total, min(gift, total), by_deposit, chosen)
    assert sum(one.amount_minor for one in planned) == total
    assert all(one.amount_minor > 0 for one in planned)


@on_one
def test_a_gift_card_before_the_deposit_holds_the_goods_no_longer_than_any_order(plan, configure):
    configure(payment_gateways=("sandbox", "bank_transfer", "gift_card"))
    with transaction():
        code = gift_cards.issue(5_000, "INR", "user:1")[1]
    order = make_order(
        lines={make_product(price=100_000): 1}, by_deposit=True, rate="express", gift_code=code
    )
    held_until = reservations.hold_ends_at(order.id)
    assert held_until
    assert held_until < utcnow() + timedelta(minutes=11)
    pay(order)
    held_until = reservations.hold_ends_at(order.id)
    assert held_until
    assert held_until > utcnow() + timedelta(days=60)


@on_one
def test_a_gift_card_beside_a_bank_transfer_leaves_its_longer_hold(configure, app):
    configure(payment_gateways=("sandbox", "bank_transfer", "gift_card"))
    with transaction():
        code = gift_cards.issue(5_000, "INR", "user:1")[1]
    order = make_order(
        lines={make_product(price=100_000): 1}, method="bank_transfer", gift_code=code
    )
    held_until = reservations.hold_ends_at(order.id)
    assert held_until
    assert held_until > utcnow() + timedelta(hours=71)
