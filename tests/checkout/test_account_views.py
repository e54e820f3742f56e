"""A customer's own orders, the file of their data, and the end of their account."""

import json
import math

import pytest
from sqlalchemy import func, select

from shop.accounts.models import Address, SignIn, User
from shop.cart.models import Cart
from shop.catalog import shelves
from shop.checkout.customer_orders import TABS
from shop.database import transaction
from shop.extensions import db
from shop.orders.models import Order
from tests.checkout.shopping import sign_in
from tests.factories import PASSWORD, make_cart, make_order, make_product, make_user


def own(order, user):
    with transaction() as session:
        session.get(Order, order.id).user_id = user.id
    return order


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("state", "headline", "action"),
    [
        ("pending_payment", "Waiting for your payment", "Pay now"),
        ("paid", "We have your order", "Details"),
        ("delivered", "Delivered", "Details"),
        ("cancelled", "Cancelled", "Details"),
    ],
)
def test_an_order_is_headed_by_what_matters_now(client, state, headline, action, order_in):
    order, user = order_in(state), make_user()
    sign_in(client, user)
    own(order, user)

    shown = client.get("/account/orders").text

    assert headline in shown
    assert action in shown
    assert order.number in shown
    assert f"/orders/{order.token}" in shown


def test_only_ones_own_orders_are_listed(client):
    user, other = make_user(), make_user()
    sign_in(client, user)
    mine, guests, theirs = (make_order(lines=1) for _ in range(3))
    own(mine, user)
    own(theirs, other)

    shown = client.get("/account/orders").text

    assert mine.number in shown
    assert guests.number not in shown
    assert theirs.number not in shown


def test_each_tab_counts_and_shows_its_own(client):
    user = make_user()
    sign_in(client, user)
    unpaid, paid = own(make_order(lines=1), user), own(make_order("paid", lines=1), user)

    shown = client.get("/account/orders?tab=pay").text

    assert unpaid.number in shown
    assert paid.number not in shown
    assert 'All <span class="n">2</span>' in shown
    assert 'To pay <span class="n">1</span>' in shown
    assert "No order of yours is in this state." in client.get("/account/orders?tab=returns").text


def test_orders_come_ten_to_a_page_at_a_constant_number_of_statements(
    client, sql_count, monkeypatch
):
    # The header's shelves are read once for a while, which is not to end in between.
    monkeypatch.setattr(shelves, "FRAME_SECONDS", math.inf)
    user, ball = make_user(), make_product(stock=11).variants[0].id
    sign_in(client, user)
    orders = [make_order(lines={ball: 1}, user=user)]
    client.get("/account/orders")
    with sql_count() as few:
        client.get("/account/orders")
    orders += [make_order(lines={ball: 1}, user=user) for _ in range(10)]

    with sql_count() as many:
        first = client.get("/account/orders").text
    second = client.get("/account/orders?page=2").text

    assert len(many) == len(few)
    assert sum(order.number in first for order in orders) == 10
    assert orders[0].number in second
    assert "Showing 11 to 11 of 11" in second


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_not_a_page_is_not_there(client):
    sign_in(client, make_user())

    for asked in ("tab=x", "page=0", "page=-1", "page=x", "page=٣", "page=999999999999"):
        assert client.get(f"/account/orders?{asked}").status_code == 404, asked


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_without_orders_the_page_leads_to_the_shop(client):
    sign_in(client, make_user())

    shown = client.get("/account/orders").text

    assert "No orders yet" in shown
    assert 'href="/products"' in shown


def test_every_state_but_the_rest_of_the_story_has_its_tab():
    named = frozenset().union(*(states for name, (_words, states) in TABS.items() if name))

    assert {state.value for state in TABS[""][1] - named} == {
        "delivered",
        "cancelled",
        "disputed",
        "archived",
    }


def test_s85_the_file_holds_everything_about_the_person_and_nobody_else(client):
    user, other = make_user(name="Meera Joshi"), make_user(email="other@shop.example")
    sign_in(client, user)
    order = own(make_order("paid", lines=1), user)
    own(make_order(lines=1, email="other@shop.example"), other)

    answer = client.post_form("/account/export")
    content = json.loads(answer.text)

    assert answer.headers["Content-Disposition"].startswith('attachment; filename="my-data-')
    assert answer.headers["Cache-Control"] == "no-store"
    assert content["profile"]["name"] == "Meera Joshi"
    assert [held["number"] for held in content["orders"]] == [order.number]
    assert content["orders"][0]["lines"][0]["quantity"] >= 1
    assert content["orders"][0]["payments"][0]["currency"] == "INR"
    assert len(content["sign_ins"]) == 1
    assert "other@shop.example" not in answer.text
    assert "hash" not in answer.text


def test_s85_a_deleted_account_leaves_its_orders_and_nothing_else(client, new_client):
    user = make_user(email="meera@shop.example")
    sign_in(client, user)
    client.post_form(
        "/account/addresses",
        {
            "recipient": "Meera", "line1": "1 Road", "city": "Pune", "postal_code": "411004",
            "country": "IN", "kind": "home",
        },
    )  # fmt: skip
    order = own(make_order("paid", lines=1), user)
    make_cart({make_product(): 1}, user=user)

    answer = client.post_form("/account/delete", {"password": PASSWORD})

    assert answer.status_code == 303
    assert "Your account is deleted." in client.get(answer.location).text
    gone = db.session.get(User, user.id, populate_existing=True)
    assert (gone.name, gone.phone, gone.active, gone.password_hash) == ("", None, False, "")
    assert "meera" not in gone.email
    for model in (Address, SignIn):
        assert db.session.scalar(select(func.count()).select_from(model)) == 0
    assert (
        db.session.scalar(select(func.count()).select_from(Cart).where(Cart.ordered_at.is_(None)))
        == 0
    )
    assert db.session.get(Order, order.id).shipping_address["line1"]
    again = new_client().post_form(
        "/account/sign-in", {"email": "meera@shop.example", "password": PASSWORD}
    )
    assert again.status_code == 422


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_deleting_needs_the_password(client):
    user = make_user()
    sign_in(client, user)

    answer = client.post_form("/account/delete", {"password": "not the one"})

    assert answer.status_code == 422
    assert "That is not your password." in answer.text
    assert db.session.get(User, user.id).active


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_staff_are_not_deleted_from_here(client):
    user = make_user("owner")
    sign_in(client, user)

    answer = client.post_form("/account/delete", {"password": PASSWORD})

    assert answer.status_code == 422
    assert "closed by an owner" in answer.text
    assert db.session.get(User, user.id).active
