"""Proofs about money."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, func, select

from shop.books.reading import beside, stream, sums_beside
from shop.books.reading import sums as sums_of
from shop.catalog.models import Seller
from shop.orders.models import Order, OrderLine
from shop.payments.models import (
    Dispute,
    DisputeStatus,
    PartStatus,
    Payment,
    PaymentEvent,
    PaymentPart,
    Refund,
    RefundStatus,
)
from shop.payments.status import payment_status

LINE_SUMS = sums_of(OrderLine.order_id, OrderLine.total_minor)
PART_SUMS = sums_of(
    PaymentPart.order_id, PaymentPart.amount_minor, PaymentPart.status != PartStatus.WAIVED
)
FIGURES = select(
    Order.id, Order.number, Order.subtotal_minor, Order.discount_minor, Order.shipping_minor,
    Order.fee_minor, Order.tax_minor, Order.total_minor,
).order_by(Order.id)  # fmt: skip
WRONG_LINES = select(OrderLine.id).where(
    OrderLine.total_minor
    != OrderLine.unit_price_minor * OrderLine.quantity - OrderLine.discount_minor
)


def figures(connection: Connection) -> Iterator[str]:
    """I1: lines sum to subtotal, parts to total, and each line to its own figures."""
    lines, parts = sums_beside(connection, LINE_SUMS), sums_beside(connection, PART_SUMS)
    for order in stream(connection, FIGURES):
        goods, asked = lines(order.id), parts(order.id)
        whole = order.subtotal_minor - order.discount_minor + order.shipping_minor
        whole += order.fee_minor + order.tax_minor
        if goods != order.subtotal_minor:
            yield f"orders:{order.number} lines are {goods} of {order.subtotal_minor}"
        if whole != order.total_minor:
            yield f"orders:{order.number} figures make {whole}, not {order.total_minor}"
        if asked != order.total_minor:
            yield f"orders:{order.number} parts are {asked} of {order.total_minor}"
    yield from (f"order_lines:{line} total is wrong" for line in connection.scalars(WRONG_LINES))


PAID_BY_NOTHING = (
    select(PaymentPart.id)
    .join(Order, PaymentPart.order_id == Order.id)
    .where(
        PaymentPart.status == PartStatus.PAID,
        ~select(Payment.id)
        .where(
            Payment.part_id == PaymentPart.id,
            Payment.captured_minor >= PaymentPart.amount_minor,
            Payment.currency == Order.currency,
        )
        .exists(),
    )
)
ASKING_FOR_ELSE = (
    select(Payment.reference)
    .join(PaymentPart, Payment.part_id == PaymentPart.id)
    .join(Order, Payment.order_id == Order.id)
    .where(
        (Payment.amount_minor != PaymentPart.amount_minor) | (Payment.currency != Order.currency)
    )
)


def asked_is_paid(connection: Connection) -> Iterator[str]:
    """I2: a part that is paid has a capture of its amount in its order's currency."""
    unpaid, strange = connection.scalars(PAID_BY_NOTHING), connection.scalars(ASKING_FOR_ELSE)
    yield from (f"payment_parts:{part} is paid by nothing" for part in unpaid)
    yield from (f"payments:{reference} asks for something else" for reference in strange)


CAPTURED_BY = (
    select(PaymentEvent.payment_id, PaymentEvent.amount_minor)
    .where(PaymentEvent.kind == "captured", PaymentEvent.changed.not_in(["nothing", "mismatch"]))
    .order_by(PaymentEvent.payment_id, PaymentEvent.id)
)
CAPTURED = select(Payment.id, Payment.reference, Payment.captured_minor).order_by(Payment.id)


def captures(connection: Connection) -> Iterator[str]:
    """I3: captured_minor is what exactly one event brought."""
    events_of = beside(connection, CAPTURED_BY)
    for payment in stream(connection, CAPTURED):
        brought = [event.amount_minor or 0 for event in events_of(payment.id)]
        if brought != ([payment.captured_minor] if payment.captured_minor else []):
            yield f"payments:{payment.reference} captured {payment.captured_minor}, its events {brought}"


REFUNDS_HELD = sums_of(Refund.payment_id, Refund.amount_minor, Refund.status != RefundStatus.FAILED)
REFUNDS_MADE = sums_of(
    Refund.payment_id, Refund.amount_minor, Refund.status == RefundStatus.SUCCEEDED
)
REFUNDED = select(
    Payment.id, Payment.reference, Payment.captured_minor, Payment.refund_held_minor,
    Payment.refunded_minor,
).order_by(Payment.id)  # fmt: skip


def refunds(connection: Connection) -> Iterator[str]:
    """I4: holds are the refunds that did not fail, and lines carry what was refunded of them."""
    held, back = sums_beside(connection, REFUNDS_HELD), sums_beside(connection, REFUNDS_MADE)
    for payment in stream(connection, REFUNDED):
        asked, came_back = held(payment.id), back(payment.id)
        if asked != payment.refund_held_minor:
            yield f"payments:{payment.reference} holds {payment.refund_held_minor} for refunds of {asked}"
        if came_back != payment.refunded_minor:
            yield f"payments:{payment.reference} gave back {payment.refunded_minor}, its refunds {came_back}"
        if asked > payment.captured_minor:
            yield f"payments:{payment.reference} refunds more than came in"
    yield from _refunded_lines(connection)


