"""Mails about an account: a link to a new password, to confirm an address.

The link is made when the mail is, inside the job, so that it stands in no payload, log or table:
what is kept is its hash, and that a mail went (reliability.md, I37). A try that is repeated makes a new
link; the earlier one is void where that mail certainly did not go.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from shop.accounts import links
from shop.accounts.models import LinkPurpose, User
from shop.config import settings
from shop.extensions import db
from shop.jobs.handlers import Policy, Work, handles_outward
from shop.messaging import once
from shop.messaging.channels.base import Outgoing
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

    turn: once.Turn
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
        name = work.payload["mail"]
        to = work.payload.get("new_email") or work.payload.get("to") or person.email
        turn = once.take_up(work, _key(work), "email", name, recipient=to, user_id=person.id)
        return Sending(turn, _written(work.payload, person, turn)) if turn else None

    def call(self, request: Sending) -> str:
        """Hand it over; returns the provider's id."""
        return once.hand_over(request.turn, request.message)

    def record(self, work: Work, request: Any, answer: Any) -> None:
        """That it went."""
        once.note_sent(_key(work), answer, request.message)

    def failed_try(self, work: Work, error: Exception) -> None:
        """Whether the next try is a repeat."""
        once.note_failed_try(_key(work), error)

    def gave_up(self, work: Work, words: str) -> None:
        """Failed, or uncertain."""
        once.note_gave_up(_key(work), words)


def _key(work: Work) -> str:
    return f"{work.payload['mail']}:job{work.job_id}"


def _written(payload: dict[str, Any], person: User, turn: once.Turn) -> Outgoing:
    """The mail with its link. Who has the address to move to already is told so, and nothing moves."""
    name, new = payload["mail"], payload.get("new_email")
    if new and db.session.scalar(select(User.id).where(User.email == new)):
        name = "account_exists"
    mail = MAILS[name]
    token = ""
    if mail.purpose:
        token = links.make(person, mail.purpose, new, is_repeat=turn.is_repeat)
    made = render_plain(mail.wording, f"{settings().public_url}{mail.path}{token}", mail.reason)
    return Outgoing(
        recipient=new or payload.get("to") or person.email,
        message_id=turn.message_id,
        subject=made.subject, text=made.text, html=made.html,
    )  # fmt: skip
