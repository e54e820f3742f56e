"""Where gateways, couriers and messages' providers post. Machine only: verify, store, answer in milliseconds."""

import structlog
from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from shop.config import settings
from shop.database import transaction
from shop.messaging.channels.whatsapp_cloud import WhatsAppCloud
from shop.providers import BadSignature
from shop.webhooks import inbox, messages, refusals

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


@bp.post("/webhooks/messages/<name>")
@bp.post("/webhooks/messages/<name>/<secret>")
def from_channel(name: str, secret: str = "") -> ResponseReturnValue:
    """Receipts of messages. Who signs nothing has a secret in its address."""
    return _taken(messages.PREFIX + name)


@bp.get("/webhooks/messages/cloud")
def challenge() -> ResponseReturnValue:
    """Meta asks by this, when the webhook is set up, whether the address is ours."""
    answer = WhatsAppCloud().challenge(request.args)
    if answer is None:
        return Response("not verified", 403, mimetype="text/plain")
    return Response(answer, mimetype="text/plain")


def _taken(name: str) -> ResponseReturnValue:
    request.max_content_length = MAX_BYTES
    # Kept, since a busy database makes the whole view run again.
    body = request.get_data()
    try:
        inbox.take_in(name, body, dict(request.headers), _public_address())
    except BadSignature as error:
        _count_refusal(name, str(error))
        log.warning("webhook.refused", source=name, address=request.remote_addr, reason=str(error))
        return {"error": "not verified"}, 400
    return "", 200


def _count_refusal(name: str, reason: str) -> None:
    """No transaction is begun for what a flood leaves to be counted later."""
    times = refusals.due(name)
    if times:
        with transaction():
            refusals.report(name, times, reason)


def _public_address() -> str:
    """What was called, as its caller wrote it: by our setting's name, never by headers of the request."""
    query = request.query_string.decode("latin-1")
    return f"{settings().public_url}{request.path}{'?' if query else ''}{query}"
