"""Finding orders for the list: tabs, desks, filters, search and keyset pages.

However many rows there are, a list takes the same few statements.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, true

from shop.delivery.models import Shipment
from shop.delivery.story import coming_back
from shop.extensions import db
from shop.orders.lifecycle import MOVING
from shop.orders.models import Order, OrderEvent, OrderLine, OrderStatus, PaymentStatus
from shop.payments.models import Dispute, DisputeStatus, Payment, PaymentEvent

S = OrderStatus

NEEDS_SOMEBODY = or_(
    Order.attention.is_not(None),
    Order.late_money_due_at.is_not(None),
    Order.status.in_([S.DISPUTED, S.RETURNED]),
)
REFUNDS = or_(
    Order.payment_status.in_([PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED]),
    Order.status.in_([S.PARTIALLY_REFUNDED, S.REFUNDED]),
)


@dataclass(frozen=True)
class Tab:
    """A saved filter: its words and its condition. Trouble is counted in red."""

    words: str
    condition: ColumnElement[bool]
    is_trouble: bool = False


TABS: dict[str, Tab] = {
    "all": Tab("All", true()),
    "to-pack": Tab("To pack", Order.status.in_([S.PAID, S.PROCESSING])),
    "to-ship": Tab("To ship", Order.status == S.READY_FOR_SHIPMENT),
    "awaiting-payment": Tab(
        "Awaiting payment", Order.status.in_([S.PENDING_PAYMENT, S.PAYMENT_FAILED])
    ),
    "on-the-way": Tab(
        "On the way", Order.status.in_([S.SHIPPED, S.IN_TRANSIT, S.OUT_FOR_DELIVERY])
    ),
    "needs-attention": Tab("Needs attention", NEEDS_SOMEBODY, is_trouble=True),
    "refunds": Tab("Refunds", REFUNDS),
    "archived": Tab("Archived", Order.status == S.ARCHIVED),
}
DESKS: dict[str, Tab] = {
    "late-money": Tab("Late money", Order.late_money_due_at.is_not(None)),
    "attention": Tab("Marked", Order.attention.is_not(None)),
    "disputes": Tab("Disputes", Order.status == S.DISPUTED),
    "returned": Tab("Came back", Order.status == S.RETURNED),
}
"""Parts of "Needs attention": what waits for a person's judgement."""


@dataclass(frozen=True)
class Wish:
    """What the address asks for. All state of the list lives in the address."""

    tab: str = "all"
    desk: str = ""
    query: str = ""
    payment: str = ""
    country: str = ""
    before: int | None = None
    after: int | None = None

    def arguments(self, **changes: Any) -> dict[str, Any]:
        """The address of the same list with changes; pages start anew unless they are named."""
        same = {
            "tab": self.tab if self.tab != "all" else None,
            "desk": self.desk, "q": self.query, "payment": self.payment, "country": self.country,
        }  # fmt: skip
        return {key: value for key, value in {**same, **changes}.items() if value}


def read_wish(arguments: Mapping[str, str]) -> Wish:
    """Read the address; what it does not know is left out."""
    tab, desk = arguments.get("tab", "all"), arguments.get("desk", "")
    payment, country = arguments.get("payment", ""), arguments.get("country", "")
    return Wish(
        tab=tab if tab in TABS else "all",
        desk=desk if desk in DESKS else "",
        query=arguments.get("q", "").strip()[:120],
        payment=payment if payment in list(PaymentStatus) else "",
        country=country if len(country) == 2 and country.isalpha() else "",
        before=read_key(arguments.get("before", "")),
        after=read_key(arguments.get("after", "")),
    )


def read_key(value: str) -> int | None:
    """An order's key in the address; None for what is none."""
    return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else None


def condition(wish: Wish, sees_contact: bool) -> ColumnElement[bool]:
    """The rows that the wish names. Who may not see addresses of mail cannot search by them."""
    parts = [TABS[wish.tab].condition]
    if wish.desk:
        parts.append(DESKS[wish.desk].condition)
    if wish.payment:
        parts.append(Order.payment_status == PaymentStatus(wish.payment))
    if wish.country:
        parts.append(Order.shipping_address["country"].as_string() == wish.country.upper())
    if wish.query:
        parts.append(matches(wish.query, sees_contact))
    return and_(*parts)


def matches(query: str, sees_contact: bool) -> ColumnElement[bool]:
    """Number, name, waybill or SKU; with the right also e-mail, phone and payment reference."""
    by_sku = select(OrderLine.order_id).where(OrderLine.sku.icontains(query, autoescape=True))
    by_awb = select(Shipment.order_id).where(
        or_(Shipment.awb == query, Shipment.reference == query)
    )
    fields = [
        Order.number.startswith(query, autoescape=True),
        Order.shipping_address["recipient"].as_string().icontains(query, autoescape=True),
        Order.id.in_(by_sku),
        Order.id.in_(by_awb),
    ]
    if sees_contact:
        by_payment = select(Payment.order_id).where(
            or_(Payment.reference == query, Payment.gateway_id == query)
        )
        fields += [Order.email.icontains(query, autoescape=True), Order.id.in_(by_payment)]
        digits = "".join(letter for letter in query if letter.isascii() and letter.isdigit())
        if len(digits) >= 5:
            fields.append(Order.phone.contains(digits, autoescape=True))
    return or_(*fields)


