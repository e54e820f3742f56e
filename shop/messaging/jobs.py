"""Sending messages, each once.

A message is marked sending and committed, then handed over under an id that is stored, then marked
sent. A crash in between leaves it sending, and then the ways part. Mail is sent once more, under
the same Message-ID, and an incident says so; after that it is never repeated by itself. SMS and
WhatsApp are never repeated at all: the message is uncertain, the provider is asked where it can be,
a receipt may tell, and after some hours a person decides.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from email.utils import make_msgid
from typing import Any

import structlog
from sqlalchemy import and_, func, or_, select, update

from shop.clock import in_future, utcnow
from shop.config import settings
from shop.database import rows_changed
from shop.errors import Conflict, NotFound
from shop.extensions import db
from shop.incidents.facts import gather, tells_about
from shop.incidents.jobs import when_given_up_tell
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.handlers import Policy, Work, handles, handles_outward
from shop.jobs.queue import enqueue
from shop.jobs.sweeping import next_page
from shop.logs import masked_email, masked_phone
from shop.messaging import consents, patience, writing
from shop.messaging.channels import channel_by, provider_of
from shop.messaging.channels.base import Askable, Channel, Outgoing, Unreachable
from shop.messaging.events import EVENTS, Audience, Telling
from shop.messaging.models import Notification, NotificationStatus
from shop.messaging.quiet_hours import RINGS, rests_until
from shop.messaging.subjects import row_of, subject_of
from shop.orders.models import Order, OrderEvent
from shop.preferences import preference
from shop.providers import OutcomeUnknown, ProviderError, ProviderRefused, TryLater

log = structlog.get_logger()

LOCAL = Policy(limit=20, attempts=8, base=15, cap=7200, priority=20, incident=("api", "low"))
STUCK_MINUTES = 10
PAGE = 500
#: Nobody can still be at a message that was taken up longer ago.
SENDING_SECONDS = 60
#: A mail server's answer that there is no such mailbox (RFC 3463, X.1.n), not that it dislikes us.
NO_MAILBOX = re.compile(r"55[0-4] 5\.1\.\d")

Status = NotificationStatus


class StillBeingSent(Conflict):
    """Another job is sending this message just now."""


def enqueue_sending(notification_id: int, run_at: datetime | None = None) -> None:
    """Ask for a message to be sent, in the caller's transaction."""
    wish = {"notification_id": notification_id}
    enqueue("messaging.send", wish, key=str(notification_id), run_at=run_at)


@dataclass(frozen=True)
class Request:
    """A message, and who carries it."""

    channel: str
    provider: str
    message: Outgoing
    #: When it was first taken up.
    since: datetime
    #: Set when it is not to be sent but asked about: the provider's ids that other messages hold.
    held: frozenset[str] | None = None
    attempt: int = 1


