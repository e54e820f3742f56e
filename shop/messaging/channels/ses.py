"""What Amazon SES tells of mail: bounces, complaints, deliveries, by SNS. See docs/channels/email.md.

SES writes a Message-ID of its own over ours, so mail is known by the id of its answer to DATA. SNS's
signature would need its certificate, fetched while the sender waits: a secret in the address and
the topic's name prove the sender instead.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from shop.config import settings
from shop.messaging.channels import talking
from shop.messaging.channels.base import Receipt, ReceiptStatus
from shop.provider_json import read_object
from shop.providers import BadSignature, ProviderRefused, call

KEY = "ses"
READ_SECONDS = 10
#: Bounces for good; "Transient" ones (a full mailbox) say nothing of the next mail.
PERMANENT = "Permanent"
CONFIRMATION = "SubscriptionConfirmation"
LONGEST_ADDRESS = 254


class SesNotices:
    """SNS's posts."""

    key = KEY

    def verify(self, body: bytes, headers: Mapping[str, str], url: str) -> None:
        """The secret in the address, and our topic."""
        talking.check_path_secret(url, settings().ses_webhook_secret)
        try:
            topic = read_object(body).get("TopicArn")
        except ValueError:
            return  # stored as unreadable, since the address proved where it came from
        if topic != settings().ses_topic_arn:
            raise BadSignature("another topic than SES_TOPIC_ARN")

    def parse(self, body: bytes, content_type: str) -> Sequence[Receipt]:
        """One notice, of each recipient that it names."""
        envelope = read_object(body)
        if envelope.get("Type") != "Notification":
            return []
        try:
            notice = read_object(talking.text_of(envelope.get("Message")))
        except ValueError:
            return []  # SNS's and SES's own test messages are plain words
        return list(_receipts(notice, talking.text_of(envelope.get("MessageId"))))


def confirmation_url(body: bytes) -> str:
    """Where a subscription is confirmed; empty for every other message, and for other hosts than Amazon's."""
    envelope = read_object(body)
    if envelope.get("Type") != CONFIRMATION:
        return ""
    address = talking.text_of(envelope.get("SubscribeURL"))
    return address if _is_amazons(address) else ""


def _is_amazons(address: str) -> bool:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    is_sns = host.startswith("sns.") and host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    has_more = bool(parts.username or parts.password) or port not in {None, 443}
    return parts.scheme == "https" and is_sns and not has_more


def confirm(address: str) -> None:
    """Say yes to the subscription. Raises shop.providers' errors."""
    answer = call(KEY, "GET", address, read_seconds=READ_SECONDS)
    if answer.status >= 300:
        raise ProviderRefused(f"HTTP {answer.status}", str(answer.status))


def _receipts(notice: Mapping[str, Any], notice_id: str) -> Iterator[Receipt]:
    """Event publishing says `eventType` where identity notifications say `notificationType`."""
    kind = talking.text_of(notice.get("notificationType") or notice.get("eventType")).casefold()
    mail, part = _part(notice, "mail"), _part(notice, kind)
    sent = talking.text_of(mail.get("messageId"))
    for recipient, error in _people(kind, part):
        meaning = _meaning(kind, part)
        if meaning is None or not sent:
            continue
        yield Receipt(
            event_id=f"{notice_id or part.get('feedbackId', '')}:{sent}"[:120], provider_id=sent,
            status=meaning, recipient=recipient, kind="email", error=error,
            occurred_at=talking.moment(part.get("timestamp")),
        )  # fmt: skip


def _meaning(kind: str, part: Mapping[str, Any]) -> ReceiptStatus | None:
    if kind == "bounce":
        is_final = part.get("bounceType") == PERMANENT
        return ReceiptStatus.BOUNCED if is_final else ReceiptStatus.FAILED
    return {
        "complaint": ReceiptStatus.COMPLAINED,
        "delivery": ReceiptStatus.DELIVERED,
        "reject": ReceiptStatus.FAILED,
    }.get(kind)


def _people(kind: str, part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each recipient, and what is said of it; what is too long is nobody's address."""
    for recipient, words in _named(kind, part):
        if len(recipient) <= LONGEST_ADDRESS:
            yield recipient, words


def _named(kind: str, part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    rows = {
        "bounce": part.get("bouncedRecipients"), "complaint": part.get("complainedRecipients"),
        "delivery": part.get("recipients"), "reject": [""],
    }.get(kind)  # fmt: skip
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, str):
            yield row, talking.text_of(part.get("reason"))
            continue
        told = _part({"row": row}, "row")
        words = told.get("diagnosticCode") or part.get("complaintFeedbackType") or ""
        yield talking.text_of(told.get("emailAddress")), f"{told.get('status') or ''} {words}".strip()  # fmt: skip


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = told.get(name)
    return found if isinstance(found, dict) else {}
