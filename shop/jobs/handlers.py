"""The register of job handlers, each with its policy beside it.

A handler is *local* (one function, in one transaction that ends together with the job) or
*outward* (prepare, call, record: no transaction is open while the outside is called).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar


@dataclass(frozen=True)
class Work:
    """What a handler is told about its job."""

    job_id: int
    kind: str
    payload: dict[str, Any]
    #: 1 on the first try. Above that, an outward handler asks before it repeats.
    attempt: int


class Outward(Protocol):
    """A handler that speaks to the outside. The runner owns every commit."""

    def prepare(self, work: Work) -> Any:
        """In a transaction: store the intent and its key; return the request, or None if all is done."""

    def call(self, request: Any) -> Any:
        """With no transaction open: speak to the provider; return its answer."""

    def record(self, work: Work, request: Any, answer: Any) -> bool | None:
        """In a transaction that ends together with the job. True asks for another round."""


@dataclass(frozen=True)
class Policy:
    """How a kind of job is tried: seconds per try, tries, and the waits between them."""

    limit: int = 30
    attempts: int = 8
    base: float = 5
    cap: float = 3600
    queue: str = "default"
    priority: int = 10
    #: (category, severity) of the incident when it gives up.
    incident: tuple[str, str] = ("unknown", "medium")

    def delay(self, attempt: int, retry_after: float | None = None) -> float:
        """Seconds before the next try; a longer Retry-After wins, up to an hour."""
        wait: float = min(self.cap, self.base * 2 ** (attempt - 1)) * random.uniform(0.8, 1.2)  # noqa: S311
        return max(wait, min(retry_after or 0, 3600))


@dataclass(frozen=True)
class Handler:
    """A kind of job."""

    kind: str
    policy: Policy
    local: Callable[[Work], None] | None = None
    outward: Outward | None = None
    #: In the transaction that notes a try that failed: put back or given up.
    on_failed_try: list[Callable[[Work, Exception], None]] = field(default_factory=list)
    #: In the transaction that marks the job failed, beside the incident.
    on_give_up: list[Callable[[Work, str], None]] = field(default_factory=list)
    #: Why this payload must not be queued once more by hand, in words; empty when it may.
    why_no_retry: Callable[[dict[str, Any]], str] = lambda payload: ""


HANDLERS: dict[str, Handler] = {}

ON_ERROR: list[Callable[[BaseException], None]] = []
"""Who hears of every exception that ended a try, once its row is settled."""


def why_no_retry(kind: str, payload: dict[str, Any]) -> str:
    """Why another try of such a job would do nothing, in its handler's words; empty when it may be tried."""
    handler = HANDLERS.get(kind)
    return handler.why_no_retry(payload) if handler else ""


F = TypeVar("F", bound=Callable[[Work], None])
C = TypeVar("C", bound=type)


def handles(kind: str, policy: Policy) -> Callable[[F], F]:
    """Register a local handler."""

    def register(function: F) -> F:
        _add(Handler(kind, policy, local=function))
        return function

    return register


def handles_outward(kind: str, policy: Policy) -> Callable[[C], C]:
    """Register an outward handler: a class with prepare, call, record.

    It may have failed_try(work, error), in the transaction that puts the job back or gives up,
    gave_up(work, words), in the one that gives up, and why_no_retry(payload), asked before a
    person's retry.
    """

    def register(made: C) -> C:
        outward = made()
        asked = getattr(outward, "why_no_retry", lambda payload: "")
        handler = Handler(kind, policy, outward=outward, why_no_retry=asked)
        gave_up = getattr(handler.outward, "gave_up", None)
        if gave_up:
            handler.on_give_up.append(gave_up)
        failed_try = getattr(handler.outward, "failed_try", None)
        if failed_try:
            handler.on_failed_try.append(failed_try)
        _add(handler)
        return made

    return register


def when_given_up(
    kind: str,
) -> Callable[[Callable[[Work, str], None]], Callable[[Work, str], None]]:
    """Register what a local handler's give-up changes, beside the incident."""

    def register(function: Callable[[Work, str], None]) -> Callable[[Work, str], None]:
        HANDLERS[kind].on_give_up.append(function)
        return function

    return register


def _add(handler: Handler) -> None:
    if handler.kind in HANDLERS:
        raise RuntimeError(f"two handlers for {handler.kind}")
    HANDLERS[handler.kind] = handler
