"""Telling people: which messages an event makes, and sending each once.

Mail is the one effect without a key at the other side. A message is marked sending and committed,
then sent with a stored Message-ID, then marked sent. A crash in between leaves it sending: it is
sent once more, under the same Message-ID, and an incident says so. After that it is never
repeated by itself.
"""

from dataclasses import dataclass
from email.utils import make_msgid
from typing import Any

import structlog
from sqlalchemy import select, update

from shop.clock import in_future, utcnow
from shop.config import settings
from shop.database import insert_ignore
from shop.extensions import db
from shop.incidents.facts import gather, tells_about
from shop.incidents.jobs import when_given_up_tell
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.handlers import Policy, Work, handles, handles_outward
from shop.jobs.queue import enqueue
from shop.logs import masked_email
from shop.messaging.channels import channel
from shop.messaging.channels.base import Outgoing
from shop.messaging.events import EVENTS, Audience, Telling, dedupe_key
from shop.messaging.facts import latest_shipment_id
from shop.messaging.models import Notification, NotificationStatus
from shop.messaging.rendering import render
from shop.orders.models import Order, OrderEvent
from shop.providers import ProviderRefused, TryLater

log = structlog.get_logger()

LOCAL = Policy(limit=20, attempts=8, base=15, cap=7200, priority=20, incident=("api", "low"))
STUCK_MINUTES = 10
#: Nobody can still be at a message that was taken up longer ago.
SENDING_SECONDS = 60

Status = NotificationStatus


class StillBeingSent(Exception):
    """Another job is sending this message just now."""


@handles("messaging.tell", LOCAL)
def tell(work: Work) -> None:
    """Make the event's messages. One that was made before is not made again."""
    payload = dict(work.payload)
    order = db.session.get_one(Order, payload["order_id"])
    for telling in EVENTS[payload["event"]]:
        if "shipment_id" in telling.apart and "shipment_id" not in payload:
            payload |= {"shipment_id": found} if (found := latest_shipment_id(order.id)) else {}
        _make(telling, order, payload)


def _make(telling: Telling, order: Order, payload: dict[str, Any]) -> None:
    recipient = order.email if telling.audience == Audience.CUSTOMER else settings().admin_email
    if not recipient:
        return
    notification_id = insert_ignore(
        Notification,
        {
            "order_id": order.id, "user_id": _user(telling, order), "template": telling.template,
            "channel": telling.channel, "recipient": recipient, "context": payload,
            "dedupe_key": dedupe_key(payload["event"], order.id, telling, payload),
        },
    )  # fmt: skip
    if notification_id is not None:
        enqueue_sending(notification_id)


def _user(telling: Telling, order: Order) -> int | None:
    return order.user_id if telling.audience == Audience.CUSTOMER else None


def enqueue_sending(notification_id: int) -> None:
    """Ask for a message to be sent, in the caller's transaction."""
    enqueue("messaging.send", {"notification_id": notification_id}, key=str(notification_id))


@dataclass(frozen=True)
class Request:
    """A message and the channel that it goes by."""

    channel: str
    message: Outgoing


@handles_outward(
    "messaging.send",
    Policy(limit=30, attempts=8, base=15, cap=7200, priority=20, incident=("api", "low")),
)
class Send:
    """Sends one message: queued → sending → sent."""

    def prepare(self, work: Work) -> Request | None:
        """Take the message up and write it from what is committed now. None: nothing to send."""
        found = db.session.get(Notification, work.payload["notification_id"])
        if found is None:
            return None
        if found.status == Status.QUEUED:
            return _take_up(found)
        if found.status == Status.SENDING:
            return _take_up_again(found, work)
        return None

    def call(self, request: Request) -> str:
        """Hand it over; returns the provider's id."""
        return channel(request.channel).send(request.message)

    def record(self, work: Work, request: Any, answer: Any) -> None:
        """It is sent: say so on the message and in the order's timeline."""
        found = db.session.get_one(Notification, work.payload["notification_id"])
        is_taken = found.status in {Status.SENDING, Status.UNCERTAIN}
        found.status, found.provider_id, found.error = Status.SENT, answer[:200], None
        found.sent_at = utcnow()
        if is_taken:
            _note(found)
        log.info("message.sent", notification=found.id, template=found.template)

    def failed_try(self, work: Work, error: Exception) -> None:
        """Certainly not sent: the next try is no repeat. Otherwise the state keeps the doubt."""
        if not isinstance(error, TryLater | ProviderRefused):
            return
        before = {Status.SENDING: Status.QUEUED, Status.UNCERTAIN: Status.SENDING}
        found = db.session.get(Notification, work.payload["notification_id"])
        if found is not None and found.status in before:
            found.status, found.error = before[found.status], str(error)

    def gave_up(self, work: Work, words: str) -> None:
        """Failed; or uncertain, where a try may have come through."""
        found = db.session.get(Notification, work.payload["notification_id"])
        if found is None or found.status in {Status.SENT, Status.SUPPRESSED}:
            return
        found.status = Status.FAILED if found.status == Status.QUEUED else Status.UNCERTAIN
        found.error = words


