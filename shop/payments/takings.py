"""What came in by day and gateway: captured − refunded − lost disputes − fees = payout."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, func, select

from shop.clock import from_local, shop_zone
from shop.database import quarter_hours
from shop.extensions import db
from shop.payments.gateways import GATEWAYS, gateway
from shop.payments.gateways.base import PaysOut
from shop.payments.models import (
    Dispute,
    DisputeStatus,
    Payment,
    PaymentDifference,
    Refund,
    RefundStatus,
)  # fmt: skip

LONGEST_DAYS = 92
QUARTER_SECONDS = 900


@dataclass
class Takings:
    """One day of one gateway in one currency; the day is the shop's. Amounts in minor units."""

    day: date
    gateway: str
    currency: str
    payments: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    #: Lost disputes.
    disputed_minor: int = 0
    fees_minor: int = 0
    #: Payments of which the gateway has not told its fee yet.
    without_fee: int = 0

    @property
    def payout_minor(self) -> int:
        """What the gateway owes the shop for the day."""
        return self.captured_minor - self.refunded_minor - self.disputed_minor - self.fees_minor


def between(first: date, last: date) -> list[Takings]:
    """The report, both days included, newest day first. Three statements, whatever was sold."""
    start, end = _begin(first), _begin(last + timedelta(days=1))
    rows: dict[tuple[date, str, str], Takings] = {}

    def row_of(quarter: int, key: str, currency: str) -> Takings:
        day = datetime.fromtimestamp(quarter * QUARTER_SECONDS, UTC).astimezone(shop_zone()).date()
        return rows.setdefault((day, key, currency), Takings(day, key, currency))

    for one in db.session.execute(_captured(start, end)):
        row = row_of(one.quarter, one.gateway, one.currency)
        row.payments += one.payments
        row.captured_minor += int(one.captured)
        row.fees_minor += int(one.fees)
        row.without_fee += one.without_fee if gateway(one.gateway).is_online else 0
    for one in db.session.execute(_refunded(start, end)):
        row_of(one.quarter, one.gateway, one.currency).refunded_minor += int(one.amount)
    for one in db.session.execute(_lost(start, end)):
        row_of(one.quarter, one.gateway, one.currency).disputed_minor += int(one.amount)
    return sorted(rows.values(), key=lambda row: (-row.day.toordinal(), row.gateway, row.currency))


def totals(rows: Sequence[Takings]) -> list[Takings]:
    """The rows added up by gateway and currency; the day is the first of them."""
    summed: dict[tuple[str, str], Takings] = {}
    for row in rows:
        total = summed.setdefault(
            (row.gateway, row.currency), Takings(row.day, row.gateway, row.currency)
        )
        total.day = min(total.day, row.day)
        for name in ("payments", "captured_minor", "refunded_minor", "disputed_minor", "fees_minor", "without_fee"):  # fmt: skip
            setattr(total, name, getattr(total, name) + getattr(row, name))
    return sorted(summed.values(), key=lambda row: (row.gateway, row.currency))


@dataclass(frozen=True)
class Payout:
    """What left a gateway in one sum, as far as it came in on these days; minor units."""

    #: The gateway's name of it; None: not paid out yet, as far as we have heard.
    reference: str | None
    gateway: str
    currency: str
    payments: int
    captured_minor: int
    fees_minor: int
    #: Payments of which the gateway has not told its fee yet.
    without_fee: int

    @property
    def net_minor(self) -> int:
        """What it brought. Refunds are taken out of a later payout than their payment's."""
        return self.captured_minor - self.fees_minor


def payouts(first: date, last: date) -> list[Payout]:
    """The payments of these days by the payout that they left by, newest first; one statement.

    Of gateways that gather money: other ways to pay bring each payment into the account by itself.
    """
    keys = [key for key in GATEWAYS if isinstance(gateway(key), PaysOut)]
    found = (
        select(
            Payment.payout_reference, Payment.gateway, Payment.currency, func.count(),
            func.sum(Payment.captured_minor), func.coalesce(func.sum(Payment.fee_minor), 0),
            func.sum(case((Payment.fee_minor.is_(None), 1), else_=0)),
        )
        .where(
            Payment.gateway.in_(keys), Payment.captured_minor > 0,
            Payment.captured_at >= _begin(first),
            Payment.captured_at < _begin(last + timedelta(days=1)),
        )
        .group_by(Payment.payout_reference, Payment.gateway, Payment.currency)
        .order_by(Payment.gateway, func.max(Payment.captured_at).desc())
    )  # fmt: skip
    return [
        Payout(reference, key, currency, *(int(figure) for figure in figures))
        for reference, key, currency, *figures in db.session.execute(found)
    ]


def open_differences(limit: int = 200) -> dict[str, list[PaymentDifference]]:
    """What the last comparisons found otherwise than our books, by gateway."""
    lines: defaultdict[str, list[PaymentDifference]] = defaultdict(list)
    found = (
        select(PaymentDifference)
        .where(PaymentDifference.settled_at.is_(None))
        .order_by(PaymentDifference.gateway, PaymentDifference.id.desc())
        .limit(limit)
    )
    for one in db.session.scalars(found):
        lines[one.gateway].append(one)
    return dict(lines)


def _begin(day: date) -> datetime:
    """When the day begins on the shop's wall, in UTC."""
    return from_local(datetime.combine(day, time()))


def _captured(start: datetime, end: datetime) -> Any:
    quarter: ColumnElement[int] = quarter_hours(Payment.captured_at).label("quarter")
    return (
        select(
            quarter, Payment.gateway, Payment.currency, func.count().label("payments"),
            func.sum(Payment.captured_minor).label("captured"),
            func.coalesce(func.sum(Payment.fee_minor), 0).label("fees"),
            func.sum(case((Payment.fee_minor.is_(None), 1), else_=0)).label("without_fee"),
        )
        .where(Payment.captured_at >= start, Payment.captured_at < end, Payment.captured_minor > 0)
        .group_by(quarter, Payment.gateway, Payment.currency)
    )  # fmt: skip


def _refunded(start: datetime, end: datetime) -> Any:
    quarter: ColumnElement[int] = quarter_hours(Refund.finished_at).label("quarter")
    return (
        select(quarter, Payment.gateway, Payment.currency, func.sum(Refund.amount_minor).label("amount"))
        .join(Payment, Refund.payment_id == Payment.id)
        .where(
            Refund.status == RefundStatus.SUCCEEDED,
            Refund.finished_at >= start,
            Refund.finished_at < end,
        )
        .group_by(quarter, Payment.gateway, Payment.currency)
    )  # fmt: skip


def _lost(start: datetime, end: datetime) -> Any:
    quarter: ColumnElement[int] = quarter_hours(Dispute.closed_at).label("quarter")
    return (
        select(quarter, Payment.gateway, Payment.currency, func.sum(Dispute.amount_minor).label("amount"))
        .join(Payment, Dispute.payment_id == Payment.id)
        .where(
            Dispute.status == DisputeStatus.LOST, Dispute.closed_at >= start, Dispute.closed_at < end
        )
        .group_by(quarter, Payment.gateway, Payment.currency)
    )  # fmt: skip
