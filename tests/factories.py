"""Makes what a test needs, with sensible defaults. Each function commits and returns the row(s).

Orders are made as shoppers make them: through `checkout.placing.place` and the pretend gateway.
"""

import functools
import itertools
import re
import secrets
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from argon2 import PasswordHasher
from flask import current_app

from shop.accounts import signing_in
from shop.accounts.models import Role, User
from shop.accounts.people import tell_of_new
from shop.cart.models import Cart, CartLine
from shop.catalog.models import (
    Brand,
    Category,
    Picture,
    Product,
    ProductStatus,
    Seller,
    Variant,
    VariantPrice,
)
from shop.database import transaction
from shop.extensions import db
from shop.orders.lifecycle import Actor, Who, advance
from shop.orders.models import Order, OrderStatus
from shop.stock.models import MovementReason, StockLevel, StockMovement

PASSWORD = "correct horse battery"  # the one of every test user
ADDRESS = {
    "recipient": "Asha Rao", "phone": "+919812345678", "line1": "12 MG Road", "line2": "",
    "landmark": "", "city": "Bengaluru", "state": "Karnataka", "postal_code": "560001", "country": "IN",
}  # fmt: skip
STAFF = Actor(Who.ADMIN, "user:1")
#: How an order gets to each state after it was paid.
WAY = (
    ("accepted", OrderStatus.PROCESSING),
    ("packed", OrderStatus.READY_FOR_SHIPMENT),
    ("shipped", OrderStatus.SHIPPED),
    ("in_transit", OrderStatus.IN_TRANSIT),
    ("out_for_delivery", OrderStatus.OUT_FOR_DELIVERY),
    ("delivered", OrderStatus.DELIVERED),
    ("archived", OrderStatus.ARCHIVED),
)
ONE_STEP = {"payment_failed": "payment_failed", "cancelled": "cancelled"}

_numbers = itertools.count(1)


