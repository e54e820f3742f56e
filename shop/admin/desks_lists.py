"""What waits on the money desks: each a list with a count, a deadline and a default (domain.md)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import and_, func, select

from shop.admin.desk_pages import Part, moment_at
from shop.extensions import db
from shop.incidents.models import Incident, IncidentStatus
from shop.orders.models import Order, OrderStatus, PaymentStatus
from shop.payments.excess import overpaid
from shop.payments.models import Payment, PaymentEvent, Refund, RefundStatus
from shop.payments.refunds import BY_HAND
from shop.payments.statements.matching import OTHER_CURRENCY
from shop.payments.statements.models import BankStatementLine, LineState


@dataclass(frozen=True)
class Desk:
    """A desk's words: what waits there, and what happens if nobody does anything."""

    words: str
    about: str
    default: str


DESKS = {
    "late": Desk(
        "Late money", "Paid after the items had sold out.", "refunded in full by itself at its deadline"
    ),
    "unmatched": Desk(
        "Unmatched", "Money on the account, or at a gateway, that names no order.", "an incident after {unmatched_money_days} days"
    ),
    "short": Desk(
        "Paid too little", "Less came than was asked.", "cancelled and sent back when the hold ends"
    ),
    "over": Desk(
        "Paid too much", "More came than was asked.", "the excess goes back by itself after {overpaid_days} days"
    ),
    "currency": Desk(
        "Wrong currency", "Money in another currency than the order's.", "an incident after {unmatched_money_days} days"
    ),
    "refunds": Desk(
        "Refunds to send", "Bank transfers and cash go back by hand.", "an incident after {refund_by_hand_days} days"
    ),
}  # fmt: skip

_LINE = BankStatementLine
_WAITS = _LINE.state == LineState.UNMATCHED
_OTHER_CURRENCY = and_(_WAITS, _LINE.remark == OTHER_CURRENCY)
_UNMATCHED = and_(_WAITS, _LINE.remark != OTHER_CURRENCY)
_UNKNOWN = and_(
    Incident.fingerprint.startswith("unknown_money:"), Incident.status != IncidentStatus.RESOLVED
)
_SHORT = and_(
    Order.attention.is_not(None),
    Order.late_money_due_at.is_(None),
    Order.payment_status == PaymentStatus.PARTIALLY_PAID,
    # Its money goes back anyhow.
    Order.status != OrderStatus.CANCELLED,
)
_BY_HAND = and_(
    Refund.status.in_([RefundStatus.REQUESTED, RefundStatus.SENT]), Payment.gateway.in_(BY_HAND)
)


def counts() -> dict[str, int]:
    """How many wait on each desk: one statement."""
    figures = {
        "late": _count(Order, Order.late_money_due_at.is_not(None)),
        "lines": _count(_LINE, _UNMATCHED),
        "unknown": _count(Incident, _UNKNOWN),
        "short": _count(Order, _SHORT),
        "over": select(func.count()).select_from(overpaid().subquery()).scalar_subquery(),
        "currency_lines": _count(_LINE, _OTHER_CURRENCY),
        "mismatches": select(func.count()).select_from(_mismatched().subquery()).scalar_subquery(),
        "refunds": refunds_to_send(),
    }
    row = db.session.execute(select(*(figure.label(key) for key, figure in figures.items()))).one()
    found = dict(row._mapping)
    found["unmatched"] = found.pop("lines") + found.pop("unknown")
    found["currency"] = found.pop("currency_lines") + found.pop("mismatches")
    return found


def refunds_to_send() -> Any:
    """How many refunds wait for a person: a column for a statement of counts."""
    found = select(func.count(Refund.id)).join(Payment, Payment.id == Refund.payment_id)
    return found.where(_BY_HAND).scalar_subquery()


def _count(model: Any, condition: Any) -> Any:
    return select(func.count()).select_from(model).where(condition).scalar_subquery()


def _mismatched() -> Any:
    """Marked orders for which a gateway told of another currency, and that are still not paid by it."""
    return (
        select(Order.id)
        .join(Payment, Payment.order_id == Order.id)
        .join(PaymentEvent, PaymentEvent.payment_id == Payment.id)
        .where(
            Order.attention.is_not(None), PaymentEvent.changed == "mismatch",
            Payment.captured_minor == 0, Payment.gateway.not_in(BY_HAND),
        )
        .distinct()
    )  # fmt: skip


