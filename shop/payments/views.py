"""Coming back from a gateway, and the question whether a payment has come."""

import structlog
from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy import select

from shop.errors import NotFound
from shop.extensions import db
from shop.orders.models import Order, OrderStatus
from shop.payments import attempts
from shop.payments.models import LIVE, Payment
from shop.providers import ProviderError

log = structlog.get_logger()
bp = Blueprint("payments", __name__)


@bp.get("/pay/<gateway_key>/return")
def come_back(gateway_key: str) -> ResponseReturnValue:
    """The shopper is back: ask the gateway, believe nothing of the address, go on to the order."""
    payment = _named(request.args.get("reference", ""), gateway_key)
    _ask(payment)
    order = db.session.get_one(Order, payment.order_id, populate_existing=True)
    if order.is_unpaid and "left" in request.args:
        return redirect(url_for("orders.pay", token=order.token, left=1), 303)
    page = "orders.pay" if order.status == OrderStatus.PAYMENT_FAILED else "orders.show"
    return redirect(url_for(page, token=order.token), 303)


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


def _ask(payment: Payment) -> None:
    """Ask while the attempt is open. A gateway that is silent leaves the answer to webhook and sweep."""
    if payment.status not in LIVE:
        return
    try:
        attempts.ask(payment.id, "return")
    except ProviderError as error:
        log.warning("payment.no_answer_on_return", reference=payment.reference, error=str(error))
