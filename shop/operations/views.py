"""Health, readiness, metrics, clean-up by cron, and where to report a weakness."""

import hmac
from datetime import timedelta

from flask import Blueprint, Flask, Response, jsonify, request
from flask.typing import ResponseReturnValue

from shop.clock import utcnow
from shop.config import settings
from shop.errors import NotAllowed, NotFound
from shop.operations import by_hand, metrics, watching

bp = Blueprint("operations", __name__)

LOOPBACK = frozenset({"127.0.0.1", "::1"})


def init_app(app: Flask) -> None:
    """Count every request."""
    app.before_request_funcs.setdefault(None, []).insert(0, metrics.begin)
    app.after_request(metrics.count)


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """The process is up. Asks nothing of anybody."""
    return _plain("ok")


@bp.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Whether visitors can be served: database, migrations, Redis, worker. Reasons for insiders."""
    found = watching.readiness()
    is_ready = all(state == "ok" for state in found.values())
    status = 200 if is_ready else 503
    if is_insider():
        return jsonify(found), status
    return _plain("ready" if is_ready else "not ready"), status


@bp.get("/metrics", endpoint="metrics")
def figures() -> ResponseReturnValue:
    """Figures for Prometheus."""
    if not is_insider():
        raise NotAllowed
    return Response(metrics.text(), content_type="text/plain; version=0.0.4; charset=utf-8")


@bp.get("/api/cron/cleanup")
def clean_up() -> ResponseReturnValue:
    """The clean-up, for hosts that only offer a cron by HTTP (Authorization: Bearer CRON_SECRET)."""
    secret = settings().cron_secret
    if not secret:
        raise NotFound
    if not _bears(secret):
        raise NotAllowed
    return jsonify(by_hand.clean_up())


@bp.get("/.well-known/security.txt")
def security_txt() -> ResponseReturnValue:
    """Where to report a weakness (RFC 9116)."""
    found = settings()
    until = (utcnow() + timedelta(days=180)).strftime("%Y-%m-%dT00:00:00Z")
    lines = (
        f"Contact: mailto:{found.support_email}",
        f"Expires: {until}",
        "Preferred-Languages: en",
        f"Canonical: {found.public_url}/.well-known/security.txt",
    )
    return _plain("\n".join(lines) + "\n")


def is_insider() -> bool:
    """Whether the asker may see how the shop is doing: by METRICS_TOKEN, or on this very machine.

    A request that a proxy passed on comes from the proxy's machine: that proves nothing.
    """
    token = settings().metrics_token
    if token:
        return _bears(token)
    is_passed_on = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    return request.remote_addr in LOOPBACK and not is_passed_on


def _bears(secret: str) -> bool:
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return hmac.compare_digest(given.encode(), secret.encode())


def _plain(words: str) -> Response:
    return Response(words, content_type="text/plain; charset=utf-8")
