"""What a parcel's way looks like to a person: a headline, five stages, and the scans."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from babel.dates import format_date
from sqlalchemy import func, select

from shop.clock import local, utcnow
from shop.delivery.models import ATTEMPT_FAILED, FINAL, Shipment, ShipmentStatus, TrackingEvent
from shop.delivery.shipping import of_order
from shop.delivery.tracking import RETURNING, events_of
from shop.extensions import db
from shop.pages import clock, day

S = ShipmentStatus

WORDS = {
    S.PENDING: "Being packed",
    S.PICKUP_SCHEDULED: "Waiting for pickup",
    S.PICKED_UP: "Picked up",
    S.IN_TRANSIT: "In transit",
    S.OUT_FOR_DELIVERY: "Out for delivery",
    S.DELIVERED: "Delivered",
    S.CANCELLED: "Cancelled",
    S.LOST: "Lost",
    S.DAMAGED: "Damaged",
    S.RTO_INITIATED: "Could not deliver",
    S.RTO_IN_TRANSIT: "Coming back to us",
    S.RTO_DELIVERED: "Back with us",
}
"""A parcel's state in words."""

FORWARD = (
    (S.PENDING, "Pending pickup"), (S.PICKED_UP, "Picked up"), (S.IN_TRANSIT, "In transit"),
    (S.OUT_FOR_DELIVERY, "Out for delivery"), (S.DELIVERED, "Delivered"),
)  # fmt: skip
RETURN = (*FORWARD[:3], (S.RTO_INITIATED, "Could not deliver"), (S.RTO_DELIVERED, "Back with us"))
#: Two states that stand at the stage of another one.
STANDS_AT = {S.PICKUP_SCHEDULED: S.PENDING, S.RTO_IN_TRANSIT: S.RTO_INITIATED}

ON_THE_WAY_BACK = frozenset({S.RTO_INITIATED, S.RTO_IN_TRANSIT})
AT_THE_DOOR = frozenset({S.OUT_FOR_DELIVERY.value, S.DELIVERED.value, ATTEMPT_FAILED})
"""Scans whose place tells where the receiver lives."""
FAILED_WORDS = "Could not deliver, the courier tries again"

BADGE = {
    S.PENDING: "processing", S.PICKUP_SCHEDULED: "ready_for_shipment", S.PICKED_UP: "shipped",
    S.RTO_INITIATED: "returned", S.RTO_IN_TRANSIT: "returned", S.RTO_DELIVERED: "returned",
    S.LOST: "payment_failed", S.DAMAGED: "payment_failed",
}  # fmt: skip
"""Under which of the orders' badges a parcel's state is drawn; the others have the same name."""


@dataclass(frozen=True)
class Stage:
    """One of the five stages of the flight. `state` is done, current or coming."""

    words: str
    state: str
    at: datetime | None


@dataclass(frozen=True)
class Story:
    """A parcel and its scans, newest first."""

    shipment: Shipment
    events: Sequence[TrackingEvent]


def story_of_awb(awb: str) -> Story | None:
    """The parcel with this waybill number, whichever courier's it is."""
    shipment = db.session.scalars(
        select(Shipment).where(Shipment.awb == awb).order_by(Shipment.id.desc()).limit(1)
    ).first()
    return None if shipment is None else Story(shipment, events_of([shipment.id])[shipment.id])


def stories_of(order_id: int) -> list[Story]:
    """The order's parcels that a shopper is shown, first to last; two statements."""
    parcels = [one for one in of_order(order_id) if one.status != S.CANCELLED]
    events = events_of([one.id for one in parcels])
    return [Story(one, events[one.id]) for one in parcels]


