"""The facts that messages state, read from the database when a message is made (reliability.md, I32)."""

from dataclasses import dataclass
from typing import Any, overload

from sqlalchemy import select

from shop.delivery.models import Shipment, ShipmentStatus
from shop.extensions import db
from shop.messaging.facts_beside import Beside, load_beside
from shop.messaging.subjects import Subject
from shop.orders.models import Order
from shop.payments.models import Payment, Refund


@dataclass(frozen=True)
class Rows:
    """What a message may be about. `payment`, `shipment` and `refund` are the ones it names, or the latest."""

    order: Order
    payment: Payment | None
    shipment: Shipment | None
    refund: Refund | None
    #: What was captured over all payments of the order, in minor units.
    captured_minor: int
    #: Of that, what has gone back.
    returned_minor: int


@overload
def load(about: int, context: dict[str, Any]) -> Rows: ...
@overload
def load(about: Subject, context: dict[str, Any]) -> Rows | Beside: ...
def load(about: int | Subject, context: dict[str, Any]) -> Rows | Beside:
    """The rows behind a message: of an order (its id, or its subject), or of something beside it.

    Raises NoResultFound when there is no such row.
    """
    subject = Subject("order", about) if isinstance(about, int) else about
    return (
        _of_order(subject.id, context) if subject.kind == "order" else load_beside(subject, context)
    )


def _of_order(order_id: int, context: dict[str, Any]) -> Rows:
    order = db.session.get_one(Order, order_id)
    payments = db.session.scalars(
        select(Payment).where(Payment.order_id == order_id).order_by(Payment.id)
    ).all()
    captured = [payment for payment in payments if payment.captured_minor]
    named = [payment for payment in payments if payment.id == context.get("payment_id")]
    candidates = [*payments, *captured, *named]
    refund_id = context.get("refund_id")
    return Rows(
        order=order,
        payment=candidates[-1] if candidates else None,
        shipment=_shipment(order_id, context.get("shipment_id")),
        refund=db.session.get(Refund, refund_id) if refund_id else None,
        captured_minor=sum(payment.captured_minor for payment in captured),
        returned_minor=sum(payment.refunded_minor for payment in captured),
    )


def latest_shipment_id(order_id: int) -> int | None:
    """The parcel that a message means when it names none."""
    found = _shipment(order_id, None)
    return found.id if found else None


def _shipment(order_id: int, shipment_id: int | None) -> Shipment | None:
    query = select(Shipment).where(Shipment.order_id == order_id)
    if shipment_id is not None:
        return db.session.scalar(query.where(Shipment.id == shipment_id))
    living = query.where(Shipment.status != ShipmentStatus.CANCELLED)
    return db.session.scalar(living.order_by(Shipment.sequence.desc()).limit(1))


def refunded_minor(rows: Rows, context: dict[str, Any]) -> int:
    """What this refund gives back, in minor units."""
    return rows.refund.amount_minor if rows.refund else int(context.get("amount_minor", 0))
