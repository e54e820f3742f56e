"""Kinds of jobs for the tests alone, and ways to end their worker. Imported by tests and workers.

An effect is an audit entry: it stands in the database, and nothing can take it away again.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from shop.audit import recording as audit
from shop.audit.models import AuditEntry
from shop.extensions import db
from shop.jobs.handlers import HANDLERS, Policy, Work, handles, handles_outward
from shop.providers import ProviderRefused, TryLater
from shop.webhooks.models import WebhookEvent


def effects(subject: str = "%") -> int:
    """How many effects stand in the database."""
    db.session.rollback()
    query = sa.select(sa.func.count()).select_from(AuditEntry)
    return db.session.scalar(
        query.where(AuditEntry.action == "test.effect", AuditEntry.subject.like(subject))
    )


def effect(work: Work) -> None:
    """The effect of this job."""
    audit.write("test", "test.effect", str(work.payload.get("n", work.job_id)))


if "test.mark" not in HANDLERS:

    @handles("test.mark", Policy(attempts=3, base=5, cap=60))
    def mark(work: Work) -> None:
        """One effect."""
        effect(work)

    @handles("test.hang", Policy(limit=1, attempts=2, base=5))
    def hang(work: Work) -> None:
        """Longer than its limit."""
        effect(work)
        time.sleep(20)

    @handles("test.fail", Policy(attempts=3, base=100, cap=1000, incident=("api", "high")))
    def fail(work: Work) -> None:
        """Fails as told."""
        effect(work)
        if work.payload["how"] == "later":
            raise TryLater("busy", retry_after=work.payload.get("retry_after"))
        if work.payload["how"] == "refused":
            raise ProviderRefused("no")
        raise ValueError("a fault of ours")

    @handles("test.deadly", Policy(attempts=2, base=5))
    def deadly(work: Work) -> None:
        """Ends its worker on every try."""
        os.kill(os.getpid(), signal.SIGKILL)

    @handles_outward("test.outward", Policy(attempts=5, base=1, cap=2))
    class OutwardTest:
        """Three steps that say in a file what they do."""

        def prepare(self, work: Work) -> dict[str, Any]:
            """Store the intent."""
            audit.write("test", "test.intent", str(work.payload["n"]))
            return dict(work.payload)

        def call(self, request: dict[str, Any]) -> str:
            """The outside."""
            if "log" in request:
                with Path(request["log"]).open("a") as file:
                    file.write("called\n")
            return "answer"

        def record(self, work: Work, request: dict[str, Any], answer: str) -> None:
            """The outcome."""
            effect(work)

    @handles_outward("test.slow", Policy(attempts=3, base=5, cap=60))
    class SlowTest:
        """Waits for the outside, with no transaction open, then has its effect.

        `then` is how long it takes from the second try on.
        """

        def prepare(self, work: Work) -> dict[str, Any]:
            """How long."""
            seconds = work.payload["seconds"]
            return {"seconds": work.payload.get("then", seconds) if work.attempt > 1 else seconds}

        def call(self, request: dict[str, Any]) -> None:
            """The outside takes its time."""
            time.sleep(request["seconds"])

        def record(self, work: Work, request: dict[str, Any], answer: None) -> None:
            """The outcome."""
            effect(work)


def kill_once_at(place: str, folder: str) -> None:
    """Let the process that first reaches `place` ("kind:step" or "kind:step@source") die with SIGKILL.

    Steps: "local" (a local handler has done its work, nothing is committed), "prepare" and
    "record" (the same for these), "call" (the outside has answered, nothing is recorded).
    `source` is whose webhook is processed, or the `n` of a job of the tests. The folder gets a file for each place reached.
    """
    point, _, source = place.partition("@")
    kind, step = point.split(":")
    flag = os.path.join(folder, place.replace("/", "-"))
    handler = HANDLERS[kind]
    owner: Any = handler if step == "local" else handler.outward
    real = getattr(owner, step)

    def then_die(*args: Any) -> Any:
        result = real(*args)
        if source and _source(args[0]) != source:
            return result
        try:
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return result
        db.session.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        return result

    object.__setattr__(owner, step, then_die)


def _source(work: Any) -> str:
    """Whose webhook it is, or the number of a job of the tests. `work`: what the step was given first."""
    payload = getattr(work, "payload", work)
    if "n" in payload:
        return str(payload["n"])
    source: str = db.session.get_one(WebhookEvent, payload["event_id"]).source
    return source
