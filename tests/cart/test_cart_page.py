"""The cart's page: changing, removing, undo, and what moved since."""

import re
from typing import Any

import pytest

from shop.cart.models import Cart, CartLine
from shop.catalog.models import Product, ProductStatus, VariantPrice
from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.stock import ledger
from shop.stock.models import MovementReason
from tests.cart.test_adding import BAD_QUANTITIES, HTMX, add, lines
from tests.factories import make_order, make_product


def line_id(product: Any) -> int:
    """The line that holds it."""
    return db.session.scalars(
        db.select(CartLine.id).filter_by(variant_id=product.variants[0].id)
    ).one()


def press(client: Any, product: Any, *, script: bool = True, **fields: str) -> Any:
    """Send a line's form."""
    headers = HTMX if script else {}
    return client.send(f"/cart/items/{line_id(product)}", fields, headers=headers)


def shown_names(answer: Any) -> list[str]:
    """The lines' names, in their order."""
    return re.findall(r'variant=[^"]+">Halflong ([^<]+)</a>', answer.text)


@pytest.fixture
def ball(shop: Any, client: Any) -> Any:
    """Two of ten match balls are in the cart, at 100.00 each."""

    def fill() -> tuple[int, str]:
        product = make_product("Match", price=100_00)
        add(client, product, "2")
        return product.id, client.get_cookie("cart", domain="127.0.0.1").value

    product_id, token = shop.scene("two-match-balls-in-a-cart", fill)
    client.set_cookie("cart", token, domain="127.0.0.1")
    return db.session.get_one(Product, product_id)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_empty_cart_says_so_and_leads_on(app: Any, client: Any) -> None:
    shown = client.get("/cart").text
    assert "Your cart is empty" in shown
    assert 'href="/checkout"' not in shown


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_looking_at_the_cart_writes_nothing(ball: Any, client: Any, sql_count: Any) -> None:
    with sql_count() as told:
        shown = client.get("/cart")
    assert shown.headers["Cache-Control"] == "no-store"
    assert len(told) <= 4
    assert all(statement.lstrip().upper().startswith("SELECT") for statement in told)


@pytest.mark.parametrize("script", [True, False])
def test_a_line_is_changed_by_one_by_number_or_taken_out(
    ball: Any, client: Any, script: bool
) -> None:
    variant_id = ball.variants[0].id
    changes: list[tuple[dict[str, str], int | None]] = [
        ({"delta": "1", "quantity": "2"}, 3), ({"delta": "-1"}, 2), ({"quantity": "7"}, 7),
        ({"quantity": "0"}, None), ({"remove": "1"}, None),
    ]  # fmt: skip
    for fields, left in changes:
        if not lines():
            add(client, ball, "2")
        answer = press(client, ball, script=script, **fields)
        assert lines() == ({variant_id: left} if left else {}), fields
        if script:
            assert answer.status_code == 200
            assert 'id="cart"' in answer.text
            assert 'id="cart-link" href="/cart" hx-swap-oob="true"' in answer.text
        else:
            assert (answer.status_code, answer.headers["Location"]) == (303, "/cart")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_one_fewer_than_one_takes_the_line_out(app: Any, client: Any) -> None:
    single = make_product("Single")
    add(client, single)
    answer = press(client, single, delta="-1")
    assert "Removed Halflong Single." in answer.text
    assert "Your cart is empty" in answer.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_bad_quantity_restores_the_old_one_with_words(ball: Any, client: Any) -> None:
    at = line_id(ball)
    for quantity in BAD_QUANTITIES:
        if quantity == "0":
            continue
        answer = press(client, ball, quantity=quantity)
        assert answer.status_code == 422, quantity
        assert "Use a whole number" in answer.text
        assert f'id="quantity-{at}" name="quantity" value="2"' in answer.text
        assert press(client, ball, script=False, quantity=quantity).status_code == 422
    assert lines() == {ball.variants[0].id: 2}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_step_is_one_up_or_down(ball: Any, client: Any) -> None:
    for delta in ("2", "-5", "x", "", "1.0"):
        assert press(client, ball, delta=delta).status_code == 422, delta
    assert lines() == {ball.variants[0].id: 2}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_more_than_there_is_becomes_what_there_is_and_says_so(ball: Any, client: Any) -> None:
    answer = press(client, ball, quantity="99")
    assert "Your cart has 10 of Halflong Match. That is all we have." in answer.text
    assert lines() == {ball.variants[0].id: 10}
    assert "That is all we have." in press(client, ball, delta="1").text


