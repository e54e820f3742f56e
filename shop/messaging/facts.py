"""The facts that messages state, read from the database when a message is made (reliability.md, I32)."""

from dataclasses import dataclass
from typing import Any, overload

from babel.dates import format_date
from sqlalchemy import select

from shop.clock import local, utcnow
from shop.config import settings
from shop.delivery.models import Shipment, ShipmentStatus
from shop.extensions import db
from shop.messaging.facts_beside import Beside, load_beside
from shop.messaging.subjects import Subject
from shop.money import format_minor
from shop.orders.models import Order, OrderEvent
from shop.pages import clock, day, moment
from shop.payments.gateways import GATEWAYS, gateway
from shop.payments.models import Payment, PaymentPart, Refund
from shop.preferences import preference
from shop.stock.models import Reservation, ReservationState

METHODS = {
    "card": "card", "upi": "UPI", "netbanking": "net banking", "wallet": "wallet", "swish": "Swish",
    "bank": "bank transfer", "cash": "cash",
}  # fmt: skip
"""How a payment's method is called in a sentence."""

CANCELLATIONS = {
    "expired": "It was not paid in time, so the items went back to the shelf.",
    "cancelled_by_customer": "As you asked, we cancelled it.",
    "cancelled": "We had to cancel it.",
}


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

    def money(self, amount_minor: int) -> str:
        """An amount of the order's currency, for people."""
        return format_minor(amount_minor, self.order.currency)


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


def placeholders(rows: Rows | Beside, context: dict[str, Any]) -> dict[str, str]:
    """Every placeholder of shop/messaging/wordings.py. What is not known is empty."""
    return rows.told if isinstance(rows, Beside) else _of_rows(rows, context)


def _of_rows(rows: Rows, context: dict[str, Any]) -> dict[str, str]:
    order, shipment = rows.order, rows.shipment
    address = order.shipping_address
    count = sum(line.quantity for line in order.lines)
    due = (rows.payment.expires_at if rows.payment else None) or order.expires_at
    return {
        "number": order.number,
        "total": rows.money(order.total_minor),
        "to_send": rows.money(rows.payment.amount_minor if rows.payment else order.total_minor),
        "count": f"{count} item" if count == 1 else f"{count} items",
        "recipient": address.get("recipient", ""),
        "first_name": (address.get("recipient", "").split() or [order.email])[0],
        "city": address.get("city", ""),
        "placed_at": moment(order.placed_at),
        "how_paid": _how_paid(rows),
        "paid_line": _paid_line(rows),
        "arrival": _arrival(rows),
        "estimated_delivery": estimated_delivery(rows),
        "next": _arrival(rows) or "We write again when your parcel leaves.",
        "failure": _failure(rows),
        "hold": _hold(order),
        "due_day": day(due) if due else "soon",
        "due_at": f"{day(due)}, {clock(due)}" if due else "we write again",
        "cancelled_why": _cancelled_why(order),
        "cancelled_money": _cancelled_money(rows),
        "late_default": _late_default(order),
        "courier": (shipment.courier_name if shipment else "") or "The courier",
        "awb": (shipment.awb if shipment else "") or "",
        "at_the_door": _at_the_door(rows),
        "refund": rows.money(refunded_minor(rows, context)),
        "refund_for": _refund_for(rows, context),
        **_instalment(rows, context),
        **_links(rows),
    }


def _instalment(rows: Rows, context: dict[str, Any]) -> dict[str, str]:
    """The part that is due, its day, and what has been paid so far."""
    part = db.session.get(PaymentPart, context["part_id"]) if "part_id" in context else None
    if part is None or part.due_at is None:
        return {"instalment": "", "instalment_day": "", "instalment_state": ""}
    paid = rows.money(rows.captured_minor - rows.returned_minor)
    state = f"You have paid {paid} of {rows.money(rows.order.total_minor)} so far."
    if context.get("stage") == "late":
        state = f"We have not seen it yet. {state}"
    return {
        "instalment": rows.money(part.amount_minor),
        "instalment_day": "today" if context.get("stage") == "today" else f"on {day(part.due_at)}",
        "instalment_state": state,
    }


def refunded_minor(rows: Rows, context: dict[str, Any]) -> int:
    """What this refund gives back, in minor units."""
    return rows.refund.amount_minor if rows.refund else int(context.get("amount_minor", 0))


