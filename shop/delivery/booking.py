"""Making a parcel at its courier, step by step.

Each step of a shipment is one round: its intent is stored (`trying`), the courier is called, the
outcome is recorded with the old step in the WHERE. Whoever finds an intent without an outcome
asks the courier by our reference before it repeats the step (reliability.md, I28).
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import update

from shop.clock import utcnow
from shop.config import settings
from shop.database import rows_changed
from shop.delivery import papers, parking, shipping, tracking
from shop.delivery.couriers import courier
from shop.delivery.couriers.base import Booking, Parcel
from shop.delivery.couriers.manual import KEY as MANUAL
from shop.delivery.models import NOT_HANDED_OVER, Shipment, ShipmentStatus, Step
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.handlers import Policy, Work, handles_outward
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import Actor, Who, advance, may
from shop.orders.locking import lock_order
from shop.orders.models import Order
from shop.providers import ProviderRefused

STEPS = tuple(Step)
NOT_BOOKED = "The parcel could not be booked"
DRY_RUN = "Dry run: no parcel was booked"


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
    #: What goes into it; told where it is made there, and None from then on.
    parcel: Parcel | None
    #: The carrier that staff chose; empty for the courier's own choice.
    carrier_id: str = ""


@handles_outward(
    "delivery.create_shipment",
    Policy(limit=45, attempts=10, base=30, cap=3600, priority=5, incident=("delivery", "high")),
)
class CreateShipment:
    """Make an order's parcel at the courier: {"order_id"}, or one reserved before: {"shipment_id"} too."""

    def prepare(self, work: Work) -> Doing | None:
        """Under the order's lock: may it ship, which parcel, which step; the intent is stored."""
        order = lock_order(work.payload["order_id"])
        named = work.payload.get("shipment_id")
        shipment = shipping.unfinished(order.id, named)
        if not shipping.may_ship(order):
            _let_go(work, shipment)
            return None
        if _is_mere_rehearsal(shipment):
            order.attention = DRY_RUN
            return None
        shipment = _to_make(order, shipment, named)
        if shipment is None or shipment.courier == MANUAL:
            return None
        done, coming = shipment.step, STEPS[STEPS.index(shipment.step) + 1]
        ask_first = shipment.trying == coming or coming == Step.ORDERED
        if not _take(shipment, coming, work):
            _report_second_asker(order, shipment)
            return None
        parcel = shipping.parcel_of(shipment, order) if coming == Step.ORDERED else None
        return Doing(
            shipment.id, order.id, shipment.courier, done, coming, ask_first, booking_of(shipment),
            parcel, shipment.carrier_id or "",
        )  # fmt: skip

    def call(self, request: Doing) -> Booking:
        """Take the step, unless the courier says that it was taken."""
        way = courier(request.courier_key)
        if request.ask_first:
            found = way.find(request.booking.reference)
            if found and (found.is_cancelled or _is_there(found, request.next)):
                return found
        if request.parcel is not None:
            return way.create(request.parcel)
        if request.next == Step.AWB_ASSIGNED:
            return way.assign_awb(request.booking, request.carrier_id)
        if request.next == Step.PICKUP_SCHEDULED:
            return way.schedule_pickup(request.booking)
        return way.label(request.booking)

    def record(self, work: Work, request: Doing, answer: Booking) -> bool:
        """Store what was reached; the order follows. True until the label is there."""
        shipment, order = tracking.locked(request.shipment_id, request.order_id)
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
        for kind in papers.KINDS:
            wish = {"shipment_id": shipment.id, "kind": kind}
            enqueue("delivery.keep_paper", wish, key=f"{shipment.id}:{kind}")
        return False

    def failed_try(self, work: Work, error: Exception) -> None:
        """What only a person can mend parks the parcel."""
        why = parking.why(error)
        if why is None:
            return
        order = lock_order(work.payload["order_id"])
        for shipment in shipping.of_order(order.id):
            if shipment.booked_by_job == work.job_id:
                parking.park(shipment, why, work.job_id)

    def gave_up(self, work: Work, words: str) -> None:
        """A person must look; the runner opens the incident. The shipment can be gone on with."""
        order = lock_order(work.payload["order_id"])
        order.attention = f"{NOT_BOOKED}: {words}"[:300]
        _let_go(work, shipping.unfinished(order.id, work.payload.get("shipment_id")))


def _to_make(order: Order, shipment: Shipment | None, named: int | None) -> Shipment | None:
    """The parcel found, or a new one; one that a dry run began is made anew."""
    if shipment is not None and _was_rehearsed(shipment):
        held = {line.order_line_id: line.quantity for line in shipment.lines}
        shipping.mark_cancelled(shipment, order)
        return shipping.reserve(order, held)
    if shipment is None and named is None:
        return _reserve_rest(order)
    return shipment


def _reserve_rest(order: Order) -> Shipment | None:
    """All that is left in one parcel. A person is told when the shelf cannot replace what was lost."""
    try:
        with db.session.begin_nested():
            return shipping.reserve(order)
    except shipping.NothingToSend as error:
        order.attention = str(error)[:300]
        return None


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
    result = db.session.execute(
        update(Shipment)
        .where(
            Shipment.id == shipment.id,
            Shipment.step == shipment.step,
            Shipment.status.in_(NOT_HANDED_OVER),
            ~shipping.maker_lives(but_for=work.job_id),
        )
        .values(
            trying=coming.value,
            booked_by_job=work.job_id,
            updated_at=utcnow(),
            **parking.NOT_PARKED,
        )
        .execution_options(synchronize_session=False)
    )
    return rows_changed(result) > 0


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


def booking_of(shipment: Shipment) -> Booking:
    """What the courier has told of the parcel so far."""
    return Booking(
        order_id=shipment.courier_order_id or "",
        shipment_id=shipment.courier_shipment_id or "",
        reference=shipment.reference,
        awb=shipment.awb or "",
        courier_name=shipment.courier_name,
        pickup_at=shipment.pickup_at,
        label_url=shipment.label_url or "",
        estimated_at=shipment.estimated_at,
        tracking_url=shipment.tracking_url or "",
        postal_code=shipment.order.shipping_address.get("postal_code", ""),
        collect=shipment.collect_minor > 0,
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
        "tracking_url": answer.tracking_url or None,
        "applied_grams": answer.applied_grams,
    }
    step = max(request.next, _reached(answer), key=STEPS.index)
    values: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    values |= {"step": step, "trying": None, "updated_at": utcnow()}
    if STEPS.index(step) >= STEPS.index(Step.PICKUP_SCHEDULED):
        values["status"] = ShipmentStatus.PICKUP_SCHEDULED
    if step == Step.LABELLED:
        values |= {"booked_by_job": None, "made_at": utcnow()}
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
    return rows_changed(result) > 0


def _order_follows(order: Order, shipment: Shipment) -> None:
    """Booked: being packed. Waybill and pickup there: packed, unless the order is further."""
    actor = Actor(Who.COURIER, f"courier:{shipment.courier}")
    details = {"shipment": shipment.sequence, "courier": shipment.courier_name, "awb": shipment.awb}
    if may(order, "accepted", actor.who):
        advance(order, "accepted", actor, details=details)
    if shipment.status != ShipmentStatus.PENDING and may(order, "packed", actor.who):
        advance(order, "packed", actor, details=details)
