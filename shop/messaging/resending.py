"""Sending a message once more, because a person asked for it."""

from sqlalchemy import select

from shop.audit import recording as audit
from shop.errors import NotFound
from shop.extensions import db
from shop.messaging.events import Audience
from shop.messaging.jobs import enqueue_sending, telling_of
from shop.messaging.models import Notification, NotificationStatus
from shop.orders.locking import lock_order


def resend(notification_id: int, actor: str) -> Notification:
    """A new message like the old one, written anew from what is true now, in the caller's transaction.

    It goes to the order's present address. One that failed or is uncertain is dealt with by this
    and leaves its list. Raises NotFound.
    """
    old = db.session.get(Notification, notification_id)
    if old is None or old.order_id is None:
        raise NotFound("There is no such message.")
    order = lock_order(old.order_id)
    first_key = old.dedupe_key.partition(":resend-")[0]
    earlier = db.session.scalars(
        select(Notification.dedupe_key).where(Notification.order_id == order.id)
    )
    number = 1 + sum(key.startswith(f"{first_key}:resend-") for key in earlier)
    is_customers = telling_of(old).audience == Audience.CUSTOMER
    new = Notification(
        order_id=old.order_id, user_id=old.user_id, template=old.template, channel=old.channel,
        recipient=order.email if is_customers else old.recipient,
        context=old.context, dedupe_key=f"{first_key}:resend-{number}",
    )  # fmt: skip
    db.session.add(new)
    db.session.flush()
    if old.status in {NotificationStatus.FAILED, NotificationStatus.UNCERTAIN}:
        old.status, old.error = NotificationStatus.SUPPRESSED, f"sent anew as message {new.id}"
    audit.write(
        actor, "message.resent", f"order:{order.number}",
        after={"template": new.template, "message": new.id, "instead_of": old.id},
    )  # fmt: skip
    enqueue_sending(new.id)
    return new
