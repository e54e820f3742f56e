"""What messages are tried with: an order that has everything, one that has little, and things beside orders."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shop.clock import utcnow
from shop.database import transaction
from shop.delivery.models import Shipment, ShipmentLine, ShipmentStatus, Step
from shop.extensions import db
from shop.messaging.models import CartReminder, StockAlert
from shop.messaging.subjects import Subject
from shop.orders.models import Order
from shop.payments import attempts
from shop.payments.models import PaymentPart
from shop.payments.refunds import request_refund
from shop.returns.models import ReturnLine, ReturnRequest, ReturnState
from tests import factories

NASTY = "<script>alert(1)</script> {number} {{ 7*7 }}"
RIGHT_TO_LEFT = "عبد الرحمن بن خالد"


@dataclass(frozen=True)
class Scene:
    """An order by its keys, and the context that names what belongs to it."""

    order_id: int
    token: str
    number: str
    context: dict[str, Any]


def make_shipment(order: Order, **more: object) -> Shipment:
    """A parcel with one unit of the first line."""
    values = {
        "courier": "sandbox", "reference": order.number, "awb": "AWB123456789",
        "courier_name": "Swift Parcels", "status": ShipmentStatus.PICKED_UP, "step": Step.LABELLED,
    }  # fmt: skip
    with transaction() as session:
        shipment = Shipment(order_id=order.id, **{**values, **more})
        session.add(shipment)
        session.flush()
        line = session.get_one(Order, order.id).lines[0]
        line.shipped_quantity += 1
        session.add(ShipmentLine(shipment_id=shipment.id, order_line_id=line.id, quantity=1))
    return shipment


def rich() -> Scene:
    """Paid, with a parcel, a refund, an instalment and a return; long names, and a name written the other way."""
    order = factories.make_order(
        "paid",
        lines={
            factories.make_product(
                "Carbon offensive blade with a name that does not want to end", price=1_299_900
            ): 2,
            factories.make_product("Match ball", price=9_900, stock=20): 12,
            factories.make_product(NASTY): 1,
        },
        address={
            "recipient": RIGHT_TO_LEFT, "line1": "Donaudampfschifffahrtsgesellschaftskapitänsstraße 123456",
            "line2": NASTY, "landmark": "Behind the water tower",
        },
    )  # fmt: skip
    shipment = make_shipment(order, collect_minor=4_900, estimated_at=utcnow() + timedelta(days=3))
    payment = attempts.latest(order.id)
    with transaction() as session:
        refund = request_refund(payment.id, 9_900, [], "damaged", "user:1")
        part = session.scalars(db.select(PaymentPart).filter_by(order_id=order.id)).one()
        part.due_at = utcnow() + timedelta(days=3)
        back = ReturnRequest(
            order_id=order.id, reference=f"{order.number}-RET1", state=ReturnState.REFUSED,
            reason="damaged", words=NASTY, refusal=f"The seal is broken {NASTY}",
        )  # fmt: skip
        session.add(back)
        session.flush()
        line = session.get_one(Order, order.id).lines[0]
        session.add(ReturnLine(return_id=back.id, order_line_id=line.id, quantity=1))
    context = {
        "shipment_id": shipment.id, "payment_id": payment.id, "refund_id": refund.id,
        "part_id": part.id, "stage": "late", "return_id": back.id,
    }  # fmt: skip
    return Scene(order.id, order.token, order.number, context)


def poor() -> Scene:
    """Unpaid, by transfer: no phone, no parcel, no refund, no return, no shipping label."""
    order = factories.make_order(
        method="bank_transfer",
        lines=1,
        phone="",
        address={"recipient": "", "state": "", "phone": ""},
    )
    with transaction() as session:
        session.get_one(Order, order.id).shipping_label = ""
    order = db.session.get_one(Order, order.id)
    return Scene(order.id, order.token, order.number, {})


def subjects() -> dict[str, Subject]:
    """Template → something beside an order that it is about."""
    product = factories.make_product("Aurora rubber", variants=2, price=450_000)
    variant_id = product.variants[1].id
    cart = factories.make_cart({product: 2, factories.make_product(NASTY): 1})
    with transaction() as session:
        alert = StockAlert(variant_id=variant_id, email="asha@shopper.example", locale="en")
        reminder = CartReminder(cart_id=cart.id, email="asha@shopper.example", locale="en")
        session.add_all([alert, reminder])
        session.flush()
    return {
        "back_in_stock": Subject("stock_alert", alert.id),
        "abandoned_cart": Subject("cart_reminder", reminder.id),
        "admin_low_stock": Subject("variant", variant_id),
    }
