"""Links in mails that stop them, or bring a cart back: signed, opaque, good for as long as the row is.

A token names a message by its id and nothing else; whose it is and what it was about stand in the
message's row. So no address is in the link, and none can be made for somebody else's.
"""

from itsdangerous import BadData, URLSafeSerializer

from shop.config import settings
from shop.errors import NotFound
from shop.extensions import db
from shop.messaging.models import Notification


def _serializer(salt: str) -> URLSafeSerializer:
    keys = [*reversed(settings().secret_key_fallbacks), settings().secret_key]
    return URLSafeSerializer(keys, salt=f"messaging.{salt}")


def token_of(notification_id: int, salt: str) -> str:
    """The token of a message for one use: "stop" or "cart"."""
    return str(_serializer(salt).dumps(notification_id))


def stop_url(notification_id: int | None) -> str:
    """Where the mail's reader stops such mails; a preview, which is no message, leads nowhere special."""
    if notification_id is None:
        return f"{settings().public_url}/account/messages"
    return f"{settings().public_url}/messages/stop/{token_of(notification_id, 'stop')}"


def cart_url(notification_id: int | None) -> str:
    """Where the reminder's reader finds the cart again, in any browser."""
    if notification_id is None:
        return f"{settings().public_url}/cart"
    return f"{settings().public_url}/messages/cart/{token_of(notification_id, 'cart')}"


def message_of(token: str, salt: str) -> Notification:
    """The message that the token names. Raises NotFound for one that is not ours, or for another use."""
    try:
        notification_id = _serializer(salt).loads(token)
    except BadData:
        raise NotFound("This link is not complete. Copy it whole from the email.") from None
    found = db.session.get(Notification, notification_id)
    if found is None:
        raise NotFound("This link is over.")
    return found
