"""Mails to those who run the shop: an incident that cannot wait, and the day's digest.

What they say is read when they are sent. Other parts register mails of their own with `writes`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from shop.clock import utcnow
from shop.config import settings
from shop.extensions import db
from shop.incidents import catalogue
from shop.incidents.handling import UNRESOLVED
from shop.incidents.models import Incident, IncidentStatus, Severity
from shop.jobs.handlers import Policy, Work, handles_outward
from shop.messaging import once
from shop.messaging.channels.base import Outgoing
from shop.messaging.rendering import Block, render_plain
from shop.messaging.wordings import Wording
from shop.pages import day

MOST = 8
"""Incidents of one severity that the digest names."""

REASON = "You get this email because ADMIN_EMAIL of {shop_name} names you."


@dataclass(frozen=True)
class StaffMail:
    """What a mail to staff says. `path` is where its button leads, below PUBLIC_URL."""

    subject: str
    headline: str
    sentence: str
    button: str
    path: str
    blocks: tuple[Block, ...] = ()


Writer = Callable[[dict[str, Any]], StaffMail | None]

_writers: dict[str, Writer] = {}


def writes(name: str) -> Callable[[Writer], Writer]:
    """Register who writes the mail {"mail": name, …}; None when there is nothing to say any more."""

    def register(writer: Writer) -> Writer:
        _writers[name] = writer
        return writer

    return register


@dataclass(frozen=True)
class Sending:
    """A mail that is written. It lives in memory only."""

    turn: once.Turn
    message: Outgoing


@handles_outward(
    "messaging.staff_mail",
    Policy(limit=30, attempts=8, base=15, cap=7200, priority=10, incident=("api", "medium")),
)
class SendStaffMail:
    """Write {"mail", …} and send it to ADMIN_EMAIL."""

    def prepare(self, work: Work) -> Sending | None:
        """Write it, unless it has gone, or nobody is to get it."""
        to = settings().admin_email
        mail = _writers[work.payload["mail"]](work.payload) if to else None
        if mail is None:
            return None
        template = f"staff_{work.payload['mail']}"
        turn = once.take_up(work, _named(work), "email", template, recipient=to)
        return Sending(turn, _drawn(mail, turn)) if turn else None

    def call(self, request: Sending) -> str:
        """Hand it over; returns the provider's id."""
        return once.hand_over(request.turn, request.message)

    def record(self, work: Work, request: Sending, answer: str) -> None:
        """That it went."""
        once.note_sent(_named(work), answer, request.message)

    def failed_try(self, work: Work, error: Exception) -> None:
        """Whether the next try is a repeat."""
        once.note_failed_try(_named(work), error)

    def gave_up(self, work: Work, words: str) -> None:
        """Failed, or uncertain."""
        once.note_gave_up(_named(work), words)


def _named(work: Work) -> str:
    """The same for the same mail: a digest of its day, else the job's own."""
    about = work.payload.get("day") or f"job{work.job_id}"
    return f"staff_{work.payload['mail']}:{about}"


def _drawn(mail: StaffMail, turn: once.Turn) -> Outgoing:
    wording = Wording(
        subject=mail.subject, preheader=mail.sentence[:200], headline=mail.headline,
        sentence=mail.sentence, button=mail.button, link="url", sections=(),
    )  # fmt: skip
    made = render_plain(wording, f"{settings().public_url}{mail.path}", REASON, mail.blocks)
    return Outgoing(
        recipient=settings().admin_email, message_id=turn.message_id,
        subject=made.subject, text=made.text, html=made.html,
    )  # fmt: skip


@writes("incident")
def of_incident(payload: dict[str, Any]) -> StaffMail | None:
    """One incident, while it is not dealt with."""
    found = db.session.get(Incident, payload["incident_id"])
    if found is None or found.status == IncidentStatus.RESOLVED:
        return None
    often = f" Seen {found.repeats + 1} times." if found.repeats else ""
    order = f" (order {found.context['orderId']})" if found.context.get("orderId") else ""
    to_do = catalogue.to_do(found.fingerprint, found.context)
    return StaffMail(
        subject=f"{found.severity.value.capitalize()}: {found.issue}"[:180],
        headline="Something needs you now",
        sentence=f"{found.issue}{order}.{often} {to_do}".strip(),
        button="Open the incident",
        path=f"/admin/incidents/{found.id}",
    )


@writes("digest")
def of_the_day(payload: dict[str, Any]) -> StaffMail | None:
    """What is open, new and resolved; None when there is nothing of either."""
    since = utcnow() - timedelta(hours=24)
    counts = dict(
        db.session.execute(
            select(Incident.severity, func.count())
            .where(Incident.status.in_(UNRESOLVED))
            .group_by(Incident.severity)
        ).all()
    )
    new = _count(Incident.created_at >= since)
    resolved = _count(Incident.resolved_at >= since)
    if not counts and not new and not resolved:
        return None
    total = sum(counts.values())
    told = ", ".join(f"{counts[one]} {one.value}" for one in Severity if one in counts)
    return StaffMail(
        subject=f"Incidents: {total} open, {new} new, {resolved} resolved",
        headline=f"{total} open incident{'' if total == 1 else 's'}",
        sentence=f"{told or 'Nothing is open'}. In the last 24 hours: {new} opened, {resolved} resolved.",
        button="Open the incidents",
        path="/admin/incidents",
        blocks=tuple(_listed(counts)),
    )


def _listed(counts: dict[Severity, int]) -> Iterator[Block]:
    """The gravest that are open, then the one that has been open for longest."""
    unresolved = select(Incident).where(Incident.status.in_(UNRESOLVED))
    for severity in Severity:
        if severity not in counts:
            continue
        found = db.session.scalars(
            unresolved.where(Incident.severity == severity).order_by(Incident.id.desc()).limit(MOST)
        )
        left = counts[severity] - MOST
        yield Block(
            f"{severity.value.capitalize()} ({counts[severity]})",
            tuple(_row(one) for one in found),
            f"The newest {MOST} of them; {left} more stand in the admin." if left > 0 else "",
        )
    oldest = db.session.scalars(unresolved.order_by(Incident.id).limit(1)).first()
    if oldest is not None:
        yield Block("Open for longest", (_row(oldest),))


def _row(one: Incident) -> tuple[str, str, str]:
    since = day(one.created_at) + (f", {one.repeats + 1} times" if one.repeats else "")
    return one.issue, since, f"{settings().public_url}/admin/incidents/{one.id}"


def _count(condition: Any) -> int:
    return db.session.scalar(select(func.count()).select_from(Incident).where(condition)) or 0
