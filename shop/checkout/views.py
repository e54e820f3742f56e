"""The checkout: one page, one form. Placing itself is shop/checkout/placing.py."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, abort, request, session, url_for
from flask_login import current_user
from sqlalchemy import select

from shop.accounts.addresses import countries, read_country
from shop.cart.carts import current_cart, ordered_cart_id
from shop.cart.views import SAID
from shop.checkout import fields, placing
from shop.checkout.at_the_door import Customer
from shop.checkout.placing import CartGone, FiguresMoved, NotDelivered, StockGone, Wish, place
from shop.checkout.quoting import Quote, gift_cards_are_taken, quote
from shop.checkout.wishes import (
    first_values,
    has_key,
    is_billed_to_delivery,
    news_kinds,
    read_wish,
    save_address,
)  # fmt: skip
from shop.clock import utcnow
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.headers import allow_forms_to
from shop.limits import count_try
from shop.messaging.cart_reminders import agree
from shop.messaging.choices import NAMES
from shop.orders.models import Order, OrderStatus
from shop.pages import leave_for, page, wants_fragment
from shop.payments.gateways import gateway, switched_on
from shop.shipping_prices import live_quotes
from shop.shipping_prices.estimating import asked_token

bp = Blueprint("checkout", __name__)
bp.add_app_template_filter(fields.options_html, "options")

Form = Mapping[str, str]

LOOKS_BACK = timedelta(hours=1)
"""Who comes back to the checkout this soon after paying is shown the order."""

EMPTY = "Your cart is empty. Put something in it to check out."


@bp.get("/checkout")
def show() -> Response:
    """The form. Who already ordered with this cart is led to that order."""
    cart = current_cart()
    if cart is None:
        return _after_the_cart()
    form = first_values()
    figures = _figures(cart.id, form)
    if not figures.lines:
        return _to_cart(EMPTY)
    return _checkout(figures, form, {})


@bp.post("/checkout")
def place_order() -> Response:
    """Place the order, once for one form, and go where it is paid."""
    form = request.form
    if "update" in form:
        return preview()
    if not has_key(form):
        abort(400)
    cart = current_cart()
    if cart is None:
        return _after_the_cart(form["idempotency_key"])
    user_id = current_user.id if current_user.is_authenticated else None
    wish, errors = read_wish(form, cart.id, user_id)
    if errors:
        if form.get("remind") and wish.email and "email" not in errors:
            # The box was ticked without JavaScript, so it is heard of here first.
            with transaction():
                agree(cart.id, wish.email, "checkout", user_id, wish.locale)
        return _checkout(_figures(cart.id, form), form, errors, 422)
    _count(wish)
    return _place(wish, form)


def _count(wish: Wish) -> None:
    """Placing is counted for the person; of a guest for the cart and the address both (S47)."""
    if wish.user_id is not None:
        count_try("checkout", f"user:{wish.user_id}")
    else:
        count_try("checkout", f"cart:{wish.cart_id}", f"address:{request.remote_addr}")


def _place(wish: Wish, form: Form) -> Response:
    try:
        placed = place(wish)
    except FiguresMoved as moved:
        return _moved(moved, form, wish.cart_id)
    except CartGone as gone:
        return _to_cart(str(gone))
    except NotDelivered as refused:
        figures = _figures(wish.cart_id, form)
        return _checkout(figures, form, {"postal_code": str(refused)}, 422)
    except Refused as refused:
        return _checkout(
            _figures(wish.cart_id, form), form, {}, 422,
            headline="That could not be placed", changes=[str(refused)],
        )  # fmt: skip
    if wish.user_id is not None and form.get("save"):
        with transaction():
            save_address(wish.user_id, wish)
    return leave_for(placed.url)


def _moved(moved: FiguresMoved, form: Form, cart_id: int) -> Response:
    """Nothing was placed: the new figures, and what moved, at the top."""
    if not moved.quote.lines:
        return _to_cart(" ".join(moved.changes))
    if moved.quote.offer.wish is not None:
        # The courier's price was never asked for, or is too old; what it says now is not known yet.
        return _checkout(
            _figures(cart_id, form, is_counted=True), form, {}, 409, headline="The figures changed",
            changes=["The price of delivery was asked for again."],
        )  # fmt: skip
    headline = "Some of it has sold out" if isinstance(moved, StockGone) else "The figures changed"
    return _checkout(
        moved.quote, form, {}, 409, changes=moved.changes, headline=headline
    )  # fmt: skip


@bp.post("/checkout/preview")
def preview() -> Response:
    """The same form with other figures: country, postal code, delivery or payment changed."""
    cart = current_cart()
    if cart is None:
        return _after_the_cart()
    form = request.form
    figures = _figures(cart.id, form)
    if not figures.lines:
        return _to_cart(EMPTY)
    if wants_fragment():
        return page("checkout/preview.html", **_context(figures, form, {}))
    return _checkout(figures, form, {})


@bp.post("/checkout/validate/<name>")
def validate(name: str) -> Response:
    """One field with what is wrong with it. Changes nothing."""
    if name not in fields.CHECKED:
        abort(404)
    if name == "postal_code":
        return _postal_code(request.form)
    form = {**request.form, "email": request.form.get("use_email") or request.form.get("email", "")}
    return page("checkout/field.html", field=fields.checked_field(name, form))


def _postal_code(form: Form) -> Response:
    """The code decides what delivery costs, and whether there is any: the figures come along."""
    field = fields.checked_field("postal_code", form)
    cart = current_cart()
    figures = _figures(cart.id, form) if cart and not field.error else None
    if figures is None or not figures.lines:
        return page("checkout/field.html", field=field)
    if figures.offer.refusal and field.value.strip():
        field = replace(field, error=figures.offer.refusal, is_good=False)
    return page("checkout/postal_code.html", field=field, **_context(figures, form, {}))


def _figures(cart_id: int, form: Form, is_counted: bool = False) -> Quote:
    """The figures for this form. Asks the courier what it takes, where its price is wanted and not known.

    `is_counted`: the try to place was counted, and must not end without the courier's word.
    """
    figures = _quoted(cart_id, form, form.get("live_token", "")[:64])
    if figures.offer.wish is not None:
        asked = figures.offer.wish
        token = live_quotes.ask(asked).token if is_counted else asked_token(asked)
        figures = _quoted(cart_id, form, token) if token else figures
    _count_gift_codes(figures)
    return figures


def _quoted(cart_id: int, form: Form, live_token: str) -> Quote:
    gift_code = "" if form.get("update") == "no_gift" else form.get("gift_code", "")[:40]
    return quote(
        cart_id, country=read_country(form), postal_code=form.get("postal_code", ""),
        rate=form.get("rate"), method=form.get("method"), gift_code=gift_code,
        by_deposit=form.get("plan") == "deposit", customer=_customer(), live_token=live_token,
    )  # fmt: skip


def _count_gift_codes(figures: Quote) -> None:
    if figures.gift.error:
        # Who tries out codes is stopped (S47).
        count_try("gift_card", f"address:{request.remote_addr}")
        count_try("gift_card_day", f"address:{request.remote_addr}")


def _customer() -> Customer | None:
    """Who has signed in. What a guest types is asked about as the order is placed, not before."""
    if not current_user.is_authenticated:
        return None
    email = current_user.email if current_user.email_confirmed_at else ""
    return Customer(current_user.id, email)


def _checkout(
    figures: Quote, form: Form, errors: dict[str, str], status: int = 200, **more: Any
) -> Response:
    if not figures.lines:
        return _to_cart(EMPTY)
    allow_forms_to(*(host for way in switched_on() for host in way.redirect_hosts))
    context = _context(figures, form, errors)
    return page("checkout/checkout.html", status, layout="base_checkout.html", **context, **more)


def _context(figures: Quote, form: Form, errors: dict[str, str]) -> dict[str, Any]:
    dropped = [
        words
        for name, now, words in (
            ("rate", figures.rate or form.get("rate"), "That delivery method is not offered here, so we chose another."),
            ("method", figures.method if figures.methods else form.get("method"), "That way to pay does not fit here, so we chose another."),
        )
        if form.get(name) and form[name] != now
    ]  # fmt: skip
    return {
        "quote": figures, "takes_gift_cards": gift_cards_are_taken(), "form": form, "errors": errors, "dropped": dropped,
        "idempotency_key": secrets.token_urlsafe(32), "countries": countries(),
        "country": read_country(form), "billing_country": read_country(form, "billing_", read_country(form)),
        "contact": fields.contact_fields(form, errors), "address": fields.address_fields(form, errors),
        "extras": fields.extra_fields(form, errors), "is_billed_to_delivery": is_billed_to_delivery(form),
        "billing": fields.address_fields(form, errors, "billing_"),
        "news_by": " and ".join(NAMES[kind] for kind in news_kinds()),
        "country_changed": form.get("address_for", read_country(form)) != read_country(form),
        "billing_country_changed": form.get("billing_address_for") != read_country(form, "billing_"),
    }  # fmt: skip


def _after_the_cart(idempotency_key: str = "") -> Response:
    """No open cart: the order that it became, if it is still of interest, else the cart's page."""
    placed = placing.already_placed(idempotency_key) if idempotency_key else None
    if placed:
        return leave_for(placed.url)
    order = _last_order()
    if order is None or order.status == OrderStatus.CANCELLED:
        return _to_cart(EMPTY)
    if order.is_unpaid and gateway(order.payment_method).is_online:
        return leave_for(url_for("orders.pay", token=order.token))
    if not order.is_unpaid and utcnow() - order.placed_at > LOOKS_BACK:
        return _to_cart(EMPTY)
    return leave_for(url_for("orders.show", token=order.token))


def _last_order() -> Order | None:
    cart_id = ordered_cart_id()
    if cart_id is None:
        return None
    orders = select(Order).where(Order.cart_id == cart_id).order_by(Order.id.desc()).limit(1)
    return db.session.scalars(orders).first()


def _to_cart(words: str) -> Response:
    session[SAID] = {"words": words}
    return leave_for(url_for("cart.show"))
