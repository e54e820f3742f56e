"""A gift card and a deposit in the checkout's form, as a browser without JavaScript sends it."""

from typing import Any

import pytest
import sqlalchemy as sa

from shop.database import transaction
from shop.extensions import db
from shop.orders.models import Order, OrderStatus
from shop.payments.models import Payment
from shop.preferences import change
from shop.promotions import gift_cards
from tests.checkout.shopping import hidden_fields, open_form, put_in_cart, send
from tests.factories import make_product

ONLY_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def code(app: Any) -> str:
    """The code of a card of ₹500.00."""
    with transaction():
        return gift_cards.issue(50_000, "INR", "user:1")[1]


def test_the_card_is_entered_its_share_is_shown_and_the_rest_is_paid(client, code):
    put_in_cart(client, make_product(price=80_000))
    shown = send(client, open_form(client), gift_code=code.lower(), update="1")
    assert shown.status_code == 200
    assert "pays ₹500.00" in shown.text
    fields = hidden_fields(shown.text)
    assert int(fields["quoted_now"]) == int(fields["quoted_total"]) - 50_000
    assert send(client, fields).status_code == 303
    paid = db.session.execute(sa.select(Payment.gateway, Payment.amount_minor)).all()
    assert sorted(paid) == [("gift_card", 50_000), ("sandbox", int(fields["quoted_now"]))]


def test_a_card_that_pays_all_needs_no_way_to_pay(client, code):
    put_in_cart(client, make_product(price=20_000))
    fields = hidden_fields(send(client, open_form(client), gift_code=code, update="1").text)
    assert send(client, fields, method="").status_code == 303
    assert db.session.scalars(sa.select(Order.status)).one() == OrderStatus.PAID


@ONLY_SQLITE
def test_the_card_can_be_taken_off_again(client, code):
    put_in_cart(client, make_product(price=80_000))
    shown = send(client, open_form(client), gift_code=code, update="1")
    without = send(client, hidden_fields(shown.text), update="no_gift")
    assert "pays ₹500.00" not in without.text
    assert "Have a gift card?" in without.text


@ONLY_SQLITE
def test_a_wrong_code_is_said_beside_its_field_and_buys_nothing(client, loose_limits):
    put_in_cart(client, make_product())
    fields = open_form(client)
    for typed in ("AAAA-BBBB-CCCC-DDDD", "x", "<b>" * 13, "٣" * 16, "9" * 100_000):
        for more in ({"update": "1"}, {}):
            answer = send(client, fields, gift_code=typed, **more)
            assert answer.status_code in {200, 422}, typed[:20]
            assert "gift_code-error" in answer.text, typed[:20]
            assert "<b><b>" not in answer.text
    assert not db.session.scalars(sa.select(Order)).all()


def test_s47_the_eleventh_wrong_code_in_a_minute_is_turned_away(client, turn_clock):
    from shop.clock import utcnow

    turn_clock(utcnow().replace(second=1))
    put_in_cart(client, make_product())
    fields = open_form(client)
    answers = [
        send(client, fields, gift_code="AAAABBBBCCCCDDDD", update="1").status_code
        for _ in range(11)
    ]
    assert answers == [200] * 10 + [429]


def test_a_deposit_is_chosen_in_the_form_and_only_it_is_charged(client):
    with transaction():
        change("deposit_percent", "20")
        change("deposit_minimum_minor", "50000")
    put_in_cart(client, make_product(price=100_000))
    shown = send(client, open_form(client), plan="deposit", update="1")
    fields = hidden_fields(shown.text)
    assert 0 < int(fields["quoted_now"]) < int(fields["quoted_total"])
    assert send(client, fields, plan="deposit").status_code == 303
    assert db.session.scalars(sa.select(Payment.amount_minor)).one() == int(fields["quoted_now"])
