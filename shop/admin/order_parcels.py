"""The parcels of one order, by hand: book again, ask the courier, fetch the label."""

from urllib.parse import urlsplit

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.order import show_order
from shop.admin.order_facts import locked_order, order_of
from shop.admin.rendering import done, shown_again
from shop.audit import recording as audit
from shop.database import transaction
from shop.delivery.models import Shipment
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.orders.models import OrderStatus

BOOKABLE = {OrderStatus.PAID, OrderStatus.PROCESSING, OrderStatus.READY_FOR_SHIPMENT}


def _here(number: str) -> str:
    return url_for("admin.order", number=number)


@bp.post("/orders/<number>/shipments")
@needs(Right.MOVE_ORDERS)
@shown_again(show_order)
def order_book(number: str) -> ResponseReturnValue:
    """Book what is not in a parcel yet; a booking that stands is gone on with, never repeated."""
    with transaction():
        order = locked_order(number)
        if order.status not in BOOKABLE:
            raise Refused("Parcels are booked for orders that are paid and not handed over.")
        job_id = enqueue("delivery.create_shipment", {"order_id": order.id}, key=str(order.id))
        audit.write(staff_actor(), "shipment.asked", f"order:{order.number}")
    words = "The parcel is being booked." if job_id else "It is being booked already."
    return done(_here(number), words)


@bp.post("/orders/<number>/shipments/<int:shipment_id>/track")
@needs(Right.MOVE_ORDERS)
@shown_again(show_order)
def order_track(number: str, shipment_id: int) -> ResponseReturnValue:
    """Ask the courier for the parcel's news now."""
    shipment = db.session.get(Shipment, shipment_id)
    if shipment is None or shipment.order_id != order_of(number).id:
        raise NotFound
    with transaction():
        enqueue("delivery.track", {"shipment_id": shipment_id}, key=str(shipment_id))
    return done(_here(number), "The courier is being asked. News appears in the timeline.")


@bp.get("/shipments/<int:shipment_id>/label")
@needs(Right.MOVE_ORDERS)
def shipment_label(shipment_id: int) -> ResponseReturnValue:
    """The courier's label. Its address names the receiver, so only staff are led there."""
    shipment = db.session.get(Shipment, shipment_id)
    if shipment is None or not shipment.label_url:
        raise NotFound("There is no label yet.")
    if urlsplit(shipment.label_url).scheme != "https" and not shipment.label_url.startswith("/"):
        raise NotFound("The label's address is not one that can be opened.")
    return redirect(shipment.label_url, 303)
