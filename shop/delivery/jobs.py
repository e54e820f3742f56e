"""Work at the courier: making parcels step by step, cancelling them, asking how they stand.

Each step of a shipment is one round: its intent is stored (`trying`), the courier is called, the
outcome is recorded with the old step in the WHERE. Whoever finds an intent without an outcome
asks the courier by our reference before it repeats the step (reliability.md, I28).
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import structlog
from flask import Flask
from sqlalchemy import or_, select, update

from shop.clock import in_future, utcnow
from shop.config import settings
from shop.delivery import labels, shipping, tracking
from shop.delivery.couriers import COURIERS, courier
from shop.delivery.couriers.base import Booking, Parcel, Tracking
from shop.delivery.models import (
    FINAL,
    NOT_HANDED_OVER,
    Shipment,
    ShipmentStatus,
    Step,
)  # fmt: skip
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.handlers import Policy, Work, handles, handles_outward
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import Actor, Who, advance, may
from shop.orders.models import Order
from shop.providers import ProviderRefused, TryLater

log = structlog.get_logger()

STEPS = tuple(Step)
NOT_BOOKED = "The parcel could not be booked"
DRY_RUN = "Dry run: no parcel was booked"
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


# --- making a parcel -------------------------------------------------------------------------


@dataclass(frozen=True)
class Doing:
    """One step of one shipment, to be asked of its courier."""

    shipment_id: int
    order_id: int
    courier_key: str
    done: Step
    next: Step
    ask_first: bool
    booking: Booking
    parcel: Parcel


@handles_outward(
    "delivery.create_shipment",
    Policy(limit=45, attempts=10, base=30, cap=3600, priority=5, incident=("delivery", "high")),
)
class CreateShipment:
    """Make an order's parcel at the courier: {"order_id"}, or one reserved before: {"shipment_id"} too."""

    def prepare(self, work: Work) -> Doing | None:
        """Under the order's lock: may it ship, which parcel, which step; the intent is stored."""
        order = shipping.lock_order(work.payload["order_id"])
        named = work.payload.get("shipment_id")
        shipment = shipping.unfinished(order.id, named)
        if not shipping.may_ship(order):
            _let_go(work, shipment)
            return None
        if _is_mere_rehearsal(shipment):
            order.attention = DRY_RUN
            return None
        shipment = _to_make(order, shipment, named)
        if shipment is None:
            return None
        done, coming = shipment.step, STEPS[STEPS.index(shipment.step) + 1]
        ask_first = shipment.trying == coming or coming == Step.ORDERED
        if not _take(shipment, coming, work):
            _report_second_asker(order, shipment)
            return None
        return Doing(
            shipment.id, order.id, shipment.courier, done, coming, ask_first, _booking(shipment),
            shipping.parcel_of(shipment, order),
        )  # fmt: skip

    def call(self, request: Doing) -> Booking:
        """Take the step, unless the courier says that it was taken."""
        way = courier(request.courier_key)
        if request.ask_first:
            found = way.find(request.parcel.reference)
            if found and (found.is_cancelled or _is_there(found, request.next)):
                return found
        if request.next == Step.ORDERED:
            return way.create(request.parcel)
        if request.next == Step.AWB_ASSIGNED:
            return way.assign_awb(request.booking)
        if request.next == Step.PICKUP_SCHEDULED:
            return way.schedule_pickup(request.booking)
        return way.label(request.booking)

    def record(self, work: Work, request: Doing, answer: Booking) -> bool:
        """Store what was reached; the order follows. True until the label is there."""
        shipment, order = tracking.locked(request.shipment_id)
        if answer.is_cancelled:
            _take_next_reference(shipment, order, request)
            return True
        if not _store(shipment, request, answer):
            return True
        _order_follows(order, shipment)
        if shipment.step != Step.LABELLED:
            return True
        if order.attention and order.attention.startswith(NOT_BOOKED):
            order.attention = None
        enqueue("delivery.keep_label", {"shipment_id": shipment.id}, key=str(shipment.id))
        return False

    def gave_up(self, work: Work, words: str) -> None:
        """A person must look; the runner opens the incident. The shipment can be gone on with."""
        order = shipping.lock_order(work.payload["order_id"])
        order.attention = f"{NOT_BOOKED}: {words}"[:300]
        _let_go(work, shipping.unfinished(order.id))


def _to_make(order: Order, shipment: Shipment | None, named: int | None) -> Shipment | None:
    """The parcel found, or a new one; one that a dry run began is made anew."""
    if shipment is not None and _was_rehearsed(shipment):
        _cancelled(shipment, order)
        return shipping.reserve(order)
    if shipment is None and named is None:
        return shipping.reserve(order)
    return shipment


def _is_mere_rehearsal(shipment: Shipment | None) -> bool:
    """In production a dry run books nothing and pretends nothing; nor does it finish a real parcel."""
    key = shipment.courier if shipment else settings().courier
    is_real = settings().is_production or (shipment is not None and not shipment.is_dry_run)
    return is_real and courier(key).is_dry_run


def _was_rehearsed(shipment: Shipment) -> bool:
    """Begun in a dry run that is over: the courier never heard of its ids."""
    return shipment.is_dry_run and not courier(shipment.courier).is_dry_run


