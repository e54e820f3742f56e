"""What a parcel tells about itself when an incident names it."""

from typing import Any

from sqlalchemy import select

from shop.delivery.models import Shipment
from shop.extensions import db
from shop.incidents.facts import tells_about


@tells_about("shipment_id")
def of_shipment(shipment_id: int) -> dict[str, Any]:
    """How far its making or its way has come, and its order."""
    row = db.session.execute(
        select(Shipment.status, Shipment.step, Shipment.awb, Shipment.order_id).where(
            Shipment.id == shipment_id
        )
    ).one_or_none()
    if row is None:
        return {}
    stage = row.step if row.status == "pending" else row.status
    return {"deliveryStage": stage.value, "awb": row.awb, "order_id": row.order_id}
