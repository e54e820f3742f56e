"""Once a minute: measure, compare, and tell of what changed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select

from shop.alerts import telling
from shop.alerts.measures import Measured
from shop.alerts.models import Alert, AlertState
from shop.alerts.rules import RULES, Rule, is_bad
from shop.clock import utcnow
from shop.database import insert_ignore
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.handlers import Policy, Work, handles_outward
from shop.preferences import preferences

log = structlog.get_logger()

REPEAT = "alert_repeat_hours"


@dataclass(frozen=True)
class Limits:
    """The thresholds and least samples in force, by rule, and how often a lasting alert is told."""

    threshold: dict[str, float]
    minimum: dict[str, float]
    repeat_hours: int


def limits() -> Limits:
    """All of them in one read."""
    named = {row for rule in RULES.values() for row in (rule.threshold, rule.minimum)}
    held = preferences(REPEAT, *(name for name in named if isinstance(name, str)))

    def of(name: str | int) -> float:
        return float(held[name] if isinstance(name, str) else name)

    return Limits(
        {key: of(rule.threshold) for key, rule in RULES.items()},
        {key: of(rule.minimum) for key, rule in RULES.items()},
        held[REPEAT],
    )


@handles_outward(
    "alerts.evaluate",
    Policy(limit=30, attempts=1, priority=0, incident=("unknown", "medium")),
)
class Evaluate:
    """Every minute. What is measured is read with no transaction open, so that nobody waits for it."""

    def prepare(self, work: Work) -> Limits:
        """What is too much."""
        return limits()

    def call(self, request: Limits) -> dict[str, Measured]:
        """Every figure."""
        found = {key: _measured(rule, request.minimum[key]) for key, rule in RULES.items()}
        db.session.rollback()
        return found

    def record(self, work: Work, request: Limits, answer: dict[str, Measured]) -> None:
        """Keep the figures; what began, lasts or ended is told by jobs of the same transaction."""
        rows = _rows(request)
        for key, rule in RULES.items():
            _judge(rows[key], rule, answer[key], request, utcnow())


def _measured(rule: Rule, minimum: float) -> Measured:
    return rule.measure(minimum) if rule.is_parted else rule.measure()


def _rows(found: Limits) -> dict[str, Alert]:
    """The state of every rule, locked in one order; a rule that is new begins quiet."""
    query = select(Alert).order_by(Alert.key).with_for_update()
    held = {row.key: row for row in db.session.scalars(query)}
    for key in sorted(RULES.keys() - held.keys()):
        now = utcnow()
        values = {"key": key, "since": now, "measured_at": now, "threshold": found.threshold[key]}
        insert_ignore(Alert, values)
    if RULES.keys() - held.keys():
        held = {row.key: row for row in db.session.scalars(query)}
    return held


def _judge(row: Alert, rule: Rule, found: Measured, held: Limits, now: datetime) -> None:
    row.value, row.sample = found.value, found.sample
    row.threshold, row.measured_at = held.threshold[row.key], now
    what = _step(
        row, rule, is_bad(rule, found, row.threshold, held.minimum[row.key]), held.repeat_hours, now
    )
    if what:
        log.warning(
            f"alert.{what}", alert=row.key, value=row.value, sample=row.sample, threshold=row.threshold
        )  # fmt: skip
        row.last_told_at, row.told_value = now, row.value
        telling.tell(row, what)
    if what == telling.BEGAN and row.key == "no_worker":
        _open_incident(rule)


def _step(row: Alert, rule: Rule, bad: bool, repeat_hours: int, now: datetime) -> str:
    """Move the state on. Returns what is to be told: began, more, still, ended, or nothing."""
    if row.state == AlertState.QUIET:
        return _turn(row, AlertState.FIRING, telling.BEGAN, now) if bad else ""
    if not bad:
        row.better_since = row.better_since or now
        if now - row.better_since < timedelta(minutes=rule.calm_minutes):
            return ""
        return _turn(row, AlertState.QUIET, telling.ENDED, now)
    row.better_since = None
    if rule.is_each and (row.value or 0) > (row.told_value or 0):
        return telling.MORE
    if rule.is_each:
        # Fewer than were told of: the next one is news again.
        row.told_value = row.value
    if row.last_told_at is None or now - row.last_told_at >= timedelta(hours=repeat_hours):
        return telling.STILL
    return ""


def _turn(row: Alert, state: AlertState, what: str, now: datetime) -> str:
    row.state, row.since, row.better_since = state, now, None
    return what


def _open_incident(rule: Rule) -> None:
    """So that it has a ticket; the alert itself does the telling (severity high, not critical)."""
    open_incident(
        About(
            issue=rule.trouble, category=Category.UNKNOWN, severity=Severity.HIGH,
            context={"advice": rule.advice},
        ),
        "no_worker",
    )  # fmt: skip


def states() -> list[tuple[str, Rule, Alert | None]]:
    """Every rule with how it stands, those that fire first; None where nothing was measured yet."""
    held: dict[str, Any] = {row.key: row for row in db.session.scalars(select(Alert))}
    listed = [(key, rule, held.get(key)) for key, rule in RULES.items()]
    return sorted(listed, key=lambda one: one[2] is None or one[2].state != AlertState.FIRING)
