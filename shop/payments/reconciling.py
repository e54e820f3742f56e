"""Comparing with the gateways' own lists: what no webhook told is taken in, unknown money reported."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import select

from shop.clock import in_future
from shop.config import settings
from shop.database import end_reading
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.handlers import Policy, Work, handles, handles_outward
from shop.jobs.queue import enqueue
from shop.payments import comparing, recording
from shop.payments.gateways import gateway
from shop.payments.gateways.base import EventKind, GatewayEvent, PaysOut
from shop.payments.models import AttemptStatus, Payment

log = structlog.get_logger()

SWEEP = Policy(limit=30, attempts=5, base=5, cap=60, priority=5, incident=("payment", "medium"))


@handles("payments.reconcile", SWEEP)
def reconcile(work: Work) -> None:
    """Daily: compare with each gateway's own lists, and learn what it paid out; a job each."""
    for key in settings().payment_gateways:
        wish = {"gateway": key, "days": work.payload.get("days", 3)}
        if gateway(key).is_online:
            enqueue("payments.compare", wish, key=key)
        if isinstance(gateway(key), PaysOut):
            enqueue("payments.learn_payouts", wish, key=key)


@dataclass(frozen=True)
class Compared:
    """What a gateway's lists say that we did not know, and what they say otherwise than we do."""

    missed: Sequence[GatewayEvent]
    otherwise: Sequence[comparing.Difference]


@handles_outward(
    "payments.compare",
    Policy(limit=120, attempts=5, base=60, cap=3600, incident=("payment", "high")),
)
class Compare:
    """Read a gateway's lists of payments, refunds and disputes; what we missed becomes a job each."""

    def prepare(self, work: Work) -> dict[str, Any]:
        """Which gateway, since when."""
        return {
            "gateway": work.payload["gateway"],
            "since": in_future(hours=-24 * work.payload["days"]),
        }

    def call(self, request: dict[str, Any]) -> Compared | None:
        """All three lists against our rows; None where the gateway keeps none.

        Reads only; no transaction is open.
        """
        way, since = gateway(request["gateway"]), request["since"]
        payments = way.list_payments(since)
        if payments is None:
            return None
        told = [*payments, *way.list_refunds(since), *way.list_disputes(since)]
        fresh = [event for event in told if not recording.is_reflected(event, request["gateway"])]
        otherwise = comparing.differences(way.key, told, since)
        end_reading()
        log.info(
            "payments.compared", gateway=way.key, seen=len(told), missed=len(fresh),
            differences=len(otherwise),
        )  # fmt: skip
        return Compared(fresh, otherwise)

    def record(self, work: Work, request: dict[str, Any], answer: Compared | None) -> None:
        """The lines, and what we missed."""
        if answer is None:
            _ask_each(request["gateway"], request["since"])
            return
        comparing.keep(request["gateway"], answer.otherwise, request["since"])
        take_in_all(request["gateway"], answer.missed)


def take_in_all(gateway_key: str, events: Sequence[GatewayEvent]) -> None:
    """One job for each, so that one strange event does not stop the others."""
    for event in events:
        news = packed(event)
        key = hashlib.sha256(json.dumps(news, sort_keys=True).encode()).hexdigest()
        enqueue("payments.take_in", {"gateway": gateway_key, "news": news}, key=key)


def _ask_each(gateway_key: str, since: datetime) -> None:
    """Without a list: every recent attempt that brought no money is asked about by itself.

    One that was captured is final there; its refunds under way are asked about by their own sweep.
    """
    recent = db.session.scalars(
        select(Payment.id)
        .where(
            Payment.gateway == gateway_key,
            Payment.created_at >= since,
            Payment.status != AttemptStatus.CAPTURED,
        )
        .order_by(Payment.id)
    )
    for payment_id in recent.all():
        enqueue("payments.verify", {"payment_id": payment_id}, key=str(payment_id))


@handles("payments.take_in", SWEEP)
def take_in(work: Work) -> None:
    """News that no webhook brought is recorded; money that names no order of ours opens an incident."""
    event = unpacked(work.payload["news"])
    try:
        recording.record(event, work.payload["gateway"], "sweep")
    except recording.UnknownPayment:
        report_unknown(event, work.payload["gateway"])


MOMENTS = ("occurred_at", "evidence_due_at")


def packed(event: GatewayEvent) -> dict[str, Any]:
    """The event as a job can carry it."""
    plain = {name: value for name, value in asdict(event).items() if value not in (None, "", {})}
    return {name: value.isoformat() if name in MOMENTS else value for name, value in plain.items()}


def unpacked(news: dict[str, Any]) -> GatewayEvent:
    """The event again."""
    values: dict[str, Any] = {
        name: datetime.fromisoformat(value) if name in MOMENTS else value
        for name, value in news.items()
    }
    return GatewayEvent(**{**values, "kind": EventKind(news["kind"])})


def report_unknown(event: GatewayEvent, gateway_key: str) -> None:
    """Money that names no order of ours: a person must look."""
    named = (
        event.gateway_id or event.refund_gateway_id or event.dispute_gateway_id or event.event_id
        or comparing.name_of(event)
    )  # fmt: skip
    # One incident, whether a message, a list or a payout tells of the payment.
    money = comparing.money_id(event)
    if event.kind == EventKind.CAPTURED and money is None:
        money = event.reference
    open_incident(
        About(
            issue=f"{gateway_key} tells of a {event.kind.value} that names no order of ours",
            category=Category.PAYMENT,
            severity=Severity.CRITICAL,
            context={
                "gatewayOrderId": named, "amount": event.amount_minor, "currency": event.currency,
                "paymentId": event.reference,
            },
        ),
        f"unknown_money:{gateway_key}:{money or named}",
    )  # fmt: skip