@handles_outward(
    "messaging.send",
    Policy(limit=30, attempts=8, base=15, cap=7200, priority=20, incident=("api", "low")),
)
class Send:
    """Sends one message: queued → sending → sent."""

    def prepare(self, work: Work) -> Request | None:
        """Take the message up and write it from what is committed now. None: nothing to send."""
        found = _locked(work)
        if found is None:
            return None
        if found.status == Status.QUEUED:
            return _take_up(found, work)
        if found.status == Status.SENDING:
            return _take_up_again(found, work)
        if found.status == Status.UNCERTAIN and found.channel in RINGS:
            return _question(found, work)
        return None

    def call(self, request: Request) -> Any:
        """Hand it over, or ask about it; returns the provider's id, or what it has."""
        way = channel_by(request.channel, request.provider)
        try:
            if request.held is None:
                return _handed_over(way, request.message)
            if isinstance(way, Askable):
                return way.find(request.message, request.since, request.held)
        except ProviderError as error:
            raise patience.outlasting(error, request.since, request.attempt) from error
        return None

    def record(self, work: Work, request: Any, answer: Any) -> None:
        """It is sent: say so on the message and in the order's timeline."""
        found = _locked(work)
        if found is None:
            return
        if request.held is not None:
            _resolve(found, answer)
            return
        if isinstance(answer, Unreachable):
            _note_unreachable(found, answer)
            return
        found.provider_id = answer[:200] or found.provider_id
        # A receipt may have been quicker, with a failure too: what it said stands.
        if found.status in {Status.SENDING, Status.UNCERTAIN}:
            found.status, found.error = Status.SENT, None
            found.sent_at = found.sent_at or utcnow()
            note_sent(found)
        log.info("message.sent", notification=found.id, template=found.template)

    def failed_try(self, work: Work, error: Exception) -> None:
        """Certainly not sent: the next try is no repeat. Otherwise the state keeps the doubt."""
        found = _locked(work)
        if found is None:
            return
        patience.tell_if_down(error, found.channel, found.provider)
        if isinstance(error, OutcomeUnknown) and found.channel in RINGS:
            doubt(found, str(error))
        if not isinstance(error, TryLater | ProviderRefused):
            return
        before = {Status.SENDING: Status.QUEUED}
        if found.channel not in RINGS:
            before[Status.UNCERTAIN] = Status.SENDING
        if found.status in before:
            found.status, found.error = before[found.status], str(error)
        _mark_unreachable(found, error)

    def gave_up(self, work: Work, words: str) -> None:
        """Failed; or uncertain, where a try may have come through."""
        found = _locked(work)
        if found is None or found.status not in {Status.QUEUED, Status.SENDING, Status.UNCERTAIN}:
            return
        found.status = Status.FAILED if found.status == Status.QUEUED else Status.UNCERTAIN
        found.error = words

    def why_no_retry(self, payload: dict[str, Any]) -> str:
        """A message that has ended is not sent by its job any more; a new one is made in its place."""
        found = db.session.get(Notification, payload["notification_id"])
        if found is None:
            return "Its message is no longer kept."
        if found.status in {Status.QUEUED, Status.SENDING}:
            return ""
        return "This job would send nothing: its message has ended. Send the message again, from its page."


def _handed_over(way: Channel, message: Outgoing) -> str | Unreachable:
    """The provider's id, or why the recipient cannot be reached: nothing that a person could mend."""
    try:
        return way.send(message)
    except Unreachable as error:
        return error


def _note_unreachable(found: Notification, error: Unreachable) -> None:
    """The message has failed and says why; no incident, but for the shop's own number."""
    if found.status not in {Status.SENDING, Status.UNCERTAIN}:
        return
    found.status, found.error = Status.FAILED, str(error)[:500]
    _mark_unreachable(found, error)
    if telling_of(found).audience == Audience.OWNER:
        tell_undelivered(found, found.provider)
    log.info("message.unreachable", notification=found.id, reason=error.reason)


def _locked(work: Work) -> Notification | None:
    """The message as it is now, and until the commit: receipts write it too."""
    return db.session.get(Notification, work.payload["notification_id"], with_for_update=True)


def _take_up(found: Notification, work: Work) -> Request | None:
    """Write the message and mark it sending; what may not or need not go is suppressed instead."""
    why_not = _why_not(found)
    if why_not:
        _move(found, Status.QUEUED, Status.SUPPRESSED, error=why_not)
        return None
    rests = rests_until(found.channel, utcnow(), found.id)
    if rests is not None:
        _move(found, Status.QUEUED, Status.QUEUED, not_before=rests)
        enqueue_sending(found.id, rests)
        return None
    made = writing.written(found)
    _move(
        found, Status.QUEUED, Status.SENDING, provider=provider_of(found.channel),
        message_id=found.message_id or _new_message_id(found),
        taken_up_at=found.taken_up_at or utcnow(), **made,
    )  # fmt: skip
    return _request(found, work)


def _why_not(found: Notification) -> str:
    """Why it must not go now, or need not; empty when it may."""
    if not provider_of(found.channel):
        return f"nobody carries messages by {found.channel}"
    telling, row = telling_of(found), row_of(subject_of(found))
    if row is None:
        return "what it is about is gone"
    if not telling.is_true(row, found.context):
        return "no longer true when its turn came"
    if telling.audience == Audience.OWNER:
        return ""
    return consents.may_send(
        found.channel, found.recipient, found.purpose, by_hand=found.is_by_hand
    )


def telling_of(found: Notification) -> Telling:
    """The row of the table that the message was made by. Raises NotFound for one that it does not make."""
    for telling in EVENTS.get(found.context.get("event", ""), ()):
        if (telling.template, telling.channel) == (found.template, found.channel):
            return telling
    raise NotFound("There is no such message.")


