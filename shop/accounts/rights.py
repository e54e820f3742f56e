"""What each role may do: one table, and the decorator by which every staff page names its right.

The default is refusal: a route under /admin that names no right answers 403 (security.md, S42).
"""

from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog
from flask import Flask, Response, current_app, g, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from shop.accounts.models import Role
from shop.config import settings
from shop.errors import NotAllowed
from shop.extensions import login_manager
from shop.pages import safe_next, wants_fragment
from shop.preferences import preference

log = structlog.get_logger()
View = TypeVar("View", bound=Callable[..., Any])


class Right(StrEnum):
    """One thing that staff may be allowed to do."""

    ENTER = "enter the admin"
    SEE_ORDERS = "see orders"
    SEE_MONEY = "see totals and payments"
    SEE_CONTACT = "see e-mail and phone"
    SEE_CUSTOMERS = "see customers"
    SEE_REFERENCES = "see full payment references"
    ANNOTATE = "write notes and resend messages"
    MOVE_ORDERS = "move orders, ship and print"
    DECIDE_RETURNS = "approve and turn down returns"
    REFUND = "refund, up to the role's limit"
    RECORD_MONEY = "record money by hand and decide on late money"
    SEE_STOCK = "see stock"
    COUNT_STOCK = "count stock"
    CHANGE_CATALOG = "change products, stock and promotions"
    CHANGE_WORDS = "change the words of messages"
    PICKING_LISTS = "export picking lists"
    EXPORT = "export personal data"
    SEE_INCIDENTS = "see incidents"
    SEE_AUDIT = "read the audit"
    SEE_EVERYTHING = "read all of audit and incidents, not only one's own part"
    SEE_JOBS = "see jobs and webhooks"
    RUN_JOBS = "retry jobs and replay webhooks"
    CHANGE_SETTINGS = "change staff, roles, gateways, secrets and retention"


SUPPORT = frozenset(
    {
        Right.ENTER, Right.SEE_ORDERS, Right.SEE_MONEY, Right.SEE_CONTACT, Right.SEE_CUSTOMERS,
        Right.ANNOTATE, Right.DECIDE_RETURNS, Right.REFUND, Right.SEE_INCIDENTS, Right.SEE_AUDIT,
    }
)  # fmt: skip

FULFILMENT = frozenset(
    {
        Right.ENTER, Right.SEE_ORDERS, Right.ANNOTATE, Right.MOVE_ORDERS, Right.SEE_STOCK,
        Right.COUNT_STOCK, Right.PICKING_LISTS, Right.SEE_INCIDENTS, Right.SEE_AUDIT,
    }
)  # fmt: skip

RIGHTS: dict[Role, frozenset[Right]] = {
    Role.CUSTOMER: frozenset(),
    Role.SUPPORT: SUPPORT,
    Role.FULFILMENT: FULFILMENT,
    Role.MANAGER: frozenset(Right) - {Right.CHANGE_SETTINGS},
    Role.OWNER: frozenset(Right),
}
"""The table of security.md §5. Jobs and webhooks, which it leaves out, are the managers'."""


def init_app(app: Flask) -> None:
    """Refuse routes of the admin that forgot to name a right; send strangers to the sign-in."""
    app.before_request(_refuse_unnamed)
    login_manager.unauthorized_handler(to_sign_in)


def may(user: Any, right: Right) -> bool:
    """Whether this person's role has the right. Anonymous visitors have none."""
    if not getattr(user, "is_authenticated", False):
        return False
    return right in RIGHTS[user.role]


def refund_limit_minor(user: Any) -> int | None:
    """The largest refund this person may make, in minor units; None when there is no limit."""
    if not may(user, Right.REFUND):
        return 0
    return preference("support_refund_minor") if user.role == Role.SUPPORT else None


def staff_actor() -> str:
    """The signed-in person's name in timelines and audit: "user:7"."""
    return f"user:{current_user.id}"


def needs(right: Right) -> Callable[[View], View]:
    """Let only staff with the right in: others sign in first, or get 403.

    The right stands on the view as `needed_right`, for the test that walks all routes.
    """

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if not current_user.is_authenticated:
                return to_sign_in()
            if not may(current_user, right):
                log.warning(
                    "right.refused", actor=staff_actor(), right=right.name, path=request.path
                )
                raise NotAllowed
            if settings().staff_need_second_factor and not current_user.totp_secret:
                return _to(url_for("account_factor.enrol"), 403)
            return view(*args, **kwargs)

        guarded.needed_right = right  # type: ignore[attr-defined]
        return guarded  # type: ignore[return-value]

    return guard


def to_sign_in() -> Response:
    """To the sign-in, and afterwards back to the page that the person was on."""
    if wants_fragment() or request.method != "GET":
        was_on = urlsplit(request.referrer or "").path or "/admin/"
    else:
        was_on = request.full_path.rstrip("?")
    return _to(url_for("accounts.sign_in", next=safe_next(was_on)), 401)


def _to(target: str, fragment_status: int) -> Response:
    """Another page first. htmx gets no fragment, but is told to load that page."""
    if wants_fragment():
        return make_response("", fragment_status, {"HX-Redirect": target})
    return make_response(redirect(target, 303))


def _refuse_unnamed() -> ResponseReturnValue | None:
    """Every page under /admin names its right; one that does not is closed to everybody."""
    if request.url_rule is None or not request.url_rule.rule.startswith("/admin"):
        return None
    view = current_app.view_functions[request.endpoint or ""]
    if hasattr(view, "needed_right"):
        return None
    log.error("right.unnamed", endpoint=request.endpoint, request_id=g.get("request_id"))
    raise NotAllowed
