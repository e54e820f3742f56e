"""Rendering the admin's screens: the frame with its counts, toasts, and refusals shown on the page."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from flask import Response, flash, g, make_response, redirect, request, url_for
from flask_login import current_user
from sqlalchemy import Select, func, or_, select

from shop.accounts.models import User
from shop.accounts.rights import Right, may
from shop.admin import bp
from shop.clock import in_future
from shop.config import settings
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.incidents.models import Incident, IncidentStatus, TicketState
from shop.jobs.models import Job, JobStatus
from shop.messaging.models import Notification, NotificationStatus
from shop.orders.models import Order, OrderStatus
from shop.pages import page, wants_fragment
from shop.payments.models import Dispute, DisputeStatus
from shop.payments.statements.models import BankStatementLine, LineState
from shop.returns.models import ReturnRequest, ReturnState
from shop.stock.models import StockLevel
from shop.webhooks.models import WebhookEvent, WebhookStatus

View = TypeVar("View", bound=Callable[..., Any])

PAGE_ROWS = 25
"""Rows on one page of any list."""

TO_DO = (
    OrderStatus.PAID,
    OrderStatus.PROCESSING,
    OrderStatus.READY_FOR_SHIPMENT,
)


@bp.context_processor
def frame() -> dict[str, Any]:
    """What every template of the admin may ask."""
    return {"can": can, "Right": Right, "actor_words": actor_words}


def can(right: Right) -> bool:
    """True when the signed-in person has the right."""
    return may(current_user, right)


def screen(template: str, status: int = 200, **context: Any) -> Response:
    """A page of the admin, or its fragment for htmx. Whole pages carry the menu's counts."""
    if wants_fragment():
        return page(template, status, is_fragment=True, **context)
    methods = {*settings().payment_gateways, settings().courier}
    return page(
        template,
        status,
        layout="admin/base_admin.html",
        menu=menu_counts(),
        is_sandbox="sandbox" in methods,
        is_fragment=False,
        **context,
    )


def menu_counts() -> dict[str, int]:
    """Things to do, for the menu: one statement."""
    row = db.session.execute(
        select(
            _count(Order, Order.status.in_(TO_DO) | Order.attention.is_not(None)).label("orders"),
            _count(StockLevel, is_low()).label("stock"),
            _count(BankStatementLine, BankStatementLine.state == LineState.UNMATCHED).label(
                "money"
            ),
            _count(Dispute, needs_answer()).label("disputes"),
            _count(
                ReturnRequest,
                ReturnRequest.state.in_([ReturnState.REQUESTED, ReturnState.RECEIVED]),
            ).label("returns"),
            _count(Job, Job.status == JobStatus.FAILED).label("jobs"),
            _count(WebhookEvent, WebhookEvent.status == WebhookStatus.FAILED).label("webhooks"),
            _count(Incident, Incident.status == IncidentStatus.OPEN).label("incidents"),
            _count(Incident, is_untracked()).label("untracked"),
            _count(Notification, Notification.status == NotificationStatus.UNCERTAIN).label(
                "messages"
            ),
        )
    ).one()
    return dict(row._mapping)


def is_untracked() -> Any:
    """An incident that the tracker should know by now, and does not. One that it refused tells so itself."""
    is_late = Incident.created_at < in_future(minutes=-5)
    is_missed = Incident.tracker_key.is_(None) & (Incident.ticket_state != TicketState.REFUSED)
    return (Incident.status != IncidentStatus.RESOLVED) & is_missed & is_late


def needs_answer() -> Any:
    """A dispute for which nobody has sent evidence yet."""
    return (Dispute.status == DisputeStatus.OPEN) & Dispute.evidence_sent_at.is_(None)


def is_low() -> Any:
    """A level that somebody should refill."""
    return StockLevel.on_hand - StockLevel.reserved <= StockLevel.low_threshold


def _count(model: Any, condition: Any) -> Any:
    return select(func.count()).select_from(model).where(condition).scalar_subquery()


