"""What can still go back of a payment, and holding it: no two refunds are promised the same money."""

from sqlalchemy import select, update

from shop.clock import utcnow
from shop.database import rows_changed
from shop.errors import Refused
from shop.extensions import db
from shop.money import format_minor
from shop.payments.models import Dispute, DisputeStatus, Payment
from shop.providers import TryLater


def left_to_refund(payment: Payment) -> int | None:
    """What can go back now; None while a dispute is open. Below zero when refunds asked for are lost."""
    try:
        return payment.refundable_minor - _with_the_bank(payment)
    except Refused:
        return None


def hold(payment: Payment, amount_minor: int) -> None:
    """Hold money for a refund that is asked for. Raises Refused when there is not so much left."""
    gone_minor = _with_the_bank(payment)
    if not _held(payment, amount_minor, gone_minor):
        left = format_minor(max(0, payment.refundable_minor - gone_minor), payment.currency)
        raise Refused(f"Not more than {left} of this payment can still be refunded.")


def hold_for_news(payment: Payment, amount_minor: int) -> None:
    """Hold what the gateway says has gone back.

    Raises TryLater while a refund of ours is in the way that the gateway has not answered: it gives
    nothing back twice, so it will refuse that one.
    """
    if not _held(payment, amount_minor, 0):
        raise TryLater("a refund that the gateway has not answered yet holds this money")


def _with_the_bank(payment: Payment) -> int:
    """What a lost dispute has taken already. Raises Refused while one is open: it would pay twice."""
    disputes = db.session.scalars(select(Dispute).where(Dispute.payment_id == payment.id)).all()
    if any(dispute.status == DisputeStatus.OPEN for dispute in disputes):
        raise Refused("This payment is disputed. Wait for the outcome before you refund.")
    return sum(one.amount_minor for one in disputes if one.status == DisputeStatus.LOST)


def _held(payment: Payment, amount_minor: int, gone_minor: int) -> bool:
    db.session.flush()
    result = db.session.execute(
        update(Payment)
        .where(
            Payment.id == payment.id,
            Payment.captured_minor - Payment.refund_held_minor - gone_minor >= amount_minor,
        )
        .values(refund_held_minor=Payment.refund_held_minor + amount_minor, updated_at=utcnow())
        .execution_options(synchronize_session=False)
    )
    if not rows_changed(result):
        return False
    db.session.refresh(payment)
    return True