def _new_message_id(found: Notification) -> str:
    if found.channel == "email":
        return make_msgid(domain=settings().public_host)
    return f"{found.id}-{secrets.token_hex(6)}"


def _take_up_again(found: Notification, work: Work) -> Request | None:
    """An earlier try ended in between: it may have gone. Mail goes once more, the others are asked about."""
    if work.attempt == 1 and found.updated_at > in_future(seconds=-SENDING_SECONDS):
        raise StillBeingSent(f"message {found.id}")
    if found.channel in RINGS:
        doubt(found, "a try ended between sending and noting it")
        return _question(found, work)
    _move(found, Status.SENDING, Status.UNCERTAIN)
    tell_repeated(found, work)
    return _request(found, work)


def tell_repeated(found: Notification, work: Work) -> None:
    """A mail goes once more under the same Message-ID: staff hear that it may have gone twice."""
    facts, order_id = gather({"notification_id": found.id})
    open_incident(
        About(
            issue=f"The message “{found.subject or found.template}” may have gone twice",
            category=Category.API, severity=Severity.LOW, order_id=order_id, job_id=work.job_id,
            context=facts,
        ),
        f"message_repeated:{found.id}",
        f"A try ended between sending and noting it. Sent again with the Message-ID {found.message_id}",
    )  # fmt: skip


def doubt(found: Notification, words: str) -> None:
    """Nobody knows whether it went: it is uncertain, and a person hears of it after some hours."""
    if found.status not in {Status.SENDING, Status.UNCERTAIN}:
        return
    if found.status == Status.SENDING:
        wait = in_future(hours=preference("uncertain_hours"))
        wish = {"notification_id": found.id}
        enqueue("messaging.unresolved", wish, key=str(found.id), run_at=wait)
    found.status, found.error = Status.UNCERTAIN, words
    db.session.flush()


def _question(found: Notification, work: Work) -> Request | None:
    """Ask about it, where its provider can be asked; else a receipt or a person tells."""
    if not _can_be_asked(found.channel, found.provider):
        return None
    return _request(found, work, _held_by_others(found))


def _held_by_others(found: Notification) -> frozenset[str]:
    """The ids of other messages to the same recipient, which tell nothing of this one."""
    others = select(Notification.provider_id).where(
        Notification.recipient == found.recipient,
        Notification.id != found.id,
        Notification.provider_id.is_not(None),
    )
    return frozenset(one for one in db.session.scalars(others) if one)


def _can_be_asked(kind: str, provider: str) -> bool:
    return bool(provider) and isinstance(channel_by(kind, provider), Askable)


def _resolve(found: Notification, answer: Any) -> None:
    """What the provider has of it: nothing yet leaves the doubt, and the sweep asks again."""
    if answer is None or found.status != Status.UNCERTAIN:
        return
    found.provider_id, found.error = answer.provider_id[:200], answer.error or None
    if answer.status in {"failed", "bounced"}:
        found.status = Status.FAILED
        tell_undelivered(found, found.provider)
        return
    found.status, found.sent_at = Status.SENT, found.sent_at or utcnow()
    note_sent(found)


def _mark_unreachable(found: Notification, error: Exception) -> None:
    """Nothing more goes to an address or number that does not exist. The shop's own is let be."""
    if telling_of(found).audience == Audience.OWNER:
        return
    if isinstance(error, Unreachable):
        consents.suppress(found.channel, found.recipient, error.reason, str(error))
    elif found.channel == "email" and NO_MAILBOX.match(str(error)):
        consents.suppress("email", found.recipient, "bounced", str(error))


def _move(found: Notification, source: Status, target: Status, **values: Any) -> None:
    """Change the status if nobody else has. Raises StillBeingSent when somebody was quicker."""
    result = db.session.execute(
        update(Notification)
        .where(Notification.id == found.id, Notification.status == source)
        .values(status=target, **values)
        .execution_options(synchronize_session=False)
    )
    if not rows_changed(result):
        raise StillBeingSent(f"message {found.id}")
    db.session.refresh(found)


