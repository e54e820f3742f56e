"""Which messages an event makes: to whom, by which way, and which not."""

import re
from typing import Any

from shop.accounts.models import User
from shop.config import settings
from shop.database import insert_ignore
from shop.extensions import db
from shop.jobs.handlers import Policy, Work, handles
from shop.messaging import consents, switches
from shop.messaging.events import Audience, Telling, dedupe_key
from shop.messaging.facts import latest_shipment_id
from shop.messaging.jobs import enqueue_sending
from shop.messaging.languages import language_of
from shop.messaging.models import Notification, NotificationStatus, SuppressionReason
from shop.messaging.subjects import Subject, row_of, subject_in

E164 = re.compile(r"\+[1-9][0-9]{6,14}")


@handles(
    "messaging.tell",
    Policy(limit=20, attempts=8, base=15, cap=7200, priority=20, incident=("api", "low")),
)
def tell(work: Work) -> None:
    """Make the event's messages. One that was made before is not made again."""
    payload = dict(work.payload)
    subject = subject_in(payload)
    row = row_of(subject)
    if row is None and subject.kind != "order":
        # A cart that was emptied or forgotten meanwhile: nothing is left to tell of.
        return
    if row is None:
        raise LookupError(f"there is no order {subject.id}")
    for telling in switches.tellings(payload["event"]):
        if "shipment_id" in telling.apart and "shipment_id" not in payload:
            payload |= {"shipment_id": found} if (found := latest_shipment_id(row.id)) else {}
        _make(telling, subject, row, payload)


def _make(telling: Telling, subject: Subject, row: Any, payload: dict[str, Any]) -> None:
    is_customers = telling.audience == Audience.CUSTOMER
    recipient = recipient_of(telling, row)
    if not recipient:
        return
    if is_customers and not consents.agreed(telling.channel, recipient, telling.purpose):
        return
    suppressed = consents.is_suppressed(telling.channel, recipient) if is_customers else ""
    of_order = subject.kind == "order"
    notification_id = insert_ignore(
        Notification,
        {
            "order_id": subject.id if of_order else None,
            "user_id": getattr(row, "user_id", None) if is_customers else None,
            "subject_kind": "" if of_order else subject.kind,
            "subject_id": None if of_order else subject.id,
            "template": telling.template, "channel": telling.channel, "purpose": telling.purpose,
            "locale": language_of(row.locale) if is_customers else "en",
            "recipient": recipient, "context": payload,
            "dedupe_key": dedupe_key(payload["event"], subject.id, telling, payload),
            **(_never_sent(suppressed) if suppressed else {}),
        },
    )  # fmt: skip
    if notification_id is not None and not suppressed:
        enqueue_sending(notification_id)


def _never_sent(reason: str) -> dict[str, Any]:
    words = consents.WHY_NOT[SuppressionReason(reason)]
    return {"status": NotificationStatus.SUPPRESSED, "error": words}


def recipient_of(telling: Telling, row: Any) -> str:
    """The address or number that this message goes to; empty where none is known."""
    if telling.audience == Audience.OWNER:
        return settings().admin_email
    if telling.channel == "email":
        return str(row.email)
    phone = row.phone if hasattr(row, "phone") else _phone_of(getattr(row, "user_id", None))
    return phone if E164.fullmatch(phone) else ""


def _phone_of(user_id: int | None) -> str:
    """The number of the account that asked, where what is told of has none itself."""
    person = db.session.get(User, user_id) if user_id else None
    return (person.phone or "") if person else ""
