"""The message log: what was sent to whom, what became of it, and sending it once more."""

from typing import Any

from flask import Response, make_response, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import defer

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.rendering import done, kept, newest, screen, shown_again
from shop.database import transaction
from shop.errors import NotFound
from shop.extensions import db
from shop.headers import allow_sources
from shop.messaging import consents
from shop.messaging.account_mail import MAILS
from shop.messaging.channels.base import KINDS
from shop.messaging.events import EVENTS
from shop.messaging.languages import LANGUAGES
from shop.messaging.models import Notification, NotificationStatus
from shop.messaging.resending import UNDER_WAY, mark_arrived, may_be_resent, resend
from shop.messaging.sms_text import length_of
from shop.orders.models import Order

STATUSES = {
    "queued": ("Waiting", ""),
    "sending": ("Being sent", "warn"),
    "sent": ("Sent", "ok"),
    "delivered": ("Delivered", "ok"),
    "read": ("Read", "ok"),
    "uncertain": ("Uncertain", "danger"),
    "failed": ("Failed", "danger"),
    "suppressed": ("Not sent", ""),
}
"""Words and the badge's tone."""
CHANNEL_WORDS = {"email": "Mail", "sms": "SMS", "whatsapp": "WhatsApp"}
TROUBLES = (NotificationStatus.UNCERTAIN, NotificationStatus.FAILED)
#: A mail is a page of its own: its styles stand in attributes, and nothing in it may run or load.
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'self';"
    " base-uri 'none'; form-action 'none'; sandbox"
)


@bp.app_template_filter("message_words")
def template_words(template: str) -> str:
    """order_confirmed → Order confirmed; admin_low_stock → To you: low stock."""
    words = template.replace("_", " ")
    if words.startswith(("admin ", "staff ")):
        return f"To you: {words.partition(' ')[2]}"
    return words[:1].upper() + words[1:]


@bp.get("/messages")
@needs(Right.SEE_CONTACT)
def messages() -> ResponseReturnValue:
    """Messages, newest first, by the filters."""
    wanted = {name: request.args.get(name, "")[:120] for name in ("status", "channel", "template")}
    query = request.args.get("q", "").strip()[:120]
    found = select(Notification).options(
        defer(Notification.body_text), defer(Notification.body_html), defer(Notification.context)
    )
    if wanted["status"] in list(NotificationStatus):
        found = found.where(Notification.status == NotificationStatus(wanted["status"]))
    elif wanted["status"] == "trouble":
        found = found.where(Notification.status.in_(TROUBLES))
    if wanted["channel"] in KINDS:
        found = found.where(Notification.channel == wanted["channel"])
    if wanted["template"]:
        found = found.where(Notification.template == wanted["template"])
    if query:
        found = found.where(_matches(query))
    listed = newest(found, Notification)
    same = kept({**wanted, "q": query})
    return screen(
        "admin/messages.html",
        section="admin.messages",
        rows=listed.rows,
        numbers=_numbers(row.order_id for row in listed.rows),
        statuses=STATUSES,
        channels=CHANNEL_WORDS,
        templates=sorted({told.template for tellings in EVENTS.values() for told in tellings}),
        wanted=wanted,
        query=query,
        older=listed.older("admin.messages", same),
    )


def _matches(query: str) -> Any:
    """An order's number, whole; else a part of the address or number that it went to."""
    order_id = db.session.scalar(select(Order.id).where(Order.number == query.lstrip("#")))
    if order_id is not None:
        return Notification.order_id == order_id
    return Notification.recipient.icontains(query, autoescape=True)


def _numbers(order_ids: Any) -> dict[int, str]:
    wanted = {order_id for order_id in order_ids if order_id}
    rows = db.session.execute(select(Order.id, Order.number).where(Order.id.in_(wanted)))
    return dict(rows.all())


@bp.get("/messages/<int:notification_id>")
@needs(Right.SEE_CONTACT)
def message(notification_id: int) -> ResponseReturnValue:
    """One message: what it said, what became of it, and what can be done."""
    return show_message(notification_id)


def show_message(
    notification_id: int, *, problem: str = "", status: int = 200, **_others: Any
) -> Response:
    """The page; `problem` is what was refused just now."""
    found = _one(notification_id)
    allow_sources({"frame-src": ("'self'",)})
    text = "" if _is_secret(found) else found.body_text or ""
    language = LANGUAGES.get(found.locale)
    return screen(
        "admin/message.html",
        status,
        section="admin.messages",
        problem=problem,
        message=found,
        number=_numbers([found.order_id]).get(found.order_id or 0),
        statuses=STATUSES,
        channels=CHANNEL_WORDS,
        language=language.name if language else found.locale,
        text=text,
        length=length_of(text) if text and found.channel == "sms" else None,
        whatsapp=(found.context or {}).get("whatsapp"),
        has_mail=bool(found.body_html) and not _is_secret(found),
        suppressed=consents.is_suppressed(found.channel, found.recipient),
        may_resend=may_be_resent(found) and found.status not in UNDER_WAY,
    )


@bp.get("/messages/<int:notification_id>/mail")
@needs(Right.SEE_CONTACT)
def message_mail(notification_id: int) -> ResponseReturnValue:
    """The mail as its reader sees it, under a policy of its own."""
    found = _one(notification_id)
    if not found.body_html or _is_secret(found):
        raise NotFound("This mail is not kept.")
    return framed(found.body_html)


def framed(page: str) -> Response:
    """A mail for a frame: nothing in it runs, loads or leads away."""
    response = make_response(page)
    response.headers["Content-Security-Policy"] = MAIL_POLICY
    return response


@bp.post("/messages/<int:notification_id>/resend")
@needs(Right.ANNOTATE)
@shown_again(show_message)
def message_resend(notification_id: int) -> ResponseReturnValue:
    """Send it once more, written anew, because a person asks for it."""
    with transaction():
        if not may_be_resent(_one(notification_id)):
            raise NotFound("This message cannot be sent again.")
        new_id = resend(notification_id, staff_actor()).id
    return done(url_for("admin.message", notification_id=new_id), "It is sent once more.")


@bp.post("/messages/<int:notification_id>/arrived")
@needs(Right.ANNOTATE)
@shown_again(show_message)
def message_arrived(notification_id: int) -> ResponseReturnValue:
    """Somebody asked: the message came through."""
    with transaction():
        mark_arrived(notification_id, staff_actor())
    return done(url_for("admin.message", notification_id=notification_id), "Noted: it arrived.")


def _one(notification_id: int) -> Notification:
    found = db.session.get(Notification, notification_id)
    if found is None:
        raise NotFound("There is no such message.")
    return found


def _is_secret(found: Notification) -> bool:
    """Mails with a link into an account are shown to nobody, where the demo keeps them."""
    return found.template in MAILS
