"""What providers tell of a message after it was handed over, and what people tell them.

News may come late, twice and in any order, so a message only moves forward: sent, delivered, read.
A failure counts only while nothing better has come, and a delivery after it counts all the same.
"""

from datetime import timedelta

import structlog
from sqlalchemy import select

from shop.clock import utcnow
from shop.extensions import db
from shop.messaging import consents
from shop.messaging.channels.base import Receipt, ReceiptStatus
from shop.messaging.jobs import note_sent, tell_undelivered
from shop.messaging.models import Notification, NotificationStatus, Purpose, SuppressionReason

log = structlog.get_logger()

#: A receipt that names nothing but the recipient is looked for so far back.
DOUBT = timedelta(days=1)

Status = NotificationStatus

#: From which states each state may be reached by a receipt. `suppressed` is left by nothing.
FORWARD: dict[Status, frozenset[Status]] = {
    Status.SENT: frozenset({Status.QUEUED, Status.SENDING, Status.UNCERTAIN}),
    Status.DELIVERED: frozenset(
        {Status.QUEUED, Status.SENDING, Status.UNCERTAIN, Status.SENT, Status.FAILED}
    ),
    Status.READ: frozenset(
        {
            Status.QUEUED, Status.SENDING, Status.UNCERTAIN, Status.SENT, Status.FAILED,
            Status.DELIVERED,
        }
    ),
    Status.FAILED: frozenset({Status.QUEUED, Status.SENDING, Status.UNCERTAIN, Status.SENT}),
}  # fmt: skip
#: What each receipt makes of its message. Who complains has the mail.
MEANS = {
    ReceiptStatus.SENT: Status.SENT,
    ReceiptStatus.DELIVERED: Status.DELIVERED,
    ReceiptStatus.READ: Status.READ,
    ReceiptStatus.COMPLAINED: Status.DELIVERED,
    ReceiptStatus.FAILED: Status.FAILED,
    ReceiptStatus.BOUNCED: Status.FAILED,
    ReceiptStatus.OPTED_OUT: Status.FAILED,
    ReceiptStatus.STOPPED_OFFERS: Status.FAILED,
}
SUPPRESSES = {
    ReceiptStatus.BOUNCED: SuppressionReason.BOUNCED,
    ReceiptStatus.COMPLAINED: SuppressionReason.COMPLAINED,
    ReceiptStatus.OPTED_OUT: SuppressionReason.OPTED_OUT,
}


def apply_receipt(receipt: Receipt, provider: str = "") -> bool:
    """Bring one piece of news into the message and the suppression list, in the caller's transaction.

    Returns False when it is about a message that is not known, and about nothing else: it may have
    come before the message's own answer was noted. Doing it again changes nothing.
    """
    found = _message_of(receipt, provider)
    _heed(receipt, found)
    if found is None:
        return receipt.status in {*SUPPRESSES, ReceiptStatus.OPTED_IN}
    target = MEANS.get(receipt.status)
    if target is not None:
        _move(found, target, receipt, provider)
    return True


def _message_of(receipt: Receipt, provider: str) -> Notification | None:
    """The message, locked: by the provider's id, by ours, or the one whose outcome is in doubt."""
    by_ids = [
        (Notification.provider_id, receipt.provider_id),
        (Notification.message_id, receipt.message_id),
    ]
    for column, value in by_ids:
        if not value:
            continue
        query = select(Notification).where(column == value)
        if receipt.kind:
            query = query.where(Notification.channel == receipt.kind)
        found = db.session.scalars(
            query.order_by(Notification.id.desc()).limit(1).with_for_update()
        ).first()
        if found is not None:
            return found
    return _in_doubt(receipt, provider) if receipt.provider_id else None


def _in_doubt(receipt: Receipt, provider: str) -> Notification | None:
    """The only message to this recipient whose hand-over was left uncertain: this is news of it.

    That two are uncertain at once tells nothing, so that neither is taken; nor does it while
    another one is under way, whose id is not noted yet.
    """
    if not receipt.recipient or not receipt.kind:
        return None
    to_them = (
        Notification.channel == receipt.kind,
        Notification.recipient == consents.known_as(receipt.kind, receipt.recipient),
    )
    under_way = Notification.status.in_([Status.QUEUED, Status.SENDING])
    if db.session.scalar(select(Notification.id).where(*to_them, under_way).limit(1)) is not None:
        return None
    query = (
        select(Notification)
        .where(
            *to_them,
            Notification.status == Status.UNCERTAIN,
            Notification.provider_id.is_(None),
            Notification.provider.in_(["", provider]),
            Notification.updated_at > utcnow() - DOUBT,
        )
        .limit(2)
        .with_for_update()
    )
    rows = db.session.scalars(query).all()
    return rows[0] if len(rows) == 1 and _may_be(rows[0], receipt) else None


def _may_be(found: Notification, receipt: Receipt) -> bool:
    """Not the news of another template, where both are known."""
    sent = (found.context or {}).get("whatsapp", {}).get("template", "")
    return not (sent and receipt.template) or sent == receipt.template


def _move(found: Notification, target: Status, receipt: Receipt, provider: str) -> None:
    """One step forward, or none."""
    if receipt.provider_id and not found.provider_id:
        found.provider_id = receipt.provider_id[:200]
        found.provider = found.provider or provider
    if found.status not in FORWARD[target]:
        return
    at = receipt.occurred_at or utcnow()
    found.status = target
    found.error = (receipt.error or receipt.status.value)[:500] if target == Status.FAILED else None
    if target != Status.FAILED and not found.sent_at:
        found.sent_at = at
        note_sent(found)
    if target in {Status.DELIVERED, Status.READ}:
        found.delivered_at = found.delivered_at or at
    if target == Status.READ:
        found.read_at = at
    if receipt.status == ReceiptStatus.FAILED:
        tell_undelivered(found, provider)
    log.info("message.receipt", notification=found.id, status=target.value, provider=provider)


def _heed(receipt: Receipt, found: Notification | None) -> None:
    """What it says of the person: nothing more goes there, or messages may go again."""
    kind = found.channel if found else receipt.kind
    recipient = receipt.recipient or (found.recipient if found else "")
    if not kind or not recipient:
        return
    if receipt.status in SUPPRESSES:
        consents.suppress(kind, recipient, SUPPRESSES[receipt.status], receipt.error)
    if receipt.status == ReceiptStatus.STOPPED_OFFERS:
        for purpose in (Purpose.MARKETING, Purpose.REMINDERS):
            consents.withdraw(kind, recipient, purpose, "receipt")
    if receipt.status == ReceiptStatus.OPTED_IN:
        _let_in_again(kind, recipient)


def _let_in_again(kind: str, recipient: str) -> None:
    """Who opted out; who bounced or complained is not let in again by a word."""
    if consents.is_suppressed(kind, recipient) == SuppressionReason.OPTED_OUT:
        consents.lift(kind, recipient)
