"""Asking couriers where parcels are: webhooks are hints and are not repeated, so the poll is the truth."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select

from shop.clock import in_future, utcnow
from shop.delivery import tracking
from shop.delivery.couriers import COURIERS, courier
from shop.delivery.couriers.base import Tracking
from shop.delivery.couriers.manual import KEY as MANUAL
from shop.delivery.models import FINAL, Shipment, ShipmentStatus
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.handlers import Policy, Work, handles, handles_outward
from shop.jobs.queue import enqueue
from shop.jobs.sweeping import next_page

S = ShipmentStatus

PAGE = 500
LOST_TRACK_HOURS = 48
#: For so long after a cancelling the courier is asked whether it came for the parcel all the same.
CANCEL_HOURS = 96
#: What is heard of a parcel after this changes nothing. A cancelled or lost one may turn up.
ARRIVED = FINAL - tracking.NOT_COMING

QUIET_HOURS = {
    S.PENDING: 12, S.PICKUP_SCHEDULED: 12, S.PICKED_UP: 6, S.IN_TRANSIT: 6, S.OUT_FOR_DELIVERY: 2,
    S.RTO_INITIATED: 12, S.RTO_IN_TRANSIT: 12, S.CANCELLED: 12,
}  # fmt: skip
"""After so many hours with neither news nor a question the courier is asked, by the parcel's state:
the sooner, the nearer it is to the door."""


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
        if shipment.status in ARRIVED or shipment.courier not in COURIERS.keys() - {MANUAL}:
            return None
        return Question(shipment.id, shipment.courier, shipment.awb)

    def call(self, request: Question) -> Tracking | None:
        """All its scans."""
        return courier(request.courier_key).track(request.awb)

    def record(self, work: Work, request: Question, answer: Tracking | None) -> None:
        """What is new moves the parcel; long silence is reported."""
        if answer is not None:
            tracking.apply(answer, request.courier_key, "poll")
        shipment = db.session.get_one(Shipment, request.shipment_id)
        shipment.asked_at = utcnow()
        _report_silence(shipment)


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
    """Parcels under way that have been quiet too long for where they are."""
    quiet = select(Shipment.id).where(
        Shipment.status.in_(QUIET_HOURS),
        Shipment.awb.is_not(None),
        Shipment.is_dry_run.is_(False),
        Shipment.courier != MANUAL,
        or_(Shipment.status != S.CANCELLED, Shipment.status_at > in_future(hours=-CANCEL_HOURS)),
        or_(*(_is_quiet(status, hours) for status, hours in QUIET_HOURS.items())),
    )
    for (shipment_id,) in next_page(work, quiet, PAGE):
        enqueue("delivery.track", {"shipment_id": shipment_id}, key=str(shipment_id))


def _is_quiet(status: ShipmentStatus, hours: int) -> ColumnElement[bool]:
    """In this state, and neither heard of nor asked about for so many hours."""
    before = in_future(hours=-hours)
    return (
        (Shipment.status == status)
        & (func.coalesce(Shipment.last_news_at, Shipment.created_at) < before)
        & (func.coalesce(Shipment.asked_at, Shipment.created_at) < before)
    )
