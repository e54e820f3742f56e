"""What a person picks on the page of a pretend Swish payment (SWISH_ENVIRONMENT=mock)."""

from flask import Blueprint, abort, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from shop.config import settings
from shop.database import transaction
from shop.errors import NotFound
from shop.extensions import db
from shop.pages import leave_for
from shop.payments import attempts, recording
from shop.payments.gateways import swish_pretend as pretend
from shop.payments.models import Payment
from shop.sandbox import never_in_production

bp = Blueprint("sandbox_swish", __name__, url_prefix="/sandbox/swish")
bp.before_request(never_in_production)


@bp.post("/<reference>")
def choose(reference: str) -> ResponseReturnValue:
    """The news that Swish would bring. Only for a payment that was opened with pretend money."""
    outcome = request.form.get("outcome", "")
    payment = db.session.scalars(
        select(Payment).where(Payment.gateway == "swish", Payment.reference == reference)
    ).one_or_none()
    is_pretend = payment is not None and pretend.ENVIRONMENT in payment.gateway_refs
    if payment is None or not is_pretend or settings().swish_environment != pretend.ENVIRONMENT:
        raise NotFound
    if outcome not in pretend.OUTCOMES:
        abort(400)
    event = pretend.picked(outcome, attempts.ref_of(payment))
    with transaction():
        recording.record(event, payment.gateway, "webhook", payment.id)
    return leave_for(url_for("payments.own_page", gateway_key="swish", reference=reference))
