"""What becomes of money that waits on a desk and nobody decides (domain.md, Desks)."""

from datetime import timedelta

from sqlalchemy import func, select

from shop.clock import in_future, local, utcnow
from shop.extensions import db
from shop.incidents.models import Severity
from shop.jobs.handlers import Work, handles
from shop.jobs.queue import enqueue
from shop.jobs.sweeping import next_page
from shop.orders.models import Order
from shop.pages import moment
from shop.payments import telling
from shop.payments.excess import excess_minor, give_back_excess, overpaid
from shop.payments.jobs import PAGE, SWEEP
from shop.payments.models import Dispute, DisputeStatus, Payment, Refund, RefundStatus
from shop.payments.refunds import BY_HAND
from shop.payments.statements import matching
from shop.payments.statements.models import BankStatementLine, LineState
from shop.preferences import preference

EVIDENCE_HOURS = 48
"""So long before its evidence date an open dispute becomes an incident, if nothing was sent."""


@handles("payments.forgotten_money", SWEEP)
def forgotten_money(work: Work) -> None:
    """Unmatched lines and refunds by hand become incidents; what is too much goes back by itself."""
    _lines(work)
    _refunds(work)
    _excess(work)


def _lines(work: Work) -> None:
    oldest = local(utcnow()).date() - timedelta(days=preference("unmatched_money_days"))
    waiting = select(BankStatementLine.id, BankStatementLine).where(
        BankStatementLine.state == LineState.UNMATCHED, BankStatementLine.booked_on <= oldest
    )
    for _, line in next_page(work, waiting, PAGE, "lines"):
        matching.report_forgotten(line)


def _refunds(work: Work) -> None:
    overdue = (
        select(Refund.id, Refund, Payment, Order)
        .join(Payment, Payment.id == Refund.payment_id)
        .join(Order, Order.id == Refund.order_id)
        .where(
            Refund.status.in_([RefundStatus.REQUESTED, RefundStatus.SENT]),
            Payment.gateway.in_(BY_HAND),
            Refund.created_at <= in_future(hours=-24 * preference("refund_by_hand_days")),
        )
    )
    for _, refund, payment, order in next_page(work, overdue, PAGE, "refunds"):
        telling.report_payment(
            order, payment, f"A refund of order {order.number} was not sent by hand yet",
            Severity.HIGH, f"refund_by_hand:{refund.id}",
        )  # fmt: skip


def _excess(work: Work) -> None:
    before = in_future(hours=-24 * preference("overpaid_days"))
    old = overpaid().having(func.max(Payment.captured_at) <= before)
    for order_id, _excess_minor in next_page(work, old, PAGE, "excess"):
        enqueue("payments.return_excess", {"order_id": order_id}, key=str(order_id))


@handles("payments.return_excess", SWEEP)
def return_excess(work: Work) -> None:
    """The default of the desk for overpaid orders: what is too much goes back."""
    order = db.session.get_one(Order, work.payload["order_id"])
    if order.attention is not None and excess_minor(order):
        give_back_excess(order.id, "system")


@handles("payments.remind_evidence", SWEEP)
def remind_evidence(work: Work) -> None:
    """Nothing is sent by itself: an incident tells of evidence that is due soon, or overdue."""
    due = (
        select(Dispute.id, Dispute, Payment, Order)
        .join(Payment, Payment.id == Dispute.payment_id)
        .join(Order, Order.id == Payment.order_id)
        .where(
            Dispute.status == DisputeStatus.OPEN,
            Dispute.evidence_due_at <= in_future(hours=EVIDENCE_HOURS),
            Dispute.evidence_sent_at.is_(None),
            Dispute.evidence_reminded_at.is_(None),
        )
    )
    for _, dispute, payment, order in next_page(work, due, PAGE):
        assert dispute.evidence_due_at
        telling.report_payment(
            order, payment,
            f"Evidence for the dispute of order {order.number} must be sent by {moment(dispute.evidence_due_at)}",
            Severity.CRITICAL, f"evidence_due:{dispute.id}",
        )  # fmt: skip
        dispute.evidence_reminded_at = utcnow()
