"""The cart of the browser and the cart of the person become one at sign-in (S9)."""

from sqlalchemy import select

from shop.cart.models import Cart, CartLine
from shop.extensions import db
from tests.factories import make_cart, make_product, make_user, sign_in

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


def put(client, product, quantity):
    fields = {"variant_id": str(product.variants[0].id), "quantity": str(quantity)}
    assert client.post("/cart/items", data=fields, headers=SAME_ORIGIN).status_code == 303


def quantities(user):
    lines = (
        select(CartLine.variant_id, CartLine.quantity)
        .join(Cart, Cart.id == CartLine.cart_id)
        .where(Cart.user_id == user.id, Cart.ordered_at.is_(None))
    )
    return {row.variant_id: row.quantity for row in db.session.execute(lines)}


def test_s09_signing_in_merges_the_carts_by_the_higher_quantity_and_says_so(client):
    ball, net = make_product(stock=9), make_product("Net", stock=2)
    user = make_user()
    make_cart({ball: 1}, user=user)
    put(client, ball, 3)
    put(client, net, 2)

    sign_in(client, user)

    assert quantities(user) == {ball.variants[0].id: 3, net.variants[0].id: 2}
    assert "We added 1 item from your last visit." in client.get("/cart").text
    assert "from your last visit" not in client.get("/cart").text


def test_s09_a_cart_is_merged_and_not_adopted(client, new_client):
    ball = make_product(stock=9)
    user = make_user()
    put(client, ball, 2)
    guest_cart = client.get_cookie("cart", domain="127.0.0.1").value
    sign_in(client, user)

    stranger = new_client()
    stranger.set_cookie("cart", guest_cart, domain="127.0.0.1")

    assert "Your cart is empty" in stranger.get("/cart").text
    assert quantities(user) == {ball.variants[0].id: 2}


def test_who_had_nothing_in_the_browser_finds_their_own_cart(client):
    ball = make_product(stock=9)
    user = make_user()
    make_cart({ball: 2}, user=user)

    sign_in(client, user)

    assert quantities(user) == {ball.variants[0].id: 2}