def _id_of(row: Any) -> tuple[int]:
    return (row.id,)


def late() -> Part:
    """Orders whose late money goes back by itself: the nearest deadline first."""
    return Part(
        "late",
        select(Order).where(Order.late_money_due_at.is_not(None)),
        by=(Order.late_money_due_at, Order.id),
        of=lambda order: (order.late_money_due_at, order.id),
        read=(moment_at, int),
    )


def lines(*, of_other_currency: bool) -> Part:
    """Statement lines that wait, the oldest first."""
    return Part(
        "lines",
        select(_LINE).where(_OTHER_CURRENCY if of_other_currency else _UNMATCHED),
        by=(_LINE.booked_on, _LINE.id),
        of=lambda line: (line.booked_on, line.id),
        read=(date.fromordinal, int),
    )


def unknown() -> Part:
    """Incidents: payments at a gateway that name no order of ours."""
    return Part("unknown", select(Incident).where(_UNKNOWN), by=(Incident.id,), of=_id_of)


def mismatched() -> Part:
    """Orders for which a gateway told of another currency."""
    found = select(Order).where(Order.id.in_(_mismatched()))
    return Part("mismatched", found, by=(Order.id,), of=_id_of)


@dataclass(frozen=True)
class Short:
    """An order with too little money. Amounts in minor units."""

    order: Order
    came_minor: int

    @property
    def missing_minor(self) -> int:
        """What has not come."""
        return max(0, self.order.total_minor - self.came_minor)

    @property
    def ends_at(self) -> Any:
        """When the default comes; None for an order that is under way."""
        return self.order.expires_at if self.order.is_unpaid else None


def short() -> Part:
    """Orders with too little money, the oldest first."""
    kept = func.sum(Payment.captured_minor - Payment.refund_held_minor)
    found = (
        select(Order, kept)
        .join(Payment, Payment.order_id == Order.id)
        .where(_SHORT)
        .group_by(Order.id)
    )
    return Part(
        "short",
        found,
        by=(Order.id,),
        of=lambda one: (one.order.id,),
        shape=lambda row: Short(row[0], int(row[1])),
    )


def over() -> Part:
    """(order, its excess in minor units) for each with too much money, the oldest first."""
    much = overpaid().subquery()
    found = select(Order, much.c.excess_minor).join(much, much.c.id == Order.id)
    return Part(
        "over",
        found,
        by=(Order.id,),
        of=lambda row: (row[0].id,),
        shape=lambda row: (row[0], int(row[1])),
    )


def refunds() -> Part:
    """(refund, payment, order) for each that a person must send, the oldest first."""
    found = (
        select(Refund, Payment, Order)
        .join(Payment, Payment.id == Refund.payment_id)
        .join(Order, Order.id == Refund.order_id)
        .where(_BY_HAND)
    )
    return Part("refunds", found, by=(Refund.id,), of=lambda row: (row[0].id,), shape=tuple)


PARTS: dict[str, Callable[[], Sequence[Part]]] = {
    "late": lambda: [late()],
    "unmatched": lambda: [lines(of_other_currency=False), unknown()],
    "short": lambda: [short()],
    "over": lambda: [over()],
    "currency": lambda: [lines(of_other_currency=True), mismatched()],
    "refunds": lambda: [refunds()],
}
"""What each desk draws."""


def states_of(statement_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """How many lines of each file stand in which state: one statement."""
    rows = db.session.execute(
        select(_LINE.statement_id, _LINE.state, func.count())
        .where(_LINE.statement_id.in_(statement_ids))
        .group_by(_LINE.statement_id, _LINE.state)
    )
    found: dict[int, dict[str, int]] = {}
    for statement_id, state, count in rows:
        found.setdefault(statement_id or 0, {})[state.value] = count
    return found


def ignored() -> Sequence[BankStatementLine]:
    """Money that a person set aside lately, to be put back if that was wrong."""
    return db.session.scalars(
        select(_LINE)
        .where(_LINE.state == LineState.IGNORED, _LINE.amount_minor > 0)
        .order_by(_LINE.decided_at.desc())
        .limit(10)
    ).all()