def coming_back(order_ids: Iterable[int]) -> set[int]:
    """Which of these orders have parcels under way, all of them back to us. One statement.

    Until they arrive the order's own status stays where the courier turned round.
    """
    returning = Shipment.status.in_(ON_THE_WAY_BACK)
    return set(
        db.session.scalars(
            select(Shipment.order_id)
            .where(Shipment.order_id.in_(list(order_ids)), Shipment.status.not_in(FINAL))
            .group_by(Shipment.order_id)
            .having(func.count() == func.count().filter(returning))
        )
    )


def is_coming_back(parcels: Iterable[Shipment]) -> bool:
    """The same of an order whose parcels are at hand."""
    under_way = [one.status for one in parcels if one.status not in FINAL]
    return bool(under_way) and all(status in ON_THE_WAY_BACK for status in under_way)


def is_final(shipment: Shipment) -> bool:
    """True when nothing more will happen to the parcel: pages stop asking."""
    return shipment.status in FINAL


def words_of(status: str | None) -> str:
    """A state in words; of a scan that moves nothing, a plain sentence."""
    if status == ATTEMPT_FAILED:
        return FAILED_WORDS
    return WORDS[S(status)] if status else "On its way"


def public_place(event: TrackingEvent) -> str:
    """Where it was scanned, for anyone who knows the number: depots, never the last mile (security.md, S55)."""
    return "" if event.status in AT_THE_DOOR else event.place


def badge_of(shipment: Shipment) -> str:
    """The badge's data-state."""
    return BADGE.get(shipment.status, shipment.status.value)


def headline(shipment: Shipment) -> str:
    """The one sentence that answers where it is."""
    if shipment.status == S.DELIVERED and shipment.delivered_at:
        return f"Delivered on {day(shipment.delivered_at)} at {clock(shipment.delivered_at)}"
    if shipment.status in {S.LOST, S.DAMAGED}:
        return "Something happened to this parcel. We are on it"
    if shipment.status in RETURNING:
        return "Back with us" if shipment.status == S.RTO_DELIVERED else "Coming back to us"
    if shipment.status == S.OUT_FOR_DELIVERY:
        return "Out for delivery today"
    if shipment.status == S.CANCELLED:
        return "This parcel was cancelled"
    expected = expected_day(shipment)
    if expected is None:
        return WORDS[shipment.status]
    if expected < local(utcnow()).date():
        return "On its way, later than expected"
    return "Arriving " + format_date(expected, "EEEE d MMMM", locale="en_GB")


def expected_day(shipment: Shipment) -> date | None:
    """When it should arrive: by the courier's word, else as it was told at checkout.

    None once that is over, or when it comes back to us.
    """
    if shipment.status in FINAL or shipment.status in RETURNING:
        return None
    if shipment.estimated_at:
        return local(shipment.estimated_at).date()
    return shipment.order.expected_by


def stages_of(shipment: Shipment, events: Sequence[TrackingEvent]) -> list[Stage]:
    """The five stages, each with the time of its first scan."""
    way = RETURN if shipment.status in RETURNING else FORWARD
    here = STANDS_AT.get(shipment.status, shipment.status)
    times = _first_times(shipment, events)
    statuses = [status for status, _ in way]
    reached = statuses.index(here) if here in statuses else _last_reached(statuses, times)
    return [
        Stage(words, _state(number, reached, shipment), times.get(status))
        for number, (status, words) in enumerate(way)
    ]


def _state(number: int, reached: int, shipment: Shipment) -> str:
    if number < reached or (number == reached and shipment.status in FINAL):
        return "done"
    return "current" if number == reached else "coming"


def _first_times(
    shipment: Shipment, events: Sequence[TrackingEvent]
) -> dict[ShipmentStatus, datetime]:
    told = [(event.status, event.occurred_at) for event in events]
    times = {S(status): at for status, at in told if status and status != ATTEMPT_FAILED}
    return times | {S.PENDING: shipment.created_at}


def _last_reached(statuses: list[ShipmentStatus], times: dict[ShipmentStatus, datetime]) -> int:
    """For a parcel that ended on the way: where it was last."""
    return max(number for number, status in enumerate(statuses) if status in times)
