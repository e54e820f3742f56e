"""What a payment or a refund tells about itself when an incident names it or its order."""

from typing import Any

from sqlalchemy import select

from shop.extensions import db
from shop.incidents.facts import tells_about
from shop.payments.models import Payment, Refund


@tells_about("order_id")
def latest_of_order(order_id: int) -> dict[str, Any]:
    """The attempt made last, by our reference and the gateway's id."""
    row = db.session.execute(
        select(Payment.reference, Payment.gateway_id)
        .where(Payment.order_id == order_id)
        .order_by(Payment.id.desc())
        .limit(1)
    ).one_or_none()
    return {"paymentId": row.reference, "gatewayOrderId": row.gateway_id} if row else {}


@tells_about("payment_id")
def of_payment(payment_id: int) -> dict[str, Any]:
    """This attempt, its amount and its order."""
    row = db.session.execute(
        select(
            Payment.reference, Payment.gateway_id, Payment.amount_minor, Payment.currency,
            Payment.order_id,
        ).where(Payment.id == payment_id)
    ).one_or_none()  # fmt: skip
    if row is None:
        return {}
    return {
        "paymentId": row.reference, "gatewayOrderId": row.gateway_id, "amount": row.amount_minor,
        "currency": row.currency, "order_id": row.order_id,
    }  # fmt: skip


@tells_about("refund_id")
def of_refund(refund_id: int) -> dict[str, Any]:
    """The refund's own amount, and the payment that it goes back on."""
    row = db.session.execute(
        select(Refund.amount_minor, Refund.payment_id, Payment.currency)
        .join(Payment, Payment.id == Refund.payment_id)
        .where(Refund.id == refund_id)
    ).one_or_none()
    if row is None:
        return {}
    return {"amount": row.amount_minor, "currency": row.currency, "payment_id": row.payment_id}
