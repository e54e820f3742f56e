"""Two dialogs of a parcel: who carries it, and the number that staff type for one sent by hand."""

from flask import Response, flash, request
from flask.typing import ResponseReturnValue

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.order_facts import order_of
from shop.admin.order_parcels import here, locked_parcel
from shop.admin.rendering import screen, shown_again
from shop.audit import recording as audit
from shop.database import transaction
from shop.delivery import by_hand, choosing
from shop.delivery.couriers import carriers
from shop.delivery.couriers.manual import KEY as MANUAL
from shop.delivery.models import Shipment
from shop.errors import Conflict, NotFound
from shop.extensions import db
from shop.pages import leave_for


def _parcel(number: str, shipment_id: int) -> Shipment:
    """That parcel of the order. Raises NotFound."""
    shipment = db.session.get(Shipment, shipment_id)
    if shipment is None or shipment.order_id != order_of(number).id:
        raise NotFound("There is no such parcel.")
    return shipment


@bp.get("/orders/<number>/shipments/<int:shipment_id>/carriers")
@needs(Right.MOVE_ORDERS)
def parcel_carriers(
    number: str, shipment_id: int, problem: str = "", status: int = 200
) -> Response:
    """Who would carry the parcel, with price and days, as the courier says just now."""
    try:
        offers = choosing.offers_for(_parcel(number, shipment_id))
    except choosing.NoOffers as error:
        offers, problem, status = [], problem or str(error), 422
    shipment = _parcel(number, shipment_id)
    return screen(
        "admin/parcel_carriers.html",
        status,
        section="admin.orders",
        order=shipment.order,
        shipment=shipment,
        offers=offers,
        problem=problem,
    )


@bp.post("/orders/<number>/shipments/<int:shipment_id>/carriers")
@needs(Right.MOVE_ORDERS)
@shown_again(parcel_carriers)
def parcel_choose(number: str, shipment_id: int) -> ResponseReturnValue:
    """Have it carried by the one chosen, at the price that the courier says now, and book it."""
    wanted = request.form.get("carrier", "")
    offers = choosing.offers_for(_parcel(number, shipment_id))
    offer = next((one for one in offers if one.courier_id == wanted), None)
    if offer is None:
        raise Conflict("This carrier is not offered any more. Choose another.")
    with transaction():
        order, shipment = locked_parcel(number, shipment_id)
        choosing.choose(shipment, offer)
        audit.write(
            staff_actor(), "shipment.carrier", f"order:{order.number}", None,
            {"carrier": offer.courier_name, "price_minor": offer.price_minor},
        )  # fmt: skip
    flash(f"{offer.courier_name} carries it. The parcel is being booked.", "done")
    return leave_for(here(number))


@bp.get("/orders/<number>/shipments/<int:shipment_id>/number")
@needs(Right.MOVE_ORDERS)
def parcel_number(number: str, shipment_id: int, problem: str = "", status: int = 200) -> Response:
    """The form for carrier and number."""
    return _number_form(_parcel(number, shipment_id), [], problem, status)


def _number_form(
    shipment: Shipment, candidates: list[str], problem: str = "", status: int = 200
) -> Response:
    return screen(
        "admin/parcel_number.html",
        status,
        section="admin.orders",
        order=shipment.order,
        shipment=shipment,
        typed=request.form.get("number", shipment.awb or ""),
        carrier=request.form.get("carrier", shipment.courier_name),
        candidates=[(key, carriers.NAMES[key]) for key in candidates],
        names=sorted(set(carriers.NAMES.values())),
        problem=problem,
    )


@bp.post("/orders/<number>/shipments/<int:shipment_id>/number")
@needs(Right.MOVE_ORDERS)
@shown_again(parcel_number)
def parcel_name(number: str, shipment_id: int) -> ResponseReturnValue:
    """Keep carrier and number; where the number may be of several carriers, ask which."""
    typed = request.form.get("number", "")
    carrier = request.form.get("candidate") or request.form.get("carrier", "").strip()
    several = [] if carrier else by_hand.candidates(typed)
    if several:
        words = "This number may be of several carriers. Which one is it?"
        return _number_form(_parcel(number, shipment_id), several, words, 422)
    with transaction():
        order, shipment = locked_parcel(number, shipment_id)
        if shipment.courier != MANUAL:
            by_hand.take_over(shipment, order)
        by_hand.name(shipment, typed, carrier)
        audit.write(
            staff_actor(), "shipment.number", f"order:{order.number}", None,
            {"carrier": shipment.courier_name, "awb": shipment.awb},
        )  # fmt: skip
    flash("The tracking number is kept.", "done")
    return leave_for(here(number))
