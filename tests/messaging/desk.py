"""One way to bring messages in the shop under test, its stand-in, and the post between them, carried by hand."""

from dataclasses import replace
from typing import Any

from shop.clock import utcnow
from shop.config import settings
from shop.database import transaction
from shop.extensions import db
from shop.messaging.channels import channel_by
from shop.messaging.models import Notification, NotificationStatus
from shop.webhooks.models import WebhookEvent
from tests.messaging.ways import OUTGOING, Way
from tests.simulators.messengers import Messenger

S = NotificationStatus


class Desk:
    """One way in the shop, its stand-in, and the post between them, carried by hand."""

    def __init__(self, way: Way, stand_in: Messenger, client: Any) -> None:
        self.way, self.stand_in, self.client = way, stand_in, client

    def note(self, status: S = S.SENT, provider_id: str | None = None, **more: Any) -> int:
        """A message as the table holds it once it was taken up."""
        values = {
            "template": "order_shipped", "channel": self.way.kind, "provider": self.way.key,
            "recipient": OUTGOING.recipient, "message_id": OUTGOING.message_id, "subject": "Shipped",
            "dedupe_key": f"{self.way.id}:{utcnow().timestamp()}", "context": {},
        }  # fmt: skip
        with transaction():
            row = Notification(**{**values, **more}, status=status, provider_id=provider_id)
            db.session.add(row)
            db.session.flush()
            return row.id

    def send(self, **changes: Any) -> str:
        return channel_by(self.way.kind, self.way.key).send(replace(OUTGOING, **changes))

    def sent(self) -> tuple[str, int]:
        """A message that was handed over: the provider's id, and ours."""
        made = self.send()
        return made, self.note(provider_id=made)

    def carry(self, *, times: int = 1, backwards: bool = False) -> list[int]:
        """Bring what the stand-in posted; returns the answers."""
        hooks, self.stand_in.outbox = self.stand_in.outbox, []
        answers = []
        for hook in (reversed(hooks) if backwards else hooks) if times else ():
            for _ in range(times):
                path = hook.url.removeprefix(settings().public_url)
                headers = {"Content-Type": "application/json", **hook.sign(hook.body)}
                told = self.client.post(path, data=hook.body, headers=headers)
                answers.append(told.status_code)
        return answers

    def row(self, notification_id: int) -> Notification:
        db.session.rollback()
        return db.session.get_one(Notification, notification_id)


def events() -> list[WebhookEvent]:
    db.session.rollback()
    return list(db.session.scalars(db.select(WebhookEvent).order_by(WebhookEvent.id)))
