"""Filing incidents at the outside tracker, and opening one for every job that gives up."""

import traceback
from collections.abc import Callable
from typing import Any

from shop.extensions import db
from shop.incidents import trackers
from shop.incidents.facts import gather
from shop.incidents.models import Category, Incident, Severity
from shop.incidents.opening import About, open_incident
from shop.incidents.trackers.base import Filed, Ticket
from shop.jobs import runner
from shop.jobs.handlers import Handler, Policy, Work, handles_outward

Teller = Callable[[Work], About]

_tellers: dict[str, Teller] = {}


def when_given_up_tell(kind: str) -> Callable[[Teller], Teller]:
    """Register a kind's own words and severity, where its policy's do not say enough."""

    def register(teller: Teller) -> Teller:
        _tellers[kind] = teller
        return teller

    return register


def report_give_up(work: Work, handler: Handler, error: BaseException | None) -> None:
    """Open the incident of a job that gave up, in the transaction that marks it failed."""
    teller = _tellers.get(work.kind)
    about = teller(work) if teller else _about(work, handler)
    stack = "".join(traceback.format_exception(error)) if error else ""
    words = f"{type(error).__name__}: {error}" if error else ""
    open_incident(about, _fault(work), words, stack)


def _about(work: Work, handler: Handler) -> About:
    category, severity = handler.policy.incident
    facts, order_id = gather(work.payload)
    of_order = f" of order {facts['orderId']}" if "orderId" in facts else ""
    return About(
        issue=f"The job {work.kind}{of_order} gave up",
        category=Category(category),
        severity=Severity(severity),
        order_id=order_id,
        job_id=work.job_id,
        context={**facts, "jobId": work.job_id, "jobKind": work.kind},
    )


def _fault(work: Work) -> str:
    """The same for the same kind on the same thing.

    A ticket that cannot be filed is one fault whatever incident it was for: its own incident
    would otherwise ask for a ticket that cannot be filed either, and so on without end.
    """
    if work.kind == "incidents.ticket":
        return f"job:{work.kind}"
    ids = [
        f"{name}={value}" for name, value in sorted(work.payload.items()) if name.endswith("_id")
    ]
    return ":".join(["job", work.kind, *ids])


@handles_outward(
    "incidents.ticket",
    Policy(limit=15, attempts=10, base=60, cap=21_600, incident=("api", "low")),
)
class FileTicket:
    """One incident is one ticket: the tracker is asked for it before it is filed."""

    def prepare(self, work: Work) -> Ticket | None:
        """The ticket as it stands now; None when it has been filed."""
        incident = db.session.get(Incident, work.payload["incident_id"])
        if incident is None or incident.tracker_key:
            return None
        return trackers.ticket_of(incident)

    def call(self, request: Ticket) -> Filed:
        """File it, unless an earlier try came through."""
        tracker = trackers.tracker()
        return tracker.find(request.id) or tracker.file(request)

    def record(self, work: Work, request: Any, answer: Any) -> None:
        """Keep the ticket's key and link."""
        incident = db.session.get_one(Incident, work.payload["incident_id"])
        incident.tracker_key, incident.tracker_url = answer.key, answer.url


runner.on_give_up(report_give_up)
