"""How long it takes from news to deed: webhooks and parcels, against their targets."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from shop.alerts import measures
from shop.clock import in_future
from shop.delivery.models import Shipment
from shop.extensions import db
from shop.orders.models import Order
from shop.preferences import preference
from shop.webhooks.models import WebhookEvent, WebhookStatus

NEWEST = 500
"""How many of the last day are looked at: enough for a 95th percentile, and few to read."""
WEBHOOK_TARGET = 5.0
SHIPMENT_TARGET = 3.0
FAILURE_TARGET = 1.0


@dataclass(frozen=True)
class Pace:
    """Seconds at the middle and at the slow end of so many. Both are None of nothing."""

    p50: float | None
    p95: float | None
    count: int


@dataclass(frozen=True)
class Paces:
    """The three figures that the shop is held to."""

    webhooks: Pace
    shipments: Pace
    failures: measures.Measured


def paces() -> Paces:
    """All three: three bounded reads."""
    return Paces(webhook_pace(), shipment_pace(), measures.shipments())


def webhook_pace() -> Pace:
    """From a message received to its news in the shop."""
    rows = db.session.execute(
        select(WebhookEvent.received_at, WebhookEvent.processed_at)
        .where(
            WebhookEvent.status == WebhookStatus.PROCESSED,
            WebhookEvent.received_at >= in_future(hours=-24),
        )
        .order_by(WebhookEvent.received_at.desc())
        .limit(NEWEST)
    )
    return _pace((begun, ended) for begun, ended in rows if ended)


def shipment_pace() -> Pace:
    """From an order paid to its first parcel made at the courier: waybill, pickup and label are there.

    Nothing is told where parcels wait for a person anyway (auto_ship is off).
    """
    if not preference("auto_ship"):
        return Pace(None, None, 0)
    rows = db.session.execute(
        select(Order.paid_at, Shipment.made_at)
        .join(Order, Order.id == Shipment.order_id)
        .where(
            Shipment.created_at >= in_future(hours=-24),
            Shipment.sequence == 1,
            Shipment.made_at.is_not(None),
            Order.paid_at.is_not(None),
        )
        .order_by(Shipment.created_at.desc())
        .limit(NEWEST)
    )
    return _pace((begun, ended) for begun, ended in rows if begun and ended)


def _pace(spans: Iterable[tuple[datetime, datetime]]) -> Pace:
    took = sorted((ended - begun).total_seconds() for begun, ended in spans)
    return Pace(percentile(took, 50), percentile(took, 95), len(took))


def percentile(ordered: list[float], percent: int) -> float | None:
    """The smallest value that so many percent of all do not exceed."""
    if not ordered:
        return None
    return ordered[math.ceil(percent * len(ordered) / 100) - 1]
