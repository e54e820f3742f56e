"""From the rows to the words that fill a message's placeholders, in the reader's language."""

from typing import Any
from urllib.parse import quote

from sqlalchemy import func, select

from shop.clock import utcnow
from shop.config import settings
from shop.extensions import db
from shop.messaging.facts import Rows, refunded_minor
from shop.messaging.facts_beside import Beside
from shop.messaging.languages import Language
from shop.messaging.placeholders import BESIDE_ORDERS
from shop.money import Money
from shop.orders.models import OrderEvent
from shop.pages import clock
from shop.payments.gateways import GATEWAYS, gateway
from shop.payments.models import Payment, PaymentPart
from shop.preferences import PREFERENCES, preference
from shop.returns.models import ReturnRequest, ReturnState
from shop.stock.models import Reservation, ReservationState

CANCELLATIONS = {
    "expired": "cancelled_expired",
    "cancelled_by_customer": "cancelled_by_customer",
    "cancelled": "cancelled_by_shop",
}
"""The event that cancelled the order → the phrase that says why."""


def filled(rows: Rows | Beside, context: dict[str, Any], language: Language) -> dict[str, str]:
    """Every placeholder of shop/messaging/placeholders.py, for what the message is about."""
    return (
        _of_thing(rows, language)
        if isinstance(rows, Beside)
        else _of_order(rows, context, language)
    )


def _of_thing(rows: Beside, language: Language) -> dict[str, str]:
    told = {name: _written(value, language) for name, value in rows.told.items()}
    counted = rows.told.get("count")
    if isinstance(counted, int):
        told["count"] = language.counted("count", counted)
    first = rows.things[0] if rows.things else None
    told["thing"] = ", ".join(filter(None, [first.name, first.options])) if first else ""
    return {**dict.fromkeys(BESIDE_ORDERS, ""), "shop_name": settings().shop_name, **told}


def _written(value: str | int | Money | None, language: Language) -> str:
    if isinstance(value, Money):
        return language.money(value.amount_minor, value.currency)
    return "" if value is None else str(value)


def _of_order(rows: Rows, context: dict[str, Any], language: Language) -> dict[str, str]:
    """Every placeholder of a message about an order. What is not known is empty."""
    return {
        **_of_the_order(rows, language),
        **_of_payment(rows, language),
        **_of_cancelling(rows, language),
        **_of_parcel(rows, language),
        **_of_refund(rows, context, language),
        **_of_instalment(rows, context, language),
        "return_note": _return_note(rows, context, language),
        **_links(rows),
        **_return_page(rows, context),
    }


def _of_the_order(rows: Rows, language: Language) -> dict[str, str]:
    order = rows.order
    address = order.shipping_address
    recipient = address.get("recipient", "")
    return {
        "shop_name": settings().shop_name,
        "number": order.number,
        "total": language.money(order.total_minor, order.currency),
        "count": language.counted("count", sum(line.quantity for line in order.lines)),
        "recipient": recipient,
        "first_name": (recipient.split() or [order.email])[0],
        "city": address.get("city", ""),
        "placed_at": language.moment(order.placed_at),
    }


def _of_payment(rows: Rows, language: Language) -> dict[str, str]:
    order, payment = rows.order, rows.payment
    due = (payment.expires_at if payment else None) or order.expires_at
    to_send = payment.amount_minor if payment else order.total_minor
    return {
        "to_send": language.money(to_send, order.currency),
        "how_paid": _how_paid(rows, language),
        "paid_line": _paid_line(rows, language),
        "failure": _failure(payment, language),
        "hold": _hold(order.id, language),
        "due_day": language.day(due) if due else language.say("due_soon"),
        "due_at": language.moment(due) if due else language.say("due_unknown"),
        "late_default": _late_default(rows, language),
    }


def _how_paid(rows: Rows, language: Language) -> str:
    order = rows.order
    if rows.captured_minor:
        amount = language.money(rows.captured_minor, order.currency)
        return language.say("came_through", amount=amount)
    if order.payment_method == "cod":
        return language.say("pay_at_door", amount=language.money(order.total_minor, order.currency))
    return language.say("nothing_to_pay") if order.total_minor == 0 else ""


