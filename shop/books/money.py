"""Proofs about money."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, select

from shop.catalog.models import Seller
from shop.extensions import db
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


def figures() -> Iterator[str]:
    """I1: lines sum to subtotal, parts to total, and each line to its own figures."""
    by_order = _sums(OrderLine.order_id, OrderLine.total_minor)
    parts = _sums(PaymentPart.order_id, PaymentPart.amount_minor)
    for order in db.session.execute(
        select(
            Order.id, Order.number, Order.subtotal_minor, Order.discount_minor, Order.shipping_minor,
            Order.fee_minor, Order.tax_minor, Order.total_minor,
        )
    ):  # fmt: skip
        whole = order.subtotal_minor - order.discount_minor + order.shipping_minor
        whole += order.fee_minor + order.tax_minor
        if by_order.get(order.id, 0) != order.subtotal_minor or whole != order.total_minor:
            yield f"orders:{order.number} figures do not add up"
        if parts.get(order.id, 0) != order.total_minor:
            yield f"orders:{order.number} parts are {parts.get(order.id, 0)} of {order.total_minor}"
    wrong = select(OrderLine.id).where(
        OrderLine.total_minor
        != OrderLine.unit_price_minor * OrderLine.quantity - OrderLine.discount_minor
    )
    yield from (f"order_lines:{line} total is wrong" for line in db.session.scalars(wrong))


def asked_is_paid() -> Iterator[str]:
    """I2: a part that is paid has a capture of its amount in its order's currency."""
    captured = (
        select(Payment.id)
        .where(
            Payment.part_id == PaymentPart.id,
            Payment.captured_minor >= PaymentPart.amount_minor,
            Payment.currency == Order.currency,
        )
        .exists()
    )
    unpaid = (
        select(PaymentPart.id)
        .join(Order, PaymentPart.order_id == Order.id)
        .where(PaymentPart.status == PartStatus.PAID, ~captured)
    )
    yield from (f"payment_parts:{part} is paid by nothing" for part in db.session.scalars(unpaid))
    strange = (
        select(Payment.reference)
        .join(PaymentPart, Payment.part_id == PaymentPart.id)
        .join(Order, Payment.order_id == Order.id)
        .where(
            (Payment.amount_minor != PaymentPart.amount_minor)
            | (Payment.currency != Order.currency)
        )
    )
    yield from (f"payments:{ref} asks for something else" for ref in db.session.scalars(strange))


def captures() -> Iterator[str]:
    """I3: captured_minor is what exactly one event brought."""
    events: dict[int, list[int]] = defaultdict(list)
    for payment_id, amount in db.session.execute(
        select(PaymentEvent.payment_id, PaymentEvent.amount_minor).where(
            PaymentEvent.kind == "captured", PaymentEvent.changed.not_in(["nothing", "mismatch"])
        )
    ):
        events[payment_id].append(amount or 0)
    for payment_id, reference, captured in db.session.execute(
        select(Payment.id, Payment.reference, Payment.captured_minor)
    ):
        brought = events.get(payment_id, [])
        if brought != ([captured] if captured else []):
            yield f"payments:{reference} holds {captured}, its events brought {brought}"


def refunds() -> Iterator[str]:
    """I4: holds are the refunds that did not fail, and lines carry what was refunded of them."""
    held = _sums(Refund.payment_id, Refund.amount_minor, Refund.status != RefundStatus.FAILED)
    back = _sums(Refund.payment_id, Refund.amount_minor, Refund.status == RefundStatus.SUCCEEDED)
    for payment in db.session.execute(
        select(
            Payment.id, Payment.reference, Payment.captured_minor, Payment.refund_held_minor,
            Payment.refunded_minor,
        )
    ):  # fmt: skip
        if held.get(payment.id, 0) != payment.refund_held_minor:
            yield f"payments:{payment.reference} holds {payment.refund_held_minor} for refunds of {held.get(payment.id, 0)}"
        if back.get(payment.id, 0) != payment.refunded_minor:
            yield f"payments:{payment.reference} gave back {payment.refunded_minor}, its refunds {back.get(payment.id, 0)}"
        if payment.refund_held_minor > payment.captured_minor:
            yield f"payments:{payment.reference} refunds more than came in"
    yield from _line_refunds()


def _line_refunds() -> Iterator[str]:
    counted: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for lines in db.session.scalars(
        select(Refund.lines).where(Refund.status != RefundStatus.FAILED)
    ):
        for line in lines:
            counted[line["line_id"]][0] += line["quantity"]
            counted[line["line_id"]][1] += line["amount_minor"]
    lost = (
        select(Payment.order_id)
        .join(Dispute, Dispute.payment_id == Payment.id)
        .where(Dispute.status == DisputeStatus.LOST)
    )
    for line in db.session.execute(
        select(
            OrderLine.id, OrderLine.quantity, OrderLine.refunded_quantity, OrderLine.refunded_minor
        ).where(OrderLine.order_id.not_in(lost))
    ):
        if counted[line.id] != [line.refunded_quantity, line.refunded_minor]:
            yield f"order_lines:{line.id} says {line.refunded_quantity} refunded, its refunds {counted[line.id][0]}"


def sums() -> Iterator[str]:
    """I8: payment_status and sellers' counters are what the rows make."""
    yield from _statuses()
    yield from _sellers()


def _statuses() -> Iterator[str]:
    payments, parts, disputes = _grouped(Payment), _grouped(PaymentPart), defaultdict(list)
    for dispute, order_id in db.session.execute(
        select(Dispute, Payment.order_id).join(Payment, Dispute.payment_id == Payment.id)
    ):
        disputes[order_id].append(dispute)
    for order in db.session.execute(
        select(Order.id, Order.number, Order.payment_status, Order.total_minor)
    ):
        due = payment_status(
            payments[order.id], parts[order.id], disputes[order.id], order.total_minor
        )
        if due != order.payment_status:
            yield f"orders:{order.number} says {order.payment_status.value}, its money says {due.value}"


def _sellers() -> Iterator[str]:
    sold = {
        row.seller_id: (int(row.units or 0), int(row.minor or 0))
        for row in db.session.execute(
            select(
                OrderLine.seller_id,
                func.sum(OrderLine.quantity - OrderLine.refunded_quantity).label("units"),
                func.sum(OrderLine.total_minor - OrderLine.refunded_minor).label("minor"),
            )
            .join(Order, OrderLine.order_id == Order.id)
            .where(Order.sales_counted_at.is_not(None))
            .group_by(OrderLine.seller_id)
        )
    }
    for seller in db.session.execute(select(Seller.id, Seller.sales_count, Seller.sales_minor)):
        if (seller.sales_count, seller.sales_minor) != sold.get(seller.id, (0, 0)):
            yield f"sellers:{seller.id} counts {seller.sales_count}, its lines {sold.get(seller.id, (0, 0))[0]}"


def _sums(key: Any, amount: Any, *conditions: Any) -> dict[int, int]:
    rows = db.session.execute(select(key, func.sum(amount)).where(*conditions).group_by(key))
    return {row[0]: int(row[1]) for row in rows}


def _grouped(model: Any) -> defaultdict[int, list[Any]]:
    grouped: defaultdict[int, list[Any]] = defaultdict(list)
    for row in db.session.scalars(select(model)):
        grouped[row.order_id].append(row)
    return grouped
