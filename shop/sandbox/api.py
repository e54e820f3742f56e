"""The pretend gateway's API, for the shop alone: JSON over HTTP with a bearer secret."""

import hmac
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request
from flask.typing import ResponseReturnValue

from shop.database import transaction
from shop.errors import NotFound
from shop.payments.gateways.sandbox import shared_secret
from shop.sandbox import gateway, never_in_production
from shop.sandbox.gateway import Unusable

LAST_KEY = 10**15
"""No row has a larger one."""

bp = Blueprint("sandbox_api", __name__, url_prefix="/sandbox/api")
bp.before_request(never_in_production)


@bp.before_request
def check_bearer() -> ResponseReturnValue | None:
    """Only who knows the shared secret is answered."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode(), shared_secret().encode()):
        return _error(401, "unauthorized", "The bearer secret is missing or wrong.")
    return None


@bp.errorhandler(Unusable)
def refused(error: Unusable) -> ResponseReturnValue:
    """422: for certain; trying again would not help."""
    return _error(422, error.code, str(error))


@bp.errorhandler(NotFound)
def not_found(error: NotFound) -> ResponseReturnValue:
    """404 in JSON."""
    return _error(404, "not_found", str(error))


@bp.post("/payments")
def open_payment() -> ResponseReturnValue:
    """Open a payment; the same key or reference gets the same one again."""
    wish = _wish()
    with transaction():
        payment = gateway.as_payment(gateway.open_payment(wish))
    return jsonify(payment), 201


@bp.get("/payments/<name>")
def show_payment(name: str) -> ResponseReturnValue:
    """A payment, its refunds and its disputes, by the gateway's id or the shop's reference."""
    return jsonify(gateway.as_payment(gateway.find(name)))


@bp.post("/payments/<name>/close")
def close_payment(name: str) -> ResponseReturnValue:
    """End the page; the answer shows what the payment came to."""
    with transaction():
        payment = gateway.find(name, lock=True)
        gateway.close(payment)
        shown = gateway.as_payment(payment)
    return jsonify(shown)


@bp.post("/payments/<name>/refunds")
def refund(name: str) -> ResponseReturnValue:
    """Give money back, once for a key."""
    wish = _wish()
    key, amount_minor = wish.get("idempotency_key"), wish.get("amount_minor")
    if not isinstance(key, str) or type(amount_minor) is not int:
        raise Unusable("bad_request", "idempotency_key and amount_minor are needed.")
    with transaction():
        made = gateway.refund(gateway.find(name, lock=True), key, amount_minor)
    return jsonify(made), 201


@bp.get("/payments")
def list_payments() -> ResponseReturnValue:
    """Paid since a moment."""
    rows, following = gateway.paid_since(_since(), _after())
    return jsonify(data=rows, next=following)


@bp.get("/refunds")
def list_refunds() -> ResponseReturnValue:
    """Made since a moment."""
    rows, following = gateway.made_since("refund", _since(), _after())
    return jsonify(data=rows, next=following)


@bp.get("/disputes")
def list_disputes() -> ResponseReturnValue:
    """Opened or decided since a moment."""
    rows, following = gateway.made_since("dispute", _since(), _after())
    return jsonify(data=rows, next=following)


def _wish() -> dict[str, Any]:
    wish = request.get_json(silent=True)
    if not isinstance(wish, dict):
        raise Unusable("bad_request", "The body is not a JSON object.")
    return wish


def _since() -> datetime:
    try:
        return datetime.fromisoformat(request.args.get("since", "")).astimezone(UTC)
    except ValueError:
        abort(400)


def _after() -> int:
    return max(0, min(request.args.get("after", 0, type=int), LAST_KEY))


def _error(status: int, code: str, message: str) -> Response:
    response = jsonify(error={"code": code, "message": message})
    response.status_code = status
    return response
