"""Keeping the outside tracker in line with the incidents: one ticket each, comments, its end.

One job does what is due for an incident, step by step: file the ticket, tell of repeats, close it.
What was asked for is committed before the call. After an unclear answer the tracker is asked before
anything is asked for again (reliability.md, I35).
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update

from shop.clock import utcnow
from shop.extensions import db
from shop.incidents import handling, trackers
from shop.incidents.jobs import TICKET
from shop.incidents.models import Incident, IncidentStatus, TicketState
from shop.incidents.opening import QUIET
from shop.incidents.trackers.base import Filed, Ticket
from shop.jobs.handlers import Policy, Work, handles, handles_outward
from shop.jobs.queue import enqueue
from shop.providers import BreakerOpen, ProviderRefused, TryLater

SYSTEM = "system"
LATE = timedelta(minutes=10)
"""A ticket that was asked for so long ago and is not there is asked for again by the sweep."""

TOO_LATE = timedelta(days=7)
"""An incident of so long ago gets no ticket any more."""

UNFILED = (TicketState.NONE, TicketState.CREATING)


class NothingDone(TryLater):
    """The tracker could not be asked; it has done nothing."""


class Denied(ProviderRefused):
    """The tracker said no; it has done nothing."""


class StillSearching(TryLater):
    """The ticket may have been made, and the tracker's search may not show it yet."""


@dataclass(frozen=True)
class Step:
    """What is due: "file", "comment" or "close"."""

    what: str
    ticket: Ticket
    #: The ticket's key at the tracker; empty while it has none.
    key: str = ""
    #: Whether an earlier try may have filed it.
    asks_first: bool = False
    #: Whether it may be filed when the tracker does not find it.
    may_file: bool = True


@handles_outward(
    TICKET, Policy(limit=15, attempts=10, base=60, cap=21_600, incident=("api", "low"))
)
class KeepTicket:
    """Do what is due for {"incident_id"} at the tracker."""

    def prepare(self, work: Work) -> Step | None:
        """The next step, noted before it is taken; None when the tracker knows all.

        Raises StillSearching while a ticket may be there that cannot be found yet.
        """
        incident = db.session.scalars(
            select(Incident).where(Incident.id == work.payload["incident_id"]).with_for_update()
        ).one_or_none()
        if incident is None:
            return None
        if incident.ticket_state in UNFILED:
            return _filing(incident)
        if incident.ticket_state == TicketState.CLOSED:
            return None
        key = incident.tracker_key or ""
        if incident.status == IncidentStatus.RESOLVED:
            return Step("close", trackers.ticket_of(incident), key)
        if not _is_comment_due(incident):
            return None
        incident.told_repeats, incident.told_at = incident.repeats, utcnow()
        return Step("comment", trackers.ticket_of(incident), key)

    def call(self, request: Step) -> Filed | None:
        """Take it. Where nothing was done for certain, the error says so."""
        tracker = trackers.tracker()
        found = tracker.find(request.ticket) if request.asks_first else None
        if found:
            return found
        if not request.may_file:
            raise StillSearching("it may have been filed; its search may not show it yet")
        try:
            if request.what == "file":
                return tracker.file(request.ticket)
            act = tracker.comment if request.what == "comment" else tracker.close
            act(request.key, request.ticket)
        except BreakerOpen:
            raise
        except TryLater as error:
            raise NothingDone(error.words, error.code, error.retry_after) from error
        except ProviderRefused as error:
            raise Denied(error.words, error.code) from error
        return None

    def record(self, work: Work, request: Step, answer: Filed | None) -> bool:
        """Keep the ticket's key and link; look for the next step."""
        incident = db.session.get_one(Incident, work.payload["incident_id"])
        if answer is not None:
            incident.tracker_key, incident.tracker_url = answer.key, answer.url
            incident.ticket_state, incident.told_at = TicketState.OPEN, utcnow()
            _tracker_works(incident)
        elif request.what == "close":
            incident.ticket_state = TicketState.CLOSED
        return True

    def failed_try(self, work: Work, error: Exception) -> None:
        """What was not done for certain may be asked for again without a search."""
        if not isinstance(error, NothingDone | Denied):
            return
        one = update(Incident).where(Incident.id == work.payload["incident_id"])
        db.session.execute(
            one.where(Incident.ticket_state == TicketState.CREATING).values(
                ticket_state=TicketState.NONE
            )
        )
        db.session.execute(
            one.where(Incident.ticket_state == TicketState.OPEN).values(
                told_repeats=0, told_at=None
            )
        )


def _filing(incident: Incident) -> Step:
    """File it; a try whose end nobody knows is looked for first, as soon as that can find it."""
    tracker = trackers.tracker()
    ticket = trackers.ticket_of(incident, _earlier(incident))
    if incident.ticket_state == TicketState.NONE:
        incident.ticket_state, incident.ticket_asked_at = TicketState.CREATING, utcnow()
        incident.told_repeats = incident.repeats
        return Step("file", ticket)
    asked_at = incident.ticket_asked_at or utcnow()
    since = (utcnow() - asked_at).total_seconds()
    if since < tracker.settles_in:
        raise StillSearching("its answer is unclear", retry_after=tracker.settles_in - since)
    return Step("file", ticket, asks_first=True, may_file=since >= tracker.finds_within)


def _earlier(incident: Incident) -> tuple[str, ...]:
    keys = db.session.scalars(
        select(Incident.tracker_key)
        .where(
            Incident.fingerprint == incident.fingerprint,
            Incident.id < incident.id,
            Incident.tracker_key.is_not(None),
        )
        .order_by(Incident.id.desc())
        .limit(5)
    )
    return tuple(key for key in keys if key)


def _is_comment_due(incident: Incident) -> bool:
    if not trackers.tracker().takes_comments or incident.repeats <= incident.told_repeats:
        return False
    return incident.told_at is None or incident.told_at <= utcnow() - QUIET


def _tracker_works(filed: Incident) -> None:
    """A ticket went through: what waited for the tracker may go too, one after the other."""
    about_tracker = db.session.scalars(
        select(Incident).where(
            Incident.fingerprint == f"job:{TICKET}", Incident.status.in_(handling.UNRESOLVED)
        )
    ).one_or_none()
    if about_tracker is not None:
        handling.resolve(about_tracker.id, SYSTEM, "The tracker takes tickets again.")
    _ask_for_oldest(but=filed.id)


def _ask_for_oldest(but: int = 0) -> None:
    """Ask for the ticket that waits longest since it was last asked for."""
    waiting = db.session.scalar(
        select(Incident.id)
        .where(
            Incident.ticket_state.in_(UNFILED),
            Incident.status.in_(handling.UNRESOLVED),
            Incident.created_at > utcnow() - TOO_LATE,
            Incident.ticket_asked_at < utcnow() - LATE,
            Incident.id != but,
        )
        .order_by(Incident.ticket_asked_at, Incident.id)
        .limit(1)
    )
    if waiting is not None:
        enqueue(TICKET, {"incident_id": waiting}, key=str(waiting))


@handles("incidents.sweep", Policy(limit=30, attempts=3, base=5, cap=60, incident=("api", "low")))
def sweep(work: Work) -> None:
    """Every hour: one ticket that gave up is tried again; when it goes through, the others follow."""
    _ask_for_oldest()
