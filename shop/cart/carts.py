"""Whose cart this is: a browser's, by the token in its cookie, or a signed-in person's."""

import hashlib
import secrets
from typing import Any

from flask import Response, g, request
from flask_login import current_user
from sqlalchemy import bindparam, case, delete, func, select

from shop.cart.models import Cart, CartLine
from shop.config import settings
from shop.database import Upsert, given, insert_ignore
from shop.extensions import db
from shop.preferences import preference
from shop.stock.reservations import free_units

COOKIE_SECONDS = 30 * 24 * 3600


def cookie_name() -> str:
    """`__Host-cart` where shoppers come by https, else `cart`."""
    return "__Host-cart" if settings().is_tls else "cart"


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def has_cart_cookie() -> bool:
    """True when this browser was given a cart."""
    return bool(request.cookies.get(cookie_name()))


def _token() -> str:
    """The token of this browser, or the one being given to it in this request."""
    return str(g.get("cart_token") or request.cookies.get(cookie_name()) or "")


_OF_PERSON = (Cart.ordered_at.is_(None), Cart.user_id == bindparam("who"))
_OF_BROWSER = (
    Cart.ordered_at.is_(None), Cart.user_id.is_(None), Cart.token_hash == bindparam("who"),
)  # fmt: skip
_CART_OF_PERSON = select(Cart).where(*_OF_PERSON)
_CART_OF_BROWSER = select(Cart).where(*_OF_BROWSER)


def current_cart() -> Cart | None:
    """The open cart of who asks; None before the first thing is put in it."""
    if current_user.is_authenticated:
        return db.session.scalar(_CART_OF_PERSON, {"who": current_user.id})
    if not _token():
        return None
    return db.session.scalar(_CART_OF_BROWSER, {"who": _hashed(_token())})


def ensure_cart() -> Cart:
    """The open cart, made now if there is none. Inside the caller's transaction.

    The view then calls `remember_cart(response)`, which gives a new guest's browser its token.
    """
    found = current_cart()
    if found is not None:
        return found
    if current_user.is_authenticated:
        return _cart_of_user(current_user.id)
    g.cart_token = secrets.token_urlsafe(32)
    made = Cart(token_hash=_hashed(g.cart_token), currency=settings().default_currency)
    db.session.add(made)
    db.session.flush()
    return made


def _cart_of_user(user_id: int) -> Cart:
    """A person has one open cart (unique index), however many clicks come at once."""
    insert_ignore(Cart, {"user_id": user_id, "currency": settings().default_currency})
    return db.session.execute(
        select(Cart).where(Cart.user_id == user_id, Cart.ordered_at.is_(None))
    ).scalar_one()


def remember_cart(response: Response) -> Response:
    """Give the browser the token of the cart made in this request, if one was."""
    token = g.get("cart_token")
    if token:
        response.set_cookie(
            cookie_name(), token, max_age=COOKIE_SECONDS, path="/",
            secure=settings().is_tls, httponly=True, samesite="Lax",
        )  # fmt: skip
    return response


def cart_count() -> int:
    """How many units are in the cart: one statement, none for a reader without a cart."""
    if "cart_count" not in g:
        g.cart_count = _count()
    counted: int = g.cart_count
    return counted


_UNITS = select(func.sum(CartLine.quantity)).join(Cart, Cart.id == CartLine.cart_id)
_UNITS_OF_PERSON = _UNITS.where(*_OF_PERSON)
_UNITS_OF_BROWSER = _UNITS.where(*_OF_BROWSER)


def _count() -> int:
    if current_user.is_authenticated:
        return db.session.scalar(_UNITS_OF_PERSON, {"who": current_user.id}) or 0
    if not _token():
        return 0
    return db.session.scalar(_UNITS_OF_BROWSER, {"who": _hashed(_token())}) or 0


_wanted = CartLine.quantity + given("quantity")
_put = Upsert(
    CartLine,
    {
        "cart_id": given("cart_id"), "variant_id": given("variant_id"),
        "quantity": given("first"), "price_seen_minor": given("price_minor"),
    },
    unique=("cart_id", "variant_id"),
    then={
        "quantity": case((_wanted > given("most"), given("most")), else_=_wanted),
        "price_seen_minor": given("price_minor"),
    },
    returning="quantity",
)  # fmt: skip


def put(cart_id: int, variant_id: int, quantity: int, price_minor: int, most: int) -> int:
    """Add units to the cart, never above `most`; returns how many it then holds.

    One statement, so that two clicks at once both count.
    """
    held: int = _put(
        cart_id=cart_id, variant_id=variant_id, quantity=quantity, first=min(quantity, most),
        price_minor=price_minor, most=most,
    )  # fmt: skip
    return held


def waiting_units(user_id: int) -> int:
    """How many units the person's own cart has held since their last visit."""
    lines = (
        select(func.coalesce(func.sum(CartLine.quantity), 0))
        .join(Cart, Cart.id == CartLine.cart_id)
        .where(Cart.user_id == user_id, Cart.ordered_at.is_(None))
    )
    return int(db.session.scalar(lines) or 0)


def merge_into(user_id: int) -> int:
    """At sign-in: put the browser's cart into the person's. Inside the caller's transaction.

    Of a variant in both, the higher quantity counts, capped by what is in stock and by the
    most one order may have. Returns how many units that added.
    """
    guest_id = _guest_cart_id()
    if guest_id is None:
        return 0
    own = _cart_of_user(user_id)
    lines = db.session.execute(
        select(CartLine.variant_id, CartLine.quantity, CartLine.price_seen_minor)
        .where(CartLine.cart_id == guest_id)
        .order_by(CartLine.variant_id)
    ).all()
    free = free_units(line.variant_id for line in lines)
    limit = preference("line_limit")
    held: dict[int, int] = dict(
        db.session.execute(
            select(CartLine.variant_id, CartLine.quantity).where(CartLine.cart_id == own.id)
        ).all()
    )
    added = 0
    for line in lines:
        had = held.get(line.variant_id, 0)
        missing = min(line.quantity, free[line.variant_id], limit) - had
        if missing > 0:
            put(own.id, line.variant_id, missing, line.price_seen_minor, had + missing)
            added += missing
    db.session.execute(delete(CartLine).where(CartLine.cart_id == guest_id))
    db.session.execute(delete(Cart).where(Cart.id == guest_id))
    return added


def _guest_cart_id() -> int | None:
    if not _token():
        return None
    return db.session.scalar(
        select(Cart.id).where(
            Cart.token_hash == _hashed(_token()), Cart.user_id.is_(None), Cart.ordered_at.is_(None)
        )
    )


def ordered_cart_id() -> int | None:
    """The cart of who asks that became an order last (the shopper came back to the checkout)."""
    ordered = select(Cart.id).where(Cart.ordered_at.is_not(None))
    if current_user.is_authenticated:
        mine: Any = Cart.user_id == current_user.id
    elif _token():
        mine = (Cart.token_hash == _hashed(_token())) & Cart.user_id.is_(None)
    else:
        return None
    return db.session.scalar(ordered.where(mine).order_by(Cart.ordered_at.desc()).limit(1))
