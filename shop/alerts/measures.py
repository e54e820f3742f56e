"""What is measured: one bounded query on an index for each figure, whatever the tables hold.

Every function only reads, and returns a share in percent with the number of things it is a share
of, or a count.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, func, or_, select

from shop.alerts.models import ErrorCount
from shop.clock import in_future
from shop.delivery.models import Shipment, ShipmentStatus, Step
from shop.extensions import db
from shop.jobs.presence import is_worker_seen
from shop.messaging.models import Notification, NotificationStatus
from shop.payments.models import AttemptStatus, Dispute, DisputeStatus, Payment
from shop.stock.models import Reservation, ReservationState, StockLevel
from shop.webhooks.inbox import COURIER_PREFIX
from shop.webhooks.messages import PREFIX as MESSAGE_PREFIX
from shop.webhooks.models import WebhookEvent, WebhookStatus

ERROR_MINUTES = 5
WITHOUT_GATEWAY = ("bank_transfer", "cod", "gift_card")
"""Ways to pay that no outside party can refuse."""
WITHOUT_PAGE = ("swish",)
"""Methods with no page on which a shopper tries again: their words of what was cancelled or ended
say that the shopper let it be."""
LATE_WEBHOOK_SECONDS = 120
"""A message that is not processed by then counts as failing; it is tried for hours before it is given up."""
LATE_RECEIPT_SECONDS = 600
"""News of a message that is not known waits on purpose for a while, and stands behind everything else."""
LATE_MAIL_SECONDS = 300
LATE_SHIPMENT_SECONDS = 900
BY_STAFF = "manual"
"""The courier that is no program: nothing of its parcels is made by the shop."""


@dataclass(frozen=True)
class Measured:
    """A figure. `value` is a percentage of `sample` things, or a count; None of nothing."""

    value: float | None
    sample: int


def share(part: int, whole: int) -> Measured:
    """So many of so many, in percent."""
    return Measured(round(100 * part / whole, 2) if whole else None, whole)


def payments() -> Measured:
    """Of the payments begun in the last hour that came to an end: how many succeeded.

    One that the gateway did not even answer has not succeeded, nor has one that it declined on its
    page, whether the shopper may still try again there, went elsewhere or let the page close. One
    that the shopper left undeclined is not counted: people leave for reasons of their own. Nor is
    what no gateway decides about.
    """
    ended = [AttemptStatus.CAPTURED, AttemptStatus.FAILED, AttemptStatus.UNKNOWN]
    was_declined = and_(Payment.failure_words.is_not(None), Payment.gateway.not_in(WITHOUT_PAGE))
    found = _grouped(
        select(Payment.status, func.count()).where(
            Payment.created_at >= in_future(hours=-1),
            or_(Payment.status.in_(ended), was_declined),
            Payment.gateway.not_in(WITHOUT_GATEWAY),
        ),
        Payment.status,
    )
    return share(found.get(AttemptStatus.CAPTURED, 0), sum(found.values()))


def webhooks(minimum: float = 0) -> Measured:
    """Of the messages received in the last hour: how many failed, or wait for too long.

    Gateways, couriers and carriers of messages are measured apart, and the worst of those with
    `minimum` messages or more speaks: thousands of receipts must not hide that payments' news
    fails. Those that were not verified are not counted: anybody can send such.
    """
    is_receipt = WebhookEvent.source.startswith(MESSAGE_PREFIX)
    is_parcel = WebhookEvent.source.startswith(COURIER_PREFIX)
    of_whom = case((is_receipt, 2), (is_parcel, 1), else_=0)
    late = or_(
        and_(~is_receipt, WebhookEvent.received_at < in_future(seconds=-LATE_WEBHOOK_SECONDS)),
        WebhookEvent.received_at < in_future(seconds=-LATE_RECEIPT_SECONDS),
    )
    waits = WebhookEvent.status == WebhookStatus.RECEIVED
    bad = or_(WebhookEvent.status == WebhookStatus.FAILED, and_(waits, late))
    good = WebhookEvent.status.in_([WebhookStatus.PROCESSED, WebhookStatus.IGNORED])
    rows = db.session.execute(
        select(func.count().filter(bad), func.count().filter(good))
        .where(
            # Every status, so that the index on it serves.
            WebhookEvent.status.in_(list(WebhookStatus)),
            WebhookEvent.received_at >= in_future(hours=-1),
        )
        .group_by(of_whom)
    )
    return worst([share(failed, failed + done) for failed, done in rows], minimum)


def worst(parts: Sequence[Measured], minimum: float) -> Measured:
    """The highest figure of those with a sample that says anything; else of the largest sample."""
    if not parts:
        return Measured(None, 0)
    told = [one for one in parts if one.sample >= minimum and one.value is not None]
    if told:
        return max(told, key=lambda one: (one.value or 0, one.sample))
    return max(parts, key=lambda one: one.sample)


def holds() -> Measured:
    """Of the holds of stock made in the last day that ended: how many expired unpaid."""
    ended = [ReservationState.EXPIRED, ReservationState.CONFIRMED]
    found = _grouped(
        select(Reservation.state, func.count()).where(
            Reservation.created_at >= in_future(hours=-24), Reservation.state.in_(ended)
        ),
        Reservation.state,
    )
    return share(found.get(ReservationState.EXPIRED, 0), sum(found.values()))


def shipments() -> Measured:
    """Of the parcels begun in the last day: how many were not made within a quarter of an hour.

    A parcel that came to a later state was made. One that was cancelled before is not counted, nor
    is one that staff take to a carrier themselves.
    """
    is_made = (Shipment.step == Step.LABELLED) | Shipment.status.not_in(
        [ShipmentStatus.PENDING, ShipmentStatus.PICKUP_SCHEDULED, ShipmentStatus.CANCELLED]
    )
    is_late = Shipment.created_at < in_future(seconds=-LATE_SHIPMENT_SECONDS)
    is_kept = Shipment.status != ShipmentStatus.CANCELLED
    return _share_of(
        ~is_made & is_kept & is_late,
        is_made,
        Shipment.created_at >= in_future(hours=-24),
        Shipment.courier != BY_STAFF,
    )


def errors() -> Measured:
    """Unforeseen errors of the last minutes: answers with status 500, and exceptions of jobs."""
    counted = select(func.coalesce(func.sum(ErrorCount.count), 0)).where(
        ErrorCount.minute_at > in_future(minutes=-ERROR_MINUTES)
    )
    return _count(counted)


def mails() -> Measured:
    """Of the mails written in the last hour: how many failed, or wait for too long."""
    waiting = [NotificationStatus.QUEUED, NotificationStatus.SENDING]
    late = Notification.created_at < in_future(seconds=-LATE_MAIL_SECONDS)
    bad = (Notification.status == NotificationStatus.FAILED) | (
        Notification.status.in_(waiting) & late
    )
    not_sent = [*waiting, NotificationStatus.FAILED, NotificationStatus.SUPPRESSED]
    return _share_of(
        bad,
        Notification.status.not_in(not_sent),
        Notification.created_at >= in_future(hours=-1),
        Notification.channel == "email",
    )


def disputes() -> Measured:
    """Disputes for which nobody has sent evidence yet."""
    return _count(
        select(func.count())
        .select_from(Dispute)
        .where(Dispute.status == DisputeStatus.OPEN, Dispute.evidence_sent_at.is_(None))
    )


def low_stock() -> Measured:
    """Variants with no more free units than their own threshold."""
    return _count(
        select(func.count())
        .select_from(StockLevel)
        .where(StockLevel.on_hand - StockLevel.reserved <= StockLevel.low_threshold)
    )


_for_workers = ContextVar("standing in for the workers", default=False)


@contextmanager
def standing_in() -> Iterator[None]:
    """What is measured within is measured by a web process, in the workers' place."""
    token = _for_workers.set(True)
    try:
        yield
    finally:
        _for_workers.reset(token)


def missing_workers() -> Measured:
    """1 when no worker said lately that it lives, else 0.

    A worker that measures proves that there is one: after an outage of the database it may do so
    before it has written down anew that it lives.
    """
    is_missing = _for_workers.get() and not is_worker_seen()
    return Measured(int(is_missing), 1)


def _grouped(query: Any, by: Any) -> dict[Any, int]:
    return dict(db.session.execute(query.group_by(by)).all())


def _share_of(bad: Any, good: Any, *which: Any) -> Measured:
    """How many rows are bad, of those that are bad or good."""
    of_each = select(func.count().filter(bad), func.count().filter(good)).where(*which)
    failed, done = db.session.execute(of_each).one()
    return share(failed, failed + done)


def _count(query: Any) -> Measured:
    number = int(db.session.scalar(query) or 0)
    return Measured(number, number)
