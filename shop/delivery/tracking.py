"""Taking in a courier's news: every scan is kept once, the parcel moves forward, the order follows.

News may be repeated, late, out of order, or skip steps. A parcel moves only to a later stage by a
scan that is not older than the one that moved it last (reliability.md, I30). Locks are taken in
the order order → shipment.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import or_, select, update

from shop.clock import in_future, utcnow
from shop.database import insert_ignore, rows_changed
from shop.delivery import following
from shop.delivery.couriers.base import Scan, Tracking
from shop.delivery.models import (
    ATTEMPT_FAILED,
    GIVEN_BACK,
    NOT_HANDED_OVER,
    Shipment,
    ShipmentStatus,
    TrackingEvent,
)  # fmt: skip
from shop.delivery.shipping import give_back, is_being_cancelled, recount_fulfilment
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.queue import enqueue
from shop.orders.effects import replacement_ended
from shop.orders.lifecycle import PARCEL_ONLY, Actor, Who
from shop.orders.locking import lock_order
from shop.orders.models import Order

log = structlog.get_logger()

S = ShipmentStatus
RANK = {
    S.PENDING: 0, S.PICKUP_SCHEDULED: 10, S.PICKED_UP: 30, S.IN_TRANSIT: 40, S.OUT_FOR_DELIVERY: 50,
    S.DELIVERED: 100, S.RTO_INITIATED: 110, S.RTO_IN_TRANSIT: 115, S.RTO_DELIVERED: 120,
    S.CANCELLED: 130, S.LOST: 140, S.DAMAGED: 140,
}  # fmt: skip
"""A lower rank never overwrites a higher one."""

NOT_COMING = frozenset({S.CANCELLED, S.LOST, S.DAMAGED})
"""News of such a parcel moves nothing here: its units were given back."""

CARRIED = frozenset(
    one.value for one in S if RANK[S.PICKED_UP] <= RANK[one] <= RANK[S.RTO_DELIVERED]
)
"""The courier has it, or had it."""

ENDED_BADLY = {S.LOST: "is lost", S.DAMAGED: "is damaged", S.RTO_DELIVERED: "came back"}
"""A parcel that replaces goods and ends so is told of at the first order, in these words."""

RETURNING = frozenset({S.RTO_INITIATED, S.RTO_IN_TRANSIT, S.RTO_DELIVERED})
ATTEMPTS_BEFORE_INCIDENT = 3
MOST_RAW = 4000
"""Signs of a scan's own words that are kept."""


def apply(news: Tracking, courier_key: str, source: str) -> bool:
    """Take in a parcel's news, in the caller's transaction. False when it is no parcel of ours.

    `source` is webhook, poll or admin; it goes to the log.
    """
    shipment_id = find(news, courier_key)
    if shipment_id is None:
        log.info("tracking.not_ours", courier=courier_key, source=source)
        return False
    shipment, order = locked(shipment_id)
    if news.estimated_at:
        shipment.estimated_at = news.estimated_at
    if news.tracking_url:
        shipment.tracking_url = news.tracking_url
    actor = Actor(Who.COURIER, f"courier:{courier_key}")
    fresh = [
        scan
        for scan in sorted(news.scans, key=lambda one: one.occurred_at)
        if _kept(scan, shipment.id)
    ]
    if any(not scan.is_undated for scan in fresh):
        shipment.last_news_at = utcnow()
    for scan in fresh:
        _take_in(scan, shipment, order, actor)
    if any(scan.is_failed_pickup for scan in fresh) and shipment.status in NOT_HANDED_OVER:
        order.attention = f"Parcel {shipment.awb} could not be picked up"
        _report(shipment, order, order.attention, Severity.MEDIUM)
    log.info(
        "tracking.applied", shipment=shipment.id, source=source, scans=len(fresh), status=shipment.status.value
    )  # fmt: skip
    return True


def ask_soon(news: Tracking, courier_key: str) -> bool:
    """A hint was received: the courier is asked before anything changes. False when it is not ours."""
    shipment_id = find(news, courier_key)
    if shipment_id is None:
        return False
    enqueue("delivery.track", {"shipment_id": shipment_id}, key=str(shipment_id))
    return True


