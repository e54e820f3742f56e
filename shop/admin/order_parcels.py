"""The parcels of one order: book, try again, cancel, move by hand, and their papers."""

from flask import Response, make_response, request, url_for
from flask.typing import ResponseReturnValue

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.order import show_order
from shop.admin.order_facts import locked_order, order_of
from shop.admin.rendering import done, shown_again
from shop.audit import recording as audit
from shop.config import settings
from shop.database import transaction
from shop.delivery import by_hand, choosing, papers, parking, restocking, shipping
from shop.delivery.couriers.manual import KEY as MANUAL
from shop.delivery.models import FINAL, NOT_HANDED_OVER, Shipment, Step
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import Actor, Who
from shop.orders.models import Order, OrderStatus
from shop.pages import leave_for

BOOKABLE = {OrderStatus.PAID, OrderStatus.PROCESSING, OrderStatus.READY_FOR_SHIPMENT}


@bp.context_processor
def for_parcels() -> dict[str, object]:
    """What the list of an order's parcels asks."""
    return {
        "can_choose_carrier": choosing.is_open, "can_send_by_hand": by_hand.may_take_over,
        "next_by_hand": by_hand.NEXT, "parcel_weights": weights, "park_words": parking.WHAT_TO_DO,
        "lacks_papers": lacks_papers, "can_restock": restocking.may_restock,
    }  # fmt: skip


def here(number: str) -> str:
    """The order's page."""
    return url_for("admin.order", number=number)


def locked_parcel(number: str, shipment_id: int) -> tuple[Order, Shipment]:
    """The order, locked, and that parcel of it, read afresh. Raises NotFound."""
    order = locked_order(number)
    shipment = db.session.get(Shipment, shipment_id, populate_existing=True, with_for_update=True)
    if shipment is None or shipment.order_id != order.id:
        raise NotFound("There is no such parcel.")
    return order, shipment


def weights(shipment: Shipment) -> str:
    """What it weighs, what its box counts as, and which of them is billed."""
    actual, volume = shipment.weight_grams, shipping.volumetric_grams(shipment)
    winner = "its size" if volume > actual else "its weight"
    words = f"{actual / 1000:.2f} kg, by size {volume / 1000:.2f} kg: {winner} counts"
    if shipment.applied_grams is None:
        return words
    return f"{words}; the courier bills {shipment.applied_grams / 1000:.2f} kg"


def lacks_papers(shipment: Shipment) -> bool:
    """True of a parcel on its way by a courier, some paper of which is not kept here."""
    is_made = (
        shipment.step == Step.LABELLED
        and shipment.courier != MANUAL
        and shipment.status not in FINAL
    )
    return is_made and not shipment.is_dry_run and not all(
        papers.key_of(shipment, kind) for kind in papers.KINDS
    )  # fmt: skip


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
    return done(here(number), words)


@bp.post("/orders/<number>/shipments/put-together")
@needs(Right.MOVE_ORDERS)
@shown_again(show_order)
def order_put_together(number: str) -> ResponseReturnValue:
    """Put what is in no parcel into one, and ask who carries it: it is booked once that is chosen."""
    with transaction():
        order = locked_order(number)
        if settings().courier == MANUAL:
            raise Refused("Staff take the parcels to a carrier themselves: make one by hand.")
        made = shipping.reserve(order)
        if made is None:
            raise Refused("Everything of this order is in a parcel.")
        audit.write(staff_actor(), "shipment.put_together", f"order:{order.number}")
        page = url_for("admin.parcel_carriers", number=number, shipment_id=made.id)
    return leave_for(page)


@bp.post("/orders/<number>/shipments/<int:shipment_id>/again")
@needs(Right.MOVE_ORDERS)
@shown_again(show_order)
def parcel_again(number: str, shipment_id: int) -> ResponseReturnValue:
    """A parked parcel is tried again now, with all its tries."""
    with transaction():
        order, shipment = locked_parcel(number, shipment_id)
        parking.try_again(shipment)
        audit.write(staff_actor(), "shipment.again", f"order:{order.number}")
    return done(here(number), "The parcel is being booked again.")


