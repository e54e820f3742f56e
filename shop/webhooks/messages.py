"""Messages' receipts in the inbox: the providers of SMS, WhatsApp and mail, as the inbox knows sources."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from shop.clock import utcnow
from shop.jobs.queue import enqueue
from shop.messaging import channels
from shop.messaging.channels import ses
from shop.messaging.channels.base import Receipt
from shop.messaging.receipts import apply_receipt
from shop.payments.gateways.signatures import header_value
from shop.provider_json import storable
from shop.providers import TryLater
from shop.webhooks.models import WebhookEvent, WebhookStatus

PREFIX = "messages/"
#: Of the jobs that process receipts: behind whatever moves money or goods.
PRIORITY = 20
#: Where our message id, which a provider was told as a part of its callback's address, is kept.
REFERENCE = "Reference"

#: Whose messages a source's receipts are about, where it is called otherwise.
CARRIER = {ses.KEY: "smtp"}

WAIT_FOR_OURS = timedelta(minutes=2)
"""News may overtake the answer to our own call; after this it is of a message of somebody else's."""


@dataclass(frozen=True)
class Post:
    """A post of receipts, by what the inbox keeps of it."""

    event_id: str
    kind: str


@dataclass
class ReceiptsFrom:
    """One provider, called at one address."""

    key: str
    url: str
    _content_type: str = field(default="", init=False)

    def __post_init__(self) -> None:
        """Raises NotFound for a provider that is not set up here."""
        self._of = channels.source(self.key)

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Raises BadSignature."""
        self._of.verify(body, headers, self.url)
        self._content_type = header_value(headers, "Content-Type") or ""

    def parse(self, body: bytes) -> Post:
        """How the post is named: by its one receipt, else by its bytes. Raises ValueError."""
        receipts = self._of.parse(body, self._content_type)
        if len(receipts) == 1:
            return Post(receipts[0].event_id, receipts[0].status.value)
        kind = f"{len(receipts)} receipts" if receipts else "other"
        return Post(hashlib.sha256(body).hexdigest(), kind)


def reference_in(url: str) -> str:
    """Our message id, where we gave it along in the callback's address."""
    return parse_qs(urlsplit(url).query).get("m", [""])[0][:200]


def read(event: WebhookEvent) -> Sequence[Receipt] | None:
    """A stored post's receipts; None for Amazon's question whether the address is ours."""
    key = event.source.removeprefix(PREFIX)
    if key == ses.KEY and ses.confirmation_url(event.raw_body):
        return None
    receipts = channels.source(key).parse(event.raw_body, event.headers.get("Content-Type", ""))
    told = storable(event.headers.get(REFERENCE, ""))
    return [replace(one, message_id=one.message_id or told) for one in receipts]


def apply(event: WebhookEvent, receipts: Sequence[Receipt] | None) -> WebhookStatus:
    """Bring a post's news, as `read` gave it, into the shop.

    Raises TryLater while its message may still be noted.
    """
    if receipts is None:
        enqueue("webhooks.confirm_sns", {"event_id": event.id}, key=str(event.id))
        return WebhookStatus.PROCESSED
    key = event.source.removeprefix(PREFIX)
    carrier = CARRIER.get(key, key)
    unknown = [one for one in receipts if not apply_receipt(one, carrier)]
    if unknown and utcnow() - event.received_at < WAIT_FOR_OURS:
        raise TryLater("it names a message that is not here yet")
    return WebhookStatus.PROCESSED if len(unknown) < len(receipts) else WebhookStatus.IGNORED