def _take_up(found: Notification) -> Request | None:
    """Write the message and mark it sending; what is no longer true is suppressed instead."""
    order = db.session.get_one(Order, found.order_id)
    if not telling_of(found).is_true(order):
        _move(found, Status.QUEUED, Status.SUPPRESSED, error="no longer true when its turn came")
        return None
    made = render(found.template, order.id, found.context)
    _move(
        found, Status.QUEUED, Status.SENDING,
        message_id=found.message_id or make_msgid(domain=settings().public_host),
        subject=made.subject, body_text=made.text, body_html=made.html,
    )  # fmt: skip
    return _request(found)


def _take_up_again(found: Notification, work: Work) -> Request:
    """An earlier try ended in between: it may have been sent. Send the same once more, and say so."""
    if work.attempt == 1 and found.updated_at > in_future(seconds=-SENDING_SECONDS):
        raise StillBeingSent(f"message {found.id}")
    _move(found, Status.SENDING, Status.UNCERTAIN)
    facts, order_id = gather({"notification_id": found.id})
    open_incident(
        About(
            issue=f"The message “{found.subject}” may have gone twice",
            category=Category.API, severity=Severity.LOW, order_id=order_id, job_id=work.job_id,
            context=facts,
        ),
        f"message_repeated:{found.id}",
        f"A try ended between sending and noting it. Sent again with the Message-ID {found.message_id}",
    )  # fmt: skip
    return _request(found)


def _move(found: Notification, source: Status, target: Status, **values: Any) -> None:
    """Change the status if nobody else has. Raises StillBeingSent when somebody was quicker."""
    result = db.session.execute(
        update(Notification)
        .where(Notification.id == found.id, Notification.status == source)
        .values(status=target, **values)
        .execution_options(synchronize_session=False)
    )
    if not result.rowcount:  # type: ignore[attr-defined]
        raise StillBeingSent(f"message {found.id}")
    db.session.refresh(found)


def _request(found: Notification) -> Request:
    message = Outgoing(
        recipient=found.recipient, message_id=found.message_id or "", subject=found.subject,
        text=found.body_text or "", html=found.body_html or "",
    )  # fmt: skip
    return Request(found.channel, message)


def telling_of(found: Notification) -> Telling:
    """The row of the table that the message was made by."""
    tellings = EVENTS[found.context["event"]]
    return next(telling for telling in tellings if telling.template == found.template)


def _note(found: Notification) -> None:
    db.session.add(
        OrderEvent(
            order_id=found.order_id, kind="message", actor="system", for_customer=False,
            text=f"Mail to {masked_email(found.recipient)}: {found.subject}",
            details={"notification_id": found.id, "template": found.template},
            occurred_at=utcnow(),
        )
    )  # fmt: skip


@handles("messaging.sweep", LOCAL)
def sweep(work: Work) -> None:
    """Messages that nobody is at are asked for again."""
    stuck = (
        select(Notification.id)
        .where(
            Notification.status.in_([Status.QUEUED, Status.SENDING]),
            Notification.updated_at < in_future(minutes=-STUCK_MINUTES),
        )
        .order_by(Notification.id)
        .limit(500)
    )
    for notification_id in db.session.scalars(stuck):
        enqueue_sending(notification_id)


@when_given_up_tell("messaging.send")
def _unsent(work: Work) -> About:
    """A lost confirmation leaves a buyer without word; the others can be read on the order's page."""
    facts, order_id = gather(work.payload)
    is_confirmation = facts.get("template") == "order_confirmed"
    return About(
        issue=f"The message {facts.get('template', '')} of order {facts.get('orderId', '')} could not be sent",
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
    return {"template": found.template, "order_id": found.order_id} if found else {}
