"""The pages of an order that is not paid yet: paying it, and holding what is in it."""

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from shop.database import transaction
from shop.extensions import db
from shop.orders.lifecycle import Actor, Who, advance
from shop.orders.models import Order, OrderStatus
from shop.payments.models import AttemptStatus, Payment
from shop.stock.models import Reservation, ReservationState, StockLevel
from tests.checkout.shopping import (
    HTMX,
    SAME,
    attempt_of,
    headline,
    order_of,
    set_attempt,
)
from tests.factories import make_order, make_product

ONLY_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def test_an_unfinished_payment_can_be_gone_on_with_and_opens_no_second(client, order_in):
    token = order_in("pending_payment").token
    page = client.get(f"/orders/{token}/pay")
    assert "You have an unfinished payment" in page.text
    assert "Continue with Sandbox" in page.text
    answer = client.post_form(f"/orders/{token}/pay", {"method": "sandbox"})
    assert answer.status_code == 303
    assert answer.headers["Location"] == attempt_of(token).next_step["url"]
    assert db.session.scalar(sa.select(sa.func.count(Payment.id))) == 1


def test_another_way_ends_the_first_attempt(client, order_in):
    token = order_in("pending_payment").token
    answer = client.post_form(f"/orders/{token}/pay", {"method": "bank_transfer"})
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith(f"/orders/{token}")
    statuses = list(db.session.scalars(sa.select(Payment.status).order_by(Payment.id)))
    assert statuses == [AttemptStatus.SUPERSEDED, AttemptStatus.OPEN]
    assert order_of(token).payment_method == "bank_transfer"


@pytest.mark.breaks_books
def test_after_a_decline_the_words_stand_at_the_top_and_another_way_is_chosen(client, order_in):
    token = order_in("payment_failed").token
    words = "Your card was declined: insufficient funds."
    set_attempt(token, status=AttemptStatus.FAILED, failure_words=words)
    assert headline(client, token) == "Your payment did not go through"
    page = client.get(f"/orders/{token}/pay").text
    assert f"<strong>{words}</strong> Nothing was charged" in page
    assert 'role="alert"' in page
    assert "Declined at" in page
    assert re.search(r'value="bank_transfer"[^>]* checked', page)
    assert not re.search(r'value="sandbox"[^>]* checked', page)
    answer = client.post_form(f"/orders/{token}/pay", {"method": "sandbox"})
    assert "/sandbox/pay/" in answer.headers["Location"]
    assert order_of(token).status == OrderStatus.PENDING_PAYMENT


@ONLY_SQLITE
@pytest.mark.breaks_books
def test_who_came_back_before_paying_is_told_so_neutrally(client, order_in):
    token = order_in("payment_failed").token
    set_attempt(token, status=AttemptStatus.CANCELLED)
    page = client.get(f"/orders/{token}/pay").text
    assert "You came back before paying. Nothing was charged." in page
    assert 'data-tone="danger"' not in page


@ONLY_SQLITE
@pytest.mark.parametrize("status", [AttemptStatus.UNKNOWN, AttemptStatus.AUTHORIZED])
def test_while_an_attempt_may_have_succeeded_no_other_is_offered(client, status, order_in):
    token = order_in("pending_payment").token
    set_attempt(token, status=status, next_step={})
    page = client.get(f"/orders/{token}/pay").text
    assert "We are asking Sandbox about your payment" in page
    assert 'name="method"' not in page
    assert "Check again" in page
    order_page = client.get(f"/orders/{token}").text
    assert "We are waiting for Sandbox to confirm" in order_page
    assert f"/orders/{token}/pay" not in order_page
    answer = client.post(
        f"/orders/{token}/pay", data={"csrf_token": client.csrf_token(), "method": "bank_transfer"}, headers=SAME
    )  # fmt: skip
    assert answer.status_code == 422
    assert "still asking" in answer.text
    assert db.session.scalar(sa.select(sa.func.count(Payment.id))) == 1


@ONLY_SQLITE
def test_s19_an_order_that_is_paid_has_no_form_to_pay(client, order_in):
    order = order_in("paid")
    token = order.token
    assert client.get(f"/orders/{token}/pay").headers["Location"].endswith(f"/orders/{token}")
    answer = client.post(
        f"/orders/{token}/pay", data={"csrf_token": client.csrf_token(), "method": "cod"}, headers=SAME
    )  # fmt: skip
    assert answer.status_code == 303
    assert db.session.scalar(sa.select(sa.func.count(Payment.id))) == 1


@ONLY_SQLITE
def test_a_way_to_pay_that_does_not_fit_is_refused_at_the_choice(client):
    path = f"/orders/{make_order(address={'country': 'SE', 'postal_code': '111 22'}).token}/pay"
    data = {"csrf_token": client.csrf_token()}
    for method, words in (
        ("", "Choose how you want to pay"),
        ("gold", "Choose how you want to pay"),
        ("cod", "Only for deliveries in India."),
    ):
        answer = client.post(path, data={**data, "method": method}, headers=SAME)
        assert answer.status_code == 422, method
        assert words in answer.text
        assert "<title>Error:" in answer.text


@pytest.mark.breaks_books
def test_paying_when_something_is_gone_says_so_and_charges_nothing(client):
    ball = make_product(stock=1)
    order = make_order(lines={ball: 1})
    token, order_id = order.token, order.id
    with transaction():
        advance(db.session.get_one(Order, order_id), "payment_failed", Actor(Who.ADMIN, "user:1"))
        db.session.execute(sa.update(Reservation).values(state=ReservationState.EXPIRED))
        db.session.execute(sa.update(StockLevel).values(reserved=0))
    set_attempt(token, status=AttemptStatus.FAILED)
    make_order(lines={ball: 1})
    answer = client.post_form(f"/orders/{token}/pay", {"method": "sandbox"})
    assert answer.status_code == 409
    assert "Something in your order has sold out meanwhile" in answer.text
    assert (
        len(db.session.scalars(sa.select(Payment.id).where(Payment.order_id == order_id)).all())
        == 1
    )


# Holding.


def test_the_hold_counts_down_from_the_servers_deadline_and_can_be_renewed(
    client, turn_clock, order_in
):
    token = order_in("pending_payment").token
    page = client.get(f"/orders/{token}/hold", headers=HTMX).text
    assert "Give me 10 more minutes" in page
    assert "data-until=" in page
    before = db.session.scalar(sa.select(sa.func.min(Reservation.expires_at)))
    turn_clock(minutes=5)
    answer = client.post_form(f"/orders/{token}/hold", page=f"/orders/{token}/pay", headers=HTMX)
    assert answer.status_code == 200
    assert 'id="hold"' in answer.text
    db.session.expire_all()
    after = db.session.scalar(sa.select(sa.func.min(Reservation.expires_at)))
    assert after - before > timedelta(minutes=4)


@ONLY_SQLITE
def test_renewing_works_without_javascript(client, order_in):
    token = order_in("pending_payment").token
    answer = client.post_form(f"/orders/{token}/hold", page=f"/orders/{token}/pay")
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith(f"/orders/{token}/pay")


@ONLY_SQLITE
def test_a_hold_that_ended_loses_nothing_while_all_is_free(client, turn_clock, order_in):
    token = order_in("pending_payment").token
    turn_clock(minutes=11)
    page = client.get(f"/orders/{token}/pay").text
    assert "The hold ended at" in page
    assert "Everything is still free" in page
    assert "Hold it again" in page
