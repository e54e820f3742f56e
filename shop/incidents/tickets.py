"""Keeping the outside tracker in line with the incidents: one ticket each, comments, its end.

One job does what is due for an incident, step by step: file the ticket, tell of repeats, close it.
What was asked for is committed before the call. After an unclear answer the tracker is asked before
anything is asked for again (reliability.md, I35).
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import and_, or_, select, update

from shop.clock import utcnow
from shop.extensions import db
from shop.incidents import catalogue, handling, trackers
from shop.incidents.jobs import TICKET
from shop.incidents.models import Category, Incident, IncidentStatus, Severity, TicketState
from shop.incidents.opening import QUIET, About, open_incident
from shop.incidents.trackers.base import Filed, Ticket
from shop.jobs.handlers import Policy, Work, handles, handles_outward
from shop.jobs.queue import enqueue
from shop.providers import BreakerOpen, ProviderRefused, TryLater

SYSTEM = "system"
REFUSED = "ticket_refused"
NOT_TAKEN = "400"
"""The tracker's answer to what it does not take, as it is."""

A_DAY = timedelta(days=1)
"""A ticket that was refused is tried again after so long: somebody may have mended its fields."""

LATE = timedelta(minutes=10)
"""A ticket that was asked for so long ago and is not there is asked for again by the sweep."""

TOO_LATE = timedelta(days=7)
"""An incident of so long ago gets no ticket any more."""

ABOUT_TICKETS = (REFUSED, f"job:{TICKET}")
"""Failures that are about tickets: that theirs is not taken either is one fault for all of them."""

UNFILED = (TicketState.NONE, TicketState.CREATING)


class NothingDone(TryLater):
    """The tracker could not be asked; it has done nothing."""


class Denied(ProviderRefused):
    """The tracker said no; it has done nothing."""


class StillSearching(TryLater):
    """The ticket may have been made, and the tracker's search may not show it yet."""


@dataclass(frozen=True)
class Step:
    """What is due: "file", "grade", "comment" or "close"."""

    what: str
    ticket: Ticket
    #: The ticket's key at the tracker; empty while it has none.
    key: str = ""
    #: Whether an earlier try may have filed it.
    asks_first: bool = False
    #: Whether it may be filed when the tracker does not find it.
    may_file: bool = True
    #: Whether an incident of its own is opened when the tracker does not take it.
    may_be_refused: bool = True


@dataclass(frozen=True)
class NotTaken:
    """The tracker takes others, and not this ticket; its words."""

    words: str


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
        if incident.ticket_state == TicketState.REFUSED:
            is_over = incident.status == IncidentStatus.RESOLVED
            return None if is_over or not _is_tried_again(incident) else _filing(incident)
        if incident.ticket_state == TicketState.CLOSED:
            return None
        key = incident.tracker_key or ""
        if incident.status == IncidentStatus.RESOLVED:
            return Step("close", trackers.ticket_of(incident), key)
        if _is_graver(incident):
            return Step("grade", trackers.ticket_of(incident), key)
        if not _is_comment_due(incident):
            return None
        incident.told_repeats, incident.told_at = incident.repeats, utcnow()
        return Step("comment", trackers.ticket_of(incident), key)

    def call(self, request: Step) -> Filed | NotTaken | None:
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
            acts = {"grade": tracker.grade, "comment": tracker.comment, "close": tracker.close}
            acts[request.what](request.key, request.ticket)
        except BreakerOpen:
            raise
        except TryLater as error:
            raise NothingDone(error.words, error.code, error.retry_after) from error
        except ProviderRefused as error:
            if request.what == "file" and request.may_be_refused and error.code == NOT_TAKEN:
                return NotTaken(error.words)
            raise Denied(error.words, error.code) from error
        return None

    def record(self, work: Work, request: Step, answer: Filed | NotTaken | None) -> bool:
        """Keep the ticket's key and link; look for the next step."""
        incident = db.session.get_one(Incident, work.payload["incident_id"])
        if isinstance(answer, NotTaken):
            _note_refused(incident, answer)
            return False
        if answer is not None:
            incident.tracker_key, incident.tracker_url = answer.key, answer.url
            incident.ticket_state, incident.told_at = TicketState.OPEN, utcnow()
            _tracker_works(incident)
        elif request.what == "close":
            incident.ticket_state = TicketState.CLOSED
        elif request.what == "grade":
            incident.told_severity = request.ticket.severity
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
    may_be_refused = catalogue.key_of(incident.fingerprint) not in ABOUT_TICKETS
    if incident.ticket_state != TicketState.CREATING:
        incident.ticket_state, incident.ticket_asked_at = TicketState.CREATING, utcnow()
        incident.told_repeats, incident.told_severity = incident.repeats, incident.severity
        return Step("file", ticket, may_be_refused=may_be_refused)
    asked_at = incident.ticket_asked_at or utcnow()
    since = (utcnow() - asked_at).total_seconds()
    if since < tracker.settles_in:
        raise StillSearching("its answer is unclear", retry_after=tracker.settles_in - since)
    return Step(
        "file", ticket, asks_first=True, may_file=since >= tracker.finds_within,
        may_be_refused=may_be_refused,
    )  # fmt: skip


def _is_tried_again(incident: Incident) -> bool:
    return incident.ticket_asked_at is None or incident.ticket_asked_at < utcnow() - A_DAY


def _note_refused(incident: Incident, answer: NotTaken) -> None:
    """The tracker works, but for this ticket: its own incident says so, which has a ticket too."""
    incident.ticket_state = TicketState.REFUSED
    open_incident(
        About(
            issue=f"The tracker does not take the ticket of incident {incident.id}",
            category=Category.API, severity=Severity.LOW, order_id=incident.order_id,
            context={"incident": incident.id, "incidentIssue": incident.issue},
        ),
        f"ticket_refused:{incident.id}",
        answer.words,
    )  # fmt: skip
    _ask_for_oldest(but=incident.id)


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


def _is_graver(incident: Incident) -> bool:
    return trackers.tracker().takes_comments and incident.told_severity != incident.severity


def _is_comment_due(incident: Incident) -> bool:
    if not trackers.tracker().takes_comments or incident.repeats <= incident.told_repeats:
        return False
    return incident.told_at is None or incident.told_at <= utcnow() - QUIET


def _tracker_works(filed: Incident) -> None:
    """A ticket went through: what waited for the tracker may go too, one after the other."""
    over = {
        f"job:{TICKET}": "The tracker takes tickets again.",
        f"{REFUSED}:{filed.id}": "The tracker has taken the ticket.",
    }
    about_tracker = db.session.scalars(
        select(Incident).where(
            Incident.fingerprint.in_(over), Incident.status.in_(handling.UNRESOLVED),
            # That its own ticket went through tells of no other one's.
            Incident.id != filed.id,
        )
    ).all()  # fmt: skip
    for one in about_tracker:
        handling.resolve(one.id, SYSTEM, over[one.fingerprint])
    _ask_for_oldest(but=filed.id)


def _ask_for_oldest(but: int = 0) -> None:
    """Ask for the ticket that waits longest since it was last asked for."""
    waiting = db.session.scalar(
        select(Incident.id)
        .where(
            or_(
                and_(
                    Incident.ticket_state.in_(UNFILED),
                    Incident.ticket_asked_at < utcnow() - LATE,
                ),
                and_(
                    Incident.ticket_state == TicketState.REFUSED,
                    Incident.ticket_asked_at < utcnow() - A_DAY,
                ),
            ),
            Incident.status.in_(handling.UNRESOLVED),
            Incident.created_at > utcnow() - TOO_LATE,
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
