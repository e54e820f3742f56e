"""The proof about goods that come back."""

from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from shop.books.reading import stream, sums_beside
from shop.delivery.models import Shipment, ShipmentLine
from shop.orders.models import OrderLine
from shop.returns.models import GIVEN_UP, ReturnLine, ReturnRequest

GOING_BACK = (
    select(
        ReturnLine.order_line_id,
        func.sum(func.coalesce(ReturnLine.arrived_quantity, ReturnLine.quantity)),
    )
    .join(ReturnRequest, ReturnRequest.id == ReturnLine.return_id)
    .where(ReturnRequest.state.not_in(GIVEN_UP))
    .group_by(ReturnLine.order_line_id)
    .order_by(ReturnLine.order_line_id)
)
ARRIVED = (
    select(ShipmentLine.order_line_id, func.sum(ShipmentLine.quantity))
    .join(Shipment, Shipment.id == ShipmentLine.shipment_id)
    .where(Shipment.delivered_at.is_not(None))
    .group_by(ShipmentLine.order_line_id)
    .order_by(ShipmentLine.order_line_id)
)
LINES = (
    select(OrderLine.id, OrderLine.returned_quantity)
    .where(
        (OrderLine.returned_quantity > 0)
        | select(ReturnLine.id).where(ReturnLine.order_line_id == OrderLine.id).exists()
    )
    .order_by(OrderLine.id)
)


def counted(connection: Connection) -> Iterator[str]:
    """I39: a line counts as going back what its returns hold, and no more than was delivered."""
    held, came = sums_beside(connection, GOING_BACK), sums_beside(connection, ARRIVED)
    for line in stream(connection, LINES):
        in_returns, delivered = held(line.id), came(line.id)
        if in_returns != line.returned_quantity:
            yield f"order_lines:{line.id} says {line.returned_quantity} go back, its returns hold {in_returns}"
        if in_returns > delivered:
            yield f"order_lines:{line.id} has {in_returns} going back, {delivered} were delivered"
