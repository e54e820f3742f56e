"""What every request must pass before its view: host, method, origin, token, size, rate.

Each rule has its one list here. The limits of sign-in, placing and look-ups, which must hold for
all processes whether or not there is a Redis, are counted in shop/limits.py instead.
"""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import structlog
from flask import Flask, current_app, make_response, request
from flask.typing import ResponseReturnValue
from flask_limiter import ApplicationLimit
from flask_login import current_user
from werkzeug.exceptions import BadRequest, MethodNotAllowed, NotFound, SecurityError

from shop.config import settings
from shop.errors import Refused
from shop.extensions import csrf, limiter

log = structlog.get_logger()

UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})

SERVERS_ONLY = (
    "webhooks.", "sandbox_api.", "sandbox_api_parcels.", "payments.come_back", "messages.stop",
)  # fmt: skip
"""Endpoints (or their beginnings) that other servers call, or that a gateway's page or a mail program posts to.

They read no cookie and believe nothing that is not signed, so neither token nor origin is asked.
"""

WITHOUT_TOKEN = frozenset({"cart.add", "preferences.currency", "messages.want_back"})
"""Endpoints judged by their origin alone, so that catalogue pages stay free of cookies (S12)."""

STRICT = (
    "accounts.",
    "account_factor.",
    "account_links.",
    "account_orders.",
    "admin.desk_",
    "admin.gift_card_",
    "admin.order_",
    "admin.return_",
    "admin.statement_",
    "admin.takings_",
    "cart.",
    "checkout.",
    "messages.",
    "orders.",
    "payments.",
    "returns.",
)
"""Where rights or money depend on the form: every field once, and nothing in the query (S18)."""

UNCOUNTED = (
    "static",
    "operations.healthz",
    "operations.readyz",
    "operations.metrics",
    "sandbox_api.",
    "sandbox_api_parcels.",
)
"""Endpoints (or their beginnings) that no limit counts; the sandbox's API is the shop's own call."""

WEBHOOK_BYTES = 256 * 1024
PICTURE_BYTES = 26 * 1024 * 1024
"""Five pictures of 5 MB and the form around them; what is no picture stays within MAX_FORM_MEMORY_SIZE."""
WITH_PICTURES = frozenset({"returns.request_return"})
WEBHOOK_PATHS = ("/webhooks/", "/api/webhooks/", "/payment/webhook")


class NotOurs(Refused):
    """This was sent from another site. Open the page here and try again."""

    status = 403


class Whence(Enum):
    """Where a request says that it comes from."""

    OURS = "ours"
    FOREIGN = "foreign"
    UNSAID = "unsaid"


def init_app(app: Flask) -> None:
    """Put the guards before every view, and the limits before the guards."""
    own_host = urlsplit(app.extensions["settings"].public_url).netloc
    app.wsgi_app = _any_host_for_health(app.wsgi_app, own_host)  # type: ignore[method-assign]
    for guard in (
        refuse_host,
        refuse_trace,
        limit_body,
        refuse_foreign,
        check_token,
        refuse_twofold,
        refuse_nul,
    ):
        app.before_request(guard)
    counted = ApplicationLimit(
        limit_provider=_rate, key_function=_counted_for, exempt_when=_is_uncounted
    )
    limiter.limit_manager.set_application_limits([counted.bind(limiter)])


def refuse_host() -> ResponseReturnValue | None:
    """A Host that is not in TRUSTED_HOSTS: no page, since a page would need an address of ours."""
    if isinstance(request.routing_exception, SecurityError):
        return make_response(
            "This host name is not served here.\n", 400, {"Content-Type": "text/plain"}
        )
    return None


def refuse_trace() -> None:
    """TRACE would mirror cookies."""
    if request.method == "TRACE":
        raise MethodNotAllowed


def limit_body() -> None:
    """Webhooks are small, pictures large; what is larger gets 413 before it is read."""
    if request.path.startswith(WEBHOOK_PATHS):
        request.max_content_length = WEBHOOK_BYTES
    elif request.endpoint in WITH_PICTURES:
        request.max_content_length = PICTURE_BYTES