def test_undo_brings_back_quantity_and_place(ball: Any, client: Any) -> None:
    net = make_product("Net", price=50_00)
    add(client, net)
    removed = press(client, ball, remove="1")
    assert "Removed Halflong Match." in removed.text
    fields = dict(
        re.findall(
            r'name="(variant_id|quantity|since)" value="(\d+)"', removed.text.split("toast")[-1]
        )
    )
    back = client.send("/cart/undo", fields, headers=HTMX)
    assert shown_names(back) == ["Match", "Net"]
    assert lines()[ball.variants[0].id] == 2


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_undo_is_on_the_page_for_readers_without_script(ball: Any, client: Any) -> None:
    press(client, ball, script=False, remove="1")
    shown = client.get("/cart").text
    assert "Removed Halflong Match." in shown
    form = re.search(r'<form method="post" action="/cart/undo">.*?</form>', shown, re.DOTALL)
    assert form
    fields = dict(re.findall(r'name="(\w+)" value="([^"]+)"', form[0]))
    assert (
        client.post(
            "/cart/undo", data=fields, headers={"Sec-Fetch-Site": "same-origin"}
        ).status_code
        == 303
    )
    assert lines() == {ball.variants[0].id: 2}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_undo_after_the_last_one_was_sold_says_so(ball: Any, client: Any) -> None:
    press(client, ball, remove="1")
    with transaction():
        ledger.move(ball.variants[0].id, -10, MovementReason.WRITE_OFF, "system")
    fields = {"variant_id": str(ball.variants[0].id), "quantity": "2", "since": "1"}
    answer = client.post(
        "/cart/undo", data={**fields, "csrf_token": client.csrf_token()}, headers=HTMX
    )
    assert "Halflong Match has sold out." in answer.text
    assert lines() == {}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_anothers_line_is_not_found(ball: Any, new_client: Any) -> None:
    other = new_client()
    add(other, make_product("Other"))
    for fields in ({"remove": "1"}, {"delta": "1"}, {"quantity": "5"}):
        assert press(other, ball, **fields).status_code == 404
    assert lines()[ball.variants[0].id] == 2


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_change_without_the_token_is_refused(ball: Any, client: Any) -> None:
    answer = client.post(
        f"/cart/items/{line_id(ball)}",
        data={"remove": "1"},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert answer.status_code == 400
    assert lines() == {ball.variants[0].id: 2}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_totals_tax_and_the_way_to_free_delivery(ball: Any, client: Any) -> None:
    shown = client.get("/cart").text
    for words in (
        "Items (2)",
        "₹200.00",
        "₹30.51",
        "₹4,800.00 to go for free delivery",
        "Shown at checkout",
    ):
        assert words in shown
    add(client, make_product("Robot", price=4_800_00))
    shown = client.get("/cart").text
    assert "You have free standard delivery" in shown
    assert "to go for free" not in shown


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_price_that_moved_is_said_and_the_new_one_counts(ball: Any, client: Any) -> None:
    with transaction() as session:
        price = session.scalars(
            db.select(VariantPrice).filter_by(variant_id=ball.variants[0].id)
        ).one()
        price.amount_minor = 90_00
    shown = client.get("/cart").text
    assert "The price of Halflong Match changed from ₹100.00 to ₹90.00 since you added it." in shown
    assert "₹180.00" in shown
    press(client, ball, delta="1")
    assert "changed from" not in client.get("/cart").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_stock_that_went_is_said(ball: Any, client: Any) -> None:
    make_order(lines={ball: 9})
    assert (
        "There is only 1 of Halflong Match left, and your cart has 2." in client.get("/cart").text
    )
    make_order(lines={ball: 1})
    assert "Halflong Match has sold out. Remove it to check out." in client.get("/cart").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_not_sold_any_more_is_said_costs_nothing_and_can_only_be_removed(
    ball: Any, client: Any
) -> None:
    with transaction() as session:
        session.merge(ball).status = ProductStatus.ARCHIVED
    shown = client.get("/cart").text
    assert "Halflong Match is not sold any more. Remove it to check out." in shown
    assert "₹0.00" in shown
    assert "not sold any more" in press(client, ball, quantity="3").text
    assert "Your cart is empty" in press(client, ball, remove="1").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_change_takes_at_most_10_statements(ball: Any, client: Any, sql_count: Any) -> None:
    for number in range(5):
        add(client, make_product(f"Ball {number}"))
    token, at = client.csrf_token(), line_id(ball)
    for fields in ({"delta": "1"}, {"quantity": "3"}, {"remove": "1"}):
        with sql_count() as told:
            client.post(f"/cart/items/{at}", data={"csrf_token": token, **fields}, headers=HTMX)
        assert len(told) <= 10


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_ordered_cart_is_not_shown_any_more(ball: Any, client: Any) -> None:
    with transaction() as session:
        session.scalars(db.select(Cart)).one().ordered_at = utcnow()
    assert "Your cart is empty" in client.get("/cart").text
    token = client.csrf_token()
    answer = client.post(
        f"/cart/items/{line_id(ball)}", data={"csrf_token": token, "remove": "1"}, headers=HTMX
    )
    assert answer.status_code == 404
    add(client, ball)
    assert '<span class="count">1</span>' in client.get("/cart").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_made_up_cart_cookie_is_an_empty_cart(app: Any, client: Any) -> None:
    client.set_cookie("cart", "guessed", domain="127.0.0.1")
    assert "Your cart is empty" in client.get("/cart").text
