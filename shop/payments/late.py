"""Money that comes when the hold is over: take the stock again, wait for a person, or give it back."""

from sqlalchemy import func, select

from shop.audit import recording as audit
from shop.clock import in_future, utcnow
from shop.errors import Refused
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.queue import enqueue
from shop.orders import effects, lines
from shop.orders.lifecycle import SYSTEM, Actor, Who, advance, may
from shop.orders.models import Order, OrderEvent
from shop.payments import parts, refunds, telling
from shop.payments.models import PartStatus, PaymentPart
from shop.payments.status import kept_minor
from shop.preferences import preferences
from shop.stock import reservations
from shop.stock.models import ReservationState

PAID_TOO_LATE = "paid too late"
"""Why money goes back that nobody accepted."""


def accept_or_hold(order: Order, actor: Actor, came: str) -> str:
    """All parts are paid: go on when the stock is held or can be held again, else the late-money desk.

    When an earlier part has gone back meanwhile, this one does too.
    """
    if not _money_is_here(order):
        telling.note(order, "payment", actor.name, came)
        _send_back(order, SYSTEM)
        return "late"
    if reservations.has_active_hold(order.id):
        return _go_on(order, actor, "captured", came)
    chosen = preferences("late_policy", "late_money_hours")
    accepted = chosen["late_policy"] == "accept" and hold_again(order)
    _report(order, accepted)
    if accepted:
        return _go_on(order, actor, "late", came)
    order.paid_at = order.paid_at or utcnow()
    if chosen["late_policy"] == "refund":
        _send_back(order, SYSTEM)
        return "late"
    order.late_money_due_at = in_future(hours=chosen["late_money_hours"])
    order.attention = "Paid after the items sold out: wait, offer something else, or refund"
    db.session.add(
        OrderEvent(
            order_id=order.id, kind="payment", actor="system", for_customer=True, occurred_at=utcnow(),
            text=f"{came}, after the items sold out. We will write to you.",
        )
    )  # fmt: skip
    enqueue(
        "messaging.tell", {"event": "late_money", "order_id": order.id}, key=f"late_money:{order.id}"
    )  # fmt: skip
    return "late"


def _go_on(order: Order, actor: Actor, changed: str, came: str = "") -> str:
    order.paid_at = order.paid_at or utcnow()
    order.late_money_due_at = None
    effects.take_cart_again(order)
    advance(order, "payment_succeeded", actor, text=came)
    return changed


def _money_is_here(order: Order) -> bool:
    """False when money that paid one of the order's parts went back, is on its way there, or was lost."""
    paid = select(func.sum(PaymentPart.amount_minor)).where(
        PaymentPart.order_id == order.id, PaymentPart.status == PartStatus.PAID
    )
    return kept_minor(order.id) >= (db.session.scalar(paid) or 0)


def was_sold(order: Order) -> bool:
    """True when the order's units were taken off the shelf before it was cancelled (cash on delivery)."""
    return reservations.was_confirmed(order.id)


def hold_again(order: Order) -> bool:
    """Hold all lines anew. False, and nothing held, when something is gone."""
    savepoint = db.session.begin_nested()
    try:
        reservations.hold(order.id, lines.quantities(order.id), in_future(minutes=5))
    except reservations.OutOfStock:
        savepoint.rollback()
        return False
    savepoint.commit()
    return True


def release_hold(order: Order) -> None:
    """The hold ends; the order stays open until it is cancelled."""
    reservations.release(order.id, ReservationState.EXPIRED)


def end_hold(order: Order) -> None:
    """The hold ends unpaid. What was paid in part goes back now: the rest did not come in time."""
    release_hold(order)
    paid = select(PaymentPart.id).where(
        PaymentPart.order_id == order.id, PaymentPart.status == PartStatus.PAID
    )
    if order.is_unpaid and db.session.scalar(paid.limit(1)) is not None:
        enqueue(
            "orders.expire", {"order_id": order.id, "unless_held": True}, key=f"{order.id}:unheld"
        )  # fmt: skip


def keep_for_the_rest(order: Order) -> bool:
    """A part came in and others stand before shipping: the stock stays held for them.

    False when the hold was over and something has been sold meanwhile.
    """
    if not (reservations.has_active_hold(order.id) or hold_again(order)):
        return False
    chosen = preferences("hold_minutes", *parts.PREFERENCES)
    usual = in_future(minutes=chosen["hold_minutes"])
    until = max(
        parts.held_until(order.id, chosen) or usual, reservations.hold_ends_at(order.id) or usual
    )
    reservations.extend(order.id, until)
    order.expires_at = max(order.expires_at or until, until)
    return True


def decide(order: Order, choice: str, actor: str) -> None:
    """A person's choice before the deadline, or the default at it."""
    by = SYSTEM if actor == SYSTEM.name else Actor(Who.ADMIN, actor)
    if choice == "accept":
        if not _money_is_here(order):
            raise Refused("The money has gone back already: there is nothing to accept.")
        if not (reservations.has_active_hold(order.id) or hold_again(order)):
            raise Refused("Not everything is in stock yet.")
        _go_on(order, by, "late")
    elif choice == "refund":
        _send_back(order, by)
    else:
        raise Refused("Choose to accept or to refund.")
    order.attention = None
    audit.write(actor, f"payment.late_{choice}", f"order:{order.number}")


def _send_back(order: Order, by: Actor) -> None:
    order.late_money_due_at = None
    step = "cancelled" if by.who == Who.ADMIN else "expired"
    if order.is_unpaid and may(order, step, by.who):
        advance(order, step, by)
    refunds.refund_in_full(order, PAID_TOO_LATE, by.name)


def _report(order: Order, accepted: bool) -> None:
    outcome = "the stock was taken again" if accepted else "the stock is gone"
    open_incident(
        About(
            issue=f"Order {order.number} was paid after its hold had ended: {outcome}",
            category=Category.PAYMENT,
            severity=Severity.MEDIUM if accepted else Severity.HIGH,
            order_id=order.id,
            context={
                "orderId": order.number, "customerId": order.user_id, "amount": order.total_minor,
                "currency": order.currency, "customerEmail": order.email,
                "customerPhone": order.phone, "deliveryStage": order.status.value,
            },
        ),
        f"late_money:{order.id}",
    )  # fmt: skip