@bp.post("/orders/<number>/shipments/<int:shipment_id>/cancel")
@needs(Right.MOVE_ORDERS)
@shown_again(show_order)
def parcel_cancel(number: str, shipment_id: int) -> ResponseReturnValue:
    """Cancel one parcel that was not handed over; what is in it may ship in another."""
    with transaction():
        order, shipment = locked_parcel(number, shipment_id)
        if shipment.status not in NOT_HANDED_OVER:
            raise Refused("This parcel has been handed over. Ask the courier to return it.")
        wish = {"order_id": order.id, "shipment_id": shipment.id}
        enqueue("delivery.cancel_shipments", wish, key=f"{order.id}:{shipment.id}")
        audit.write(staff_actor(), "shipment.cancel", f"order:{order.number}")
    return done(here(number), "The parcel is being cancelled at the courier.")


@bp.post("/orders/<number>/shipments/<int:shipment_id>/moved")
@needs(Right.MOVE_ORDERS)
@shown_again(show_order)
def parcel_moved(number: str, shipment_id: int) -> ResponseReturnValue:
    """A parcel that staff send themselves was handed over, or has arrived."""
    with transaction():
        order, shipment = locked_parcel(number, shipment_id)
        actor = Actor(Who.ADMIN, staff_actor())
        by_hand.move(shipment, order, actor, seen=request.form.get("seen", ""))
        audit.write(actor.name, f"shipment.{shipment.status}", f"order:{order.number}")
    return done(here(number), "Noted. The order follows its parcels.")


@bp.post("/orders/<number>/shipments/<int:shipment_id>/restock")
@needs(Right.MOVE_ORDERS)
@shown_again(show_order)
def parcel_restock(number: str, shipment_id: int) -> ResponseReturnValue:
    """What came back with a parcel goes on the shelf, once."""
    with transaction():
        order, shipment = locked_parcel(number, shipment_id)
        units = restocking.restock(shipment, order, staff_actor())
        details = {"parcel": shipment.sequence, "units": units}
        audit.write(staff_actor(), "shipment.restocked", f"order:{order.number}", None, details)
    return done(here(number), f"{units} back in stock.")


@bp.post("/orders/<number>/shipments/<int:shipment_id>/track")
@needs(Right.MOVE_ORDERS)
@shown_again(show_order)
def order_track(number: str, shipment_id: int) -> ResponseReturnValue:
    """Ask the courier for the parcel's news now."""
    with transaction():
        locked_parcel(number, shipment_id)
        enqueue("delivery.track", {"shipment_id": shipment_id}, key=str(shipment_id))
    return done(here(number), "The courier is being asked. News appears in the timeline.")


@bp.post("/orders/<number>/shipments/<int:shipment_id>/papers")
@needs(Right.MOVE_ORDERS)
@shown_again(show_order)
def parcel_fetch_papers(number: str, shipment_id: int) -> ResponseReturnValue:
    """Fetch the papers that are not kept here yet."""
    with transaction():
        _order, shipment = locked_parcel(number, shipment_id)
        for kind in papers.KINDS:
            if papers.key_of(shipment, kind) is None:
                wish = {"shipment_id": shipment.id, "kind": kind}
                enqueue("delivery.keep_paper", wish, key=f"{shipment.id}:{kind}")
    return done(here(number), "The papers are being fetched.")


@bp.get("/orders/<number>/shipments/<int:shipment_id>/papers/<kind>")
@needs(Right.MOVE_ORDERS)
def parcel_paper(number: str, shipment_id: int, kind: str) -> Response:
    """A label, manifest or invoice, as it is kept here. It names the receiver: staff only."""
    shipment = db.session.get(Shipment, shipment_id)
    if shipment is None or shipment.order_id != order_of(number).id:
        raise NotFound("There is no such parcel.")
    answer = make_response(papers.read(papers.key_of(shipment, kind)))
    answer.mimetype = "application/pdf"
    name = f"{kind}-{shipment.reference}.pdf"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
