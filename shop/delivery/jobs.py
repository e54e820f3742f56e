"""Work at the courier once a parcel is made: its label, cancelling, asking where it is.

Making one: booking.py.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from flask import Flask
from sqlalchemy import or_, select

from shop.clock import in_future
from shop.delivery import following, labels, shipping, tracking
from shop.delivery.booking import CreateShipment, booking_of
from shop.delivery.couriers import COURIERS, courier
from shop.delivery.couriers.base import Booking, Tracking
from shop.delivery.models import (
    FINAL,
    NOT_HANDED_OVER,
    Shipment,
    Step,
)  # fmt: skip
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.handlers import Policy, Work, handles, handles_outward
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import SYSTEM
from shop.orders.locking import lock_order
from shop.orders.models import Order
from shop.providers import TryLater

log = structlog.get_logger()

REFUSED_WORDS = ("shiprocket", "kartrocket", "sr", "kr")
PAGE = 500
SILENT_HOURS = 12
LOST_TRACK_HOURS = 48


def init_app(app: Flask) -> None:
    """Warn at the start when the courier's panel would refuse our address for its webhooks."""
    found = app.extensions["settings"]
    address = found.public_url.lower()
    words = [word for word in REFUSED_WORDS if word in address]
    if found.courier == "parcel" and words:
        log.warning(
            "courier.webhook_address_refused", address=urlsplit(address).netloc, words=words,
            hint="Shiprocket's panel refuses webhook addresses that hold these words",
        )  # fmt: skip


# --- the label -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fetching:
    """A label to be fetched and kept."""

    shipment_id: int
    courier_key: str
    reference: str
    url: str


@handles_outward(
    "delivery.keep_label",
    Policy(limit=45, attempts=8, base=10, cap=3600, incident=("delivery", "low")),
)
class KeepLabel:
    """Fetch the label once: the courier's address for it does not live for ever."""

    def prepare(self, work: Work) -> Fetching | None:
        """Nothing to do without an address, or when it is here."""
        shipment = db.session.get_one(Shipment, work.payload["shipment_id"])
        if not shipment.label_url or shipment.label_key or shipment.is_dry_run:
            return None
        return Fetching(shipment.id, shipment.courier, shipment.reference, shipment.label_url)

    def call(self, request: Fetching) -> str:
        """Fetch and store; writing it twice changes nothing."""
        body = courier(request.courier_key).paper_file(request.url)
        return labels.keep(request.reference, body)

    def record(self, work: Work, request: Fetching, answer: str) -> None:
        """Its key below STORAGE_URL."""
        db.session.get_one(Shipment, request.shipment_id).label_key = answer


# --- cancelling ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cancelling:
    """A parcel to be cancelled at its courier."""

    shipment_id: int
    courier_key: str
    booking: Booking
    ask_first: bool


@handles_outward(
    "delivery.cancel_shipments",
    Policy(limit=30, attempts=8, base=30, cap=3600, priority=5, incident=("delivery", "high")),
)
class CancelShipments:
    """Cancel what was not handed over, one parcel a round: {"order_id"}, or only {"shipment_id"} of it."""

    def prepare(self, work: Work) -> Cancelling | None:
        """The next parcel; one that the courier never heard of ends here."""
        order = lock_order(work.payload["order_id"])
        for shipment in _still_here(order, work.payload.get("shipment_id")):
            _wait_for_its_maker(shipment, work)
            shipment.booked_by_job = work.job_id
            if shipment.is_dry_run or (shipment.step == Step.RESERVED and shipment.trying is None):
                shipping.mark_cancelled(shipment, order)
                continue
            ask_first = work.attempt > 1 or shipment.courier_order_id is None
            return Cancelling(shipment.id, shipment.courier, booking_of(shipment), ask_first)
        following.settle_cash(order, SYSTEM)
        return None

    def call(self, request: Cancelling) -> None:
        """Ask before repeating, and where it is not known whether there is anything to cancel."""
        way, booking = courier(request.courier_key), request.booking
        if request.ask_first:
            found = way.find(booking.reference)
            if found is None or found.is_cancelled:
                return
            booking = found
        way.cancel(booking)

    def record(self, work: Work, request: Cancelling, answer: None) -> bool:
        """The units may ship again; then the next parcel."""
        shipment, order = tracking.locked(request.shipment_id)
        shipping.mark_cancelled(shipment, order)
        return True

    def gave_up(self, work: Work, words: str) -> None:
        """It may be on its way: a person must stop it. The order's other parcels get jobs of their own."""
        order = lock_order(work.payload["order_id"])
        order.attention = f"A parcel could not be cancelled: {words}"[:300]
        if "shipment_id" in work.payload:
            return
        for other in _still_here(order, None):
            if other.booked_by_job != work.job_id:
                wish = {"order_id": order.id, "shipment_id": other.id}
                enqueue(work.kind, wish, key=f"{order.id}:{other.id}")


