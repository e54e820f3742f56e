"""Gateways: is each way to pay ready, does its provider reach us, do we reach it, do payments succeed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask import Response, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import case, func, select

from shop import start_checks
from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.rendering import done, names_of, screen, shown_again
from shop.admin.webhooks import RESULTS
from shop.admin.words import gateway_words
from shop.audit import recording as audit
from shop.audit.models import AuditEntry
from shop.clock import in_future
from shop.config import settings
from shop.database import transaction
from shop.extensions import db
from shop.jobs.models import Job, JobStatus
from shop.payments import trials
from shop.payments.gateways import GATEWAYS, gateway
from shop.payments.models import LIVE, AttemptStatus, Payment, PaymentDifference
from shop.webhooks.models import WebhookEvent, WebhookRefusal

DAYS = 7
"""The attempts of so many days make the success rate."""

MODES = {
    "live": ("Live", "ok"),
    "test": ("Test mode", "warn"),
    "pretend": ("Pretend money", "info"),
}
COMPARE, TEST = "payments.compare", "payments.test_gateway"
UNDER_WAY = (JobStatus.QUEUED, JobStatus.RUNNING)


@dataclass(frozen=True)
class Known:
    """What the tables tell of all gateways, by key: a fixed number of statements."""

    events: Mapping[str, Any]
    refused: Mapping[str, int]
    #: (captured, ended) attempts.
    attempts: Mapping[str, tuple[int, int]]
    differences: Mapping[str, int]
    compared: Mapping[str, datetime | None]
    asked: frozenset[str]
    tests: Mapping[str, AuditEntry]


@dataclass(frozen=True)
class Card:
    """One way to pay, as the screen shows it. Nothing secret is on it."""

    key: str
    is_on: bool
    is_default: bool
    is_online: bool
    mode: tuple[str, str] | None
    webhook_url: str
    #: Why no test can be made; None where it can.
    why_no_test: str | None
    known: Known
    missing: list[str] = field(default_factory=list)

    @property
    def rate(self) -> str:
        """Of the attempts that ended, how many brought money: "87 %", or nothing to count."""
        captured, ended = self.known.attempts.get(self.key, (0, 0))
        return f"{100 * captured / ended:.0f} %" if ended else ""

    @property
    def is_withdrawn(self) -> bool:
        """Switched on, and its money pretended where money is real: checkout does not offer it."""
        return self.key == "swish" and settings().is_production and self.mode == MODES["pretend"]


@bp.get("/gateways")
@needs(Right.SEE_JOBS)
def gateways() -> ResponseReturnValue:
    """All ways to pay; those that are switched on first."""
    return show_gateways()


def show_gateways(*, problem: str = "", status: int = 200, **_others: Any) -> Response:
    """The screen; `problem` is why a test could not be made."""
    known = _known()
    cards = [_card(key, known) for key in _in_order()]
    return screen(
        "admin/gateways.html",
        status,
        section="admin.gateways",
        problem=problem,
        groups={
            "Switched on": [card for card in cards if card.is_on],
            "Not switched on": [card for card in cards if not card.is_on],
        },
        days=DAYS,
        results=RESULTS,
        names=names_of(entry.actor for entry in known.tests.values()),
    )


def _in_order() -> list[str]:
    """The keys: the default first, then as PAYMENT_GATEWAYS and the table name them."""
    first = (settings().default_payment_gateway, *settings().payment_gateways)
    return list(dict.fromkeys([key for key in first if key in GATEWAYS] + list(GATEWAYS)))


def _card(key: str, known: Known) -> Card:
    way = gateway(key)
    return Card(
        key=key,
        is_on=key in settings().payment_gateways,
        is_default=key == settings().default_payment_gateway,
        is_online=way.is_online,
        mode=MODES.get(start_checks.mode(key, settings())),
        webhook_url=f"{settings().public_url}/webhooks/{key}" if way.is_online else "",
        why_no_test=trials.why_not(key),
        known=known,
        missing=start_checks.missing(key, settings()),
    )


def _known() -> Known:
    ran = _jobs()
    return Known(
        events=_last_events(),
        refused=_counted(
            select(WebhookRefusal.source, func.sum(WebhookRefusal.count))
            .where(WebhookRefusal.hour_at >= in_future(hours=-24))
            .group_by(WebhookRefusal.source)
        ),
        attempts=_attempts(),
        differences=_counted(
            select(PaymentDifference.gateway, func.count())
            .where(PaymentDifference.settled_at.is_(None))
            .group_by(PaymentDifference.gateway)
        ),
        compared={
            key: at for kind, key, status, at in ran if kind == COMPARE and status == JobStatus.SUCCEEDED
        },
        asked=frozenset(key for kind, key, status, _ in ran if kind == TEST and status in UNDER_WAY),
        tests=_tests(),
    )  # fmt: skip


def _counted(found: Any) -> dict[str, int]:
    return {key: int(count) for key, count in db.session.execute(found)}


def _last_events() -> dict[str, Any]:
    """The event of each source that came last; never its body."""
    last = (
        select(func.max(WebhookEvent.id))
        .where(WebhookEvent.source.in_(GATEWAYS))
        .group_by(WebhookEvent.source)
    )
    rows = db.session.execute(
        select(
            WebhookEvent.source, WebhookEvent.id, WebhookEvent.kind, WebhookEvent.status,
            WebhookEvent.received_at,
        ).where(WebhookEvent.id.in_(last))
    )  # fmt: skip
    return {row.source: row for row in rows}


def _attempts() -> dict[str, tuple[int, int]]:
    """Of each way's attempts of some days that ended: how many were captured, how many there are.

    One that was called off because the shopper chose another way has ended, too.
    """
    captured = case((Payment.status == AttemptStatus.CAPTURED, 1), else_=0)
    rows = db.session.execute(
        select(Payment.gateway, func.sum(captured), func.count())
        .where(Payment.created_at >= in_future(hours=-24 * DAYS), Payment.status.not_in(LIVE))
        .group_by(Payment.gateway)
    )
    return {key: (int(good), int(ended)) for key, good, ended in rows}


def _jobs() -> Iterable[tuple[str, str, JobStatus, datetime | None]]:
    """When a comparison or a test of each gateway last came to each status."""
    rows = db.session.execute(
        select(Job.kind, Job.key, Job.status, func.max(Job.finished_at))
        .where(Job.kind.in_([COMPARE, TEST]), Job.key.is_not(None))
        .group_by(Job.kind, Job.key, Job.status)
    )
    return [(kind, key or "", status, at) for kind, key, status, at in rows]


def _tests() -> dict[str, AuditEntry]:
    """The last test of each, by key."""
    subjects = {trials.subject(key): key for key in GATEWAYS}
    last = audit.latest(trials.ACTION, subjects)
    return {subjects[subject]: entry for subject, entry in last.items()}


@bp.post("/gateways/<key>/test")
@needs(Right.RUN_JOBS)
@shown_again(show_gateways)
def gateway_test(key: str) -> ResponseReturnValue:
    """Ask the provider something harmless, by a job, so that no request waits for it."""
    with transaction():
        trials.ask(key, staff_actor())
    words = f"{gateway_words(key)} is being asked. The answer appears here."
    return done(url_for("admin.gateways"), words)
