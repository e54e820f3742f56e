"""Parcels that staff move without a courier's scan, so that order and parcels tell the same story."""

import re

from sqlalchemy import select

from shop.clock import utcnow
from shop.delivery import following, shipping
from shop.delivery.couriers import carriers
from shop.delivery.couriers.manual import KEY as MANUAL
from shop.delivery.models import FINAL, NOT_HANDED_OVER, Shipment, ShipmentStatus, Step
from shop.errors import Conflict, Refused
from shop.extensions import db
from shop.orders.lifecycle import Actor
from shop.orders.models import Order, PaymentStatus

STATUS = {
    "shipped": ShipmentStatus.PICKED_UP,
    "in_transit": ShipmentStatus.IN_TRANSIT,
    "out_for_delivery": ShipmentStatus.OUT_FOR_DELIVERY,
    "delivered": ShipmentStatus.DELIVERED,
    "returned": ShipmentStatus.RTO_DELIVERED,
}
"""What a step of the order means for its parcels."""

NEXT = {
    ShipmentStatus.PENDING: ShipmentStatus.PICKED_UP,
    ShipmentStatus.PICKUP_SCHEDULED: ShipmentStatus.PICKED_UP,
    ShipmentStatus.PICKED_UP: ShipmentStatus.DELIVERED,
    ShipmentStatus.IN_TRANSIT: ShipmentStatus.DELIVERED,
    ShipmentStatus.OUT_FOR_DELIVERY: ShipmentStatus.DELIVERED,
}
"""What staff say next of one parcel: handed over, arrived."""

LONGEST_NUMBER = 60


def follow(order: Order, event: str, courier_name: str = "", awb: str = "") -> None:
    """Bring the parcels to where a person says the order is, in the caller's transaction.

    Shipping hands over the booked parcels and puts what is in none into one of its own, with the
    courier and waybill given. Raises Refused when nothing may ship from the order, while a parcel
    of it is being booked, and for one that a courier knows and has given no waybill number.
    """
    if event not in STATUS:
        return
    _wait_for_bookings(order)
    if event == "shipped":
        _hand_over_rest(order, courier_name, awb)
    for parcel in shipping.of_order(order.id):
        if parcel.status not in FINAL or (
            event == "returned" and parcel.status == ShipmentStatus.DELIVERED
        ):
            _move(parcel, STATUS[event])
    shipping.recount_fulfilment(order)


def may_take_over(shipment: Shipment) -> bool:
    """True of a parcel that no courier has heard of: staff may send it themselves."""
    is_unknown = shipment.step == Step.RESERVED and shipment.trying is None
    return (
        shipment.courier != MANUAL
        and shipment.status in NOT_HANDED_OVER
        and (is_unknown or shipment.is_dry_run)
    )


def take_over(shipment: Shipment, order: Order) -> None:
    """Send a parcel by hand that no courier has heard of.

    Raises Refused for one that a courier knows: it would come for it.
    """
    _wait_for_bookings(order)
    if not may_take_over(shipment):
        raise Refused("The courier knows this parcel already. Cancel it there first.")
    shipment.courier, shipment.is_dry_run = MANUAL, False
    shipment.awb = shipment.tracking_url = None
    shipment.parked = shipment.parked_at = shipment.parked_job = None


def candidates(number: str) -> list[str]:
    """The keys of the carriers whose number this may be, when there are several to choose from."""
    keys = list(dict.fromkeys(one.key for one in carriers.recognise(number)))
    return keys if len(keys) > 1 else []


def name(shipment: Shipment, number: str, carrier: str = "") -> None:
    """Keep the number that a person typed, its carrier and the carrier's page about it.

    `carrier` is a key or a name; when it is empty the number's shape tells, and of a number that
    may be of several it stays empty. Raises Refused when another parcel has the number, and for a
    parcel that is not moved by hand.
    """
    if shipment.courier != MANUAL or shipment.status in FINAL:
        raise Refused("The courier itself tells the number of this parcel.")
    if not number.strip():
        raise Refused("Type the tracking number.", field="number")
    _name(shipment, carrier.strip(), number, "number")


def move(shipment: Shipment, order: Order, actor: Actor, seen: str) -> None:
    """One parcel that staff send by hand is handed over, or has arrived; the order follows.

    `seen` is the status that the person saw. Raises Conflict when it has changed since, and
    Refused when there is nothing more to say of the parcel.
    """
    if shipment.status != seen:
        raise Conflict("This parcel has moved meanwhile. Look again.")
    if shipment.courier != MANUAL or shipment.status not in NEXT:
        raise Refused("This parcel is not moved by hand.")
    if shipment.status in NOT_HANDED_OVER and not shipping.may_ship(order):
        raise Refused("Nothing ships from this order as it stands.", status=order.status.value)
    _move(shipment, NEXT[shipment.status])
    shipping.recount_fulfilment(order)
    following.follow(order, shipment, actor)


def _wait_for_bookings(order: Order) -> None:
    """A call that makes the parcel may be under way: moved now, it would be booked all the same."""
    being_made = select(Shipment.id).where(
        Shipment.order_id == order.id, Shipment.status.not_in(FINAL), shipping.maker_lives()
    )
    if db.session.scalar(being_made.limit(1)):
        raise Refused("A parcel of this order is being booked just now. Wait a moment.")


def _hand_over_rest(order: Order, courier_name: str, awb: str) -> None:
    waiting = [one for one in shipping.of_order(order.id) if one.status in NOT_HANDED_OVER]
    if waiting and order.payment_status == PaymentStatus.DISPUTED:
        raise Refused("Nothing ships from this order while its payment is disputed.")
    unnamed = [one for one in waiting if one.awb is None]
    for one in unnamed:
        if one.courier != MANUAL:
            take_over(one, order)
    if unnamed and awb:
        _name(unnamed[0], courier_name, awb, "awb")
    if not shipping.unshipped(order) or not shipping.may_ship(order):
        return
    made = shipping.reserve(order, courier_key=MANUAL)
    if made is not None:
        _name(made, courier_name, awb, "awb")


def _name(parcel: Shipment, carrier: str, number: str, field: str) -> None:
    """What a person typed, or what the number alone tells.

    Raises Refused for a number taken, under the name that the number has in the form.
    """
    written = re.sub(r"\s+", "", number)[:LONGEST_NUMBER]
    fitting = carriers.recognise(written)
    found = carriers.of_name(carrier) if carrier else (fitting[0] if len(fitting) == 1 else None)
    written = carriers.plain(written) if found and found.fits(carriers.plain(written)) else written
    taken = select(Shipment.id).where(
        Shipment.courier == parcel.courier, Shipment.awb == written, Shipment.id != parcel.id
    )
    if written and db.session.scalar(taken.limit(1)):
        words = f"Another parcel has the tracking number {written} already."
        raise Refused(words, field=field)
    parcel.courier_name = found.name if found else carrier[:80]
    parcel.parked = parcel.parked_at = parcel.parked_job = None
    if written:
        parcel.awb, parcel.step = written, Step.LABELLED
        parcel.tracking_url = (found.link(written) if found else "") or None


def _move(parcel: Shipment, status: ShipmentStatus) -> None:
    parcel.status, parcel.status_at = status, utcnow()
    if status == ShipmentStatus.DELIVERED:
        parcel.delivered_at = parcel.status_at
    if status == ShipmentStatus.RTO_DELIVERED:
        shipping.give_back(parcel)
