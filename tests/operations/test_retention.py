"""What nobody needs any more goes; what somebody still uses stays."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from shop.cart.models import Cart, CartLine
from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.operations.retention import forget_carts
from tests.factories import make_cart, make_product, make_user

SAME = {"Sec-Fetch-Site": "same-origin"}


def age(model, days):
    """Let all rows be as old."""
    with transaction() as session:
        at = utcnow() - timedelta(days=days)
        session.execute(sa.update(model).values(created_at=at, updated_at=at))


def forget():
    with transaction():
        return forget_carts(30)


@pytest.fixture
def shopper(client):
    """A guest with one ball in the cart since 40 days."""
    client.ball = make_product().variants[0].id
    client.post("/cart/items", data={"variant_id": client.ball}, headers=SAME)
    age(Cart, 40)
    age(CartLine, 40)
    return client


def lines():
    db.session.rollback()
    return db.session.scalars(sa.select(CartLine)).all()


def test_a_guests_cart_that_nobody_touched_goes_with_its_lines(shopper):
    assert forget() == 1
    assert lines() == []


@pytest.mark.parametrize("change", ["add", "set", "another"])
def test_a_guests_cart_that_was_changed_stays(shopper, change):
    (line,) = lines()
    if change == "set":
        shopper.post_form(f"/cart/items/{line.id}", {"quantity": "3"}, page="/cart")
    else:
        variant = shopper.ball if change == "add" else make_product("Net").variants[0].id
        shopper.post("/cart/items", data={"variant_id": variant}, headers=SAME)

    assert forget() == 0
    assert sum(one.quantity for one in lines()) in {2, 3}


def test_a_customers_open_cart_stays_for_ever(app):
    make_cart(user=make_user())
    age(Cart, 400)
    age(CartLine, 400)
    assert forget() == 0
