"""Parcels that staff move without a courier's scan, so that order and parcels tell the same story."""

from sqlalchemy import select

from shop.clock import utcnow
from shop.delivery import shipping
from shop.delivery.models import FINAL, NOT_HANDED_OVER, Shipment, ShipmentStatus, Step
from shop.errors import Refused
from shop.extensions import db
from shop.orders.models import Order

COURIER = "hand"
"""The courier's key of a parcel that no courier knows; nothing asks for its news."""

STATUS = {
    "shipped": ShipmentStatus.PICKED_UP,
    "in_transit": ShipmentStatus.IN_TRANSIT,
    "out_for_delivery": ShipmentStatus.OUT_FOR_DELIVERY,
    "delivered": ShipmentStatus.DELIVERED,
    "returned": ShipmentStatus.RTO_DELIVERED,
}
"""What a step of the order means for its parcels."""


def follow(order: Order, event: str, courier_name: str = "", awb: str = "") -> None:
    """Bring the parcels to where a person says the order is, in the caller's transaction.

    Shipping hands over the booked parcels and puts what is in none into one of its own, with the
    courier and waybill given. Raises Refused when nothing may ship from the order, and while a
    parcel of it is being booked.
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


def _wait_for_bookings(order: Order) -> None:
    """A call that makes the parcel may be under way: moved now, it would be booked all the same."""
    being_made = select(Shipment.id).where(
        Shipment.order_id == order.id, Shipment.status.not_in(FINAL), shipping.maker_lives()
    )
    if db.session.scalar(being_made.limit(1)):
        raise Refused("A parcel of this order is being booked just now. Wait a moment.")


def _hand_over_rest(order: Order, courier_name: str, awb: str) -> None:
    booked = [one for one in shipping.of_order(order.id) if one.status in NOT_HANDED_OVER]
    if booked and awb and booked[0].awb is None:
        _name(booked[0], courier_name, awb)
    if not shipping.unshipped(order) or not shipping.may_ship(order):
        return
    made = shipping.reserve(order)
    if made is not None:
        made.courier, made.is_dry_run = COURIER, False
        _name(made, courier_name, awb)


def _name(parcel: Shipment, courier_name: str, awb: str) -> None:
    """The waybill that a person typed. Raises Refused when another parcel has it."""
    taken = select(Shipment.id).where(
        Shipment.courier == parcel.courier, Shipment.awb == awb, Shipment.id != parcel.id
    )
    if awb and db.session.scalar(taken.limit(1)):
        raise Refused(f"Another parcel has the tracking number {awb} already.")
    parcel.courier_name = courier_name
    if awb:
        parcel.awb, parcel.step = awb, Step.LABELLED


def _move(parcel: Shipment, status: ShipmentStatus) -> None:
    parcel.status, parcel.status_at = status, utcnow()
    if status == ShipmentStatus.DELIVERED:
        parcel.delivered_at = parcel.status_at
    if status == ShipmentStatus.RTO_DELIVERED:
        shipping.give_back(parcel)
