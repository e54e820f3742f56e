"""Coming back from a gateway, and the question whether a payment has come."""

import structlog
from flask import Blueprint, Response, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_wtf.csrf import generate_csrf
from sqlalchemy import select

from shop.clock import utcnow
from shop.errors import NotFound
from shop.extensions import db
from shop.headers import allow_sources
from shop.orders.models import Order, OrderStatus
from shop.pages import leave_for, not_modified, page, tagged, wants_fragment, with_etag
from shop.payments import attempts
from shop.payments.gateways import gateway
from shop.payments.gateways.base import BringsScript, SignsReturns
from shop.payments.models import LIVE, AttemptStatus, Payment
from shop.providers import ProviderError

log = structlog.get_logger()
#: What Flutterwave, which has one address for every way back, adds to it as `status`.
LEFT, DECLINED = "cancelled", "failed"
bp = Blueprint("payments", __name__)


@bp.after_request
def _kept_private(response: Response) -> Response:
    """The reference in these addresses leads to the order: it goes into no referrer and no index (S29)."""
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


@bp.get("/pay/<gateway_key>/<reference>")
def own_page(gateway_key: str, reference: str) -> Response:
    """A gateway's page on this shop. It asks again by itself, and leads on once the attempt is over."""
    payment = _named(reference, gateway_key)
    order = db.session.get_one(Order, payment.order_id)
    if not _has_page_here(payment):
        return leave_for(_after(order))
    is_open, seconds = attempts.has_open_page(payment), _pace(payment)
    generate_csrf()  # the page's forms hold the session's token
    tag, is_known = with_etag(f"{payment.updated_at}:{is_open}:{seconds}:{session['csrf_token']}")
    if is_known and wants_fragment():
        return not_modified(tag)
    way = gateway(payment.gateway)
    if isinstance(way, BringsScript):
        allow_sources(way.page_sources)
    response = page(
        f"payments/{payment.gateway}.html", layout="base_checkout.html", payment=payment, order=order,
        way=way, step=payment.next_step, is_open=is_open, seconds=seconds,
        now=utcnow(), tag=tag,
    )  # fmt: skip
    return tagged(response, tag) if wants_fragment() else response


def _has_page_here(payment: Payment) -> bool:
    """True while the attempt has its page on this shop, though its time may be over."""
    return payment.status == AttemptStatus.OPEN and payment.next_step.get("kind") == "page"


def _pace(payment: Payment) -> int:
    """Seconds until the page asks again: often while the shopper pays, then seldom."""
    age = (utcnow() - payment.created_at).total_seconds()
    return 2 if age < 120 else 5 if age < 600 else 30


@bp.route("/pay/<gateway_key>/return", methods=["GET", "POST"])
def come_back(gateway_key: str) -> ResponseReturnValue:
    """The shopper is back: ask the gateway, believe nothing that was brought, go on to the order."""
    payment = _named(request.values.get("reference", ""), gateway_key)
    _look_at_signature(payment)
    said = request.args.get("status")
    _ask(payment, was_declined=said == DECLINED)
    order = db.session.get_one(Order, payment.order_id, populate_existing=True)
    payment = db.session.get_one(Payment, payment.id, populate_existing=True)
    if "stay" in request.args and _has_page_here(payment):
        return redirect(
            attempts.next_of(payment.next_step, order.token, gateway_key, payment.reference).url,
            303,
        )
    if order.is_unpaid and ("left" in request.args or said == LEFT):
        return redirect(url_for("orders.pay", token=order.token, left=1), 303)
    return redirect(_after(order), 303)


def _look_at_signature(payment: Payment) -> None:
    """A hint only: the gateway is asked either way. One that does not fit is worth a line."""
    way = gateway(payment.gateway)
    if not isinstance(way, SignsReturns):
        return
    if way.is_return_genuine(attempts.ref_of(payment), request.values) is False:
        log.warning("payment.return_not_genuine", reference=payment.reference)


def _after(order: Order) -> str:
    """Where a shopper goes on whose attempt is over: to try again, or to the order."""
    where = "orders.pay" if order.status == OrderStatus.PAYMENT_FAILED else "orders.show"
    return url_for(where, token=order.token)


@bp.get("/api/payments/verify/<reference>")
def verify(reference: str) -> ResponseReturnValue:
    """How a payment stands: for the order's owner, or whoever holds the order's token (`?token=`)."""
    payment = _named(reference)
    order = db.session.get_one(Order, payment.order_id)
    is_owner = current_user.is_authenticated and current_user.id == order.user_id
    if not is_owner and request.args.get("token", "") != order.token:
        raise NotFound
    _ask(payment)
    payment = db.session.get_one(Payment, payment.id, populate_existing=True)
    return {
        "reference": payment.reference,
        "status": payment.status.value,
        "paid": payment.captured_minor >= payment.amount_minor,
        "order": url_for("orders.show", token=order.token),
    }


def _named(reference: str, gateway_key: str | None = None) -> Payment:
    wanted = select(Payment).where(Payment.reference == reference)
    if gateway_key is not None:
        wanted = wanted.where(Payment.gateway == gateway_key)
    payment = db.session.scalars(wanted).one_or_none()
    if payment is None:
        raise NotFound
    return payment


def _ask(payment: Payment, *, was_declined: bool = False) -> None:
    """Ask while the attempt is open. A gateway that is silent leaves the answer to webhook and sweep."""
    if payment.status not in LIVE:
        return
    try:
        attempts.ask(payment.id, "return")
        if was_declined:
            attempts.end_declined(payment.id)
    except ProviderError as error:
        log.warning("payment.no_answer_on_return", reference=payment.reference, error=str(error))
