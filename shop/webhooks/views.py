"""Where gateways and couriers post. Machine only: verify, store, answer in milliseconds."""

import structlog
from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from shop.providers import BadSignature
from shop.webhooks import inbox

log = structlog.get_logger()
bp = Blueprint("webhooks", __name__)

MAX_BYTES = 256 * 1024


@bp.post("/webhooks/<name>")
@bp.post("/api/webhooks/<name>")
def from_gateway(name: str) -> ResponseReturnValue:
    """A gateway's message. Some shops' dashboards name it below /api."""
    return _taken(name)


@bp.post("/payment/webhook")
def from_razorpay() -> ResponseReturnValue:
    """Razorpay's messages, for shops whose dashboards name this address."""
    return _taken("razorpay")


@bp.post("/webhooks/delivery/<name>")
def from_courier(name: str) -> ResponseReturnValue:
    """A courier's message."""
    return _taken(inbox.COURIER_PREFIX + name)


def _taken(name: str) -> ResponseReturnValue:
    request.max_content_length = MAX_BYTES
    # Kept, since a busy database makes the whole view run again.
    body = request.get_data()
    try:
        inbox.take_in(name, body, dict(request.headers))
    except BadSignature as error:
        inbox.refuse(name)
        log.warning("webhook.refused", source=name, address=request.remote_addr, reason=str(error))
        return {"error": "not verified"}, 400
    return "", 200