def number_of(query: str) -> str | None:
    """The order of exactly that number, to be opened at once."""
    return db.session.scalar(select(Order.number).where(Order.number == query.strip()))


def counts(wish: Wish) -> dict[str, int]:
    """How many stand behind each tab and desk, and behind this wish: one statement."""
    columns = [
        func.count().filter(tab.condition).label(key) for key, tab in {**TABS, **DESKS}.items()
    ]
    return dict(db.session.execute(select(*columns).select_from(Order)).one()._mapping)


@dataclass(frozen=True)
class Listed:
    """One page: its rows, newest first, and whether there are rows on either side."""

    rows: list[Order]
    has_older: bool
    has_newer: bool


def listed(wish: Wish, sees_contact: bool, limit: int) -> Listed:
    """The page at the wish's cursor: one statement, two where rows may stand on both sides."""
    found = select(Order).where(condition(wish, sees_contact))
    if wish.after is not None:
        rows = list(
            db.session.scalars(
                found.where(Order.id > wish.after).order_by(Order.id).limit(limit + 1)
            )
        )
        return Listed(rows[:limit][::-1], has_older=True, has_newer=len(rows) > limit)
    if wish.before is not None:
        found = found.where(Order.id < wish.before)
    rows = list(db.session.scalars(found.order_by(Order.id.desc()).limit(limit + 1)))
    return Listed(rows[:limit], has_older=len(rows) > limit, has_newer=wish.before is not None)


def newer_than(wish: Wish, sees_contact: bool, order_id: int) -> int:
    """How many matching orders came after that one."""
    return db.session.scalar(
        select(func.count()).select_from(Order).where(condition(wish, sees_contact), Order.id > order_id)
    ) or 0  # fmt: skip


def by_ids(order_ids: list[int]) -> list[Order]:
    """These orders, newest first."""
    return list(
        db.session.scalars(select(Order).where(Order.id.in_(order_ids)).order_by(Order.id.desc()))
    )


@dataclass(frozen=True)
class RowFacts:
    """What a row shows beside the order's own columns."""

    units: int = 0
    payment: Payment | None = None
    evidence_due_at: Any = None
    is_coming_back: bool = False


def facts_of(rows: list[Order]) -> dict[int, RowFacts]:
    """Units, latest payment, open dispute and way of each row: four statements for all rows."""
    ids = [row.id for row in rows]
    if not ids:
        return {}
    units = dict(
        db.session.execute(
            select(OrderLine.order_id, func.sum(OrderLine.quantity))
            .where(OrderLine.order_id.in_(ids))
            .group_by(OrderLine.order_id)
        ).all()
    )
    newest = (
        select(func.max(Payment.id)).where(Payment.order_id.in_(ids)).group_by(Payment.order_id)
    )
    payments = {
        payment.order_id: payment
        for payment in db.session.scalars(select(Payment).where(Payment.id.in_(newest)))
    }
    due = dict(
        db.session.execute(
            select(Payment.order_id, func.min(Dispute.evidence_due_at))
            .join(Dispute, Dispute.payment_id == Payment.id)
            .where(Payment.order_id.in_(ids), Dispute.status == DisputeStatus.OPEN)
            .group_by(Payment.order_id)
        ).all()
    )
    returning = coming_back(row.id for row in rows if row.status in MOVING)
    return {
        order_id: RowFacts(
            units.get(order_id, 0), payments.get(order_id), due.get(order_id), order_id in returning
        )
        for order_id in ids
    }


def news_version(order_id: int | None = None) -> str:
    """Changes whenever any order changes: the newest rows of the append-only tables. One statement.

    Every step of an order writes its timeline and every news of money a payment event, so their
    running numbers are a version that costs three look-ups in indexes.
    """
    events = select(func.max(OrderEvent.id))
    money = select(func.max(PaymentEvent.id))
    orders = select(func.max(Order.id))
    if order_id is not None:
        events = events.where(OrderEvent.order_id == order_id)
        money = money.join(Payment, Payment.id == PaymentEvent.payment_id).where(
            Payment.order_id == order_id
        )
        orders = select(Order.version).where(Order.id == order_id)
    row = db.session.execute(
        select(events.scalar_subquery(), money.scalar_subquery(), orders.scalar_subquery())
    ).one()
    return ":".join(str(part or 0) for part in row)
