"""Reading a refund form: units by line, delivery, reason. All amounts are worked out here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flask_login import current_user
from sqlalchemy import func, select

from shop.accounts.rights import refund_limit_minor, staff_actor
from shop.admin.order_facts import OrderFacts
from shop.delivery.models import FINAL, NOT_HANDED_OVER, Shipment
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.money import MoneyError, format_minor, parse_minor, to_decimal
from shop.orders.models import Order, OrderLine
from shop.payments.models import Payment, Refund, RefundStatus
from shop.payments.refundable import left_to_refund
from shop.payments.refunds import RefundLine, line_amount
from shop.returns import claims
from shop.stock import ledger

REASONS = (
    "Customer returned it",
    "Arrived damaged",
    "Could not supply",
    "Goodwill",
    "Paid by mistake",
)


@dataclass(frozen=True)
class FormLine:
    """A line of the form: what may still go back, what is asked, and what that comes to."""

    line: OrderLine
    left: int
    each_minor: int
    quantity: int
    restock: bool
    amount_minor: int
    #: Units that may go back in stock: neither refunded yet, nor in a parcel under way, nor lost.
    here: int
    #: Units in parcels that have neither arrived nor given them back, and the numbers of these.
    in_parcels: int = 0
    parcels: str = ""
    #: Units that other goods were sent for already.
    exchanged: int = 0

    @property
    def problem(self) -> str:
        """What is wrong with putting so many back in stock."""
        if not self.restock or self.quantity <= self.here:
            return ""
        return (
            f"Not more than {self.here} of {self.line.name} can go back in stock:"
            f" {self._elsewhere()}. Refund without that, or cancel the parcel first."
        )

    def _elsewhere(self) -> str:
        lost = f"{self.line.lost_quantity} lost" if self.line.lost_quantity else ""
        inside = f"{self.in_parcels} in {self.parcels}" if self.in_parcels else ""
        return ", ".join(one for one in (inside, lost) if one)


@dataclass(frozen=True)
class RefundForm:
    """A refund as asked for. `problem` says what is wrong with it, in the person's words, and `at` where."""

    #: Of which the money comes first.
    payment: Payment
    #: What each of the order's can give back now, in the order in which they do; minor units.
    left: Mapping[Payment, int]
    lines: list[FormLine]
    shipping: str
    shipping_minor: int
    shipping_left_minor: int
    reason: str
    problem: str = ""
    at: str = ""
    #: Money of the order that a dispute is about waits for its outcome.
    is_disputed: bool = False
    reasons: tuple[str, ...] = field(default=REASONS)

    @property
    def total_minor(self) -> int:
        """What goes back."""
        return sum(line.amount_minor for line in self.lines) + self.shipping_minor

    @property
    def left_minor(self) -> int:
        """What can go back now, of all payments."""
        return sum(self.left.values())

    @property
    def becomes(self) -> str:
        """What the order's payment will be called after it."""
        if self.is_disputed:
            return "disputed"
        return "refunded" if self.total_minor >= self.left_minor else "partially_refunded"

    def refund_lines(self) -> list[RefundLine]:
        """What the refund is for, as payments.refunds takes it."""
        return [
            RefundLine(
                row.line.id, row.quantity, row.amount_minor, row.restock and row.quantity > 0
            )
            for row in self.lines
            if row.quantity
        ]

    def checked(self) -> "RefundForm":
        """The same. Raises Refused with what is wrong."""
        if self.problem:
            raise Refused(self.problem, field=self.at)
        if self.total_minor <= 0:
            raise Refused("Choose at least one item, or an amount of delivery to refund.")
        if self.total_minor > self.left_minor:
            left = format_minor(self.left_minor, self.payment.currency)
            raise Refused(f"Not more than {left} of this order can be refunded now.")
        if self.reason not in REASONS:
            raise Refused("Choose a reason.", field="reason")
        return self


def check_limit(order: Order, amount_minor: int) -> None:
    """What this person has refunded of the order and would now stays within the role's limit.

    The order is locked, so that two forms at once do not pass together. Raises Refused.
    """
    limit = refund_limit_minor(current_user)
    if limit is None:
        return
    before = db.session.scalar(
        select(func.coalesce(func.sum(Refund.amount_minor), 0)).where(
            Refund.order_id == order.id,
            Refund.actor == staff_actor(),
            Refund.status != RefundStatus.FAILED,
        )
    )
    if (before or 0) + amount_minor > limit:
        shown = format_minor(limit, order.currency)
        raise Refused(f"Your role may refund up to {shown} of an order. Ask a manager for more.")


def left_of(facts: OrderFacts) -> dict[Payment, int | None]:
    """What each payment with money left can give back now, the newest first and gift cards last.

    None while it is disputed.
    """
    able = [payment for payment in facts.payments if payment.refundable_minor > 0]
    able.sort(key=lambda one: one.gateway == "gift_card")
    return {payment: left_to_refund(payment) for payment in able}


