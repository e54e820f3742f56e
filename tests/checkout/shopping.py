"""How a test walks through the checkout as a browser does."""

import hashlib
import re
import secrets
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from shop.accounts import signing_in
from shop.cart import carts
from shop.cart.models import Cart
from shop.config import settings
from shop.database import transaction
from shop.extensions import db
from shop.orders.models import Order
from shop.payments.models import Payment
from tests.factories import make_cart, make_product

ADDRESS = {
    "email": "meera@shopper.example", "tel": "98400 12345", "country": "IN", "name": "Meera Nair",
    "postal_code": "560034", "city": "Bengaluru", "state": "Karnataka",
    "address_line1": "14, 3rd Cross", "address_line2": "", "landmark": "", "billing_same": "1",
}  # fmt: skip
HTMX = {"HX-Request": "true"}
SAME = {"Sec-Fetch-Site": "same-origin"}
HIDDEN = re.compile(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)"')


def put_in_cart(client: Any, product: Any, quantity: int = 1) -> None:
    """Click "Add to cart" on a product's page."""
    answer = client.post(
        "/cart/items",
        data={"variant_id": product.variants[0].id, "quantity": quantity},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert answer.status_code == 303, answer.text


def make_ball_in_cart() -> str:
    """For a scene: a guest's cart with one ball for ₹499.00. Returns the token of its cookie."""
    token = secrets.token_urlsafe(32)
    cart_id = make_cart({make_product("Match ball", price=49_900, stock=50): 1}).id
    db.session.rollback()
    with transaction() as session:
        session.get_one(Cart, cart_id).token_hash = hashlib.sha256(token.encode()).hexdigest()
    return token


def give_cookie(client: Any, name: str, token: str) -> None:
    """Give this browser a cookie of the shop's."""
    client.set_cookie(name, token, domain=urlsplit(settings().public_url).hostname)


def give_cart(client: Any, token: str) -> None:
    """Let this browser have the cart of that token."""
    give_cookie(client, carts.cookie_name(), token)


def open_form(client: Any) -> dict[str, str]:
    """Open the checkout and read its hidden fields: token, key, total."""
    page = client.get("/checkout")
    assert page.status_code == 200, page.headers.get("Location")
    return hidden_fields(page.text)


def hidden_fields(text: str) -> dict[str, str]:
    """The hidden fields of the checkout's form in a page."""
    form = text[text.index('id="checkout"') :]
    return dict(HIDDEN.findall(form))


def send(client: Any, fields: dict[str, str], *, htmx: bool = False, **more: str) -> Any:
    """Send the form, filled in well but for `more`."""
    headers = {"Sec-Fetch-Site": "same-origin", **(HTMX if htmx else {})}
    data = {**ADDRESS, "rate": "standard", "method": "sandbox", **fields, **more}
    return client.post("/checkout", data=data, headers=headers)


def buy(client: Any, product: Any = None, quantity: int = 1, **more: str) -> str:
    """Buy as a guest: a product, or what is in the cart. Returns the order's token."""
    if product:
        put_in_cart(client, product, quantity)
    answer = send(client, open_form(client), **more)
    assert answer.status_code == 303, answer.text
    newest = db.session.scalar(db.select(Order.token).order_by(Order.id.desc()).limit(1))
    db.session.rollback()
    return str(newest)


def sign_in(client: Any, user: Any) -> None:
    """Sign this browser in, by the row and the cookie: tests/accounts try the form."""
    with client.application.test_request_context(), transaction():
        token = signing_in.start_row(user)
    give_cookie(client, signing_in.cookie_name(), token)


def order_of(token: str) -> Order:
    """The order of this link."""
    return db.session.scalars(sa.select(Order).where(Order.token == token)).one()


def attempt_of(token: str) -> Payment:
    """The last attempt to pay the order of this link."""
    found = sa.select(Payment).join(Order, Order.id == Payment.order_id).where(Order.token == token)
    return db.session.scalars(found.order_by(Payment.id.desc()).limit(1)).one()


def set_attempt(token: str, **values: Any) -> None:
    """Let the last attempt stand so."""
    payment_id = attempt_of(token).id
    with transaction():
        db.session.execute(sa.update(Payment).where(Payment.id == payment_id).values(**values))


def headline(client: Any, token: str) -> str:
    """What the order's page says first."""
    page = client.get(f"/orders/{token}")
    assert page.status_code == 200
    found = re.search(r'id="order-headline"[^>]*>([^<]*)<', page.text)
    assert found
    return found[1]
