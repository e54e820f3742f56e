"""Putting the units of a parcel that came back on the shelf, where no refund does."""

from shop.delivery.models import Shipment, ShipmentStatus
from shop.delivery.shipping import may_ship
from shop.errors import Conflict, Refused
from shop.orders.models import Order, OrderLine
from shop.stock import ledger

KEYS_FROM = -1_000_000_000
"""A parcel's restock is named by this less its id: refunds are above zero, returns just below."""


def may_restock(shipment: Shipment, order: Order) -> bool:
    """It is back, and nothing of the order ships any more: what may be sent again is not for sale."""
    return shipment.status == ShipmentStatus.RTO_DELIVERED and not may_ship(order)


def restock(shipment: Shipment, order: Order, actor: str) -> int:
    """Put the parcel's units back on the shelf, once. Returns how many; the order is locked.

    What a refund or a return put back before is left out. Raises Conflict when that is all of it.
    """
    if not may_restock(shipment, order):
        raise Refused("Only what came back, and is not sent again, goes back in stock.")
    by_id = {line.id: line for line in order.lines}
    held = [(by_id[one.order_line_id], one.quantity) for one in shipment.lines]
    back = 0
    for line, quantity in sorted(held, key=lambda one: one[0].variant_id):
        units = min(quantity, _here(line))
        key = KEYS_FROM - shipment.id
        back += ledger.restock_line(line.variant_id, line.id, units, key, actor)
    if not back:
        raise Conflict("What came back with this parcel is in stock already.")
    return back


def _here(line: OrderLine) -> int:
    """Units that were sold, are on no shelf, and neither with the customer nor lost."""
    away = max(0, line.shipped_quantity - line.returned_quantity)
    return ledger.units_out(line.id) - away - line.lost_quantity
