"""The demo's mailbox: what the shop sent, to whom, as it would arrive. Development only."""

from flask import Blueprint, Response, make_response
from sqlalchemy import select
from sqlalchemy.orm import load_only

from shop.errors import NotFound
from shop.extensions import db
from shop.messaging.models import Notification
from shop.pages import page
from shop.sandbox import only_in_development

bp = Blueprint("sandbox_mailbox", __name__, url_prefix="/sandbox/mailbox")
bp.before_request(only_in_development)

SHOWN = 100
#: A mail is a page of its own: its styles stand in attributes, and nothing in it may run or load.
MAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"


@bp.get("")
def index() -> Response:
    """The messages, newest first."""
    query = select(Notification).order_by(Notification.id.desc()).limit(SHOWN)
    columns = (
        Notification.template, Notification.recipient, Notification.status, Notification.subject,
        Notification.created_at,
    )  # fmt: skip
    messages = db.session.scalars(query.options(load_only(*columns))).all()
    return page("sandbox/mailbox.html", messages=messages)


@bp.get("/<int:notification_id>")
def message(notification_id: int) -> Response:
    """One message: its head and its text."""
    return page("sandbox/mailbox_message.html", message=_found(notification_id))


@bp.get("/<int:notification_id>/html")
def as_mail(notification_id: int) -> Response:
    """The HTML as a mail program shows it, under a policy of its own."""
    found = _found(notification_id)
    if not found.body_html:
        raise NotFound("This message has not been written yet.")
    response = make_response(found.body_html)
    response.headers["Content-Security-Policy"] = MAIL_POLICY
    return response


def _found(notification_id: int) -> Notification:
    found = db.session.get(Notification, notification_id)
    if found is None:
        raise NotFound("There is no such message.")
    return found