def _take(shipment: Shipment, coming: Step, work: Work) -> bool:
    """Store the intent: by the old step, and only while no other living job makes this parcel."""
    alive = select(Job.id).where(
        Job.id == Shipment.booked_by_job,
        Job.id != work.job_id,
        Job.status.in_([JobStatus.QUEUED, JobStatus.RUNNING]),
    )
    result = db.session.execute(
        update(Shipment)
        .where(
            Shipment.id == shipment.id,
            Shipment.step == shipment.step,
            Shipment.status.in_(NOT_HANDED_OVER),
            ~alive.exists(),
        )
        .values(trying=coming.value, booked_by_job=work.job_id, updated_at=utcnow())
        .execution_options(synchronize_session=False)
    )
    return bool(result.rowcount)  # type: ignore[attr-defined]


def _let_go(work: Work, shipment: Shipment | None) -> None:
    if shipment is not None and shipment.booked_by_job == work.job_id:
        shipment.booked_by_job = None


def _report_second_asker(order: Order, shipment: Shipment) -> None:
    open_incident(
        About(
            issue=f"Duplicate shipment attempt for order {order.number}",
            category=Category.DELIVERY,
            severity=Severity.LOW,
            order_id=order.id,
            context={"deliveryStage": shipment.step.value},
        ),
        f"duplicate_shipment:{shipment.id}",
    )


def _booking(shipment: Shipment) -> Booking:
    return Booking(
        order_id=shipment.courier_order_id or "",
        shipment_id=shipment.courier_shipment_id or "",
        reference=shipment.reference,
        awb=shipment.awb or "",
        courier_name=shipment.courier_name,
        pickup_at=shipment.pickup_at,
        label_url=shipment.label_url or "",
        estimated_at=shipment.estimated_at,
    )


def _is_there(found: Booking, step: Step) -> bool:
    """True when the courier has taken that step already."""
    return STEPS.index(_reached(found)) >= STEPS.index(step)


def _reached(found: Booking) -> Step:
    """How far the courier says that it has come. The label is always asked for."""
    if found.pickup_at and found.awb:
        return Step.PICKUP_SCHEDULED
    return Step.AWB_ASSIGNED if found.awb else Step.ORDERED


def _take_next_reference(shipment: Shipment, order: Order, request: Doing) -> None:
    """The reference belongs to a cancelled order at the courier: the next one is free."""
    if shipment.step != Step.RESERVED:
        raise ProviderRefused("the courier has cancelled this parcel")
    shipment.reference = shipping.next_reference(order, shipping.of_order(order.id))
    shipment.trying = None


def _store(shipment: Shipment, request: Doing, answer: Booking) -> bool:
    """One conditional update on the old step. False when another was quicker."""
    told = {
        "courier_order_id": answer.order_id or None,
        "courier_shipment_id": answer.shipment_id or None,
        "awb": answer.awb or None,
        "courier_name": answer.courier_name or None,
        "pickup_at": answer.pickup_at,
        "label_url": answer.label_url or None,
        "estimated_at": answer.estimated_at,
        "cost_minor": answer.cost_minor,
    }
    step = max(request.next, _reached(answer), key=STEPS.index)
    values: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    values |= {"step": step, "trying": None, "updated_at": utcnow()}
    if STEPS.index(step) >= STEPS.index(Step.PICKUP_SCHEDULED):
        values["status"] = ShipmentStatus.PICKUP_SCHEDULED
    if step == Step.LABELLED:
        values["booked_by_job"] = None
    result = db.session.execute(
        update(Shipment)
        .where(
            Shipment.id == shipment.id,
            Shipment.step == request.done,
            Shipment.status.in_(NOT_HANDED_OVER),
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    db.session.refresh(shipment)
    return bool(result.rowcount)  # type: ignore[attr-defined]


def _order_follows(order: Order, shipment: Shipment) -> None:
    """Booked: being packed. Waybill and pickup there: packed, unless the order is further."""
    actor = Actor(Who.COURIER, f"courier:{shipment.courier}")
    details = {"shipment": shipment.sequence, "courier": shipment.courier_name, "awb": shipment.awb}
    if may(order, "accepted", actor.who):
        advance(order, "accepted", actor, details=details)
    if shipment.status != ShipmentStatus.PENDING and may(order, "packed", actor.who):
        advance(order, "packed", actor, details=details)


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
        body = courier(request.courier_key).label_file(request.url)
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
        order = shipping.lock_order(work.payload["order_id"])
        for shipment in _still_here(order, work.payload.get("shipment_id")):
            _wait_for_its_maker(shipment, work)
            shipment.booked_by_job = work.job_id
            if shipment.is_dry_run or (shipment.step == Step.RESERVED and shipment.trying is None):
                _cancelled(shipment, order)
                continue
            ask_first = work.attempt > 1 or shipment.courier_order_id is None
            return Cancelling(shipment.id, shipment.courier, _booking(shipment), ask_first)
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
        _cancelled(shipment, order)
        return True

    def gave_up(self, work: Work, words: str) -> None:
        """It may be on its way: a person must stop it."""
        order = shipping.lock_order(work.payload["order_id"])
        order.attention = f"A parcel could not be cancelled: {words}"[:300]


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


def _cancelled(shipment: Shipment, order: Order) -> None:
    shipment.booked_by_job = shipment.trying = None
    if shipment.status not in NOT_HANDED_OVER:
        return
    shipment.status = ShipmentStatus.CANCELLED
    shipment.status_at = utcnow()
    db.session.flush()
    shipping.give_back(shipment)
    shipping.recount_fulfilment(order)


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
