"""Messages with a job of their own (to an account, to staff, an alert, a test), each handed over once.

A row without a body holds the Message-ID before the call, as it does for the messages of events.
When nobody knows what came of a try, a mail goes once more under the same Message-ID, and an
incident says so; an SMS or a WhatsApp message is uncertain and goes no more.
"""

from dataclasses import dataclass
from datetime import datetime
from email.utils import make_msgid
from typing import Any

from sqlalchemy import select

from shop.clock import utcnow
from shop.config import settings
from shop.extensions import db
from shop.jobs.handlers import Work
from shop.messaging import patience
from shop.messaging.channels import channel_by, provider_of
from shop.messaging.channels.base import Outgoing
from shop.messaging.jobs import tell_repeated
from shop.messaging.models import Notification, NotificationStatus
from shop.providers import OutcomeUnknown, ProviderError, ProviderRefused, TryLater

Status = NotificationStatus
#: What a new try may begin with. A person may have a job that failed tried again.
OPEN = frozenset({Status.QUEUED, Status.FAILED})


@dataclass(frozen=True)
class Turn:
    """One try of a message."""

    channel: str
    provider: str
    message_id: str
    #: When it was first taken up.
    since: datetime
    attempt: int
    #: The last try may have come through.
    is_repeat: bool


def take_up(work: Work, key: str, channel: str, template: str, **columns: Any) -> Turn | None:
    """Mark it sending, in the caller's transaction. None when it has gone, or may have and goes no more."""
    found = _row(key)
    if found is None:
        found = Notification(
            template=template, channel=channel, dedupe_key=key, status=Status.QUEUED,
            message_id=make_msgid(domain=settings().public_host), taken_up_at=utcnow(), **columns,
        )  # fmt: skip
        db.session.add(found)
    is_repeat = found.status == Status.SENDING
    if is_repeat:
        found.status = Status.UNCERTAIN
        if channel != "email":
            return None
        tell_repeated(found, work)
    elif found.status in OPEN:
        found.status, found.provider = Status.SENDING, provider_of(channel)
    else:
        return None
    db.session.flush()
    since = found.taken_up_at or found.created_at
    provider, message_id = found.provider, found.message_id or ""
    return Turn(channel, provider, message_id, since, work.attempt, is_repeat)


def hand_over(turn: Turn, message: Outgoing, *, is_patient: bool = True) -> str:
    """The call; returns the provider's id. `is_patient`: it outlasts its channel's trouble for a day."""
    try:
        return channel_by(turn.channel, turn.provider).send(message)
    except ProviderError as error:
        if not is_patient:
            raise
        raise patience.outlasting(error, turn.since, turn.attempt) from error


def note_sent(key: str, answer: str, message: Outgoing) -> None:
    """That it went, not what it said, but for the demo, whose mailbox has nothing else to show."""
    found = _row(key)
    if found is None:
        return
    found.status, found.error, found.sent_at = Status.SENT, None, utcnow()
    found.provider_id = answer[:200] or None
    found.subject = (message.subject or message.template or message.text)[:250]
    is_test = bool((found.context or {}).get("test"))
    if found.channel == "email" and not settings().smtp_url and not is_test:
        found.body_text, found.body_html = message.text, message.html


def note_failed_try(key: str, error: Exception) -> None:
    """Certainly not sent: the next try is no repeat. A test by SMS or WhatsApp in doubt has ended."""
    found = _row(key)
    if found is None:
        return
    patience.tell_if_down(error, found.channel, found.provider)
    is_sure = isinstance(error, TryLater | ProviderRefused)
    back = {Status.SENDING: Status.QUEUED, Status.UNCERTAIN: Status.SENDING}
    if is_sure and found.status in back:
        found.status, found.error = back[found.status], str(error)
    if isinstance(error, OutcomeUnknown) and found.channel != "email":
        found.status, found.error = Status.UNCERTAIN, str(error)


def note_gave_up(key: str, words: str) -> None:
    """Failed; or uncertain, where a try may have come through."""
    found = _row(key)
    if found is None or found.status not in {Status.QUEUED, Status.SENDING, Status.UNCERTAIN}:
        return
    found.status = Status.FAILED if found.status == Status.QUEUED else Status.UNCERTAIN
    found.error = words


def _row(key: str) -> Notification | None:
    query = select(Notification).where(Notification.dedupe_key == key).with_for_update()
    return db.session.scalar(query.execution_options(populate_existing=True))