REFUND_LINES = (
    select(Refund.order_id, Refund.id, Refund.lines)
    .where(Refund.status != RefundStatus.FAILED)
    .order_by(Refund.order_id, Refund.id)
)
LOST_DISPUTES = (
    select(Payment.order_id)
    .join(Dispute, Dispute.payment_id == Payment.id)
    .where(Dispute.status == DisputeStatus.LOST)
    .order_by(Payment.order_id)
)
LINES = select(
    OrderLine.order_id, OrderLine.id, OrderLine.quantity, OrderLine.total_minor,
    OrderLine.refunded_quantity, OrderLine.refunded_minor,
).order_by(OrderLine.order_id, OrderLine.id)  # fmt: skip


def _refunded_lines(connection: Connection) -> Iterator[str]:
    """Each line against the refunds that did not fail, order by order.

    A lost dispute takes the whole of an order back without refunds: there lines may say more than
    refunds do, but never more than was bought.
    """
    refunds_of, lost_of = beside(connection, REFUND_LINES), beside(connection, LOST_DISPUTES)
    for order_id, of_order in groupby(stream(connection, LINES), key=lambda line: line.order_id):
        counted = _counted(refunds_of(order_id))
        is_lost = bool(lost_of(order_id))
        for line in of_order:
            yield from _line_faults(line, counted.pop(line.id, (0, 0)), is_lost)
        for stranger in counted:
            yield f"order_lines:{stranger} is refunded by order {order_id}, which has it not"


def _counted(refunds_of_order: list[Any]) -> dict[int, tuple[int, int]]:
    """Units and minor units that refunds name of each line."""
    counted: defaultdict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for refund in refunds_of_order:
        for line in refund.lines:
            units, minor = counted[line["line_id"]]
            counted[line["line_id"]] = (units + line["quantity"], minor + line["amount_minor"])
    return counted


def _line_faults(line: Any, counted: tuple[int, int], is_lost: bool) -> Iterator[str]:
    said = (line.refunded_quantity, line.refunded_minor)
    if said[0] > line.quantity or said[1] > line.total_minor:
        yield f"order_lines:{line.id} is refunded {said}, bought ({line.quantity}, {line.total_minor})"
    is_covered = counted[0] <= said[0] and counted[1] <= said[1]
    if counted != said and not (is_lost and is_covered):
        yield f"order_lines:{line.id} says {said} refunded, its refunds {counted}"


def sums(connection: Connection) -> Iterator[str]:
    """I8: payment_status and sellers' counters are what the rows make."""
    yield from _statuses(connection)
    yield from _sellers(connection)


PAYMENTS = select(
    Payment.order_id, Payment.captured_minor, Payment.refunded_minor, Payment.status,
    Payment.gateway,
).order_by(Payment.order_id)  # fmt: skip
PARTS = select(PaymentPart.order_id, PaymentPart.status).order_by(PaymentPart.order_id)
DISPUTES = (
    select(Payment.order_id, Dispute.amount_minor, Dispute.status)
    .join(Payment, Dispute.payment_id == Payment.id)
    .order_by(Payment.order_id)
)
STATUSES = select(Order.id, Order.number, Order.payment_status, Order.total_minor).order_by(
    Order.id
)


def _statuses(connection: Connection) -> Iterator[str]:
    payments_of, parts_of = beside(connection, PAYMENTS), beside(connection, PARTS)
    disputes_of = beside(connection, DISPUTES)
    for order in stream(connection, STATUSES):
        due = payment_status(
            payments_of(order.id), parts_of(order.id), disputes_of(order.id), order.total_minor
        )
        if due != order.payment_status:
            yield f"orders:{order.number} says {order.payment_status.value}, its money says {due.value}"


SOLD = (
    select(
        OrderLine.seller_id,
        func.sum(OrderLine.quantity - OrderLine.refunded_quantity).label("units"),
        func.sum(OrderLine.total_minor - OrderLine.refunded_minor).label("minor"),
    )
    .join(Order, OrderLine.order_id == Order.id)
    .where(Order.sales_counted_at.is_not(None))
    .group_by(OrderLine.seller_id)
)
SELLERS = select(Seller.id, Seller.sales_count, Seller.sales_minor)


def _sellers(connection: Connection) -> Iterator[str]:
    sold = {row.seller_id: (int(row.units), int(row.minor)) for row in connection.execute(SOLD)}
    for seller in connection.execute(SELLERS):
        counts, due = (seller.sales_count, seller.sales_minor), sold.get(seller.id, (0, 0))
        if counts != due:
            yield f"sellers:{seller.id} counts {counts}, its lines {due}"
