"""Making a return good: the money back, or other goods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from shop.errors import Conflict, Refused
from shop.extensions import db
from shop.money import format_minor
from shop.orders.models import REPLACEMENT, Order, PaymentStatus
from shop.payments.refunds import RefundLine, line_amount
from shop.payments.spreading import request_refunds
from shop.returns import claims, exchanging
from shop.returns.asking import REASONS
from shop.returns.models import Resolution, ReturnLine, ReturnRequest
from shop.returns.steps import check, locked, move, note

WHY_LETTERS = 300


@dataclass(frozen=True)
class Due:
    """What a line's refund comes to, in minor units."""

    line: ReturnLine
    units: int
    amount_minor: int


def dues(request: ReturnRequest) -> list[Due]:
    """What is to be paid back for what came; units that were refunded before cost nothing more."""
    found = []
    for line in request.lines:
        sold = line.order_line
        units = min(line.units, sold.quantity - sold.refunded_quantity)
        found.append(Due(line, units, line_amount(sold, units) if units else 0))
    return found


def refund(
    return_id: int, delivery_minor: int, seen_minor: int, actor: str
) -> tuple[ReturnRequest, int]:
    """Send the money of what came back, and of delivery where staff chose so. Minor units.

    `seen_minor` is the amount that the person saw on the button. Returns what is refunded.
    """
    request, order = locked(return_id)
    check(request, "refund")
    _check_looked_at(request)
    due = dues(request)
    amount = sum(one.amount_minor for one in due) + delivery_minor
    if amount <= 0:
        raise Refused(
            "Nothing is left to pay for these. Refund the order that they replace, exchange them,"
            " or close the return as settled otherwise."
        )
    if amount != seen_minor:
        shown = format_minor(amount, order.currency)
        raise Refused(f"This comes to {shown}. Press the button again if that is right.")
    move(request, order, "refund", actor, resolution=Resolution.REFUND, refund_minor=amount)
    _ask_for_refunds(request, order, due, amount, actor)
    return request, amount


def _check_looked_at(request: ReturnRequest) -> None:
    if request.checked_at is None:
        raise Conflict("Look at what came first: how many, and where they go.")


def _ask_for_refunds(
    request: ReturnRequest, order: Order, due: Sequence[Due], amount: int, actor: str
) -> None:
    reason = f"Return {request.reference}: {REASONS.get(request.reason, request.reason)}"
    lines = [RefundLine(one.line.order_line_id, one.units, one.amount_minor) for one in due]
    request_refunds(order, amount, lines, reason, actor)


def exchange(return_id: int, wanted: Mapping[int, int], number: str, actor: str) -> ReturnRequest:
    """Send other goods for what came: {return line id: variant id}.

    `number` is the new order's, drawn before. Raises OutOfStock when a variant is not there, and
    Refused when the money for these goods went back or is disputed: goods and money never both go.
    """
    request, order = locked(return_id)
    check(request, "exchange")
    _check_looked_at(request)
    _check_money_is_here(request, order)
    move(request, order, "exchange", actor, why=f"order {number}", resolution=Resolution.EXCHANGE)
    made = exchanging.replace(request, order, wanted, number, actor)
    request.replacement_order_id = made.id
    return request


def _check_money_is_here(request: ReturnRequest, order: Order) -> None:
    """Judged under the order's lock: what pays for the other goods is what the first ones cost."""
    paid = _paid_for(order)
    if paid.payment_status in {PaymentStatus.REFUNDED, PaymentStatus.DISPUTED}:
        state = "was refunded" if paid.payment_status == PaymentStatus.REFUNDED else "is disputed"
        raise Refused(
            f"The money of order {paid.number} {state}: nothing is sent for it."
            " Close the return as settled otherwise."
        )
    sent = claims.exchanged(order.id, but_for=request.id)
    for line in request.lines:
        sold = line.order_line
        left = max(0, sold.quantity - sold.refunded_quantity - sent.get(sold.id, 0))
        if line.units > left:
            raise Refused(
                f"Of {sold.name} only {left} can be exchanged: the rest was refunded or replaced."
                " Refund what is left, or close the return as settled otherwise."
            )


def _paid_for(order: Order) -> Order:
    """The order whose money stands behind this one: a replacement's is that of the first order."""
    while order.payment_method == REPLACEMENT:
        first = db.session.scalar(
            select(Order)
            .join(ReturnRequest, ReturnRequest.order_id == Order.id)
            .where(ReturnRequest.replacement_order_id == order.id)
        )
        if first is None:
            return order
        order = first
    return order


def settle(return_id: int, why: str, actor: str) -> ReturnRequest:
    """Close a return that was made good another way: by the order's refund, a chargeback, by hand.

    `why` is for staff. No money and no goods move.
    """
    words = why.strip()
    if not words or len(words) > WHY_LETTERS:
        raise Refused("Write in a few words how it was settled.", field="why")
    request, order = locked(return_id)
    check(request, "settle")
    _check_looked_at(request)
    # Counted as a refund: the units are here, and what was paid back stands on the order's lines.
    move(request, order, "settle", actor, resolution=Resolution.REFUND)
    text = f"Return {request.reference} was settled otherwise: {words}"
    note(request, order, actor, text, for_customer=False)
    return request
