"""The order's own pages, opened by its token: where it is, paying it, holding it, cancelling it, finding it.

Whoever has the token sees these pages; the full address and cancelling a paid order are for the
signed-in customer who ordered (security.md, S53 and S54).
"""

import time

from flask import Blueprint, Flask, Response, request, session, url_for
from flask_login import current_user
from flask_wtf.csrf import generate_csrf
from sqlalchemy import select

from shop.cart.carts import current_cart
from shop.cart.views import SAID
from shop.checkout import order_page, paying
from shop.clock import local, utcnow
from shop.config import settings
from shop.database import transaction
from shop.errors import Conflict, NotAllowed, NotFound, Refused
from shop.extensions import db
from shop.headers import allow_forms_to
from shop.jobs.queue import enqueue
from shop.limits import count_try
from shop.messaging import choices
from shop.money import MoneyError, format_minor, parse_minor
from shop.orders.lifecycle import IllegalTransition
from shop.orders.models import REPLACEMENT, Order
from shop.pages import leave_for, not_modified, page, tagged, wants_fragment, with_etag
from shop.payments import attempts, parts
from shop.payments.gateways import gateway, switched_on
from shop.payments.models import PaymentPart
from shop.stock.reservations import OutOfStock

bp = Blueprint("orders", __name__, url_prefix="/orders")

FIND_WORDS = "If an order has this number and email, we have just sent its link there. Look into your mailbox."  # fmt: skip
"""Said whether or not there is such an order (security.md, S52)."""

ENDED_HOLD = "Something in your order has sold out meanwhile."


@bp.after_request
def _kept_private(response: Response) -> Response:
    """The address of these pages is a key: it goes into no referrer and no index (S29)."""
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


@bp.errorhandler(NotFound)
def _unknown(_error: NotFound) -> Response:
    """The same for a token that never was and for one that was replaced."""
    return page("orders/unknown.html", 404)


@bp.get("/<token>")
def show(token: str) -> Response:
    """Where the order is, from placed to delivered. The open page asks again by itself."""
    order = order_page.find(token)
    since = _since()
    tag, is_known = with_etag(_version(order, since))
    if is_known and wants_fragment():
        return not_modified(tag)
    shown = order_page.read(order, _is_owner(order))
    response = page(
        "orders/order.html", shown=shown, order=shown.order, tag=tag, since=since,
        seconds=_seconds(shown, since), news=choices.news_of(shown.order.phone),
    )  # fmt: skip
    return tagged(response, tag) if wants_fragment() else response


def _version(order: Order, since: int) -> str:
    """What the drawn page depends on, in one string; its forms hold the session's token."""
    generate_csrf()
    return ":".join(
        (
            order_page.version_of(order), str(_pace(since)), str(_is_owner(order)),
            str(local(utcnow()).date()), session["csrf_token"],
        )
    )  # fmt: skip


def _is_owner(order: Order) -> bool:
    return bool(current_user.is_authenticated and current_user.id == order.user_id)


def _since() -> int:
    """When the page was opened, in seconds of the clock; the page sends it along as it asks."""
    sent = request.args.get("since", "")
    is_number = sent.isascii() and sent.isdigit() and len(sent) < 12
    return int(sent) if is_number else int(time.time())


def _pace(since: int) -> int:
    """Seconds between two questions while a payment is awaited: often at first, then seldom."""
    open_for = time.time() - since
    return 2 if open_for < 60 else 10 if open_for < 600 else 30


def _seconds(shown: order_page.OrderPage, since: int) -> int:
    """After how many seconds the page asks again; 0 for never."""
    if shown.is_asking or shown.is_confirming:
        return _pace(since)
    return 5 if shown.is_moving else 0


@bp.get("/<token>/pay")
def pay(token: str) -> Response:
    """How to pay an order that is placed and not paid."""
    return _pay_page(order_page.find(token))


@bp.post("/<token>/pay")
def pay_now(token: str) -> Response:
    """Try again by the same or another way; with `first`, pay only so much by this one."""
    order = order_page.find(token)
    part = parts.awaited(order)
    if part is None:
        return leave_for(url_for("orders.show", token=token))
    order_id, method = order.id, request.form.get("method", "")
    first_minor, wrong = _first_amount(order, part)
    if wrong:
        return _pay_page(order, 422, first_error=wrong)
    ways = paying.methods_for(order, first_minor or part.amount_minor)
    way = next((one for one in ways if one.key == method), None)
    if way is None:
        return _pay_page(order, 422, error="Choose how you want to pay")
    if way.unavailable:
        return _pay_page(order, 422, error=way.unavailable)
    count_try("checkout", f"order:{order_id}", f"address:{request.remote_addr}")
    try:
        step = attempts.pay(order_id, method, first_minor)
    except OutOfStock:
        return _pay_page(_again(order_id), 409, notice=ENDED_HOLD)
    except Refused as refused:
        return _pay_page(_again(order_id), refused.status, notice=str(refused))
    return leave_for(step.url)


def _first_amount(order: Order, part: PaymentPart) -> tuple[int, str]:
    """What the shopper wants to pay by this way alone, in minor units (0: all), and what is wrong."""
    typed = request.form.get("first", "").strip()
    if not typed:
        return 0, ""
    try:
        first_minor = parse_minor(typed, order.currency)
    except MoneyError as error:
        return 0, str(error)
    if not 0 < first_minor < part.amount_minor:
        whole = format_minor(part.amount_minor, order.currency)
        return 0, f"Enter an amount above zero and below {whole}"
    return first_minor, ""


