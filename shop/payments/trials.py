"""Trying a gateway: one harmless call that shows whether its key fits and it answers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shop import start_checks
from shop.audit import recording as audit
from shop.clock import in_future, utcnow
from shop.config import settings
from shop.errors import Refused
from shop.jobs.handlers import Policy, Work, handles_outward
from shop.jobs.queue import enqueue
from shop.payments.gateways import gateway
from shop.payments.gateways.base import AttemptRef, Gateway
from shop.provider_words import failure
from shop.providers import ProviderError, ProviderRefused

ACTION = "gateway.tested"
#: What nobody has: a gateway without lists is asked for a payment of this reference.
NOBODYS = "A" * 26
NOT_THERE = "HTTP 404"


def subject(key: str) -> str:
    """How the audit names a gateway."""
    return f"gateway:{key}"


def why_not(key: str) -> str | None:
    """Why nobody can be asked for this way to pay, in words; None where a test can be made."""
    if not gateway(key).is_online:
        return "There is no provider to ask."
    missing = start_checks.missing(key, settings())
    if missing:
        return f"{' and '.join(missing)} must be set first."
    if key == "swish" and start_checks.mode(key, settings()) == "pretend":
        return "SWISH_ENVIRONMENT is mock: its money is pretended, and nobody is asked."
    return None


def ask(key: str, actor: str) -> None:
    """Have the gateway tried by a job, in the caller's transaction. Raises NotFound, Refused."""
    reason = why_not(key)
    if reason:
        raise Refused(reason)
    enqueue("payments.test_gateway", {"gateway": key, "actor": actor}, key=key)


@dataclass(frozen=True)
class Result:
    """What came of a test, in words for staff."""

    is_good: bool
    words: str


@handles_outward("payments.test_gateway", Policy(limit=60, attempts=1, priority=5))
class Trial:
    """Ask for what was paid within the last hour. Nothing of the answer is kept."""

    def prepare(self, work: Work) -> tuple[str, datetime] | None:
        """Which gateway; none where its settings were taken away meanwhile."""
        key = work.payload["gateway"]
        return None if why_not(key) else (key, in_future(hours=-1))

    def call(self, request: tuple[str, datetime]) -> Result:
        """The call; a failure is a result too."""
        key, since = request
        way = gateway(key)
        try:
            if way.list_payments(since) is None:
                _look_up(way)
        except ProviderError as error:
            return Result(False, failure(error, "call", _named(key)))
        return Result(True, "It answered, and the key is good.")

    def record(self, work: Work, request: tuple[str, datetime], answer: Result) -> None:
        """The audit keeps the result, in the name of who asked."""
        after = {"good": answer.is_good, "result": answer.words}
        audit.write(work.payload["actor"], ACTION, subject(request[0]), after=after)


def _look_up(way: Gateway) -> None:
    """For a gateway that keeps no list: a payment that is nobody's. "Not there" is a good answer."""
    nobodys = AttemptRef(
        reference=NOBODYS, gateway_id=None, refs={}, amount_minor=1,
        currency=settings().default_currency, created_at=utcnow(),
    )  # fmt: skip
    try:
        way.fetch(nobodys)
    except ProviderRefused as error:
        if error.code != NOT_THERE:
            raise


def _named(key: str) -> str:
    """The settings by which the gateway knows the shop."""
    names: Any = start_checks.SWISH_FILES if key == "swish" else start_checks.NEEDED.get(key, ())
    known = [name.upper() for name in names if "webhook" not in name]
    return " and ".join(known) or "the settings"
