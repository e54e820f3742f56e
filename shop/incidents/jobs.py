"""Opening an incident for every job that gives up, and the day's turn of the digest."""

import traceback
from collections.abc import Callable
from datetime import UTC
from typing import Any

from shop.clock import local, utcnow
from shop.database import insert_ignore
from shop.incidents.facts import gather
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs import runner
from shop.jobs.handlers import HANDLERS, Handler, Policy, Work, handles
from shop.jobs.models import ScheduleSlot
from shop.jobs.queue import enqueue
from shop.preferences import preference

Teller = Callable[[Work], About]

_tellers: dict[str, Teller] = {}

TICKET = "incidents.ticket"
TOLD = frozenset({"alert", "event", "mail"})
"""What payloads call the thing that is told; a short word of the code's own."""


def when_given_up_tell(kind: str) -> Callable[[Teller], Teller]:
    """Register a kind's own words and severity, where its policy's do not say enough."""

    def register(teller: Teller) -> Teller:
        _tellers[kind] = teller
        return teller

    return register


def report_give_up(work: Work, handler: Handler, error: BaseException | None) -> None:
    """Open the incident of a job that gave up, in the transaction that marks it failed.

    A handler that is not the registered one says that what follows from giving up has failed
    itself: then nothing is asked about the thing, so that the incident is opened for certain.
    """
    is_plain = HANDLERS.get(work.kind) is not handler
    teller = None if is_plain else _tellers.get(work.kind)
    about = teller(work) if teller else _about(work, handler, is_plain=is_plain)
    stack = "".join(traceback.format_exception(error)) if error else ""
    words = f"{type(error).__name__}: {error}" if error else ""
    open_incident(about, fault_of(work), words, stack)


def _about(work: Work, handler: Handler, *, is_plain: bool) -> About:
    category, severity = handler.policy.incident
    facts, order_id = ({}, None) if is_plain else gather(work.payload)
    of_order = f" of order {facts['orderId']}" if "orderId" in facts else ""
    return About(
        issue=f"The job {work.kind}{of_order} gave up",
        category=Category(category),
        severity=Severity(severity),
        order_id=order_id,
        job_id=work.job_id,
        context={**facts, "jobId": work.job_id, "jobKind": work.kind},
    )


def fault_of(work: Work) -> str:
    """The same for the same kind on the same thing.

    A ticket that cannot be filed is one fault whatever incident it was for: its own incident
    would otherwise ask for a ticket that cannot be filed either, and so on without end.
    """
    if work.kind == TICKET:
        return f"job:{work.kind}"
    ids = [
        f"{name}={value}"
        for name, value in sorted(work.payload.items())
        if _tells_apart(name, value)
    ]
    return ":".join(["job", work.kind, *ids])


def _tells_apart(name: str, value: Any) -> bool:
    """What the job is about: rows by their numbers, and what is told. A Message-ID is new each time."""
    return name in TOLD or (name.endswith("_id") and isinstance(value, int))


@handles(
    "incidents.digest", Policy(limit=30, attempts=3, base=60, cap=600, incident=("api", "low"))
)
def digest(work: Work) -> None:
    """Once a day, from the hour that the preference names: mail staff what is open."""
    now = local(utcnow())
    if now.hour < preference("digest_hour"):
        return
    day = now.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
    if insert_ignore(ScheduleSlot, {"task": "incidents.digest of the day", "slot_at": day}) is None:
        return
    wish: dict[str, Any] = {"mail": "digest", "day": now.date().isoformat()}
    enqueue("messaging.staff_mail", wish, key=f"digest:{wish['day']}")


runner.on_give_up(report_give_up)