@functools.cache
def _hashed(password: str) -> str:
    """Cheap on purpose: hundreds of tests sign in."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)


def make_user(
    role: str | Role = "customer",
    *,
    email: str | None = None,
    password: str = PASSWORD,
    **more: Any,
) -> User:
    """A person who signs in with `PASSWORD`."""
    values = {"name": "Asha Rao", **more}
    user = User(
        email=email or f"user{next(_numbers)}@shop.example",
        password_hash=_hashed(password),
        role=Role(role),
        **values,
    )
    with transaction() as session:
        session.add(user)
        if user.is_staff:
            session.flush()
            tell_of_new(user)
    return user


def sign_in(client: Any, user: User, password: str = PASSWORD) -> Any:
    """Sign the person in with this browser, by the form. Returns the answer."""
    answer = client.send("/account/sign-in", {"email": user.email, "password": password})
    assert answer.status_code == 303, answer.text
    return answer


def let_in(client: Any, user: User) -> Any:
    """The person has just signed in with this browser: the row and the cookie, without the form."""
    with current_app.test_request_context(), transaction():
        name, token = signing_in.cookie_name(), signing_in.start_row(user)
    public_url = current_app.extensions["settings"].public_url
    client.set_cookie(name, token, domain=urlsplit(public_url).hostname)
    return client


def make_product(
    name: str = "Match ball",
    *,
    price: int = 49_900,
    stock: int = 10,
    variants: int = 1,
    compare_at: int | None = None,
    category: str = "Balls",
    brand: str = "Halflong",
    status: str = "active",
    currency: str | None = None,
    weight_grams: int = 250,
    seller: str = "Halflong",
    **more: Any,
) -> Product:
    """A product that can be bought. `price` in minor units, `stock` units of each variant.

    `currency` defaults to the shop's own.
    """
    number = next(_numbers)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    values = {
        "slug": f"{slug}-{number}",
        "search_text": f"{name} {brand} {category}".lower(),
        **more,
    }
    with transaction():
        product_id = _put(
            Product, seller_id=_named(Seller, seller), category_id=_named(Category, category),
            brand_id=_named(Brand, brand), name=name, status=ProductStatus(status), **values,
        )  # fmt: skip
        _put(Picture, product_id=product_id, storage_key="products/balls-match.svg", alt_text=name)
        for position in range(variants):
            variant_id = _put(
                Variant, product_id=product_id, sku=f"SKU-{number}-{position}", position=position,
                options={"Size": f"{position + 1}"} if variants > 1 else {},
                weight_grams=weight_grams, length_mm=200, width_mm=150, height_mm=60, hsn_code="9506",
            )  # fmt: skip
            _put(
                VariantPrice, variant_id=variant_id, currency=currency or _currency(),
                amount_minor=price, compare_at_minor=compare_at,
            )  # fmt: skip
            _put(StockLevel, variant_id=variant_id, on_hand=stock)
            if stock:
                _put(
                    StockMovement, variant_id=variant_id, delta=stock, reason=MovementReason.RECEIVE,
                    actor="system", note="opening count",
                )  # fmt: skip
    return db.session.get_one(Product, product_id)


@functools.cache
def _insert(model: Any) -> Any:
    return model.__table__.insert().returning(model.__table__.c.id)


def _put(model: Any, **values: Any) -> int:
    """Write a row, and return its key. Not by the ORM: thousands of tests begin with these rows."""
    return int(db.session.connection().execute(_insert(model), values).scalar_one())


@functools.cache
def _by_name(model: Any) -> Any:
    columns = model.__table__.c
    return sa.select(columns.id).where(columns.name == sa.bindparam("name"))


def _named(model: Any, name: str) -> int:
    """The key of the row of that name, which is made when there is none."""
    found = db.session.connection().scalar(_by_name(model), {"name": name})
    if found is not None:
        return int(found)
    slug = {"slug": name.lower().replace(" ", "-")} if hasattr(model, "slug") else {}
    return _put(model, name=name, **slug)


def make_cart(lines: dict[Any, int] | None = None, *, user: User | None = None) -> Cart:
    """An open cart. `lines` maps products, variants or variant ids to quantities."""
    wanted = {make_product(): 1} if lines is None else lines
    rows = [(_variant_id(thing), quantity) for thing, quantity in wanted.items()]
    currency = _currency()
    with transaction():
        cart_id = _put(
            Cart, token_hash=secrets.token_hex(32), currency=currency,
            user_id=user.id if user else None,
        )  # fmt: skip
        for variant_id, quantity in rows:
            price = db.session.connection().scalar(
                _PRICE, {"variant_id": variant_id, "currency": currency}
            )
            _put(
                CartLine, cart_id=cart_id, variant_id=variant_id, quantity=quantity,
                price_seen_minor=price,
            )  # fmt: skip
    return db.session.get_one(Cart, cart_id)


_PRICE = sa.select(VariantPrice.amount_minor).where(
    VariantPrice.variant_id == sa.bindparam("variant_id"),
    VariantPrice.currency == sa.bindparam("currency"),
)


def _currency() -> str:
    return str(current_app.extensions["settings"].default_currency)


def _variant_id(thing: Any) -> int:
    if isinstance(thing, Product):
        return thing.variants[0].id
    return int(getattr(thing, "id", thing))


def make_wish(
    cart: Cart | None = None, *, method: str = "sandbox", user: User | None = None, **more: Any
) -> Any:
    """What checkout hands to `place`: guest, standard delivery, at the price of now."""
    from shop.checkout.placing import Wish
    from shop.checkout.quoting import quote

    cart_id = (cart or make_cart()).id
    rate = more.pop("rate", "standard")
    address = {**ADDRESS, **more.pop("address", {})}
    now = quote(
        cart_id, country=address["country"], postal_code=address["postal_code"], rate=rate, method=method
    )  # fmt: skip
    values = {
        "cart_id": cart_id, "user_id": user.id if user else None, "email": "asha@shopper.example",
        "phone": "+919812345678", "shipping_address": address, "billing_address": address, "rate": rate,
        "method": method, "idempotency_key": secrets.token_hex(16), "quoted_total_minor": now.total_minor,
    }  # fmt: skip
    db.session.rollback()
    return Wish(**{**values, **more})


def make_order(
    state: str | OrderStatus = "pending_payment",
    *,
    lines: int | dict[Any, int] = 2,
    method: str = "sandbox",
    user: User | None = None,
    **more: Any,
) -> Order:
    """An order brought to this state the way a real one gets there.

    `lines` is a number of products with one unit each, or {product: quantity}. `more` goes into
    the Wish (email, address …). Jobs that the way causes are queued, not run.
    """
    from shop.checkout.placing import place

    if isinstance(lines, int):
        lines = {make_product(f"Ball no. {number + 1}"): 1 for number in range(lines)}
    wish = make_wish(make_cart(lines, user=user), method=method, user=user, **more)
    public_url = current_app.extensions["settings"].public_url
    with current_app.test_request_context(base_url=public_url):
        placed = place(wish)
    order = db.session.get_one(Order, placed.order_id)
    return bring(order, OrderStatus(state))


def bring(order: Order, state: OrderStatus) -> Order:
    """Move an order that was just placed on to a state."""
    if state == OrderStatus.PENDING_PAYMENT:
        return order
    if state.value in ONE_STEP:
        with transaction():
            order = db.session.get_one(Order, order.id)
            advance(order, ONE_STEP[state.value], STAFF)
        return order
    pay(order)
    for event, reached in WAY:
        if order.status == state:
            break
        if order.status == reached:
            continue
        if event == "accepted" and order.status != OrderStatus.PAID:
            continue
        with transaction():
            order = db.session.get_one(Order, order.id)
            advance(order, event, STAFF)
    if order.status != state:
        raise ValueError(f"the factory does not know the way to {state}")
    return order


def pay(order: Order) -> Order:
    """The money comes in: at the pretend gateway, and by `record`. Nothing for cash on delivery."""
    from shop.payments import attempts, recording
    from shop.payments.gateways.base import EventKind, GatewayEvent
    from shop.sandbox import gateway as sandbox

    payment = attempts.latest(order.id)
    assert payment, "the order has no attempt"
    if payment.gateway == "cod":
        return order
    event = GatewayEvent(
        EventKind.CAPTURED, reference=payment.reference, amount_minor=payment.amount_minor,
        currency=payment.currency, method="card",
    )  # fmt: skip
    gateway_key, payment_id = payment.gateway, payment.id
    with transaction():
        if gateway_key == "sandbox":
            sandbox.pay(sandbox.find(payment.reference, lock=True), webhooks=0)
        recording.record(event, gateway_key, "webhook", payment_id)
    return db.session.get_one(Order, order.id)