def tell_undelivered(found: Notification, provider: str) -> None:
    """Handed over and not delivered: counted up for each provider, since one cause fails many.

    So it is about no one order and holds nobody's contact data: orders are named by their numbers.
    """
    number = db.session.scalar(select(Order.number).where(Order.id == found.order_id))
    open_incident(
        About(
            issue=f"{found.channel} messages are handed over to {provider or 'the provider'} and not delivered",
            category=Category.API, severity=Severity.LOW,
            context={
                "template": found.template, "channel": found.channel, "provider": provider,
                "orders": [number] if number else [],
            },
        ),
        f"message_undelivered:{found.channel}:{provider}",
        found.error or "",
    )  # fmt: skip


def _request(found: Notification, work: Work, held: frozenset[str] | None = None) -> Request:
    message = writing.outgoing(found, telling_of(found).is_stoppable)
    since = found.taken_up_at or found.created_at
    return Request(found.channel, found.provider, message, since, held, work.attempt)


SAID_AS = {"email": "Mail", "sms": "SMS", "whatsapp": "WhatsApp message"}


def note_sent(found: Notification) -> None:
    """A line in the order's timeline, without the whole address."""
    if found.order_id is None:
        return
    mask = masked_email if found.channel == "email" else masked_phone
    words = f"{SAID_AS[found.channel]} to {mask(found.recipient)}: {found.subject}"
    db.session.add(
        OrderEvent(
            order_id=found.order_id, kind="message", actor="system", for_customer=False,
            text=words, details={"notification_id": found.id, "template": found.template},
            occurred_at=utcnow(),
        )
    )  # fmt: skip


@handles("messaging.sweep", LOCAL)
def sweep(work: Work) -> None:
    """Messages that nobody is at are asked for again, and uncertain ones asked about."""
    is_resting = Notification.not_before > utcnow()
    is_doubtful = and_(
        Notification.status == Status.UNCERTAIN,
        Notification.channel.in_(RINGS),
        # One that rested overnight is in doubt since it was taken up.
        func.coalesce(Notification.taken_up_at, Notification.created_at)
        > in_future(hours=-preference("uncertain_hours")),
    )
    # What is about nothing (an account, staff, an alert) has a job of its own.
    is_left = and_(
        Notification.status.in_([Status.QUEUED, Status.SENDING]),
        or_(Notification.order_id.is_not(None), Notification.subject_id.is_not(None)),
    )
    stuck = select(
        Notification.id, Notification.status, Notification.channel, Notification.provider
    ).where(
        or_(is_left, is_doubtful),
        or_(Notification.not_before.is_(None), ~is_resting),
        Notification.updated_at < in_future(minutes=-STUCK_MINUTES),
    )
    for found in next_page(work, stuck, PAGE):
        if found.status != Status.UNCERTAIN or _can_be_asked(found.channel, found.provider):
            enqueue_sending(found.id)


@handles("messaging.unresolved", LOCAL)
def hand_over_doubt(work: Work) -> None:
    """A message that is uncertain for hours is a person's: it stands on the desk, and an incident says so."""
    found = db.session.get(Notification, work.payload["notification_id"])
    if found is None or found.status != Status.UNCERTAIN:
        return
    facts, order_id = gather({"notification_id": found.id})
    open_incident(
        About(
            issue=f"Nobody knows whether the {SAID_AS[found.channel]} {found.template} was sent",
            category=Category.API, severity=Severity.LOW, order_id=order_id, job_id=work.job_id,
            context=facts,
        ),
        f"message_uncertain:{found.id}",
        found.error or "",
    )  # fmt: skip


@when_given_up_tell("messaging.send")
def _unsent(work: Work) -> About:
    """A lost confirmation leaves a buyer without word; the others can be read on the order's page."""
    facts, order_id = gather(work.payload)
    is_confirmation = facts.get("template") == "order_confirmed"
    of_order = f" of order {facts['orderId']}" if "orderId" in facts else ""
    return About(
        issue=f"The message {facts.get('template', '')}{of_order} could not be sent",
        category=Category.API,
        severity=Severity.MEDIUM if is_confirmation else Severity.LOW,
        order_id=order_id,
        job_id=work.job_id,
        context=facts,
    )


@tells_about("notification_id")
def _of_notification(notification_id: int) -> dict[str, Any]:
    """Which message it was, and its order."""
    found = db.session.get(Notification, notification_id)
    if found is None:
        return {}
    of_order = {"order_id": found.order_id} if found.order_id else {}
    return {"template": found.template, "channel": found.channel, **of_order}