def _still_here(order: Order, shipment_id: int | None) -> list[Shipment]:
    query = select(Shipment).where(
        Shipment.order_id == order.id, Shipment.status.in_(NOT_HANDED_OVER)
    )
    if shipment_id is not None:
        query = query.where(Shipment.id == shipment_id)
    return list(
        db.session.scalars(
            query.order_by(Shipment.id).with_for_update().execution_options(populate_existing=True)
        )
    )


def _wait_for_its_maker(shipment: Shipment, work: Work) -> None:
    """A call that makes this parcel may be under way: its outcome must be recorded first."""
    making = db.session.scalar(
        select(Job.id).where(
            Job.id == shipment.booked_by_job,
            Job.id != work.job_id,
            Job.status == JobStatus.RUNNING,
        )
    )
    if making is not None:
        raise TryLater("the parcel is being booked just now")


# --- asking ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """Ask this courier about this parcel."""

    shipment_id: int
    courier_key: str
    awb: str


@handles_outward(
    "delivery.track",
    Policy(limit=20, attempts=5, base=300, cap=21_600, incident=("delivery", "medium")),
)
class Track:
    """Ask the courier where a parcel is."""

    def prepare(self, work: Work) -> Question | None:
        """Nothing to ask once it has come to its end, or of a parcel that staff move by hand."""
        shipment = db.session.get(Shipment, work.payload["shipment_id"])
        if shipment is None or shipment.awb is None or shipment.is_dry_run:
            return None
        if shipment.status in FINAL or shipment.courier not in COURIERS:
            return None
        return Question(shipment.id, shipment.courier, shipment.awb)

    def call(self, request: Question) -> Tracking | None:
        """All its scans."""
        return courier(request.courier_key).track(request.awb)

    def record(self, work: Work, request: Question, answer: Tracking | None) -> None:
        """What is new moves the parcel; long silence is reported."""
        if answer is not None:
            tracking.apply(answer, request.courier_key, "poll")
        _report_silence(db.session.get_one(Shipment, request.shipment_id))


def _report_silence(shipment: Shipment) -> None:
    last = shipment.last_news_at or shipment.created_at
    if shipment.status in FINAL or last > in_future(hours=-LOST_TRACK_HOURS):
        return
    open_incident(
        About(
            issue=f"No news of parcel {shipment.awb} for {LOST_TRACK_HOURS} hours",
            category=Category.DELIVERY,
            severity=Severity.MEDIUM,
            order_id=shipment.order_id,
            context={"awb": shipment.awb, "deliveryStage": shipment.status.value},
        ),
        f"silent:{shipment.id}",
    )


@handles(
    "delivery.poll", Policy(limit=30, attempts=3, base=5, cap=60, incident=("delivery", "medium"))
)
def poll(work: Work) -> None:
    """Parcels under way without news for 12 hours: webhooks are not repeated, so ask."""
    before = in_future(hours=-SILENT_HOURS)
    silent = db.session.scalars(
        select(Shipment.id)
        .where(
            Shipment.status.not_in(FINAL),
            Shipment.awb.is_not(None),
            Shipment.is_dry_run.is_(False),
            or_(
                Shipment.last_news_at < before,
                Shipment.last_news_at.is_(None) & (Shipment.created_at < before),
            ),
        )
        .order_by(Shipment.last_news_at, Shipment.id)
        .limit(PAGE)
    ).all()
    for shipment_id in silent:
        enqueue("delivery.track", {"shipment_id": shipment_id}, key=str(shipment_id))


__all__ = ["CreateShipment"]  # imported so that its handler is registered with these
