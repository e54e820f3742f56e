"""Trying a channel: one harmless question that shows whether its provider answers and knows our key."""

from dataclasses import dataclass

from shop import start_checks
from shop.audit import recording as audit
from shop.config import settings
from shop.errors import NotFound, Refused
from shop.jobs.handlers import Policy, Work, handles_outward
from shop.jobs.queue import enqueue
from shop.messaging.channels import CHANNELS, channel_by
from shop.messaging.channels.base import Triable
from shop.provider_words import failure
from shop.providers import ProviderError

ACTION = "channel.tested"
KIND = "messaging.test_channel"


def subject(kind: str, provider: str) -> str:
    """How the audit names a channel."""
    return f"channel:{kind}:{provider}"


def why_not(kind: str, provider: str) -> str | None:
    """Why nobody can be asked, in words; None where a test can be made. Raises NotFound."""
    if provider not in CHANNELS.get(kind, {}):
        raise NotFound("There is no such channel.")
    if not isinstance(channel_by(kind, provider), Triable):
        return "There is nothing harmless to ask."
    lacking = missing(kind, provider)
    return f"{' and '.join(lacking)} must be set first." if lacking else None


def missing(kind: str, provider: str) -> list[str]:
    """The settings that it cannot do without and has not."""
    if provider == "smtp":
        return [] if settings().smtp_url else ["SMTP_URL"]
    return start_checks.missing_for_messages(kind, provider, settings())


def ask(kind: str, provider: str, actor: str) -> None:
    """Have a channel tried by a job, in the caller's transaction. Raises NotFound, Refused."""
    reason = why_not(kind, provider)
    if reason:
        raise Refused(reason)
    wish = {"kind": kind, "provider": provider, "actor": actor}
    enqueue(KIND, wish, key=f"{kind}:{provider}")


@dataclass(frozen=True)
class Asked:
    """Whom to ask."""

    kind: str
    provider: str


@dataclass(frozen=True)
class Result:
    """What came of a test, in words for staff."""

    is_good: bool
    words: str


@handles_outward(KIND, Policy(limit=60, attempts=1, priority=5))
class Trial:
    """Ask. Nothing is sent to anybody, in a dry run or out of it."""

    def prepare(self, work: Work) -> Asked | None:
        """Which channel; none where its settings were taken away meanwhile."""
        asked = Asked(work.payload["kind"], work.payload["provider"])
        return None if why_not(asked.kind, asked.provider) else asked

    def call(self, request: Asked) -> Result:
        """The question; a failure is a result too."""
        way = channel_by(request.kind, request.provider)
        assert isinstance(way, Triable)
        try:
            return Result(True, way.try_out()[:300])
        except ProviderError as error:
            return Result(False, failure(error, "question", "its settings"))

    def record(self, work: Work, request: Asked, answer: Result) -> None:
        """The audit keeps the result, in the name of who asked."""
        after = {"good": answer.is_good, "result": answer.words}
        about = subject(request.kind, request.provider)
        audit.write(work.payload["actor"], ACTION, about, after=after)
