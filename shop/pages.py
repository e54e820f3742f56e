"""Rendering: the one place that knows htmx, the filters of the templates, and the error pages."""

import hashlib
import secrets
from collections.abc import MutableMapping
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import structlog
from babel.dates import format_date, format_datetime, format_time
from flask import (
    Flask,
    Response,
    g,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)  # fmt: skip
from flask.templating import Environment
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from shop.clock import local, shop_zone
from shop.config import ROOT, settings
from shop.database import is_passing
from shop.errors import Refused, ShopError
from shop.extensions import db
from shop.limits import TooMany
from shop.money import format_minor

log = structlog.get_logger()


class Templates(Environment):
    """Flask's environment of templates, in which an `{% import %}` costs next to nothing.

    Jinja lays each template's globals over the environment's and compares the two at every import;
    no template here has globals of its own. Neither Flask nor Jinja gives any by itself.
    """

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """The environment's globals, for reading only: a template that is loaded shares them with all.

        Raises TypeError for globals of a template's own. Giving them to one that is loaded already
        raises AttributeError, since Jinja would write them into these.
        """
        if d:
            raise TypeError("A template here has no globals of its own: give it a context.")
        return cast(MutableMapping[str, Any], MappingProxyType(self.globals))


def wants_fragment() -> bool:
    """True when htmx asks for a part of the page. The only place that reads its headers."""
    headers = request.headers
    return (
        headers.get("HX-Request") == "true" and headers.get("HX-History-Restore-Request") != "true"
    )


def page(template: str, status: int = 200, **context: Any) -> Response:
    """The whole page, or its block "fragment" when htmx asked for a part."""
    whole = context.pop("layout", "base.html")
    layout = "_fragment.html" if wants_fragment() else whole
    response = make_response(render_template(template, layout=layout, **context), status)
    response.vary.add("HX-Request")
    return response


def leave_for(url: str) -> Response:
    """Send the browser elsewhere: 303, or to htmx 204 with HX-Redirect, so that a page is loaded."""
    if wants_fragment():
        response = make_response("", 204)
        response.headers["HX-Redirect"] = url
        return response
    return make_response(redirect(url, 303))


def with_etag(version: str, private: bool = True) -> tuple[str, bool]:
    """The strong tag for a version, and whether the browser already holds it."""
    tag = hashlib.sha256(version.encode()).hexdigest()[:32]
    return tag, tag in request.if_none_match


def not_modified(tag: str) -> Response:
    """304 before rendering."""
    response = make_response("", 304)
    return tagged(response, tag)


def tagged(response: Response, tag: str) -> Response:
    """Give an answer its tag and let the browser ask each time."""
    response.set_etag(tag)
    response.headers["Cache-Control"] = "private, no-cache"
    response.vary.add("HX-Request")
    response.vary.add("Cookie")
    return response


def init_app(app: Flask) -> None:
    """Filters, globals, the request's id and the error pages."""
    app.jinja_env.filters.update(
        money=lambda minor, currency: format_minor(minor, currency),
        day=day, moment=moment, clock=clock, iso=lambda value: value.isoformat(),
    )  # fmt: skip
    app.jinja_env.globals.update(asset_url=asset_url, settings=settings)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.before_request(_name_request)
    app.register_error_handler(TooMany, _too_many)
    app.register_error_handler(CSRFError, _csrf_refused)
    app.register_error_handler(ShopError, _shop_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unforeseen)


def day(value: datetime | date) -> str:
    """Tue 24 Nov, by the shop's clock."""
    shown = local(value) if isinstance(value, datetime) else value
    return format_date(shown, "EEE d MMM", locale="en_GB")


def moment(value: datetime) -> str:
    """20 Nov, 14:29, by the shop's clock."""
    return format_datetime(value, "d MMM, HH:mm", tzinfo=shop_zone(), locale="en_GB")


def clock(value: datetime) -> str:
    """14:29, by the shop's clock."""
    return format_time(value, "HH:mm", tzinfo=shop_zone(), locale="en_GB")


def asset_url(name: str) -> str:
    """A static file's address with a hash of its content, for long caching."""
    return f"/static/{name}?v={_digest(name)}"


@lru_cache(maxsize=512)
def _digest(name: str) -> str:
    path = Path(ROOT / "static" / name)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10] if path.is_file() else "0"


def _name_request() -> None:
    g.request_id = secrets.token_hex(8)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request=g.request_id)


def _too_many(error: TooMany) -> ResponseReturnValue:
    response = _error_answer(429, str(error))
    response.headers["Retry-After"] = str(error.retry_after)
    return response


def _csrf_refused(error: CSRFError) -> ResponseReturnValue:
    log.info("csrf.refused", path=request.path)
    return _error_answer(400, "This form is too old or came from elsewhere. Go back, reload the page and try again.")  # fmt: skip


def _shop_error(error: ShopError) -> ResponseReturnValue:
    db.session.rollback()
    if isinstance(error, Refused):
        log.info("refused", error=type(error).__name__, facts=error.facts)
        return _error_answer(error.status, str(error))
    log.error("shop.error", exc_info=error, facts=error.facts)
    return _error_answer(error.status, str(error))


def _http_error(error: HTTPException) -> ResponseReturnValue:
    if error.code is not None and error.code < 400:
        return error.get_response()
    sentences = {
        400: "That request could not be understood.",
        404: "There is nothing at this address.",
        405: "That cannot be done at this address.",
        413: "That is too large.",
        429: "Too many requests. Wait a minute, then try again.",
    }
    words = sentences.get(error.code or 500, "Something went wrong on our side.")
    response = _error_answer(error.code or 500, words)
    if error.code == 429:
        response.headers["Retry-After"] = "60"
    return response


def _unforeseen(error: Exception) -> ResponseReturnValue:
    db.session.rollback()
    if is_passing(error):
        log.warning("database.busy", exc_info=error)
        response = _error_answer(503, "The shop is very busy. Nothing was charged. Try again in a moment.")  # fmt: skip
        response.headers["Retry-After"] = "2"
        return response
    log.error("unforeseen", exc_info=error, path=request.path)
    return _error_answer(500, "Something went wrong on our side. Nothing was lost.")


def _error_answer(status: int, words: str) -> Response:
    """A page; a short fragment for htmx; JSON under /api. The request's id lets a person quote it."""
    reference = g.get("request_id", "")
    if request.path.startswith("/api/") or request.path.startswith("/webhooks/"):
        return make_response(jsonify(error=words, request_id=reference), status)
    if wants_fragment():
        return make_response(render_template("_error_fragment.html", words=words), status)
    body = render_template("error.html", layout="base.html", status=status, words=words, reference=reference)  # fmt: skip
    return make_response(body, status)


def safe_next(target: str | None) -> str:
    """A path of ours to go on to; anything else is the front page (security.md, S20).

    Browsers drop tabs and line breaks and read a backslash as a slash: such a path is not ours.
    """
    odd = "\\" in (target or "") or any(
        ord(sign) <= 32 or ord(sign) == 127 for sign in target or ""
    )
    if target and target.startswith("/") and not target.startswith("//") and not odd:
        return target
    return url_for("catalog.home")
