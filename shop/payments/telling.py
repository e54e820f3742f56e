"""Saying what happened to an order's money: in its timeline, and as incidents with all their facts."""

from typing import Any

from shop.clock import utcnow
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.orders.models import Order, OrderEvent
from shop.payments.models import Payment


def note(
    order: Order, kind: str, actor: str, text: str, details: dict[str, Any] | None = None
) -> None:
    """A line in the order's timeline, for the customer too."""
    db.session.add(
        OrderEvent(
            order_id=order.id, kind=kind, actor=actor, text=text, details=details or {},
            for_customer=True, occurred_at=utcnow(),
        )
    )  # fmt: skip


def report(order: Order, payment: Payment, issue: str, severity: Severity, fault: str) -> None:
    """Attention on the order and an incident with all that a person needs."""
    order.attention = issue[:300]
    report_payment(order, payment, issue, severity, fault)


def report_payment(
    order: Order, payment: Payment, issue: str, severity: Severity, fault: str
) -> None:
    """An incident about a payment, with its whole context."""
    open_incident(
        About(
            issue=issue, category=Category.PAYMENT, severity=severity, order_id=order.id,
            context={
                "orderId": order.number, "customerId": order.user_id, "paymentId": payment.reference,
                "gatewayOrderId": payment.gateway_id, "amount": payment.amount_minor,
                "currency": payment.currency, "customerEmail": order.email,
                "customerPhone": order.phone, "deliveryStage": order.status.value,
            },
        ),
        f"{fault}:{payment.reference}",
    )  # fmt: skip
