"""What an order's money adds up to. Audit recomputes it with the same function."""

from collections.abc import Sequence

from sqlalchemy import func, select

from shop.extensions import db
from shop.orders.models import Order, PaymentStatus
from shop.payments.models import (
    LIVE,
    Dispute,
    DisputeStatus,
    PartStatus,
    Payment,
    PaymentPart,
)  # fmt: skip


def payment_status(
    payments: Sequence[Payment],
    parts: Sequence[PaymentPart],
    disputes: Sequence[Dispute],
    total: int,
) -> PaymentStatus:
    """The payment status that these rows make. `total` in minor units.

    What counts is what was captured less what went back: the second of two payments, refunded,
    leaves the order simply paid.
    """
    captured = sum(payment.captured_minor for payment in payments)
    lost = sum(d.amount_minor for d in disputes if d.status == DisputeStatus.LOST)
    back = sum(payment.refunded_minor for payment in payments) + lost
    if any(dispute.status == DisputeStatus.OPEN for dispute in disputes):
        return PaymentStatus.DISPUTED
    if captured == 0:
        waits = any(payment.status in LIVE and payment.gateway != "cod" for payment in payments)
        return PaymentStatus.PENDING if waits else PaymentStatus.NOT_PAID
    if captured - back <= 0:
        return PaymentStatus.REFUNDED
    if captured - back >= total and all(part.status != PartStatus.DUE for part in parts):
        return PaymentStatus.PAID
    return PaymentStatus.PARTIALLY_REFUNDED if back else PaymentStatus.PARTIALLY_PAID


def kept_minor(order_id: int) -> int:
    """What is still with the shop of an order's money: refunds asked for and lost disputes are gone."""
    db.session.flush()
    kept = select(func.sum(Payment.captured_minor - Payment.refund_held_minor)).where(
        Payment.order_id == order_id
    )
    return int(db.session.scalar(kept) or 0) - lost_minor(order_id)


def lost_minor(order_id: int) -> int:
    """What the shoppers' banks took back of an order's money."""
    lost = (
        select(func.sum(Dispute.amount_minor))
        .join(Payment, Dispute.payment_id == Payment.id)
        .where(Payment.order_id == order_id, Dispute.status == DisputeStatus.LOST)
    )
    return int(db.session.scalar(lost) or 0)


def refresh(order: Order) -> PaymentStatus:
    """Write the order's payment status anew from its rows."""
    db.session.flush()
    payments = list(db.session.scalars(select(Payment).where(Payment.order_id == order.id)))
    parts = list(db.session.scalars(select(PaymentPart).where(PaymentPart.order_id == order.id)))
    disputes = list(
        db.session.scalars(
            select(Dispute).join(Payment, Dispute.payment_id == Payment.id).where(Payment.order_id == order.id)
        )
    )  # fmt: skip
    order.payment_status = payment_status(payments, parts, disputes, order.total_minor)
    return order.payment_status