def total_label(rows: Rows) -> str:
    """What stands beside the total."""
    if rows.order.payment_method == "cod":
        return "To pay at the door" if not rows.captured_minor else "Total paid at the door"
    if rows.captured_minor >= rows.order.total_minor > 0:
        return f"Total paid by {method_name(rows.payment)}"
    return "Total"


def method_name(payment: Payment | None) -> str:
    """How it was paid, in a sentence: "UPI", "card", "Bank transfer"."""
    if payment is None:
        return ""
    if payment.method in METHODS:
        return METHODS[payment.method]
    return gateway(payment.gateway).label if payment.gateway in GATEWAYS else payment.gateway


def _links(rows: Rows) -> dict[str, str]:
    """Addresses come from PUBLIC_URL, never from a request (security.md, S61)."""
    root = settings().public_url
    order_url = f"{root}/orders/{rows.order.token}"
    awb = rows.shipment.awb if rows.shipment else None
    return {
        "order_url": order_url,
        "pay_url": f"{order_url}/pay",
        "track_url": f"{root}/track/{awb}" if awb else order_url,
        "admin_url": f"{root}/admin/orders/{rows.order.number}",
    }


def _how_paid(rows: Rows) -> str:
    order = rows.order
    if rows.captured_minor:
        return f"Your payment of {rows.money(rows.captured_minor)} came through."
    if order.payment_method == "cod":
        return f"You pay {rows.money(order.total_minor)} at the door."
    return "There is nothing to pay." if order.total_minor == 0 else ""


def _paid_line(rows: Rows) -> str:
    if rows.captured_minor:
        return f"{rows.money(rows.captured_minor)} paid by {method_name(rows.payment)}."
    if rows.order.payment_method == "cod":
        return "To be paid at the door."
    return "There is nothing to pay." if rows.order.total_minor == 0 else "Not paid yet."


def long_day(value: Any) -> str:
    """Tuesday 24 November, by the shop's clock."""
    return format_date(local(value), "EEEE d MMMM", locale="en_GB")


def _arrival(rows: Rows) -> str:
    estimated_at = rows.shipment.estimated_at if rows.shipment else None
    return f"Expect your parcel on {long_day(estimated_at)}." if estimated_at else ""


def estimated_delivery(rows: Rows) -> str:
    """The expected day; before the courier names one, what the shop says of every parcel."""
    estimated_at = rows.shipment.estimated_at if rows.shipment else None
    if estimated_at:
        return long_day(estimated_at)
    usual: str = preference("estimated_delivery")
    return usual


def _failure(rows: Rows) -> str:
    words = (rows.payment.failure_words if rows.payment else "") or "It was not completed"
    return words if words.endswith(".") else f"{words}."


def _hold(order: Order) -> str:
    until = db.session.scalar(
        select(db.func.min(Reservation.expires_at)).where(
            Reservation.order_id == order.id,
            Reservation.state == ReservationState.ACTIVE,
            Reservation.expires_at > utcnow(),
        )
    )
    if until is None:
        return "Trying again holds your items again, if they are still there."
    return f"Your items are held until {clock(until)}."


def _cancelled_why(order: Order) -> str:
    kind = db.session.scalar(
        select(OrderEvent.kind)
        .where(OrderEvent.order_id == order.id, OrderEvent.kind.in_(CANCELLATIONS))
        .order_by(OrderEvent.id.desc())
        .limit(1)
    )
    return CANCELLATIONS.get(kind or "", "")


def _cancelled_money(rows: Rows) -> str:
    kept = rows.captured_minor - rows.returned_minor
    if kept:
        return f"The {rows.money(kept)} that you paid goes back the way it came."
    if rows.captured_minor:
        return "What you paid has gone back the way it came."
    if rows.order.payment_method == "bank_transfer":
        return "Nothing has arrived from you. A transfer that is on its way goes back to you."
    return "Nothing was charged."


def _late_default(order: Order) -> str:
    if order.late_money_due_at is None:
        return "You get them or your money back."
    due = order.late_money_due_at
    return f"If we find none by {day(due)}, {clock(due)}, your money goes back."


def _at_the_door(rows: Rows) -> str:
    collect = rows.shipment.collect_minor if rows.shipment else 0
    return f"Have {rows.money(collect)} ready for the courier." if collect else ""


def _refund_for(rows: Rows, context: dict[str, Any]) -> str:
    paid = rows.refund.payment.captured_minor if rows.refund else rows.captured_minor
    share = "All" if refunded_minor(rows, context) >= paid else "Part"
    return f"{share} of what you paid for order {rows.order.number} is refunded."
