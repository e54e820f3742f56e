"""How a test walks through the checkout as a browser does."""

import re
from typing import Any

from tests.factories import PASSWORD

ADDRESS = {
    "email": "meera@shopper.example", "tel": "98400 12345", "country": "IN", "name": "Meera Nair",
    "postal_code": "560034", "city": "Bengaluru", "state": "Karnataka",
    "address_line1": "14, 3rd Cross", "address_line2": "", "landmark": "", "billing_same": "1",
}  # fmt: skip
HTMX = {"HX-Request": "true"}
HIDDEN = re.compile(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)"')


def put_in_cart(client: Any, product: Any, quantity: int = 1) -> None:
    """Click "Add to cart" on a product's page."""
    answer = client.post(
        "/cart/items",
        data={"variant_id": product.variants[0].id, "quantity": quantity},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert answer.status_code == 303, answer.text


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


def buy(client: Any, product: Any, quantity: int = 1, **more: str) -> str:
    """Buy as a guest; returns the order's token."""
    from shop.extensions import db
    from shop.orders.models import Order

    put_in_cart(client, product, quantity)
    answer = send(client, open_form(client), **more)
    assert answer.status_code == 303, answer.text
    newest = db.session.scalar(db.select(Order.token).order_by(Order.id.desc()).limit(1))
    db.session.rollback()
    return str(newest)


def sign_in(client: Any, user: Any) -> None:
    """Sign this browser in."""
    answer = client.post_form("/account/sign-in", {"email": user.email, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