def done(url: str, words: str, tone: str = "") -> Response:
    """After a change: a toast, and back to the page by GET (303), with htmx and without."""
    flash(words, tone or "done")
    return make_response(redirect(url, 303))


def shown_again(show: Callable[..., Response]) -> Callable[[View], View]:
    """A refusal (409, 422) of the view shows the page again with its words; nothing was changed."""

    def decorate(view: View) -> View:
        @wraps(view)
        def answered(*args: Any, **kwargs: Any) -> Any:
            try:
                return view(*args, **kwargs)
            except Refused as refusal:
                if refusal.status not in {409, 422}:
                    raise
                db.session.rollback()
                g.refusal = refusal
                return show(*args, **kwargs, problem=str(refusal), status=refusal.status)

        return answered  # type: ignore[return-value]

    return decorate


@dataclass(frozen=True)
class Sent:
    """A form as it was sent just now: what was typed in it, and the words for one of its fields."""

    typed: Mapping[str, str]
    field: str = ""
    words: str = ""

    def fault(self, name: str) -> str:
        """What is wrong with the field of that name; empty when nothing is."""
        return self.words if name == self.field else ""


@bp.app_template_global("sent")
def sent(url: str) -> Sent:
    """What came of the form with this address, if it was sent and the page is shown again.

    The address tells the forms of a page apart: it names the row that each belongs to.
    """
    if request.method != "POST" or request.script_root + request.path != url:
        return Sent({})
    refusal = g.get("refusal")
    return Sent(request.form, refusal.field, str(refusal)) if refusal else Sent(request.form)


def names_of(actors: Iterable[str]) -> dict[str, str]:
    """Names for actors such as "user:7"; one statement for all."""
    ids = {int(found) for name in actors if (found := name.removeprefix("user:")).isdigit()}
    rows: Any = (
        db.session.execute(select(User.id, User.name, User.email).where(User.id.in_(ids)))
        if ids
        else []
    )
    return {f"user:{user_id}": name or email for user_id, name, email in rows}


def actor_words(actor: str, names: dict[str, str]) -> str:
    """An actor as a person reads it: a name, "the customer", "Stripe"."""
    if actor in names:
        return names[actor]
    kind, _, name = actor.partition(":")
    if kind in {"gateway", "courier"} and name:
        return name.replace("_", " ").capitalize()
    return {"customer": "the customer", "system": "the shop itself"}.get(kind, actor)


def kept(values: dict[str, str]) -> dict[str, Any]:
    """The filters that are set, for the address of the list's next page."""
    return {key: value for key, value in values.items() if value}


@dataclass(frozen=True)
class Page:
    """One page of a list, newest first. `before` is the cursor of the next older one, if there is one."""

    rows: Sequence[Any]
    before: int | None

    def older(self, endpoint: str, same: dict[str, Any]) -> str | None:
        """The address of the next older page of the same list."""
        return url_for(endpoint, **same, before=self.before) if self.before else None


def newest(found: Select[Any], model: Any, rows: int = PAGE_ROWS) -> Page:
    """The page at the query's cursor: one statement, one row more than is shown."""
    before = whole("before")
    if before is not None:
        found = found.where(model.id < before)
    read = db.session.scalars(found.order_by(model.id.desc()).limit(rows + 1)).all()
    return Page(read[:rows], read[rows - 1].id if len(read) > rows else None)


def beside(listed: Page, model: Any, row_id: int | None, gone: str) -> Any:
    """The row that stands open beside its list: the one asked for, else the first, if any.

    Raises NotFound, in the words of `gone`.
    """
    if row_id is None:
        return listed.rows[0] if listed.rows else None
    found = db.session.get(model, row_id)
    if found is None:
        raise NotFound(gone)
    return found


def whole(name: str) -> int | None:
    """A whole number of the address or the form (page cursors); None when it is missing or is none."""
    value = request.values.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else None


def any_of(*conditions: Any) -> Any:
    """At least one of the conditions."""
    return or_(*conditions)
