"""A refund that one payment cannot bear comes from several, each with a refund of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import select

from shop.errors import Refused
from shop.extensions import db
from shop.money import format_minor
from shop.orders.models import Order
from shop.payments.models import Payment, Refund
from shop.payments.refundable import left_to_refund
from shop.payments.refunds import RefundLine, request_refund


def request_refunds(
    order: Order,
    amount_minor: int,
    lines: Sequence[RefundLine],
    reason: str,
    actor: str,
    *,
    first: int | None = None,
) -> list[Refund]:
    """Decide on a refund of the order, in the caller's transaction, with the order locked.

    `first` is the payment that a person chose; without one, the newest that can bear it all, gift
    cards last. What it cannot bear comes from the others in that order. Raises Refused when there is
    not so much left, or the chosen payment is disputed.
    """
    payments = db.session.scalars(
        select(Payment).where(
            Payment.order_id == order.id, Payment.captured_minor > Payment.refund_held_minor
        )
    ).all()
    left = {one: _left(one, first, amount_minor) for one in payments}
    chosen = sorted(left, key=lambda one: (one.id != first, one.gateway == "gift_card", -one.id))
    if first is None:
        chosen = [one for one in chosen if left[one] >= amount_minor][:1] or chosen
    if sum(left[one] for one in chosen) < amount_minor:
        raise Refused(_too_much(left, order.currency))
    made, are_named = [], bool(lines)
    for payment in chosen:
        part = min(amount_minor, left[payment])
        if part:
            taken, lines = split(lines, part)
            # A part without lines is delivery then, and not all that nobody named.
            made.append(
                request_refund(payment.id, part, taken, reason, actor, follows_order=not are_named)
            )
            amount_minor -= part
    return made


def _left(payment: Payment, first: int | None, amount_minor: int) -> int:
    """What it can bear; a disputed one nothing, unless it was chosen: then that is what is refused."""
    left = left_to_refund(payment)
    if left is None:
        return amount_minor if payment.id == first else 0
    return max(0, left)


def _too_much(left: Mapping[Payment, int], currency: str) -> str:
    words = f"Not more than {format_minor(sum(left.values()), currency)} can go back now."
    if any(left_to_refund(payment) is None for payment in left):
        return f"{words} The disputed payment waits for its outcome."
    return words


def split(lines: Sequence[RefundLine], budget: int) -> tuple[list[RefundLine], list[RefundLine]]:
    """As much of the lines as the budget bears, and the rest: units go with the first money."""
    taken, rest = [], []
    for line in lines:
        now = min(line.amount_minor, budget)
        budget -= now
        if now or (line.quantity and not line.amount_minor):
            taken.append(replace(line, amount_minor=now))
            if now < line.amount_minor:
                rest.append(RefundLine(line.line_id, 0, line.amount_minor - now))
        elif line.quantity or line.amount_minor:
            rest.append(line)
    return taken, rest
