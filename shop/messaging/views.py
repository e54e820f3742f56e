"""What people ask and refuse: to hear when a variant is back, to be reminded of a cart, to hear no more."""

from typing import Any

from flask import Blueprint, Response, make_response, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from shop.accounts.addresses import read_email, read_phone
from shop.accounts.models import User
from shop.cart.carts import current_cart, ensure_cart, remember_cart
from shop.cart.changing import read_id
from shop.cart.views import SAID
from shop.database import transaction
from shop.errors import NotFound
from shop.extensions import db
from shop.limits import count_try
from shop.messaging import cart_reminders, choices, consents, stock_alerts
from shop.messaging.languages import first_offered
from shop.messaging.models import Notification
from shop.messaging.stop_links import message_of
from shop.pages import leave_for, page, wants_fragment
from shop.shipping_prices.places import home_country

bp = Blueprint("messages", __name__)


@bp.after_request
def _kept_private(response: Response) -> Response:
    """Where the address of a page is a key it goes into no referrer and no index (S29)."""
    if "token" in (request.view_args or {}):
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Robots-Tag"] = "noindex"
    return response


def _locale() -> str:
    return first_offered(request.accept_languages.values()) or "en"


def _user_id() -> int | None:
    return current_user.id if current_user.is_authenticated else None


@bp.post("/products/alerts")
def want_back() -> ResponseReturnValue:
    """Keep an address that wants to hear when a variant is back. No token is asked for (S12)."""
    variant_id = read_id(request.form.get("variant_id", ""))
    email, fault = read_email(request.form)
    if fault:
        return page("messaging/alert.html", 422, variant_id=variant_id, email=email, fault=fault)
    count_try("stock_alert", f"address:{request.remote_addr}", f"mail:{email.casefold()}")
    with transaction():
        stock_alerts.ask_for(variant_id, email, _user_id(), _locale())
    return page("messaging/alert.html", variant_id=variant_id, email=email, is_kept=True)


@bp.post("/cart/reminder")
def remind() -> ResponseReturnValue:
    """Remember where to remind this browser's cart's owner, or forget it when the box is not ticked."""
    cart = current_cart()
    if cart is None:
        raise NotFound("Your cart is empty.")
    email, fault = read_email(request.form)
    wants = bool(request.form.get("remind"))
    if wants and fault:
        return _reminder_said(fault, 422, email)
    count_try("stock_alert", f"address:{request.remote_addr}")
    with transaction():
        if wants:
            cart_reminders.agree(cart.id, email, "cart", _user_id(), _locale())
        else:
            cart_reminders.disagree(cart.id)
    words = f"We write to {email} once if you leave this cart." if wants else "No reminder."
    return _reminder_said(words, 200, email)


def _reminder_said(words: str, status: int, email: str) -> Response:
    if wants_fragment():
        return page("messaging/reminder.html", status, words=words, email=email)
    session[SAID] = {"words": words}
    return leave_for(url_for("cart.show"))


@bp.route("/messages/cart/<token>", methods=["GET", "POST"])
def bring_cart_back(token: str) -> ResponseReturnValue:
    """A reminder's link: a button, and behind it the cart, in whatever browser it is followed."""
    message = message_of(token, "cart")
    reminder = cart_reminders.of_message(message)
    if reminder is None:
        return page("messaging/link_over.html", 410)
    if cart_reminders.needs_sign_in(reminder, _user_id()):
        return leave_for(url_for("accounts.sign_in", next=url_for("cart.show")))
    if request.method == "GET":
        return page("messaging/cart_back.html", token=token)
    with transaction():
        cart_reminders.bring_back(reminder, ensure_cart())
    return remember_cart(make_response(leave_for(url_for("cart.show"))))


@bp.route("/messages/stop/<token>", methods=["GET", "POST"])
def stop(token: str) -> ResponseReturnValue:
    """No more mails of this kind. A mail program's own button posts here too (RFC 8058).

    GET shows a button: programs that look through mails follow links. The token alone is believed:
    whoever has the mail may stop it, without sign-in, cookie or page.
    """
    message = message_of(token, "stop")
    if request.method == "GET":
        return page("messaging/stop.html", token=token, what=_what(message))
    with transaction():
        _stop(message)
    return page("messaging/stop.html", is_stopped=True, what=_what(message))


def _what(message: Notification) -> str:
    if message.subject_kind == "stock_alert":
        return "when something is back in stock"
    return "about carts that you left" if message.subject_kind == "cart_reminder" else "with offers"


def _stop(message: Notification) -> None:
    if message.subject_kind == "stock_alert":
        stock_alerts.stop(message.recipient)
        return
    consents.withdraw(message.channel, message.recipient, message.purpose, "link", message.user_id)


@bp.route("/account/messages", methods=["GET", "POST"])
@login_required
def account() -> ResponseReturnValue:
    """What we may write to this customer, and by which way."""
    if request.method == "GET":
        return _account_page(current_user.phone or "")
    typed = request.form.get("tel", "").strip()
    phone, fault = read_phone(request.form, home_country()) if typed else ("", "")
    if fault:
        return _account_page(typed, 422, {"tel": fault})
    with transaction():
        choices.choose(db.session.get_one(User, current_user.id), phone, request.form)
    return _account_page(phone, is_saved=True)


def _account_page(phone: str, status: int = 200, errors: Any = None, **more: Any) -> Response:
    groups = choices.choices_of(db.session.get_one(User, current_user.id))
    return page(
        "account/messages.html", status, groups=groups, phone=phone, errors=errors or {}, **more
    )
