"""A test of a message: as it is written now, with real data, to the member of staff who asks for it."""

import re
from dataclasses import dataclass
from email.utils import make_msgid
from typing import Any

from shop.accounts.models import User
from shop.clock import utcnow
from shop.config import settings
from shop.errors import Refused
from shop.extensions import db
from shop.jobs.handlers import Policy, Work, handles_outward
from shop.jobs.queue import enqueue
from shop.messaging import rendering
from shop.messaging.channels import channel, is_switched_on, provider_of
from shop.messaging.channels.base import Outgoing
from shop.messaging.models import Notification, NotificationStatus
from shop.messaging.overrides import Place
from shop.messaging.samples import Sample
from shop.messaging.subjects import Subject


def ask_for(place: Place, sample: Sample, person: User) -> str:
    """Have the message sent to the person, in the caller's transaction. Returns where it goes.

    Raises Refused where nobody carries its kind, or the person has no telephone number.
    """
    if not is_switched_on(place.channel):
        raise Refused("Nobody carries this kind of message: no provider is set up.")
    recipient = person.email if place.channel == "email" else person.phone
    if place.channel != "email" and not re.fullmatch(r"\+[1-9]\d{6,14}", recipient or "", re.ASCII):
        raise Refused("Your account has no telephone number with country code to send it to.")
    enqueue(
        "messaging.try_out",
        {
            "template": place.template, "channel": place.channel, "language": place.language,
            "kind": sample.subject.kind, "id": sample.subject.id, "context": sample.context,
            "user_id": person.id,
        },
    )  # fmt: skip
    return recipient or ""


@dataclass(frozen=True)
class Trial:
    """A test that is written. It lives in memory only."""

    channel: str
    message: Outgoing


@handles_outward(
    "messaging.try_out",
    Policy(limit=30, attempts=3, base=10, cap=60, priority=20, incident=("api", "low")),
)
class SendTrial:
    """Write the message and send it. Nothing of the order's own messages is touched."""

    def prepare(self, work: Work) -> Trial | None:
        """Write it from what is committed now; None when the person is gone."""
        person = db.session.get(User, work.payload["user_id"])
        if person is None or not person.active:
            return None
        kind = work.payload["channel"]
        recipient = person.email if kind == "email" else person.phone or ""
        return Trial(kind, _WRITERS[kind](work.payload, recipient))

    def call(self, request: Trial) -> str:
        """Hand it over; returns the provider's id."""
        return channel(request.channel).send(request.message)

    def record(self, work: Work, request: Trial, answer: str) -> None:
        """That it went. What it said of somebody's order is not kept a second time."""
        message, payload = request.message, work.payload
        db.session.add(
            Notification(
                user_id=payload["user_id"], template=payload["template"], channel=request.channel,
                provider=provider_of(request.channel), locale=payload["language"],
                recipient=message.recipient, dedupe_key=f"test:job{work.job_id}",
                context={"test": True}, status=NotificationStatus.SENT, sent_at=utcnow(),
                message_id=message.message_id, provider_id=answer[:200],
                subject=(message.subject or message.template or message.text)[:250],
            )
        )  # fmt: skip


def _made(payload: dict[str, Any]) -> tuple[str, Subject, dict[str, Any], str]:
    subject = Subject(payload["kind"], payload["id"])
    return payload["template"], subject, payload["context"], payload["language"]


def _mail(payload: dict[str, Any], recipient: str) -> Outgoing:
    made = rendering.render(*_made(payload))
    return Outgoing(
        recipient=recipient, message_id=make_msgid(domain=settings().public_host),
        subject=f"[Test] {made.subject}", text=made.text, html=made.html,
    )  # fmt: skip


def _sms(payload: dict[str, Any], recipient: str) -> Outgoing:
    message_id = make_msgid(domain=settings().public_host)
    text = rendering.render_sms(*_made(payload))
    return Outgoing(recipient=recipient, message_id=message_id, text=text)


def _whatsapp(payload: dict[str, Any], recipient: str) -> Outgoing:
    made = rendering.whatsapp(*_made(payload))
    return Outgoing(
        recipient=recipient, message_id=make_msgid(domain=settings().public_host),
        template=made.name, language=made.language, parameters=made.parameters,
    )  # fmt: skip


_WRITERS = {"email": _mail, "sms": _sms, "whatsapp": _whatsapp}
