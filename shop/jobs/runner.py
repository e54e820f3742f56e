"""Claiming and running jobs. The runner owns every commit, and each is fenced by the claim.

A claim is one conditional update that adds 1 to `claim_number`. Whatever the runner commits later
carries id, worker and claim number in its WHERE: a holder that lost its lease changes nothing.
"""

import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import FrameType
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Executable, Integer, and_, bindparam, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from shop.clock import utcnow
from shop.database import UtcDateTime, db_now, retried, rows_changed, table_of, transaction
from shop.extensions import db
from shop.jobs.handlers import HANDLERS, ON_ERROR, Handler, Outward, Work, why_no_retry
from shop.jobs.models import Job, JobStatus
from shop.logs import without_contact
from shop.providers import BREAKER_SECONDS, ProviderRefused, PutOff, TryLater

log = structlog.get_logger()

LEASE_SECONDS = 60

GiveUp = Callable[[Work, Handler, BaseException | None], None]
_give_up_hooks: list[GiveUp] = []


class LeaseLost(Exception):
    """Another worker holds the job now; everything done here is rolled back."""


class OutOfTime(Exception):
    """The handler took longer than its limit."""


class Stopped(BaseException):
    """The worker was asked to stop and the grace is over; the job goes back, uncounted."""


class Claim:
    """The job this process holds, for the heart-beat to renew."""

    def __init__(self, job_id: int, worker: str, number: int, limit: int) -> None:
        self.job_id = job_id
        self.worker = worker
        self.number = number
        self.deadline = time.monotonic() + limit

    def named(self) -> dict[str, Any]:
        """The values of `_HELD`, which every commit for this job carries in its WHERE."""
        return {"job": self.job_id, "holder": self.worker, "claim": self.number}


held: dict[int, Claim] = {}
"""Claims of this process by thread; read by the heart-beat."""


def on_give_up(hook: GiveUp) -> None:
    """Register what happens in the transaction that marks a job failed (incidents fills this)."""
    _give_up_hooks.append(hook)


def is_due(now: Any = None) -> ColumnElement[bool]:
    """Queued and its time has come, or held by somebody whose lease ran out.

    `now` may be a parameter, for a statement that is built once.
    """
    return or_(
        and_(Job.status == JobStatus.QUEUED, Job.run_at <= (utcnow() if now is None else now)),
        and_(Job.status == JobStatus.RUNNING, Job.lease_until < db_now()),
    )


