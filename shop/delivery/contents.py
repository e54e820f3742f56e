"""What is in each parcel, in words that a page shows."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select

from shop.delivery.models import ShipmentLine
from shop.extensions import db
from shop.orders.models import OrderLine


@dataclass(frozen=True)
class Content:
    """So many units of one line."""

    quantity: int
    name: str
    options: str


def contents_of(shipment_ids: Iterable[int]) -> dict[int, list[Content]]:
    """The contents of several parcels, by shipment. One statement, none for no parcels."""
    wanted = list(shipment_ids)
    found: defaultdict[int, list[Content]] = defaultdict(list)
    if not wanted:
        return {}
    rows = db.session.execute(
        select(ShipmentLine.shipment_id, ShipmentLine.quantity, OrderLine.name, OrderLine.options)
        .join(OrderLine, OrderLine.id == ShipmentLine.order_line_id)
        .where(ShipmentLine.shipment_id.in_(wanted))
        .order_by(ShipmentLine.id)
    )
    for shipment_id, quantity, name, options in rows:
        found[shipment_id].append(Content(quantity, name, options))
    return dict(found)