def _paid_line(rows: Rows, language: Language) -> str:
    order = rows.order
    if rows.captured_minor:
        amount = language.money(rows.captured_minor, order.currency)
        return language.say("paid_by", amount=amount, method=method_name(rows.payment, language))
    if order.payment_method == "cod":
        return language.say("to_be_paid_at_door")
    return language.say("nothing_to_pay" if order.total_minor == 0 else "not_paid_yet")


def method_name(payment: Payment | None, language: Language) -> str:
    """How it was paid, in a sentence: "UPI", "card", "Gift card"; empty for no payment."""
    if payment is None:
        return ""
    for name in (payment.method, payment.gateway):
        if language.knows(f"method_{name}"):
            return language.say(f"method_{name}")
    return gateway(payment.gateway).label if payment.gateway in GATEWAYS else payment.gateway


def total_label(rows: Rows, language: Language) -> str:
    """What stands beside the total."""
    if rows.order.payment_method == "cod":
        return language.say("total_paid_at_door" if rows.captured_minor else "total_at_door")
    if rows.captured_minor >= rows.order.total_minor > 0:
        return language.say("total_paid_by", method=method_name(rows.payment, language))
    return language.say("total")


def _failure(payment: Payment | None, language: Language) -> str:
    """Gateways give their reasons in English; to others it is only said that it failed."""
    words = (payment.failure_words if payment else "") or ""
    return _sentence(words) if words and language.code == "en" else language.say("failure")


def _sentence(words: str) -> str:
    """With a full stop, where it has no end of its own."""
    return f"{words}." if words and words[-1] not in ".!?।" else words


def _hold(order_id: int, language: Language) -> str:
    until = db.session.scalar(
        select(func.min(Reservation.expires_at)).where(
            Reservation.order_id == order_id,
            Reservation.state == ReservationState.ACTIVE,
            Reservation.expires_at > utcnow(),
        )
    )
    if until is None:
        return language.say("hold_over")
    return language.say("hold_until", time=clock(until))


def _late_default(rows: Rows, language: Language) -> str:
    due = rows.order.late_money_due_at
    return (
        language.say("late_until", moment=language.moment(due))
        if due
        else language.say("late_open")
    )


def _of_cancelling(rows: Rows, language: Language) -> dict[str, str]:
    kind = db.session.scalar(
        select(OrderEvent.kind)
        .where(OrderEvent.order_id == rows.order.id, OrderEvent.kind.in_(CANCELLATIONS))
        .order_by(OrderEvent.id.desc())
        .limit(1)
    )
    return {
        "cancelled_why": language.say(CANCELLATIONS[kind]) if kind else "",
        "cancelled_money": _cancelled_money(rows, language),
    }


def _cancelled_money(rows: Rows, language: Language) -> str:
    kept = rows.captured_minor - rows.returned_minor
    if kept:
        return language.say("money_goes_back", amount=language.money(kept, rows.order.currency))
    if rows.captured_minor:
        return language.say("money_went_back")
    is_transfer = rows.order.payment_method == "bank_transfer"
    return language.say("transfer_goes_back" if is_transfer else "nothing_charged")


def _of_parcel(rows: Rows, language: Language) -> dict[str, str]:
    shipment = rows.shipment
    expected = shipment.estimated_at if shipment else None
    arrival = language.say("expect", day=language.long_day(expected)) if expected else ""
    collect = shipment.collect_minor if shipment else 0
    door = language.money(collect, rows.order.currency)
    return {
        "arrival": arrival,
        "next": arrival or language.say("we_write_again"),
        "estimated_delivery": language.long_day(expected) if expected else _usual_days(language),
        "courier": (shipment.courier_name if shipment else "") or language.say("the_courier"),
        "awb": (shipment.awb if shipment else "") or "",
        "at_the_door": language.say("have_ready", amount=door) if collect else "",
    }


