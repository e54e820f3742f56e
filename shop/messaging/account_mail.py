"""Mails about an account: a link to a new password, to confirm an address.

The link is made when the mail is, inside the job, so that it stands in no payload, log or table:
what is kept is its hash, and that a mail went (reliability.md, I37). A try that is repeated makes a
new link, and the earlier one is void.
"""

from dataclasses import dataclass
from email.utils import make_msgid
from typing import Any

from sqlalchemy import select

from shop.accounts import links
from shop.accounts.models import LinkPurpose, User
from shop.clock import utcnow
from shop.config import settings
from shop.extensions import db
from shop.jobs.handlers import Policy, Work, handles_outward
from shop.messaging.channels import channel
from shop.messaging.channels.base import Outgoing
from shop.messaging.models import Notification, NotificationStatus
from shop.messaging.rendering import render_plain
from shop.messaging.wordings import Wording


@dataclass(frozen=True)
class Mail:
    """One of these mails: its words, and the link in it. Without a purpose it leads to `path` alone."""

    wording: Wording
    purpose: LinkPurpose | None
    path: str
    #: Why the reader gets it.
    reason: str


ASKED_FOR = "You get this email because somebody asked for it at {shop_name}. If that was not you, do nothing."
TOLD = "You get this email because it concerns the safety of your account at {shop_name}."
MAILS = {
    "password_reset": Mail(
        Wording(
            subject="Your link to a new password",
            preheader="It works once, for 30 minutes.",
            headline="Choose a new password",
            sentence="The link works once, for 30 minutes. Until you have used it, your password stays as it is.",
            button="Choose a new password",
            link="url",
            sections=(),
        ),
        LinkPurpose.RESET, "/account/reset/", ASKED_FOR,
    ),
    "email_confirm": Mail(
        Wording(
            subject="Confirm your email address",
            preheader="One click, and your account is complete.",
            headline="Confirm your email address",
            sentence="Then orders that were placed with this address appear in your account. The link works for three days.",
            button="Confirm",
            link="url",
            sections=(),
        ),
        LinkPurpose.CONFIRM, "/account/confirm/", ASKED_FOR,
    ),
    "account_exists": Mail(
        Wording(
            subject="You have an account already",
            preheader="Somebody tried to make another one with your address.",
            headline="You have an account already",
            sentence="Somebody tried to make an account with this address. If that was you, sign in, or choose a new password there.",
            button="Sign in",
            link="url",
            sections=(),
        ),
        None, "/account/sign-in", ASKED_FOR,
    ),
    "email_move": Mail(
        Wording(
            subject="Confirm your new email address",
            preheader="Your account changes to it when you follow the link.",
            headline="Is this your new address?",
            sentence="Then your account is reached by it from now on. The link works once, for two hours.",
            button="Change to this address",
            link="url",
            sections=(),
        ),
        LinkPurpose.MOVE, "/account/move/", ASKED_FOR,
    ),
    "email_moved": Mail(
        Wording(
            subject="Your account has another email address",
            preheader="If that was not you, write to us at once.",
            headline="Your email address was changed",
            sentence="Your account is no longer reached by this address. If that was not you, answer this mail at once.",
            button="Sign in",
            link="url",
            sections=(),
        ),
        None, "/account/sign-in", TOLD,
    ),
    "password_changed": Mail(
        Wording(
            subject="Your password was changed",
            preheader="If that was not you, choose a new one at once.",
            headline="Your password was changed",
            sentence="All sign-ins have ended. If that was not you, choose a new password at once.",
            button="Choose a new password",
            link="url",
            sections=(),
        ),
        None, "/account/reset", TOLD,
    ),
}  # fmt: skip
"""By their names in jobs."""


@dataclass(frozen=True)
class Sending:
    """A mail that is written. It lives in memory only."""

    user_id: int
    message: Outgoing


@handles_outward(
    "messaging.account_mail",
    Policy(limit=30, attempts=5, base=10, cap=300, priority=10, incident=("api", "medium")),
)
class SendAccountMail:
    """Write and send {"mail", "email"}, whose account it is. An address without one gets nothing.

    It goes there, or to the "new_email" that the account is to move to, or "to" the one it had.
    """

    def prepare(self, work: Work) -> Sending | None:
        """Find out whose address it is, and make the link."""
        person = db.session.scalar(
            select(User).where(User.email == work.payload["email"], User.active)
        )
        if person is None:
            return None
        return Sending(person.id, _written(work.payload, person))

    def call(self, request: Sending) -> str:
        """Hand it over; returns the provider's id."""
        return channel("email").send(request.message)

    def record(self, work: Work, request: Any, answer: Any) -> None:
        """That it went, not what it said; the demo's mailbox has nothing else to show it from."""
        is_demo = not settings().smtp_url
        message: Outgoing = request.message
        db.session.add(
            Notification(
                user_id=request.user_id, template=work.payload["mail"], channel="email",
                recipient=message.recipient, dedupe_key=f"{work.payload['mail']}:job{work.job_id}",
                status=NotificationStatus.SENT, sent_at=utcnow(), message_id=message.message_id,
                provider_id=answer[:200], subject=message.subject,
                body_text=message.text if is_demo else None,
                body_html=message.html if is_demo else None,
            )
        )  # fmt: skip


def _written(payload: dict[str, Any], person: User) -> Outgoing:
    """The mail with its link. Who has the address to move to already is told so, and nothing moves."""
    name, new = payload["mail"], payload.get("new_email")
    if new and db.session.scalar(select(User.id).where(User.email == new)):
        name = "account_exists"
    mail = MAILS[name]
    token = links.make(person, mail.purpose, new) if mail.purpose else ""
    made = render_plain(mail.wording, f"{settings().public_url}{mail.path}{token}", mail.reason)
    return Outgoing(
        recipient=new or payload.get("to") or person.email,
        message_id=make_msgid(domain=settings().public_host),
        subject=made.subject, text=made.text, html=made.html,
    )  # fmt: skip