def payment_of(facts: OrderFacts, left: Mapping[Payment, int | None], wanted: str) -> Payment:
    """The payment that the money comes from first: the one named, else the first that can give some."""
    named = [one for one in facts.payments if str(one.id) == wanted]
    if wanted and not named:
        raise NotFound
    for payment in named or left:
        if (left.get(payment) or 0) > 0:
            return payment
    if any(left.get(payment, 0) is None for payment in named or left):
        raise Refused("This payment is disputed. Wait for the outcome before you refund.")
    raise Refused("Nothing of this payment can be refunded any more.")


def read_form(facts: OrderFacts, sent: Mapping[str, str]) -> RefundForm:
    """Work out the form from what was sent; nothing sent is a form with nothing chosen."""
    left_now = left_of(facts)
    payment = payment_of(facts, left_now, sent.get("payment", ""))
    order = facts.order
    wrong: dict[str, str] = {}
    lines = []
    exchanged = claims.exchanged(order.id)
    for line in order.lines:
        left = line.quantity - line.refunded_quantity
        quantity, said = _units(sent.get(f"qty-{line.id}", "0"), left, line.name)
        under_way = _under_way(facts.shipments, line.id)
        row = FormLine(
            line, left, line_amount(line, 1) if left else 0, quantity,
            sent.get(f"restock-{line.id}") == "1", line_amount(line, quantity) if quantity else 0,
            _here(line, left, under_way[0]), *under_way, exchanged.get(line.id, 0),
        )  # fmt: skip
        if said or row.problem:
            wrong[f"qty-{line.id}"] = said or row.problem
        lines.append(row)
    left_minor = delivery_left_minor(facts)
    shipping, shipping_minor, said = _shipping(sent.get("shipping", ""), left_minor, order.currency)
    if said:
        wrong["shipping"] = said
    at, problem = next(iter(wrong.items()), ("", ""))
    return RefundForm(
        payment, {one: minor for one, minor in left_now.items() if minor and minor > 0},
        lines, shipping, shipping_minor, left_minor,
        sent.get("reason", ""), problem, at, None in left_now.values(),
    )  # fmt: skip


def _under_way(shipments: Sequence[Shipment], line_id: int) -> tuple[int, str]:
    """Units of the line in parcels that have not come to their end, and these in words."""
    held = {
        shipment.sequence: inside.quantity
        for shipment in shipments
        for inside in shipment.lines
        if inside.order_line_id == line_id
        and not inside.given_back
        and shipment.status not in FINAL
    }
    return sum(held.values()), ", ".join(f"parcel {number}" for number in sorted(held))


def _here(line: OrderLine, left: int, in_parcels: int) -> int:
    """How many of the units not refunded are, or may be, with us. Asks the ledger only after a loss."""
    out = ledger.units_out(line.id) - line.lost_quantity if line.lost_quantity else left
    return max(0, min(left, out) - in_parcels)


def warn_of_parcels(facts: OrderFacts) -> None:
    """A parcel that waits for its pickup and holds what was refunded gets a person: it would leave.

    The order is locked, and its lines count the refund already.
    """
    over = {
        line.id
        for line in facts.order.lines
        if _under_way(facts.shipments, line.id)[0] > line.quantity - line.refunded_quantity
    }
    numbers = [
        str(shipment.sequence)
        for shipment in facts.shipments
        if shipment.status in NOT_HANDED_OVER
        and any(one.order_line_id in over and not one.given_back for one in shipment.lines)
    ]
    if numbers:
        named = f"Parcel {numbers[0]} still holds"
        if len(numbers) > 1:
            named = f"Parcels {', '.join(sorted(numbers))} still hold"
        facts.order.attention = f"{named} refunded units: cancel it first"


def _units(written: str, left: int, name: str) -> tuple[int, str]:
    value = written.strip()
    if not value.isascii() or not value.isdigit() or len(value) > 6:
        return 0, f"Use a whole number of {name}."
    if int(value) > left:
        return left, f"Only {left} of {name} can still be refunded."
    return int(value), ""


def delivery_left_minor(facts: OrderFacts) -> int:
    """What of delivery and fees can still go back: earlier refunds beyond their lines are taken off."""
    paid = facts.order.shipping_minor + facts.order.fee_minor + facts.order.tax_minor
    back: int = sum(
        refund.amount_minor - sum(line["amount_minor"] for line in refund.lines)
        for refund in facts.refunds
        if refund.status != RefundStatus.FAILED
    )
    return max(0, paid - back)


def _shipping(written: str, left_minor: int, currency: str) -> tuple[str, int, str]:
    """The delivery refund as typed, in minor units, and what is wrong with it."""
    if not written.strip():
        return str(to_decimal(0, currency)), 0, ""
    try:
        minor = parse_minor(written.strip(), currency)
    except MoneyError:
        return written[:20], 0, "Enter the delivery refund as an amount, for example 99.00."
    if minor > left_minor:
        return (
            written[:20],
            0,
            f"Not more than {format_minor(left_minor, currency)} of delivery can go back.",
        )
    return written.strip(), minor, ""
