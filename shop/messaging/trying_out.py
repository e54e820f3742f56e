"""A test of a message: as it is written now, with real data, to the member of staff who asks for it."""

import re
from dataclasses import dataclass
from typing import Any

from shop.accounts.models import User
from shop.errors import Refused
from shop.extensions import db
from shop.jobs.handlers import Policy, Work, handles_outward
from shop.jobs.queue import enqueue
from shop.messaging import once, rendering
from shop.messaging.channels import is_switched_on
from shop.messaging.channels.base import Outgoing
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

    turn: once.Turn
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
        payload, kind = work.payload, work.payload["channel"]
        recipient = person.email if kind == "email" else person.phone or ""
        turn = once.take_up(
            work, _key(work), kind, payload["template"], recipient=recipient, user_id=person.id,
            locale=payload["language"], context={"test": True},
        )  # fmt: skip
        return Trial(turn, _WRITERS[kind](payload, recipient, turn)) if turn else None

    def call(self, request: Trial) -> str:
        """Hand it over; returns the provider's id. Whoever tests waits for it, and is told at once."""
        return once.hand_over(request.turn, request.message, is_patient=False)

    def record(self, work: Work, request: Trial, answer: str) -> None:
        """That it went. What it said of somebody's order is not kept a second time."""
        once.note_sent(_key(work), answer, request.message)

    def failed_try(self, work: Work, error: Exception) -> None:
        """Whether the next try is a repeat; by SMS and WhatsApp there is none."""
        once.note_failed_try(_key(work), error)

    def gave_up(self, work: Work, words: str) -> None:
        """Failed, or uncertain."""
        once.note_gave_up(_key(work), words)


def _key(work: Work) -> str:
    return f"test:job{work.job_id}"


def _made(payload: dict[str, Any]) -> tuple[str, Subject, dict[str, Any], str]:
    subject = Subject(payload["kind"], payload["id"])
    return payload["template"], subject, payload["context"], payload["language"]


def _mail(payload: dict[str, Any], recipient: str, turn: once.Turn) -> Outgoing:
    made = rendering.render(*_made(payload))
    return Outgoing(
        recipient=recipient, message_id=turn.message_id,
        subject=f"[Test] {made.subject}", text=made.text, html=made.html,
    )  # fmt: skip


def _sms(payload: dict[str, Any], recipient: str, turn: once.Turn) -> Outgoing:
    text = rendering.render_sms(*_made(payload))
    return Outgoing(recipient=recipient, message_id=turn.message_id, text=text)


def _whatsapp(payload: dict[str, Any], recipient: str, turn: once.Turn) -> Outgoing:
    made = rendering.whatsapp(*_made(payload))
    return Outgoing(
        recipient=recipient, message_id=turn.message_id,
        template=made.name, language=made.language, parameters=made.parameters,
    )  # fmt: skip


_WRITERS = {"email": _mail, "sms": _sms, "whatsapp": _whatsapp}
