"""Putting things in the cart, from any page, with and without JavaScript."""

import hashlib
import re
from typing import Any

import pytest

from shop.cart.carts import put
from shop.cart.models import Cart, CartLine
from shop.database import transaction
from shop.extensions import db
from shop.preferences import change
from tests.factories import make_cart, make_product, make_user, sign_in

OURS = {"Sec-Fetch-Site": "same-origin"}
HTMX = {**OURS, "HX-Request": "true"}
BAD_QUANTITIES = (
    "-1",
    "0",
    "1.5",
    "1;2",
    "\uff11",
    "\u0661",
    "1000000000",
    "1e3",
    "",
    " 1",
    "+1",
    "abc",
    "1\n",
    "0x1",
)


def add(
    client: Any, product: Any, quantity: str = "1", *, headers: Any = None, variant: int = 0
) -> Any:
    """Press Add."""
    data = {"variant_id": str(product.variants[variant].id), "quantity": quantity}
    return client.post("/cart/items", data=data, headers=headers or OURS)


def lines() -> dict[int, int]:
    """What all carts hold, by variant."""
    db.session.rollback()
    return dict(db.session.execute(db.select(CartLine.variant_id, CartLine.quantity)).all())


def test_adding_without_script_leads_to_the_cart_which_says_so(app: Any, client: Any) -> None:
    ball = make_product("Match")
    answer = add(client, ball, "2")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/cart")
    shown = client.get("/cart").text
    assert "Added Halflong Match." in shown
    assert '<span class="count">2</span>' in shown
    assert "Added Halflong Match." not in client.get("/cart").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_adding_by_htmx_answers_the_link_and_a_toast_with_the_total(app: Any, client: Any) -> None:
    answer = add(client, make_product("Match", price=449_00), "2", headers=HTMX)
    assert answer.status_code == 200
    assert answer.text.startswith('<a class="tool" id="cart-link"')
    assert 'hx-swap-oob="beforeend:#toasts"' in answer.text
    assert "Added Halflong Match. Cart total ₹898.00" in answer.text
    assert "View cart" in answer.text


def test_the_browser_gets_a_long_random_token_and_the_table_only_its_hash(
    app: Any, client: Any
) -> None:
    cookie = add(client, make_product(), headers=HTMX).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    found = re.match(r"cart=([\w-]{43});", cookie)
    assert found
    held = db.session.scalars(db.select(Cart.token_hash)).one()
    assert held == hashlib.sha256(found[1].encode()).hexdigest()


def test_adding_again_merges_into_one_line(app: Any, client: Any) -> None:
    ball = make_product()
    add(client, ball, "2")
    add(client, ball, "3")
    assert lines() == {ball.variants[0].id: 5}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_no_more_is_added_than_there_is_and_it_says_so(app: Any, client: Any) -> None:
    rubber = make_product("Tidal", stock=2, variants=2)
    answer = add(client, rubber, "5", headers=HTMX, variant=1)
    assert "Added 2. That is all we have in 2." in answer.text
    answer = add(client, rubber, "1", headers=HTMX, variant=1)
    assert "Your cart already has 2. That is all we have in 2." in answer.text
    assert lines() == {rubber.variants[1].id: 2}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_no_more_is_added_than_one_order_may_have_and_it_says_so(app: Any, client: Any) -> None:
    with transaction():
        change("line_limit", "4")
    ball = make_product(stock=100)
    assert "Added 4. One order can have 4 of it." in add(client, ball, "7", headers=HTMX).text
    assert lines() == {ball.variants[0].id: 4}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_quantity_that_is_no_whole_number_is_refused_and_kept(app: Any, client: Any) -> None:
    ball = make_product()
    for quantity in BAD_QUANTITIES:
        page = add(client, ball, quantity)
        assert page.status_code == 422, quantity
        assert "Use a whole number" in page.text
        assert 'aria-describedby="quantity-error"' in page.text
        part = add(client, ball, quantity, headers=HTMX)
        assert part.status_code == 422
        assert part.text.startswith('<a class="tool" id="cart-link"')
        assert "Use a whole number" in part.text
    assert 'name="quantity" value="1.5"' in add(client, ball, "1.5").text
    assert lines() == {}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_unknown_variant_is_not_found(app: Any, client: Any) -> None:
    make_product()
    for variant in ("", "0", "999999", "-1", "x", "1 OR 1=1", "\uff19", "9" * 30):
        for headers in (OURS, HTMX):
            answer = client.post("/cart/items", data={"variant_id": variant}, headers=headers)
            assert answer.status_code == 404, variant
    assert lines() == {}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_not_sold_cannot_be_added(app: Any, client: Any) -> None:
    for product in (
        make_product(status="draft"),
        make_product(status="archived"),
        make_product(currency="SEK"),
    ):
        assert add(client, product).status_code == 404
    assert lines() == {}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_has_sold_out_is_refused_with_words(app: Any, client: Any) -> None:
    gone = make_product("Feeder", stock=0)
    page = add(client, gone)
    assert page.status_code == 409
    assert "Halflong Feeder has sold out." in page.text
    assert "Halflong Feeder has sold out." in add(client, gone, headers=HTMX).text
    assert lines() == {}
    assert db.session.scalar(db.select(Cart.id)) is None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_prices_in_the_form_are_not_read(app: Any, client: Any) -> None:
    ball = make_product(price=500_00)
    data = {
        "variant_id": ball.variants[0].id,
        "price": "1",
        "price_seen_minor": "1",
        "currency": "USD",
    }
    client.post("/cart/items", data=data, headers=OURS)
    line = db.session.scalars(db.select(CartLine)).one()
    assert line.price_seen_minor == 500_00


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_form_of_another_site_is_refused(app: Any, client: Any) -> None:
    ball = make_product()
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        answer = add(client, ball, headers=headers)
        assert answer.status_code in (400, 403)
    assert lines() == {}


def test_two_clicks_at_once_both_count(app: Any) -> None:
    ball = make_product(stock=10)
    cart = make_cart({ball: 1})
    variant_id = ball.variants[0].id
    for expected in (3, 5, 6):
        with transaction():
            assert put(cart.id, variant_id, 2, 100, 6) == expected


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_click_takes_at_most_10_statements_however_many_lines(
    app: Any, client: Any, sql_count: Any
) -> None:
    def told(product: Any) -> int:
        with sql_count() as statements:
            assert add(client, product, headers=HTMX).status_code == 200
        return len(statements)

    first = make_product()
    add(client, first, headers=HTMX)
    few = told(first)
    for number in range(10):
        add(client, make_product(f"Ball {number}"), headers=HTMX)
    assert told(first) == few <= 10


def test_a_signed_in_persons_cart_is_the_same_in_every_browser(
    app: Any, client: Any, new_client: Any
) -> None:
    person, ball = make_user(), make_product()
    sign_in(client, person)
    add(client, ball, "2")
    other = new_client()
    sign_in(other, person)
    add(other, ball, "1")
    assert '<span class="count">3</span>' in client.get("/cart").text
    assert db.session.scalar(db.select(db.func.count(Cart.id))) == 1
