"""Which units may still go back, counted on the order line so that none goes back twice.

A unit may go back when it was delivered and is in no other return. Every return that was not
refused or withdrawn counts on `order_lines.returned_quantity`, which is changed by conditional
update only, under the order's lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update

from shop.clock import in_future, utcnow
from shop.database import rows_changed
from shop.delivery.models import Shipment, ShipmentLine, ShipmentStatus
from shop.errors import Conflict
from shop.extensions import db
from shop.orders.models import Order, OrderLine, OrderStatus, PaymentStatus
from shop.preferences import preference
from shop.returns.models import Resolution, ReturnLine, ReturnRequest, ReturnState

CLOSED_TO_RETURNS = frozenset(
    {
        OrderStatus.PENDING_PAYMENT,
        OrderStatus.PAYMENT_FAILED,
        OrderStatus.CANCELLED,
        OrderStatus.RETURNED,
        OrderStatus.REFUNDED,
        OrderStatus.DISPUTED,
        OrderStatus.ARCHIVED,
    }
)
"""In these states nobody asks for a return: nothing was handed over, or its money is settled elsewhere."""


@dataclass(frozen=True)
class Returnable:
    """Units of a line that may go back, and until when it may be asked."""

    line: OrderLine
    quantity: int
    until: datetime


def may_ask(order: Order) -> bool:
    """Whether the order stands so that something of it may go back."""
    settled = {PaymentStatus.REFUNDED, PaymentStatus.DISPUTED}
    return order.status not in CLOSED_TO_RETURNS and order.payment_status not in settled


def _delivered(*conditions: Any) -> Any:
    """Units of the line in parcels that arrived and stayed there; 0 where there are none."""
    return (
        select(func.coalesce(func.sum(ShipmentLine.quantity), 0))
        .join(Shipment, Shipment.id == ShipmentLine.shipment_id)
        .where(
            ShipmentLine.order_line_id == OrderLine.id,
            ShipmentLine.given_back.is_(False),
            Shipment.status == ShipmentStatus.DELIVERED,
            *conditions,
        )
        .correlate(OrderLine)
        .scalar_subquery()
    )


def _refunded_by_returns() -> Any:
    """Units of the line whose refund came of a return: they count in both columns of the line."""
    return (
        select(func.coalesce(func.sum(ReturnLine.arrived_quantity), 0))
        .join(ReturnRequest, ReturnRequest.id == ReturnLine.return_id)
        .where(
            ReturnLine.order_line_id == OrderLine.id,
            ReturnRequest.state == ReturnState.CLOSED,
            ReturnRequest.resolution == Resolution.REFUND,
        )
        .correlate(OrderLine)
        .scalar_subquery()
    )


def exchanged(order_id: int, *, but_for: int = 0) -> dict[int, int]:
    """Units of the order's lines that other goods were sent for: {order line id: units}.

    Those of the return `but_for` are left out, and those whose replacement was cancelled.
    """
    rows = db.session.execute(
        select(ReturnLine.order_line_id, func.sum(ReturnLine.arrived_quantity))
        .join(ReturnRequest, ReturnRequest.id == ReturnLine.return_id)
        .join(Order, Order.id == ReturnRequest.replacement_order_id)
        .where(
            ReturnRequest.order_id == order_id,
            ReturnRequest.id != but_for,
            Order.status != OrderStatus.CANCELLED,
        )
        .group_by(ReturnLine.order_line_id)
    )
    return {line_id: int(units or 0) for line_id, units in rows}


def _not_refunded_otherwise() -> Any:
    """Units that were bought and not refunded by other ways than a return."""
    return OrderLine.quantity - OrderLine.refunded_quantity + _refunded_by_returns()


def returnable(order: Order) -> list[Returnable]:
    """What of the order may go back today, line by line. One statement and one for the window."""
    if not may_ask(order):
        return []
    days = preference("return_days")
    since = in_future(hours=-24 * days)
    newest = (
        select(func.max(Shipment.delivered_at))
        .join(ShipmentLine, ShipmentLine.shipment_id == Shipment.id)
        .where(
            ShipmentLine.order_line_id == OrderLine.id, Shipment.status == ShipmentStatus.DELIVERED
        )
        .correlate(OrderLine)
        .scalar_subquery()
    )
    rows = db.session.execute(
        select(
            OrderLine,
            _delivered(Shipment.delivered_at >= since).label("fresh"),
            _delivered().label("delivered"),
            _not_refunded_otherwise().label("kept"),
            newest.label("newest"),
        )
        .where(OrderLine.order_id == order.id)
        .order_by(OrderLine.id)
    ).all()
    found = []
    for line, fresh, delivered, kept, last in rows:
        left = min(fresh, min(delivered, kept) - line.returned_quantity)
        if left > 0 and last is not None:
            found.append(Returnable(line, left, last + timedelta(days=days)))
    return found


def take(order: Order, quantities: Mapping[int, int]) -> None:
    """Count the units as going back, or raise Conflict: the transaction then undoes them all.

    The database judges: never more than was delivered less what goes back or was refunded already.
    """
    for line_id, quantity in sorted(quantities.items()):
        result = db.session.execute(
            update(OrderLine)
            .where(
                OrderLine.id == line_id,
                OrderLine.order_id == order.id,
                OrderLine.returned_quantity + quantity <= _delivered(),
                OrderLine.returned_quantity + quantity <= _not_refunded_otherwise(),
            )
            .values(returned_quantity=OrderLine.returned_quantity + quantity, updated_at=utcnow())
            .execution_options(synchronize_session=False)
        )
        if not rows_changed(result):
            raise Conflict("Part of that is on its way back or was refunded already. Look again.")
    _refresh(quantities)


def give_back(lines: Sequence[ReturnLine], quantities: Mapping[int, int]) -> None:
    """The return takes fewer units than it asked for: {return line id: units}. They are free again."""
    of_line = {line.id: line.order_line_id for line in lines}
    for line_id, quantity in sorted(quantities.items()):
        if quantity > 0:
            db.session.execute(
                update(OrderLine)
                .where(OrderLine.id == of_line[line_id])
                .values(
                    returned_quantity=OrderLine.returned_quantity - quantity, updated_at=utcnow()
                )
                .execution_options(synchronize_session=False)
            )
    _refresh(of_line.values())


def _refresh(line_ids: Any) -> None:
    for line_id in line_ids:
        db.session.get_one(OrderLine, line_id, populate_existing=True)
