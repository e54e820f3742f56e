"""Sending a message once more, because a person asked for it."""

from sqlalchemy import or_, select

from shop.audit import recording as audit
from shop.errors import Conflict, NotFound, Refused
from shop.extensions import db
from shop.messaging.events import Audience
from shop.messaging.jobs import enqueue_sending, telling_of
from shop.messaging.models import Notification, NotificationStatus
from shop.messaging.subjects import row_of, subject_of
from shop.messaging.telling import recipient_of
from shop.orders.locking import lock_order

UNDER_WAY = (NotificationStatus.QUEUED, NotificationStatus.SENDING)


def may_be_resent(found: Notification) -> bool:
    """Mails about an account, to staff, and tests are not: their links and facts are of that moment."""
    return bool((found.order_id or found.subject_id) and "event" in (found.context or {}))


def resend(notification_id: int, actor: str) -> Notification:
    """A new message like the old one, written anew from what is true now, in the caller's transaction.

    It goes by the same way, to the order's present address or number, and also where mail bounced;
    not to who asked for no more. One that failed or is uncertain is dealt with by this and leaves
    its list. Raises NotFound, also for mails about an account, whose links are made only once;
    Conflict while it, or an earlier one sent anew, is still under way; Refused where what it is
    about is gone.
    """
    # The message before its order, as receipts and the sender lock them.
    old = db.session.get(Notification, notification_id, with_for_update=True)
    if old is None or not (old.order_id or old.subject_id):
        raise NotFound("There is no such message.")
    subject = subject_of(old)
    first_key = old.dedupe_key.partition(":resend-")[0]
    if _is_under_way(first_key):
        raise Conflict("This message is being sent already.")
    row = lock_order(old.order_id) if old.order_id else row_of(subject)
    if row is None:
        raise Refused("What this message is about is gone.")
    telling = telling_of(old)
    new = Notification(
        order_id=old.order_id, user_id=old.user_id, subject_kind=old.subject_kind,
        subject_id=old.subject_id, template=old.template, channel=old.channel, purpose=old.purpose,
        locale=old.locale, recipient=_recipient(old, row), context=_asked(old),
        dedupe_key=f"{first_key}:resend-{_next_number(first_key)}",
    )  # fmt: skip
    db.session.add(new)
    db.session.flush()
    if old.status in {NotificationStatus.FAILED, NotificationStatus.UNCERTAIN}:
        old.status, old.error = NotificationStatus.SUPPRESSED, f"sent anew as message {new.id}"
    is_customers = telling.audience == Audience.CUSTOMER
    audit.write(
        actor, "message.resent",
        f"order:{row.number}" if old.order_id else f"{subject.kind}:{subject.id}",
        after={
            "template": new.template, "channel": new.channel, "message": new.id,
            "instead_of": old.id, "to": "customer" if is_customers else "owner",
        },
    )  # fmt: skip
    enqueue_sending(new.id)
    return new


def _is_under_way(first_key: str) -> bool:
    """The message or one of those sent anew in its place waits to be sent or is being sent."""
    found = select(Notification.id).where(
        or_(
            Notification.dedupe_key == first_key,
            Notification.dedupe_key.startswith(f"{first_key}:resend-", autoescape=True),
        ),
        Notification.status.in_(UNDER_WAY),
    )
    return db.session.scalar(found.limit(1)) is not None


def _recipient(old: Notification, row: object) -> str:
    return recipient_of(telling_of(old), row) or old.recipient


def _asked(old: Notification) -> dict[str, object]:
    """What the old one was asked to tell, without what it was then told."""
    return {name: value for name, value in old.context.items() if name != "whatsapp"}


def _next_number(first_key: str) -> int:
    earlier = db.session.scalars(
        select(Notification.dedupe_key).where(
            Notification.dedupe_key.startswith(f"{first_key}:resend-", autoescape=True)
        )
    )
    return 1 + sum(1 for _ in earlier)


def mark_arrived(notification_id: int, actor: str) -> Notification:
    """A person found out that an uncertain message came through: it leaves its list.

    Raises NotFound, and Conflict when it is no longer uncertain.
    """
    found = db.session.get(Notification, notification_id, with_for_update=True)
    if found is None:
        raise NotFound("There is no such message.")
    if found.status != NotificationStatus.UNCERTAIN:
        raise Conflict("This message is no longer uncertain.")
    found.status, found.error = NotificationStatus.DELIVERED, None
    audit.write(
        actor,
        "message.arrived",
        f"message:{found.id}",
        {"status": "uncertain"},
        {"status": "delivered"},
    )
    return found
