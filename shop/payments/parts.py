"""In which parts an order is paid: gift card first, a deposit and instalments, or two methods.

Parts that are not waived sum to the order's total. The goods leave when every part is paid that
stands before shipping.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from shop.clock import utcnow
from shop.errors import Refused
from shop.extensions import db
from shop.money import format_minor, share
from shop.orders.models import Order, OrderStatus
from shop.payments.models import PartStatus, PaymentPart

PREFERENCES = (
    "deposit_percent", "deposit_minimum_minor", "deposit_ships", "instalments", "instalment_days",
    "instalment_grace_days",
)  # fmt: skip
MOST_PARTS = 20
#: In these states nothing more is to be paid, whatever parts are open.
OVER = frozenset({OrderStatus.CANCELLED, OrderStatus.REFUNDED, OrderStatus.RETURNED})


@dataclass(frozen=True)
class Share:
    """A part as planned: minor units, when it is due (None: now), and whether the goods wait for it."""

    amount_minor: int
    due_at: datetime | None = None
    before_shipping: bool = True


def may_pay_later(total_minor: int, chosen: Mapping[str, Any]) -> bool:
    """True when the shop offers a deposit for an order of this amount."""
    return bool(chosen["deposit_percent"]) and total_minor >= chosen["deposit_minimum_minor"]


def shares(
    total_minor: int, gift_minor: int, by_deposit: bool, chosen: Mapping[str, Any]
) -> list[Share]:
    """How an order is paid: what the gift card takes, then the rest at once or by a plan.

    The deposit is a share of what the card leaves, rounded to whole minor units by largest
    remainder; instalments are equal, the first ones a unit larger where it does not come out.
    """
    parts = [Share(gift_minor)] if gift_minor else []
    rest = total_minor - gift_minor
    if not rest:
        return parts
    if not by_deposit or not may_pay_later(rest, chosen):
        return [*parts, Share(rest)]
    percent = chosen["deposit_percent"]
    deposit, later = share(rest, [percent, 100 - percent])
    if not deposit:
        return [*parts, Share(rest)]
    waits = chosen["deposit_ships"] == "paid_in_full"
    days = timedelta(days=chosen["instalment_days"])
    amounts = [one for one in share(later, [1] * chosen["instalments"]) if one]
    instalments = [
        Share(amount, utcnow() + number * days, waits)
        for number, amount in enumerate(amounts, start=1)
    ]
    return [*parts, Share(deposit), *instalments]


def add(order_id: int, planned: Sequence[Share], after: int = 0) -> list[PaymentPart]:
    """Write the parts, numbered from `after` + 1, in the caller's transaction."""
    parts = [
        PaymentPart(
            order_id=order_id, sequence=number, amount_minor=one.amount_minor, due_at=one.due_at,
            before_shipping=one.before_shipping,
        )
        for number, one in enumerate(planned, start=after + 1)
    ]  # fmt: skip
    db.session.add_all(parts)
    db.session.flush()
    return parts


def of_order(order_id: int) -> list[PaymentPart]:
    """The order's parts in the order in which they are paid; what was split is not among them."""
    return list(
        db.session.scalars(
            select(PaymentPart)
            .where(PaymentPart.order_id == order_id, PaymentPart.status != PartStatus.WAIVED)
            .order_by(PaymentPart.due_at.is_not(None), PaymentPart.due_at, PaymentPart.sequence)
        )
    )


def due_minor(order_id: int) -> int:
    """All that is still to be paid."""
    return int(
        db.session.scalar(
            select(func.coalesce(func.sum(PaymentPart.amount_minor), 0)).where(
                PaymentPart.order_id == order_id, PaymentPart.status == PartStatus.DUE
            )
        )
        or 0
    )


def awaited(order: Order) -> PaymentPart | None:
    """The part that the shopper may pay now: of an unpaid order, or an instalment of a running one."""
    return awaited_of(order, of_order(order.id))


def awaited_of(order: Order, of_it: Sequence[PaymentPart]) -> PaymentPart | None:
    """The same, from the order's parts as read before."""
    if order.status in OVER or order.late_money_due_at is not None:
        return None
    if not order.is_unpaid and order.payment_method == "cod":
        return None
    return next((part for part in of_it if part.status == PartStatus.DUE), None)


def split(order: Order, part: PaymentPart, first_minor: int) -> PaymentPart:
    """Pay this part in two: the first amount now, the rest after it. Returns the first.

    The part is waived, so that money which an earlier attempt still brings for it goes back.
    Raises Refused in the shopper's words.
    """
    if not 0 < first_minor < part.amount_minor:
        whole = format_minor(part.amount_minor, order.currency)
        raise Refused(f"Enter an amount above zero and below {whole}.")
    last = db.session.scalar(
        select(func.max(PaymentPart.sequence)).where(PaymentPart.order_id == order.id)
    )
    if (last or 0) + 2 > MOST_PARTS:
        raise Refused("This order is split into too many parts. Pay the rest at once, please.")
    part.status = PartStatus.WAIVED
    db.session.flush()
    planned = [
        Share(amount, part.due_at, part.before_shipping)
        for amount in (first_minor, part.amount_minor - first_minor)
    ]
    return add(order.id, planned, after=last or 0)[0]


def held_until(order_id: int, chosen: Mapping[str, Any]) -> datetime | None:
    """Until when a plan's goods are held: the last date before shipping, and the days of grace.

    None when nothing that stands before shipping has a date, or the deposit is not paid yet.
    """
    due = [
        part.due_at
        for part in of_order(order_id)
        if part.before_shipping and part.status == PartStatus.DUE
    ]
    dates = [moment for moment in due if moment is not None]
    if not dates or None in due:
        return None
    return max(dates) + timedelta(days=chosen["instalment_grace_days"])
