"""The inbox: verify over the raw bytes, store once, answer at once, process in a job."""

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import structlog
from sqlalchemy import update

from shop.audit import recording as audit
from shop.clock import utcnow
from shop.config import settings
from shop.database import insert_ignore, transaction
from shop.delivery.couriers import COURIERS, courier
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.queue import enqueue
from shop.payments.gateways import GATEWAYS, gateway
from shop.payments.gateways.signatures import header_value
from shop.provider_json import UNREADABLE
from shop.webhooks import messages
from shop.webhooks.models import WebhookEvent, WebhookStatus

log = structlog.get_logger()

COURIER_PREFIX = "delivery/"
KEPT_HEADERS = ("Content-Type", "User-Agent", "Content-Length")
#: The kind of a message that could not be read.
UNREAD = "unreadable"
MOST_WORDS = 200


@runtime_checkable
class NamedByHeader(Protocol):
    """A source whose messages carry their id in a header instead of the body."""

    event_id_header: str


class Source(Protocol):
    """A gateway, a courier or a messages' provider, as far as the inbox needs it."""

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Raises BadSignature."""

    def parse(self, body: bytes) -> Any:
        """Gives event_id and kind. Raises ValueError."""


def source_of(name: str, url: str = "") -> Source:
    """The provider behind a source's name, if it is switched on here. Raises NotFound.

    `url` is the public address that it called: some sign it, and some hold a secret in it.
    """
    if name.startswith(messages.PREFIX):
        return messages.ReceiptsFrom(name.removeprefix(messages.PREFIX), url)
    if name.startswith(COURIER_PREFIX):
        key = name.removeprefix(COURIER_PREFIX)
        if key not in COURIERS or (key == "sandbox" and settings().is_production):
            raise NotFound
        return courier(key)
    if name not in GATEWAYS or name not in settings().payment_gateways:
        raise NotFound
    return gateway(name)


def take_in(name: str, body: bytes, headers: Mapping[str, str], url: str = "") -> None:
    """Verify and store a message; its job is written with it. Raises BadSignature and NotFound.

    A message that is verified but cannot be read is stored as failed, with an incident: a repeat
    would not help, so its sender is told that all is well.
    """
    source = source_of(name, url)
    source.verify(body, headers)
    unreadable = ""
    try:
        message = source.parse(body)
        event_id, kind = _told_id(source, headers) or str(message.event_id), str(message.kind)
    except UNREADABLE as error:
        event_id, kind, unreadable = _hash_of(name, body), UNREAD, why_unreadable(name, error)
    with transaction():
        stored = _store(name, event_id[:120], kind[:80], body, _kept(headers, url))
        if stored is None:
            _count_repeat(name, event_id[:120])
        elif unreadable:
            _fail(stored, unreadable)
            report_unreadable(name, unreadable)
        else:
            enqueue_processing(stored, name)
    log.info("webhook.taken", source=name, kind=kind, is_new=stored is not None)


def why_unreadable(name: str, error: Exception) -> str:
    """Words for staff. A reader says ValueError; whatever else it raises is its own mistake."""
    kind = type(error).__name__
    if isinstance(error, ValueError):
        log.warning("webhook.unreadable", source=name, error=kind)
        return str(error)[:MOST_WORDS] or "not JSON"
    log.error("webhook.unreadable", source=name, error=kind, exc_info=error)
    return f"{kind}: {error}"[:MOST_WORDS]


def enqueue_processing(stored: int, name: str) -> None:
    """Ask for a stored message of this source to be processed, in the caller's transaction.

    Receipts of messages come by the thousand and hurry nobody; money and parcels go first.
    """
    priority = messages.PRIORITY if name.startswith(messages.PREFIX) else None
    enqueue("webhooks.process", {"event_id": stored}, key=str(stored), priority=priority)


def _told_id(source: Source, headers: Mapping[str, str]) -> str | None:
    """The id in the header, which is not signed: a message under a new id meets the state's own guards."""
    if not isinstance(source, NamedByHeader):
        return None
    return header_value(headers, source.event_id_header)


def _hash_of(name: str, body: bytes) -> str:
    return hashlib.sha256(name.encode() + b":" + body).hexdigest()


def _kept(headers: Mapping[str, str], url: str) -> dict[str, str]:
    """What is kept beside the body: nothing that proves anything."""
    kept = {key: headers[key] for key in KEPT_HEADERS if key in headers}
    reference = messages.reference_in(url)
    return {**kept, messages.REFERENCE: reference} if reference else kept


def _store(
    name: str, event_id: str, kind: str, body: bytes, headers: Mapping[str, str]
) -> int | None:
    stored: int | None = insert_ignore(
        WebhookEvent,
        {
            "source": name, "event_id": event_id, "kind": kind, "raw_body": body, "received_at": utcnow(),
            "headers": dict(headers),
        },
    )  # fmt: skip
    return stored


def _count_repeat(name: str, event_id: str) -> None:
    db.session.execute(
        update(WebhookEvent)
        .where(WebhookEvent.source == name, WebhookEvent.event_id == event_id)
        .values(repeats=WebhookEvent.repeats + 1)
    )


def _fail(stored: int, error: str) -> None:
    db.session.execute(
        update(WebhookEvent)
        .where(WebhookEvent.id == stored)
        .values(status=WebhookStatus.FAILED, error=error, processed_at=utcnow())
    )


def report_unreadable(name: str, error: str) -> None:
    """A person must look: nothing that the message says has been taken in."""
    open_incident(
        About(
            issue=f"A signed message of {name} could not be read: {error}",
            category=Category.API,
            severity=Severity.MEDIUM,
            context={"source": name},
        ),
        f"webhook_unreadable:{name}",
    )


def replay(event_id: int, actor: str) -> None:
    """By hand: process a stored message once more, in the caller's transaction. State guards make it harmless."""
    event = db.session.get(WebhookEvent, event_id)
    if event is None:
        raise NotFound
    if event.kind == UNREAD:
        raise Refused("This message could not be read; there is nothing to process.")
    event.status = WebhookStatus.RECEIVED
    event.error = None
    audit.write(actor, "webhook.replayed", f"webhook:{event.source}:{event.event_id}")
    enqueue_processing(event.id, event.source)