def find(news: Tracking, courier_key: str) -> int | None:
    """The parcel that the news names: by its waybill number, the courier's order, or our reference.

    Each must be equal, none only alike: couriers put something behind references.
    """
    names = (
        (Shipment.awb, news.awb), (Shipment.courier_order_id, news.order_id),
        (Shipment.reference, news.reference),
    )  # fmt: skip
    for column, name in names:
        ours = select(Shipment.id).where(Shipment.courier == courier_key, column == name)
        found = db.session.scalar(ours.limit(1)) if name else None
        if found is not None:
            return found
    return None


def locked(shipment_id: int, order_id: int | None = None) -> tuple[Shipment, Order]:
    """The parcel and its order, both locked, read afresh. Who knows the order's id gives it."""
    if order_id is None:
        order_id = db.session.execute(
            select(Shipment.order_id).where(Shipment.id == shipment_id)
        ).scalar_one()
    order = lock_order(order_id)
    shipment = db.session.scalars(
        select(Shipment)
        .where(Shipment.id == shipment_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    return shipment, order


def events_of(shipment_ids: Sequence[int]) -> dict[int, list[TrackingEvent]]:
    """The scans of each of these parcels, newest first; one statement."""
    found: dict[int, list[TrackingEvent]] = {shipment_id: [] for shipment_id in shipment_ids}
    if not found:
        return found
    rows = db.session.scalars(
        select(TrackingEvent)
        .where(TrackingEvent.shipment_id.in_(found))
        .order_by(TrackingEvent.occurred_at.desc(), TrackingEvent.id.desc())
    )
    for row in rows:
        found[row.shipment_id].append(row)
    return found


def _kept(scan: Scan, shipment_id: int) -> bool:
    """Store a scan; False when it was known."""
    if scan.is_undated and _is_said_again(scan, shipment_id):
        return False
    words = scan.words[:300]
    status = ATTEMPT_FAILED if scan.is_failed_attempt else scan.status
    values = {
        "shipment_id": shipment_id, "code": scan.code[:40], "words": words, "status": status,
        "words_hash": hashlib.sha256(words.encode()).hexdigest()[:16], "place": scan.place[:160],
        "occurred_at": scan.occurred_at, "raw": _kept_raw(scan),
    }  # fmt: skip
    return insert_ignore(TrackingEvent, values) is not None


def _is_said_again(scan: Scan, shipment_id: int) -> bool:
    """The status is still the one that was told last: each question brings it anew, at another time."""
    code = scan.code[:40]
    last = select(TrackingEvent.code).where(
        TrackingEvent.shipment_id == shipment_id,
        or_(TrackingEvent.status.is_not(None), TrackingEvent.code == code),
    )
    return db.session.scalar(last.order_by(TrackingEvent.id.desc()).limit(1)) == code


def _kept_raw(scan: Scan) -> dict[str, Any]:
    """The courier's own piece of news; of one that is absurdly long only its beginning."""
    written = json.dumps(scan.raw, default=str)
    return json.loads(written) if len(written) <= MOST_RAW else {"cut": written[:MOST_RAW]}


def _take_in(scan: Scan, shipment: Shipment, order: Order, actor: Actor) -> None:
    if shipment.status in NOT_COMING and _says_it_moves(scan, shipment):
        _contradicted(scan, shipment, order)
    elif scan.is_failed_attempt:
        _attempt_failed(scan, shipment, order, actor)
    elif scan.status is not None and move(shipment, S(scan.status), scan.occurred_at):
        _moved(shipment, order, actor)


def _says_it_moves(scan: Scan, shipment: Shipment) -> bool:
    """True of a scan of a parcel under way or arrived, unless it is older than what we know.

    A parcel that we cancelled may have been picked up before that.
    """
    if shipment.status != S.CANCELLED and scan.occurred_at < (shipment.status_at or utcnow()):
        return False
    return scan.is_failed_attempt or scan.status in CARRIED


def _contradicted(scan: Scan, shipment: Shipment, order: Order) -> None:
    """Its units may have been sent again, or put back: only a person can say what is true now."""
    said = (scan.status or ATTEMPT_FAILED).replace("_", " ")
    issue = f"Parcel {shipment.awb} is {shipment.status.value} here, but the courier says: {said}"
    order.attention = issue[:300]
    _report(shipment, order, issue, Severity.CRITICAL, "contradicted")


def move(shipment: Shipment, new: ShipmentStatus, at: datetime) -> bool:
    """Move the parcel forward, by one conditional update. False when the news is old or a repeat."""
    old = shipment.status
    if not _is_forward(old, new) or at > in_future(hours=24):
        return False
    return _write(shipment, new, at)


def _is_forward(old: ShipmentStatus, new: ShipmentStatus) -> bool:
    if old in GIVEN_BACK:
        return False
    if new == S.CANCELLED:
        return old in NOT_HANDED_OVER
    if old == S.DELIVERED:
        return new in RETURNING
    return RANK[new] > RANK[old]


def _write(shipment: Shipment, new: ShipmentStatus, at: datetime) -> bool:
    values = {"status": new, "status_at": at, "updated_at": utcnow()}
    if new == S.DELIVERED:
        values["delivered_at"] = at
    db.session.flush()
    result = db.session.execute(
        update(Shipment)
        .where(
            Shipment.id == shipment.id,
            Shipment.status == shipment.status,
            or_(Shipment.status_at.is_(None), Shipment.status_at <= at),
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    db.session.refresh(shipment)
    return rows_changed(result) > 0


def _moved(shipment: Shipment, order: Order, actor: Actor) -> None:
    """What follows a parcel's step: units given back, fulfilment, the order, and whom it concerns."""
    if shipment.status in GIVEN_BACK:
        give_back(shipment)
    recount_fulfilment(order)
    following.follow(order, shipment, actor)
    if shipment.status == S.CANCELLED:
        _dropped(shipment, order)
    if shipment.status in ENDED_BADLY:
        replacement_ended(order, ENDED_BADLY[shipment.status])
    if shipment.status in {S.LOST, S.DAMAGED}:
        order.attention = f"Parcel {shipment.awb} is {shipment.status.value}: send again or refund?"
        _report(
            shipment, order, f"Parcel {shipment.awb} is {shipment.status.value}", Severity.CRITICAL
        )


def _dropped(shipment: Shipment, order: Order) -> None:
    """The courier will not come for it. Nothing, where that was our wish."""
    if following.stands(order) in PARCEL_ONLY or is_being_cancelled(shipment):
        return
    shipment.dropped_at = utcnow()
    issue = f"Parcel {shipment.awb or shipment.reference} was cancelled at the courier"
    order.attention = f"{issue}: book it again, or refund"
    _report(shipment, order, issue, Severity.HIGH, "dropped")


def _attempt_failed(scan: Scan, shipment: Shipment, order: Order, actor: Actor) -> None:
    """Nobody took the parcel: it is with the courier again, and may go out once more."""
    if shipment.status in {*GIVEN_BACK, *RETURNING, S.DELIVERED}:
        return
    shipment.failed_attempts += 1
    is_news = shipment.status_at is None or scan.occurred_at >= shipment.status_at
    if is_news and _write(shipment, S.IN_TRANSIT, scan.occurred_at):
        recount_fulfilment(order)
        following.attempt_failed(order, shipment, actor, scan.words)
    if shipment.failed_attempts >= ATTEMPTS_BEFORE_INCIDENT:
        issue = f"Parcel {shipment.awb} could not be delivered {shipment.failed_attempts} times"
        order.attention = issue
        _report(shipment, order, issue, Severity.HIGH)


def _report(
    shipment: Shipment, order: Order, issue: str, severity: Severity, what: str = ""
) -> None:
    open_incident(
        About(
            issue=issue,
            category=Category.DELIVERY,
            severity=severity,
            order_id=order.id,
            context={"awb": shipment.awb, "deliveryStage": shipment.status.value},
        ),
        f"parcel:{shipment.id}:{what or severity.value}",
    )