def _again(order_id: int) -> Order:
    return db.session.get_one(Order, order_id, populate_existing=True)


def _pay_page(
    order: Order, status: int = 200, error: str = "", notice: str = "", first_error: str = ""
) -> Response:
    part = parts.awaited(order)
    if part is None:
        return leave_for(url_for("orders.show", token=order.token))
    allow_forms_to(*(host for way in switched_on() for host in way.redirect_hosts))
    shown = paying.read(order, part, request.values.get("method", ""))
    return page(
        "orders/pay.html", status, layout="base_checkout.html", shown=shown, order=order,
        hold=shown.hold, now=utcnow(), error=error, said=notice, first_error=first_error,
        first=request.form.get("first", "")[:20],
    )  # fmt: skip


@bp.get("/<token>/hold")
def hold(token: str) -> Response:
    """How long the stock is still held, for the countdown."""
    return _hold(order_page.find(token))


@bp.post("/<token>/hold")
def hold_longer(token: str) -> Response:
    """Hold it for the full time again."""
    order_id = order_page.find(token).id
    try:
        attempts.renew_hold(order_id)
    except OutOfStock:
        return _hold(_again(order_id), 409)
    return _hold(_again(order_id)) if wants_fragment() else _to_pay(token)


def _hold(order: Order, status: int = 200) -> Response:
    if not order.is_unpaid or (status == 200 and not wants_fragment()):
        return _to_pay(order.token)
    if not wants_fragment():
        return _pay_page(order, status, notice=ENDED_HOLD)
    held = paying.read_hold(order)
    return page("orders/_hold.html", status, order=order, hold=held, now=utcnow())


def _to_pay(token: str) -> Response:
    return leave_for(url_for("orders.pay", token=token))


@bp.post("/<token>/news")
def news(token: str) -> Response:
    """Whether SMS or WhatsApp messages about orders go to the order's number: guests have no account."""
    order = order_page.find(token)
    number, user_id = order.phone, order.user_id
    with transaction():
        is_wanted = request.form.get("wanted") == "1"
        choices.switch_news(number, request.form.get("kind", ""), is_wanted, user_id)
    return leave_for(url_for("orders.show", token=token))


@bp.post("/<token>/cancel")
def cancel(token: str) -> Response:
    """Cancel: an unpaid order gives its cart back, a paid one the money."""
    order = order_page.find(token)
    order_id, number, was_unpaid = order.id, order.number, order.is_unpaid
    if not was_unpaid and not _is_owner(order):
        raise NotAllowed(
            f"This order is paid. Sign in to cancel it, or write to {settings().support_email}."
        )
    if order.payment_method == REPLACEMENT:
        raise Conflict("This order replaces what you sent back. Write to us to change it.")
    try:
        attempts.cancel_by_shopper(order_id)
    except IllegalTransition:
        raise Conflict(
            "This order cannot be cancelled any more. Write to us if you want to send it back."
        ) from None
    if not was_unpaid:
        return leave_for(url_for("orders.show", token=token))
    back = current_cart() is not None
    words = f"Order {number} is cancelled, and nothing was charged."
    session[SAID] = {"words": f"{words} What was in it is in your cart again." if back else words}
    return leave_for(url_for("cart.show"))


@bp.get("/find")
def find() -> Response:
    """Lost the link: number and e-mail bring it again."""
    said = FIND_WORDS if "sent" in request.args else ""
    return page("orders/find.html", form={}, errors={}, said=said)


@bp.post("/find")
def send_link() -> Response:
    """Mail the order's link. The answer is the same in any case."""
    number = request.form.get("number", "").strip().lstrip("#")[:20]
    email = request.form.get("email", "").strip()[:254]
    errors = {
        name: words
        for name, words, value in (
            ("number", "Enter the order number, like 2611.042", number),
            ("email", "Enter the email you ordered with", email),
        )
        if not value
    }
    if errors:
        return page("orders/find.html", 422, form=request.form, errors=errors, said="")
    address = f"address:{request.remote_addr}"
    count_try("find_order", address)
    count_try("find_order_day", address)
    with transaction():
        _send(number, email)
    return leave_for(url_for("orders.find", sent=1))


def _send(number: str, email: str) -> None:
    order_id = db.session.scalar(
        select(Order.id).where(
            Order.number == number, db.func.lower(Order.email) == email.casefold()
        )
    )
    if order_id is not None:
        # Asking twice within a minute sends one mail.
        asked = int(time.time()) // 60
        enqueue(
            "messaging.tell", {"event": "order_link", "order_id": order_id, "asked": asked},
            key=f"order_link:{order_id}",
        )  # fmt: skip


def check_url(shown: order_page.OrderPage | paying.PayPage) -> str:
    """Where "check again" leads: the gateway is asked, and the shopper comes back to the order."""
    payment = shown.payment
    if payment is None or not gateway(payment.gateway).is_online:
        return ""
    return url_for("payments.come_back", gateway_key=payment.gateway, reference=payment.reference)


def init_app(app: Flask) -> None:
    """What the templates of orders use."""
    app.jinja_env.globals["check_url"] = check_url
