"""Home: what needs a person now, the alerts and the pace, and the latest orders."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select

from shop.accounts.rights import Right, needs
from shop.admin import bp, desks_lists, order_lists
from shop.admin.rendering import can, is_low, needs_answer, screen
from shop.alerts import evaluating, pace, telling
from shop.alerts.measures import Measured
from shop.alerts.models import Alert, AlertState
from shop.alerts.rules import Rule, sentence_of, shown
from shop.extensions import db
from shop.incidents.models import Incident, IncidentStatus
from shop.jobs.models import Job, JobStatus
from shop.messaging.models import Notification, NotificationStatus
from shop.orders.models import Order, OrderStatus
from shop.payments.models import Dispute, Payment, Refund, RefundStatus
from shop.payments.statements.models import BankStatementLine, LineState
from shop.stock.models import StockLevel
from shop.webhooks.models import WebhookEvent, WebhookStatus

LATEST = 8


@dataclass(frozen=True)
class Desk:
    """One thing that waits: how many, where to go, and what happens if nobody does anything."""

    words: str
    count: int
    address: str
    default: str
    is_trouble: bool = True


@bp.get("/")
@needs(Right.ENTER)
def home() -> ResponseReturnValue:
    """The desks with their counts, deadlines and defaults."""
    waiting, sees_machinery = _counts(), can(Right.SEE_JOBS)
    rows = (
        db.session.scalars(select(Order).order_by(Order.id.desc()).limit(LATEST)).all()
        if can(Right.SEE_ORDERS)
        else []
    )
    return screen(
        "admin/home.html",
        section="admin.home",
        desks=[desk for desk in _desks(waiting) if desk.count],
        quiet=[desk.words for desk in _desks(waiting) if not desk.count],
        disputes=_disputes() if waiting["disputes"] and can(Right.SEE_MONEY) else [],
        rows=rows,
        facts=order_lists.facts_of(list(rows)),
        alerts=_alerts() if sees_machinery else [],
        figures=_figures() if sees_machinery else [],
        alert_host=telling.webhook_host(),
    )


@dataclass(frozen=True)
class Light:
    """An alert as it stands."""

    rule: Rule
    is_firing: bool
    #: The figure and what it should be: "84 %", "≥ 90 %".
    figure: str
    limit: str
    sentence: str
    since: datetime | None
    measured_at: datetime | None


def _alerts() -> list[Light]:
    """Every alert, those that fire first."""
    return [_light(rule, row) for _key, rule, row in evaluating.states()]


def _light(rule: Rule, row: Alert | None) -> Light:
    if row is None:
        return Light(rule, False, "", "", "Not measured yet.", None, None)
    figure = shown(row.value, rule.unit)
    limit = f"{'≥' if rule.is_under else '≤'} {shown(row.threshold, rule.unit)}"
    sentence = sentence_of(rule, row.value, row.sample, row.threshold)
    is_firing = row.state == AlertState.FIRING
    return Light(rule, is_firing, figure, limit, sentence, row.since, row.measured_at)


@dataclass(frozen=True)
class Figure:
    """One of the figures that the shop is held to."""

    words: str
    value: str
    about: str
    is_missed: bool
    address: str


def _figures() -> list[Figure]:
    """Webhook time, shipment time and failing shipments of a day, each beside its target."""
    found = pace.paces()
    jobs = url_for("admin.webhooks")
    parcels = url_for("admin.incidents", category="delivery")
    return [
        _pace("Webhook to its effect", found.webhooks, pace.WEBHOOK_TARGET, "webhooks", jobs),
        _pace("Paid to parcel made", found.shipments, pace.SHIPMENT_TARGET, "parcels", parcels),
        _failing(found.failures, parcels),
    ]


def _pace(words: str, found: pace.Pace, target: float, of: str, address: str) -> Figure:
    if found.p50 is None or found.p95 is None:
        return Figure(words, "–", f"none in 24 h, target {target:g} s", False, address)
    about = f"95 of 100 within {found.p95:.1f} s, target {target:g} s ({found.count} {of})"
    return Figure(words, f"{found.p50:.1f} s", about, found.p95 > target, address)


def _failing(found: Measured, address: str) -> Figure:
    about = f"of {found.sample} parcels in 24 h, target {pace.FAILURE_TARGET:g} %"
    is_missed = found.value is not None and found.value > pace.FAILURE_TARGET
    return Figure("Parcels not made in time", shown(found.value, "%"), about, is_missed, address)


def _counts() -> dict[str, int]:
    """All desks in one statement."""
    status = Order.status
    figures = {
        "to_pack": _count(Order, status.in_([OrderStatus.PAID, OrderStatus.PROCESSING])),
        "to_ship": _count(Order, status == OrderStatus.READY_FOR_SHIPMENT),
        "late": _count(Order, Order.late_money_due_at.is_not(None)),
        "attention": _count(
            Order, Order.attention.is_not(None) & Order.late_money_due_at.is_(None)
        ),
        "returned": _count(Order, status == OrderStatus.RETURNED),
        "unmatched": _count(BankStatementLine, BankStatementLine.state == LineState.UNMATCHED),
        "by_hand": desks_lists.refunds_to_send(),
        "disputes": _count(Dispute, needs_answer()),
        "refunds": _count(Refund, Refund.status == RefundStatus.FAILED),
        "messages": _count(Notification, Notification.status == NotificationStatus.UNCERTAIN),
        "jobs": _count(Job, Job.status == JobStatus.FAILED),
        "webhooks": _count(WebhookEvent, WebhookEvent.status == WebhookStatus.FAILED),
        "incidents": _count(Incident, Incident.status == IncidentStatus.OPEN),
        "stock": _count(StockLevel, is_low()),
    }
    row = db.session.execute(select(*(figure.label(key) for key, figure in figures.items()))).one()
    return dict(row._mapping)


def _count(model: Any, condition: Any) -> Any:
    return select(func.count()).select_from(model).where(condition).scalar_subquery()


def _desks(waiting: dict[str, int]) -> list[Desk]:
    """The desks that this person's role works at."""
    found = []
    if can(Right.SEE_ORDERS):
        attention: dict[str, Any] = {"tab": "needs-attention"}
        found += [
            Desk("To pack", waiting["to_pack"], _list(tab="to-pack"), "paid, waiting for somebody", is_trouble=False),
            Desk("To ship", waiting["to_ship"], _list(tab="to-ship"), "packed, waiting for the courier", is_trouble=False),
            Desk("Late money", waiting["late"], _late_desk(), "refunded by itself at its deadline"),
            Desk("Marked orders", waiting["attention"], _list(**attention, desk="attention"), "over- or short-paid, failed parcels and refunds"),
            Desk("Came back", waiting["returned"], _list(**attention, desk="returned"), "decide about goods and money"),
        ]  # fmt: skip
    if can(Right.SEE_MONEY):
        found += [
            Desk("Money that names no order", waiting["unmatched"], url_for("admin.desks", desk="unmatched"), "on the bank account, perhaps an order's"),
            Desk("Refunds to send", waiting["by_hand"], url_for("admin.desks", desk="refunds"), "bank transfers and cash go back by hand"),
            Desk("Disputes", waiting["disputes"], url_for("admin.disputes"), "lost when not answered in time"),
            Desk("Failed refunds", waiting["refunds"], _list(tab="needs-attention"), "the customer still waits for money"),
            Desk("Uncertain messages", waiting["messages"], url_for("admin.messages", status="uncertain"), "perhaps not sent; never repeated by itself"),
        ]  # fmt: skip
    if can(Right.SEE_INCIDENTS):
        found.append(
            Desk(
                "Open incidents",
                waiting["incidents"],
                url_for("admin.incidents"),
                "nobody is on it yet",
            )
        )
    if can(Right.SEE_JOBS):
        found += [
            Desk("Failed jobs", waiting["jobs"], url_for("admin.jobs", status="failed"), "given up after all tries"),
            Desk("Failed webhooks", waiting["webhooks"], url_for("admin.webhooks", status="failed"), "told us something we could not apply"),
        ]  # fmt: skip
    if can(Right.SEE_STOCK):
        found.append(
            Desk(
                "Low stock",
                waiting["stock"],
                url_for("admin.stock", low="1"),
                "at or under its threshold",
            )
        )
    return found


def _late_desk() -> str:
    """Who may not see money looks at the orders only."""
    if can(Right.SEE_MONEY):
        return url_for("admin.desks", desk="late")
    return _list(tab="needs-attention", desk="late-money")


def _list(**arguments: Any) -> str:
    return url_for("admin.orders", **arguments)


def _disputes() -> list[Any]:
    """Open disputes with their orders, the nearest deadline first."""
    return list(
        db.session.execute(
            select(Dispute, Order.number, Order.currency)
            .join(Payment, Payment.id == Dispute.payment_id)
            .join(Order, Order.id == Payment.order_id)
            .where(needs_answer())
            .order_by(Dispute.evidence_due_at.is_(None), Dispute.evidence_due_at)
            .limit(LATEST)
        )
    )
