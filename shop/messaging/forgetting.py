"""What is deleted of messages because nobody needs it any more, and what a person may take away or have blanked."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, delete, func, or_, select, update

from shop.clock import in_future
from shop.extensions import db
from shop.messaging.models import (
    AlertState,
    CartReminder,
    Consent,
    Notification,
    NotificationStatus,
    StockAlert,
)

UNDER_WAY = (NotificationStatus.QUEUED, NotificationStatus.SENDING)
BODY_DAYS = 90
#: A dispute may still ask what was said about an order.
ORDER_BODY_DAYS = 180
TOLD_ALERT_DAYS = 90
WAITING_ALERT_DAYS = 365


def _before(days: int) -> Any:
    return in_future(hours=-24 * days)


def forget_old() -> None:
    """Retention: what messages said, and alerts that were told or waited for a year. That they went stays."""
    said_at = func.coalesce(Notification.sent_at, Notification.created_at)
    db.session.execute(
        update(Notification)
        .where(
            or_(Notification.body_text.is_not(None), Notification.body_html.is_not(None)),
            or_(
                and_(Notification.order_id.is_(None), said_at < _before(BODY_DAYS)),
                said_at < _before(ORDER_BODY_DAYS),
            ),
        )
        .values(body_text=None, body_html=None)
        .execution_options(synchronize_session=False)
    )
    db.session.execute(
        delete(StockAlert).where(
            or_(
                and_(
                    StockAlert.state != AlertState.WAITING,
                    StockAlert.ended_at < _before(TOLD_ALERT_DAYS),
                ),
                StockAlert.created_at < _before(WAITING_ALERT_DAYS),
            )
        )
    )


def kept_about(user_id: int, email: str, phone: str | None) -> dict[str, Any]:
    """Queries for all that is kept of a person's wishes: {what: select}."""
    ways = [email.casefold(), *([phone] if phone else [])]
    return {
        "consents": select(Consent)
        .where(or_(Consent.user_id == user_id, Consent.recipient.in_(ways)))
        .order_by(Consent.id),
        "stock_alerts": select(StockAlert)
        .where(or_(StockAlert.user_id == user_id, StockAlert.email == email.casefold()))
        .order_by(StockAlert.id),
        "cart_reminders": select(CartReminder)
        .where(or_(CartReminder.user_id == user_id, CartReminder.email == email.casefold()))
        .order_by(CartReminder.id),
    }


def erase(user_id: int, email: str, phone: str | None) -> None:
    """Take away a person's wishes. Without consent nothing more is sent; suppressions stay, to be heeded."""
    for query in kept_about(user_id, email, phone).values():
        for row in db.session.scalars(query).all():
            db.session.delete(row)
    db.session.flush()


def erase_messages(user_id: int, email: str, phone: str | None, order_ids: Sequence[int]) -> None:
    """Blank to whom messages went and what they said; that one went, and about which order, stays.

    Book-keeping needs no message: the order holds its own address. What is about no order and has
    not gone yet is not sent any more; what is about one still is, and keeps whom it is for.
    """
    ways = [email.casefold(), *([phone] if phone else [])]
    theirs = or_(
        Notification.user_id == user_id,
        and_(Notification.order_id.is_(None), func.lower(Notification.recipient).in_(ways)),
    )
    db.session.execute(
        update(Notification)
        .where(theirs, Notification.order_id.is_(None), Notification.status.in_(UNDER_WAY))
        .values(status=NotificationStatus.SUPPRESSED)
        .execution_options(synchronize_session=False)
    )
    db.session.execute(
        update(Notification)
        .where(
            or_(theirs, Notification.order_id.in_(order_ids)),
            Notification.status.not_in(UNDER_WAY),
        )
        .values(recipient="", subject="", body_text=None, body_html=None, error=None)
        .execution_options(synchronize_session=False)
    )