def refuse_foreign() -> None:
    """Requests that change something come from our own pages (S13)."""
    if request.method not in UNSAFE or _is_for_servers():
        return
    whence = came_from()
    if whence is Whence.OURS:
        return
    if whence is Whence.UNSAID and request.endpoint not in WITHOUT_TOKEN:
        return
    log.warning("origin.refused", path=request.path, origin=request.headers.get("Origin"))
    raise NotOurs


def came_from() -> Whence:
    """What Sec-Fetch-Site and Origin say.

    A page with the referrer policy no-referrer, as order pages are, sends Origin "null" even to
    us: then Sec-Fetch-Site alone speaks.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin", "null")
    if site == "cross-site" or (origin != "null" and not _is_our_origin(origin)):
        return Whence.FOREIGN
    if site == "same-origin" or origin != "null":
        return Whence.OURS
    return Whence.UNSAID


def _is_our_origin(origin: str) -> bool:
    """The public address's origin, or the one by which we were called: its host is a trusted one."""
    public = urlsplit(settings().public_url)
    return origin.lower() in {
        f"{public.scheme}://{public.netloc}".lower(),
        f"{request.scheme}://{request.host}".lower(),
    }


def check_token() -> None:
    """Everything else that changes something carries the token of its session (S12)."""
    if request.method not in UNSAFE or not request.endpoint:
        return
    if not _is_for_servers() and request.endpoint not in WITHOUT_TOKEN:
        csrf.protect()


def refuse_twofold() -> None:
    """A field given twice, or in the query, where money or rights depend on it (S18)."""
    if request.method not in UNSAFE or not _begins(STRICT) or _is_for_servers():
        return
    twice = [name for name in request.form if len(request.form.getlist(name)) > 1]
    if twice or request.args:
        log.warning("form.twofold", path=request.path, fields=sorted({*twice, *request.args}))
        raise BadRequest


def refuse_nul() -> None:
    """No name, code or token holds a NUL; PostgreSQL refuses it in the middle of a page."""
    if "\x00" in request.path:
        raise NotFound
    values = [] if _begins(("catalog.",)) else list(request.args.values())
    if request.method in UNSAFE and not _is_for_servers():
        values += request.form.values()
    if any("\x00" in value for value in values):
        raise BadRequest


def _is_for_servers() -> bool:
    return _begins(SERVERS_ONLY)


def _begins(endpoints: Iterable[str]) -> bool:
    return (request.endpoint or "").startswith(tuple(endpoints))


def _rate() -> str:
    """How often this kind of request may come (security.md §6).

    Without Redis each process counts for itself, so that the true limit is at most the number of
    web processes times as high: enough against a flood, and what must be exact is not counted here.
    """
    most = {
        "webhooks": settings().webhooks_per_minute,
        "receipts": settings().message_webhooks_per_minute,
        "cart": 60,
        "search": 60,
    }.get(_kind(), 300)
    return f"{most}/minute"


def _kind() -> str:
    endpoint = request.endpoint or ""
    if endpoint == "webhooks.from_channel":
        return "receipts"
    if endpoint.startswith("webhooks."):
        return "webhooks"
    if endpoint.startswith("cart.") and request.method in UNSAFE:
        return "cart"
    if endpoint.startswith("catalog.") and (request.args.get("q") or endpoint.endswith("suggest")):
        return "search"
    return "rest"


def _counted_for() -> str:
    """Whom the limit counts: staff in the admin by person, everybody else by network address."""
    if (request.endpoint or "").startswith("admin.") and current_user.is_authenticated:
        return f"rest:user:{current_user.id}"
    return f"{_kind()}:{request.remote_addr}"


def _is_uncounted() -> bool:
    return _begins(UNCOUNTED) or not current_app.config.get("RATELIMIT_ENABLED", True)


def _any_host_for_health(inner: Callable[..., Any], own_host: str) -> Callable[..., Any]:
    """Let /healthz answer whatever the host: load balancers ask by address, and it uses no host."""

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        if environ.get("PATH_INFO") == "/healthz":
            environ = {**environ, "HTTP_HOST": own_host}
        return inner(environ, start_response)

    return answer