_NOW = bindparam("now", type_=UtcDateTime())
_SOMETHING = select(Job.id).where(is_due(_NOW)).limit(1)
_FIRST = (
    select(Job.id)
    .where(is_due(_NOW))
    .order_by(Job.priority, Job.run_at, Job.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    update(table_of(Job))
    .where(is_due(_NOW))
    .values(
        status=JobStatus.RUNNING,
        worker=bindparam("holder"),
        lease_until=db_now(bindparam("lease", type_=Integer)),
        claim_number=Job.claim_number + 1,
        attempts=Job.attempts + 1,
    )
    .returning(
        *(
            table_of(Job).c[name]
            for name in (
                "id", "kind", "key", "payload", "attempts", "max_attempts", "claim_number",
            )
        )
    )
)  # fmt: skip
_CLAIM_ONE = _CLAIM.where(Job.id == bindparam("job"))
_CLAIM_FIRST = _CLAIM.where(Job.id == _FIRST.scalar_subquery())
_HELD = update(table_of(Job)).where(
    Job.id == bindparam("job"),
    Job.worker == bindparam("holder"),
    Job.claim_number == bindparam("claim"),
    Job.status == JobStatus.RUNNING,
)
_RENEW = _HELD.values(lease_until=db_now(bindparam("lease", type_=Integer)))
_FINISH = _HELD.values(
    status=bindparam("becomes"), error=bindparam("why"), finished_at=_NOW, lease_until=None
)


def run(job_id: int, worker: str) -> bool:
    """Claim one job by its id and run it. False when it is not to be had."""
    return _run_claimed(_CLAIM_ONE, worker, job=job_id)


def run_next(worker: str) -> bool:
    """Claim the next due job and run it. False when nothing is due."""
    something = db.session.execute(_SOMETHING, {"now": utcnow()}).first()
    db.session.rollback()
    if not something:
        return False
    return _run_claimed(_CLAIM_FIRST, worker)


def _run_claimed(claiming: Executable, worker: str, **which: int) -> bool:
    job = retried(lambda: _claim(claiming, worker, **which))
    if job is None:
        return False
    handler = HANDLERS.get(job["kind"])
    work = Work(job["id"], job["kind"], job["payload"], job["attempts"])
    limit = handler.policy.limit if handler else 30
    claim = Claim(job["id"], worker, job["claim_number"], limit)
    with structlog.contextvars.bound_contextvars(
        job=work.job_id, kind=work.kind, attempt=work.attempt
    ):
        held[threading.get_ident()] = claim
        try:
            _perform(work, handler, claim, job)
        finally:
            held.pop(threading.get_ident(), None)
            db.session.rollback()
    return True


def _claim(claiming: Executable, worker: str, **which: int) -> dict[str, Any] | None:
    with transaction() as session:
        row = session.execute(
            claiming, {**which, "holder": worker, "now": utcnow(), "lease": LEASE_SECONDS}
        ).first()
    return dict(row._mapping) if row else None


def _perform(work: Work, handler: Handler | None, claim: Claim, job: dict[str, Any]) -> None:
    started = time.monotonic()
    try:
        if handler is None:
            raise ProviderRefused(f"nobody handles {work.kind}")
        if work.attempt > job["max_attempts"]:
            raise ProviderRefused("it ended its worker on every try")
        with _time_limit(handler.policy.limit):
            if handler.local:
                retried(lambda: _run_local(handler, work, claim))
            else:
                _run_outward(handler, work, claim)
        log.info("job.succeeded", duration_ms=round(1000 * (time.monotonic() - started)))
    except LeaseLost:
        log.warning("job.lease_lost")
    except Stopped:
        with suppress(LeaseLost):
            retried(lambda: _put_back(claim, job, 0, "stopped", counted=False))
        raise
    except Exception as error:
        # The one place where everything is caught: the row must say what happened.
        db.session.rollback()
        _after_failure(work, handler, claim, job, error)
        for heard in ON_ERROR:
            heard(error)


def _run_local(handler: Handler, work: Work, claim: Claim) -> None:
    assert handler.local
    with transaction() as session:
        handler.local(work)
        _finish(session, claim, JobStatus.SUCCEEDED)


def _run_outward(handler: Handler, work: Work, claim: Claim) -> None:
    assert handler.outward
    while _one_round(handler.outward, work, claim):
        continue


def _one_round(outward: Outward, work: Work, claim: Claim) -> bool:
    """Prepare, call, record. True when `record` asks for another round."""
    request = retried(lambda: _prepared(outward, work, claim))
    if request is None:
        return False
    answer = outward.call(request)
    return retried(lambda: _recorded(outward, work, claim, request, answer))


def _prepared(outward: Any, work: Work, claim: Claim) -> Any:
    with transaction() as session:
        request = outward.prepare(work)
        if request is None:
            _finish(session, claim, JobStatus.SUCCEEDED)
        else:
            _renew(session, claim)
    return request


def _recorded(outward: Any, work: Work, claim: Claim, request: Any, answer: Any) -> bool:
    with transaction() as session:
        again = bool(outward.record(work, request, answer))
        if again:
            _renew(session, claim)
        else:
            _finish(session, claim, JobStatus.SUCCEEDED)
    return again


def _finish(session: Session, claim: Claim, status: JobStatus, error: str | None = None) -> None:
    _fenced(session, claim, _FINISH, {"becomes": status, "why": error, "now": utcnow()})


def _renew(session: Session, claim: Claim) -> None:
    _fenced(session, claim, _RENEW, {"lease": LEASE_SECONDS})


def _fenced(session: Session, claim: Claim, change: Executable, values: dict[str, Any]) -> None:
    session.flush()
    result = session.execute(change, {**claim.named(), **values})
    if not rows_changed(result):
        raise LeaseLost


def _after_failure(
    work: Work, handler: Handler | None, claim: Claim, job: dict[str, Any], error: Exception
) -> None:
    """Settle the row: put back, or given up. Whatever fails here is left to the lease."""
    words = without_contact(f"{type(error).__name__}: {error}"[:2000])
    try:
        if handler is None or _is_last(work, job, error):
            _give_up(work, handler, claim, error, words)
            return
        _try_again(work, handler, claim, job, error, words)
    except LeaseLost:
        log.warning("job.lease_lost", error=words)
    except Exception as fault:
        log.error("job.unsettled", error=words, exc_info=fault)


def _is_last(work: Work, job: dict[str, Any], error: Exception) -> bool:
    is_over = isinstance(error, ProviderRefused) or work.attempt >= job["max_attempts"]
    return bool(is_over) and not isinstance(error, PutOff)


def _try_again(
    work: Work, handler: Handler, claim: Claim, job: dict[str, Any], error: Exception, words: str
) -> None:
    def note() -> None:
        for noted in handler.on_failed_try:
            noted(work, error)

    is_counted = not isinstance(error, PutOff)
    retry_after = error.retry_after if isinstance(error, TryLater) else None
    delay = retry_after or BREAKER_SECONDS
    if is_counted:
        delay = handler.policy.delay(work.attempt, retry_after)
    retried(lambda: _put_back(claim, job, delay, words, note, counted=is_counted))
    log.warning(
        "job.put_back", error=words, exc_info=None if isinstance(error, TryLater) else error
    )


def _put_back(
    claim: Claim,
    job: dict[str, Any],
    delay: float,
    words: str,
    note: Callable[[], None] = lambda: None,
    *,
    counted: bool = True,
) -> None:
    """Queue it again, unless the same wish has been queued meanwhile: then this one ends.

    The unique key of queued jobs decides, so that two who look at once cannot both go on.
    """
    try:
        with transaction() as session:
            note()
            back = _HELD.values(
                status=JobStatus.QUEUED, error=words, worker=None, lease_until=None, pushed_at=None,
                run_at=utcnow() + timedelta(seconds=delay),
                attempts=Job.attempts if counted else Job.attempts - 1,
            )  # fmt: skip
            _fenced(session, claim, back, {})
    except IntegrityError:
        if job["key"] is None:
            raise
        with transaction() as session:
            note()
            _hand_on_tries(session, claim, job, delay)
            _finish(session, claim, JobStatus.CANCELLED, words)


def _hand_on_tries(session: Session, claim: Claim, job: dict[str, Any], delay: float) -> None:
    """The same wish, queued meanwhile, goes on where this one was: else it would never give up."""
    session.execute(
        update(Job)
        .where(
            Job.kind == job["kind"],
            Job.key == job["key"],
            Job.status == JobStatus.QUEUED,
            Job.attempts < job["attempts"],
        )
        .values(attempts=job["attempts"], run_at=utcnow() + timedelta(seconds=delay))
        .execution_options(synchronize_session=False)
    )


def _give_up(
    work: Work, handler: Handler | None, claim: Claim, error: Exception, words: str
) -> None:
    log.error("job.gave_up", error=words, exc_info=error)
    try:
        retried(lambda: _mark_failed(work, handler, claim, error, words))
    except LeaseLost:
        raise
    except Exception as fault:
        # What should follow from giving up fails itself: the row still ends, with its incident.
        log.error("job.give_up_failed", exc_info=fault)
        both = without_contact(f"{words}\nand then {type(fault).__name__}: {fault}"[:4000])
        retried(lambda: _mark_failed(work, None, claim, error, both))


def _mark_failed(
    work: Work, handler: Handler | None, claim: Claim, error: Exception, words: str
) -> None:
    """`failed`, its incident and what follows from it, in one transaction (reliability.md, I24).

    Without a handler the hooks get one that is not registered: nothing else is to be called.
    """
    bare = Handler(work.kind, HANDLERS.get(work.kind, HANDLERS["jobs.unknown"]).policy)
    with transaction() as session:
        for noted in handler.on_failed_try if handler else []:
            noted(work, error)
        for changed in handler.on_give_up if handler else []:
            changed(work, words)
        for hook in _give_up_hooks:
            hook(work, handler or bare, error)
        _finish(session, claim, JobStatus.FAILED, words + "\n" + _stack(error))


def _stack(error: BaseException) -> str:
    """The traceback, without local variables and without anybody's address or number."""
    return without_contact("".join(traceback.format_exception(error))[-6000:])


def renew_held() -> None:
    """The heart-beat: renew the leases of this process's jobs that are within their limits."""
    for claim in list(held.values()):
        if time.monotonic() > claim.deadline:
            continue
        with transaction() as session:
            session.execute(_RENEW, {**claim.named(), "lease": LEASE_SECONDS})


def release(worker: str, *, counted: bool = True) -> int:
    """Give back what a dead or stopped worker held, at once. Returns how many jobs."""
    with transaction() as session:
        result = session.execute(
            update(Job)
            .where(Job.worker == worker, Job.status == JobStatus.RUNNING)
            .values(
                lease_until=db_now(-1),
                attempts=Job.attempts if counted else Job.attempts - 1,
            )
            .execution_options(synchronize_session=False)
        )
    return rows_changed(result)


def retry(job_id: int) -> bool:
    """By hand: queue a job that failed or was cancelled once more.

    False when it is not one, when its handler says why not, or when the same wish is queued already.
    """
    if (job := db.session.get(Job, job_id)) and why_no_retry(job.kind, job.payload):
        return False
    other = aliased(Job)
    same = select(other.id).where(
        other.kind == Job.kind, other.key == Job.key, other.status == JobStatus.QUEUED
    )
    result = db.session.execute(
        update(Job)
        .where(
            Job.id == job_id,
            Job.status.in_([JobStatus.FAILED, JobStatus.CANCELLED]),
            ~same.exists(),
        )
        .values(
            status=JobStatus.QUEUED, run_at=utcnow(), attempts=0, error=None, finished_at=None,
            worker=None, pushed_at=None,
        )
    )  # fmt: skip
    if not rows_changed(result):
        return False
    db.session.info.setdefault("to_push", []).append(job_id)
    return True


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    """End a handler that hangs. Only the main thread can be interrupted; elsewhere the lease ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expired(_signal: int, _frame: FrameType | None) -> None:
        raise OutOfTime(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


__all__ = [
    "LEASE_SECONDS", "LeaseLost", "OutOfTime", "Stopped", "is_due", "on_give_up", "release", "renew_held",
    "retry", "run", "run_next",
]  # fmt: skip
