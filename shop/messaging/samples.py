"""Real things to show a message with: the order that staff name, or the newest one that fits."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from shop.catalog.models import Variant
from shop.delivery.models import Shipment
from shop.errors import NotFound
from shop.extensions import db
from shop.messaging.models import CartReminder, StockAlert
from shop.messaging.subjects import Subject
from shop.orders.models import Order
from shop.payments.models import Payment, PaymentPart, Refund
from shop.returns.models import ReturnRequest


@dataclass(frozen=True)
class Sample:
    """What a preview is made from. `number` is the order's, empty for a thing beside orders."""

    subject: Subject
    context: dict[str, Any]
    number: str = ""


def sample_of(template: str, number: str = "") -> Sample | None:
    """What to show the message with; None where the shop has nothing like it yet.

    Raises NotFound when there is no order of this number.
    """
    if template in _BESIDE:
        return _beside(template)
    order = _order(template, number)
    return _of_order(order) if order else None


def _order(template: str, number: str) -> Order | None:
    if number:
        found = db.session.scalar(select(Order).where(Order.number == number.lstrip("#")))
        if found is None:
            raise NotFound(f"There is no order {number}.")
        return found
    newest = select(Order).order_by(Order.id.desc()).limit(1)
    if template in _FITTING:
        fitting = db.session.scalar(newest.where(Order.id.in_(_FITTING[template])))
        if fitting is not None:
            return fitting
    return db.session.scalar(newest)


_FITTING: dict[str, Any] = {
    **dict.fromkeys(("refund_started", "refund_sent"), select(Refund.order_id)),
    **dict.fromkeys(
        ("return_requested", "return_approved", "return_refused", "return_received", "return_closed",
         "admin_return_requested"), select(ReturnRequest.order_id),
    ),
    **dict.fromkeys(
        ("order_shipped", "out_for_delivery", "delivery_problem", "coming_back", "order_delivered",
         "exchange_sent"), select(Shipment.order_id),
    ),
    "instalment_due": select(PaymentPart.order_id).where(PaymentPart.due_at.is_not(None)),
    "payment_instructions": select(Payment.order_id).where(Payment.gateway == "bank_transfer"),
}  # fmt: skip
"""Template → the orders that have what it is about. Where nothing stands any order will do."""


def _of_order(order: Order) -> Sample:
    """With the newest of everything that belongs to the order."""
    newest = {
        "refund_id": _newest(Refund, order), "return_id": _newest(ReturnRequest, order),
        "shipment_id": _newest(Shipment, order), "part_id": _newest(PaymentPart, order),
    }  # fmt: skip
    context = {name: found for name, found in newest.items() if found is not None}
    if "refund_id" not in context:
        context["amount_minor"] = order.total_minor
    return Sample(Subject("order", order.id), context, order.number)


def _newest(model: Any, order: Order) -> int | None:
    query = select(model.id).where(model.order_id == order.id).order_by(model.id.desc())
    found: int | None = db.session.scalar(query.limit(1))
    return found


_BESIDE: dict[str, tuple[tuple[str, Any], ...]] = {
    "back_in_stock": (("stock_alert", StockAlert), ("variant", Variant)),
    "abandoned_cart": (("cart_reminder", CartReminder),),
    "admin_low_stock": (("variant", Variant),),
}
"""Template → where to look for one to show, in this order."""


def _beside(template: str) -> Sample | None:
    for kind, model in _BESIDE[template]:
        found = db.session.scalar(select(model.id).order_by(model.id.desc()).limit(1))
        if found is not None:
            return Sample(Subject(kind, found), {})
    return None
