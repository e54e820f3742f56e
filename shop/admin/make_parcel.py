"""Making one parcel of an order by hand: which units go into it, and who carries it."""

from typing import Any

from flask import Response, flash, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.order_facts import locked_order, order_of
from shop.admin.rendering import screen, shown_again
from shop.audit import recording as audit
from shop.config import settings
from shop.database import transaction
from shop.delivery import shipping
from shop.delivery.couriers import COURIERS
from shop.delivery.couriers.manual import KEY as MANUAL
from shop.delivery.models import Shipment
from shop.errors import Conflict, Refused
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.orders.models import Order, OrderLine
from shop.pages import leave_for


def _here(number: str) -> str:
    return url_for("admin.order", number=number)


def _made(order: Order) -> int:
    """How many parcels were made of the order: two people at once are told apart by it."""
    made = select(func.count()).select_from(Shipment).where(Shipment.order_id == order.id)
    return int(db.session.scalar(made) or 0)


@bp.get("/orders/<number>/parcels/new")
@needs(Right.MOVE_ORDERS)
def order_parcel(number: str) -> ResponseReturnValue:
    """The dialog; a page of its own without JavaScript. All that is unshipped is chosen."""
    return _show_parcel(number)


def _show_parcel(number: str, *, problem: str = "", status: int = 200, **_others: Any) -> Response:
    order = order_of(number)
    left = shipping.unshipped(order)
    return screen(
        "admin/order_parcel.html",
        status,
        section="admin.orders",
        order=order,
        lines=[(line, left[line.id]) for line in order.lines if line.id in left],
        made=_made(order),
        couriers=_couriers(),
        may_ship=shipping.may_ship(order),
        problem=problem,
    )


def _couriers() -> list[str]:
    """The shop's courier first; any carrier by hand is always possible."""
    return list(dict.fromkeys([settings().courier, MANUAL]))


@bp.post("/orders/<number>/parcels")
@needs(Right.MOVE_ORDERS)
@shown_again(_show_parcel)
def order_make_parcel(number: str) -> ResponseReturnValue:
    """Make a parcel of these units; the courier is asked by a job, and nothing is made twice."""
    courier_key = request.form.get("courier", "") or settings().courier
    if courier_key not in COURIERS:
        raise Refused("Choose who carries it.", field="courier")
    with transaction():
        order = locked_order(number)
        if request.form.get("made") != str(_made(order)):
            raise Conflict("A parcel of this order was made meanwhile. Look again, then repeat.")
        quantities = _quantities(order)
        shipment = shipping.reserve(order, quantities, courier_key=courier_key)
        if shipment is None:
            raise Refused("Everything of this order is in a parcel already.")
        shipping.recount_fulfilment(order)
        if courier_key != MANUAL:
            wish = {"order_id": order.id, "shipment_id": shipment.id}
            enqueue("delivery.create_shipment", wish, key=f"{order.id}:{shipment.id}")
        audit.write(
            staff_actor(), "shipment.made", f"order:{order.number}", None,
            {"parcel": shipment.sequence, "units": {str(one): n for one, n in quantities.items()}},
        )  # fmt: skip
        sequence = shipment.sequence
    words = "Type its tracking number below." if courier_key == MANUAL else "It is being booked."
    flash(f"Parcel {sequence} is made. {words}", "done")
    return leave_for(_here(number))


def _quantities(order: Order) -> dict[int, int]:
    """Units by line, as typed. Raises Refused in the words of the line that is wrong."""
    left = shipping.unshipped(order)
    found = {line.id: _units(line, left[line.id]) for line in order.lines if line.id in left}
    wanted = {line_id: units for line_id, units in found.items() if units}
    if left and not wanted:
        raise Refused("Put at least one item into the parcel.")
    return wanted


def _units(line: OrderLine, left: int) -> int:
    field = f"qty-{line.id}"
    typed = request.form.get(field, "0").strip()
    if not (typed.isascii() and typed.isdigit() and len(typed) < 7):
        raise Refused(f"Use a whole number of {line.name}.", field=field)
    if int(typed) > left:
        raise Refused(f"Only {left} of {line.name} can still be shipped.", field=field)
    return int(typed)