def _usual_days(language: Language) -> str:
    """What the owner says of every parcel; the default of it in the reader's language."""
    usual = str(preference("estimated_delivery"))
    is_default = usual == PREFERENCES["estimated_delivery"].default
    return language.say("business_days") if is_default else usual


def _of_refund(rows: Rows, context: dict[str, Any], language: Language) -> dict[str, str]:
    amount = refunded_minor(rows, context)
    paid = rows.refund.payment.captured_minor if rows.refund else rows.captured_minor
    phrase = "refund_all" if amount >= paid else "refund_part"
    return {
        "refund": language.money(amount, rows.order.currency),
        "refund_for": language.say(phrase, number=rows.order.number),
    }


def _of_instalment(rows: Rows, context: dict[str, Any], language: Language) -> dict[str, str]:
    """The part that is due, its day, and what has been paid so far."""
    part = db.session.get(PaymentPart, context["part_id"]) if "part_id" in context else None
    if part is None or part.due_at is None:
        return {"instalment": "", "instalment_day": "", "instalment_state": ""}
    order, stage = rows.order, context.get("stage")
    paid = language.money(rows.captured_minor - rows.returned_minor, order.currency)
    total = language.money(order.total_minor, order.currency)
    state = language.say("paid_so_far", amount=paid, total=total)
    if stage == "late":
        state = f"{language.say('not_seen_yet')} {state}"
    day = language.say("on_day", day=language.day(part.due_at))
    return {
        "instalment": language.money(part.amount_minor, order.currency),
        "instalment_day": language.say("today") if stage == "today" else day,
        "instalment_state": state,
    }


def return_of(rows: Rows, context: dict[str, Any]) -> ReturnRequest | None:
    """The return that the message is about, or the order's newest one."""
    query = select(ReturnRequest).where(ReturnRequest.order_id == rows.order.id)
    if "return_id" in context:
        query = query.where(ReturnRequest.id == context["return_id"])
    return db.session.scalar(query.order_by(ReturnRequest.id.desc()).limit(1))


def _return_note(rows: Rows, context: dict[str, Any], language: Language) -> str:
    """What there is to say of the return beside its step: why, why not, by when it must leave."""
    found = return_of(rows, context)
    if found is None:
        return ""
    if found.state == ReturnState.REQUESTED:
        return _sentence(found.words[:300])
    if found.state == ReturnState.REFUSED:
        return _sentence(found.refusal)
    if found.state == ReturnState.APPROVED and found.deadline_at:
        return language.say("return_by", day=language.long_day(found.deadline_at))
    if found.state == ReturnState.CLOSED and found.refund_minor:
        amount = language.money(found.refund_minor, rows.order.currency)
        return language.say("return_refunded", amount=amount)
    if found.state == ReturnState.CLOSED and found.replacement is not None:
        return language.say("return_replaced", number=found.replacement.number)
    return ""


def _return_page(rows: Rows, context: dict[str, Any]) -> dict[str, str]:
    """The return's own page, below the order's; the order's where none is named."""
    if "return_id" not in context:
        return {}
    order_url = f"{settings().public_url}/orders/{rows.order.token}"
    return {"return_url": f"{order_url}/returns/{context['return_id']}"}


def _links(rows: Rows) -> dict[str, str]:
    """Addresses come from PUBLIC_URL, never from a request (security.md, S61)."""
    root = settings().public_url
    order_url = f"{root}/orders/{rows.order.token}"
    short_url = f"{root}/o/{rows.order.token}"
    awb = rows.shipment.awb if rows.shipment else None
    return {
        "order_url": order_url,
        "pay_url": f"{order_url}/pay",
        "return_url": order_url,
        "track_url": f"{root}/track/{quote(awb, safe='')}" if awb else order_url,
        "admin_url": f"{root}/admin/orders/{rows.order.number}",
        "short_url": short_url,
        "short_pay_url": f"{short_url}/pay",
        "short_track_url": f"{root}/track/{quote(awb, safe='')}" if awb else short_url,
    }
