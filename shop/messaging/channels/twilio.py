"""Twilio: SMS, and WhatsApp by approved content templates. See docs/channels/twilio.md.

Forms go out, JSON comes back. There is no idempotency key: our message id stands in the callback's
address, which the signature covers, and after an unknown outcome the list of messages is searched.
"""

import base64
import hashlib
import hmac
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

from shop.config import settings
from shop.messaging.channels import talking
from shop.messaging.channels.base import (
    ChannelBroken,
    Found,
    Outgoing,
    Receipt,
    ReceiptStatus,
    Unreachable,
    is_dry_run,
    number_of,
    rehearsed,
    sms_text,
    template_values,
    with_plus,
)
from shop.messaging.sms_text import sendable
from shop.payments.gateways.signatures import header_value
from shop.provider_json import read_object, storable
from shop.providers import Answer, BadSignature, OutcomeUnknown, ProviderRefused, TryLater

LONGEST_TEXT = 1600
#: A shipping notice that cannot be brought within four hours is stale.
VALID_SECONDS = 4 * 3600
#: Clocks differ: a message that Twilio dates so much before ours can be ours.
SKEW = timedelta(minutes=2)

#: Codes of refusals, and of callbacks, by what they mean here.
NO_SUCH_NUMBER = {21211, 21214, 21612, 21614, 30005, 30006, 63003, 63024}
OPTED_OUT = {21610}
#: Sender queue full, rate of WhatsApp, concurrency.
LATER = {20429, 21611, 63018}
LATER_SECONDS = 60
#: After a POST only 429 and a connection that never came about say for certain that nothing was sent.
MAY_BE_DONE = {"408", "409", "425", "503"}
#: Credentials, a sender that is not ours, a country that is not enabled.
OURS_TO_MEND = {20003, 21212, 21408, 21606, 21607, 21659, 63007}

STATUSES = {
    "accepted": ReceiptStatus.SENT, "scheduled": ReceiptStatus.SENT, "queued": ReceiptStatus.SENT,
    "sending": ReceiptStatus.SENT, "sent": ReceiptStatus.SENT,
    "delivered": ReceiptStatus.DELIVERED, "partially_delivered": ReceiptStatus.DELIVERED,
    "read": ReceiptStatus.READ, "undelivered": ReceiptStatus.FAILED,
    "failed": ReceiptStatus.FAILED, "canceled": ReceiptStatus.FAILED,
}  # fmt: skip


class Twilio(ABC):
    """What both kinds share."""

    key = "twilio"
    name = "Twilio"
    kind = ""

    def send(self, message: Outgoing) -> str:
        """POST a message; returns its sid."""
        number_of(message.recipient)
        wish = self._wish(message) | {"StatusCallback": _callback(message.message_id)}
        if is_dry_run():
            return rehearsed(self.key, message)
        try:
            answer, body = talking.ask(self.key, "POST", _messages(), data=wish, headers=_login())
        except TryLater as error:
            if error.code in MAY_BE_DONE:
                raise OutcomeUnknown(error.words, error.code) from error
            raise
        if answer.status >= 400:
            raise _refusal(answer, body)
        sid = talking.text_of(body.get("sid"))
        if not sid or body.get("status") in {"failed", "canceled"}:
            raise _refusal(answer, {**body, "code": body.get("error_code")})
        return sid

    def find(
        self, message: Outgoing, since: datetime, held: frozenset[str] = frozenset()
    ) -> Found | None:
        """The same text to the same number since then; WhatsApp's templates tell too little for that."""
        if is_dry_run() or self.kind != "sms":
            return None
        params = {
            "To": message.recipient,
            "DateSent>": (since - timedelta(days=1)).date().isoformat(),
            "PageSize": 50,
        }
        answer, body = talking.ask(self.key, "GET", _messages(), params=params, headers=_login())
        if answer.status >= 400:
            raise _refusal(answer, body)
        like = [row for row in _rows(body) if _is_like(row, message, since)]
        ours = [row for row in like if row.get("sid") not in held]
        return _found(ours[0]) if ours else None

    def try_out(self) -> str:
        """Ask for the account."""
        answer, body = talking.ask(self.key, "GET", _account() + ".json", headers=_login())
        if answer.status >= 400:
            raise _refusal(answer, body)
        return f"It answered: the account is {body.get('status', 'of unknown state')}."

    @abstractmethod
    def _wish(self, message: Outgoing) -> dict[str, Any]:
        """The message in Twilio's fields."""


class TwilioSms(Twilio):
    """Text, from a number or by a messaging service."""

    kind = "sms"

    def _wish(self, message: Outgoing) -> dict[str, Any]:
        return {
            "To": message.recipient, "Body": sms_text(message, LONGEST_TEXT),
            "ValidityPeriod": VALID_SECONDS, "SmartEncoded": "true", **_sender(),
        }  # fmt: skip


class TwilioWhatsApp(Twilio):
    """Content templates, known to Twilio by an id (HX…) each."""

    kind = "whatsapp"

    def _wish(self, message: Outgoing) -> dict[str, Any]:
        values = [value for _name, value in template_values(message)]
        numbered = {str(place): value for place, value in enumerate(values, start=1)}
        return {
            "To": f"whatsapp:{message.recipient}",
            "From": f"whatsapp:{settings().twilio_whatsapp_from}",
            "ContentSid": _content(message),
            "ContentVariables": json.dumps(numbered, ensure_ascii=False),
        }


def _content(message: Outgoing) -> str:
    """The template's id at Twilio, by its name and language, else by its name alone."""
    known = dict(entry.partition("=")[::2] for entry in settings().twilio_templates)
    found = known.get(f"{message.template}/{message.language}") or known.get(message.template)
    if not found and not is_dry_run():
        raise ChannelBroken(f"TWILIO_TEMPLATES names no template {message.template}")
    return found or ""


def _sender() -> dict[str, str]:
    if settings().twilio_messaging_service_sid:
        return {"MessagingServiceSid": settings().twilio_messaging_service_sid}
    return {"From": settings().twilio_sms_from}


def _callback(message_id: str) -> str:
    return f"{settings().public_url}/webhooks/messages/twilio?m={quote(message_id, safe='')}"


def _account() -> str:
    return f"{settings().twilio_api_base}/2010-04-01/Accounts/{settings().twilio_account_sid}"


def _messages() -> str:
    return f"{_account()}/Messages.json"


def _login() -> dict[str, str]:
    both = f"{settings().twilio_account_sid}:{settings().twilio_auth_token}"
    return {"Authorization": "Basic " + base64.b64encode(both.encode()).decode()}


def _rows(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows = body.get("messages")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _is_like(row: Mapping[str, Any], message: Outgoing, since: datetime) -> bool:
    made = talking.text_of(row.get("date_created"))
    try:
        at = parsedate_to_datetime(made)
    except ValueError:
        return False
    return (
        at >= since - SKEW
        and row.get("to") == message.recipient
        and _comparable(talking.text_of(row.get("body"))) == _comparable(message.text)
        and row.get("direction") != "inbound"
    )


def _comparable(text: str) -> str:
    """Twilio keeps what it sent, with the signs that SmartEncoded put in their neighbours' place."""
    return sendable(text).strip()


def _found(row: Mapping[str, Any]) -> Found:
    status, code = talking.text_of(row.get("status")), _code(row.get("error_code"))
    words = f"{code} {row.get('error_message') or ''}".strip() if code else ""
    return Found(str(row["sid"]), STATUSES.get(status, ReceiptStatus.SENT), words)


def _code(value: object) -> int:
    text = talking.text_of(value)
    return int(text) if text.isascii() and text.isdigit() else 0


def _refusal(answer: Answer, body: Mapping[str, Any]) -> Exception:
    """What a refusal means, by Twilio's code."""
    code = _code(body.get("code"))
    words = f"{code} {talking.said(answer, body)}" if code else talking.said(answer, body)
    if code in OPTED_OUT:
        return Unreachable(words, str(code), "opted_out")
    if code in NO_SUCH_NUMBER:
        return Unreachable(words, str(code))
    if code in LATER:
        return TryLater(words, str(code), LATER_SECONDS)
    kind = ChannelBroken if code in OURS_TO_MEND else ProviderRefused
    return kind(words, str(code or answer.status))


class TwilioReceipts:
    """Status callbacks and what people wrote back, of both kinds."""

    key = "twilio"

    def verify(self, body: bytes, headers: Mapping[str, str], url: str) -> None:
        """X-Twilio-Signature: an HMAC over the address and every field, or over the address and the body's hash."""
        given = header_value(headers, "X-Twilio-Signature")
        if not given:
            raise BadSignature("the signature header is missing")
        told = header_value(headers, "X-Twilio-Webhooks-Signature-Settings") or ""
        digest, keys = _algorithm(told)
        signed = url + _signed_fields(body, headers, url)
        wanted = [_signature(key, signed, digest) for key in keys if key]
        matches = [hmac.compare_digest(one.encode(), given.encode()) for one in wanted]
        if not any(matches):
            raise BadSignature("no signature fits")

    def parse(self, body: bytes, content_type: str) -> Sequence[Receipt]:
        """One message's news a post."""
        told = _form(body) if "json" not in content_type else _object(body)
        status = told.get("MessageStatus") or told.get("SmsStatus") or ""
        if status == "received" or "OptOutType" in told:
            return _answer_of(told)
        if status not in STATUSES or not told.get("MessageSid"):
            return []
        return [_receipt(told, status)]


def _algorithm(told: str) -> tuple[str, Sequence[str]]:
    """The hash and the keys: the auth token with SHA-1, or a shared key as the header says."""
    if not told:
        return "sha1", (settings().twilio_auth_token, settings().twilio_previous_auth_token)
    if "algorithm=HMAC_SHA256" not in told.replace(" ", "").split(","):
        raise BadSignature("an unknown way to sign")
    return "sha256", settings().twilio_shared_key


def _signature(key: str, signed: str, digest: str) -> str:
    made = hmac.new(key.encode(), signed.encode(), digest).digest()
    return base64.b64encode(made).decode()


def _signed_fields(body: bytes, headers: Mapping[str, str], url: str) -> str:
    """What follows the address in the signed text. Raises BadSignature where a body is not covered."""
    hashes = parse_qs(urlsplit(url).query).get("bodySHA256", [])
    if hashes:
        shown = hashlib.sha256(body).hexdigest()
        if not hmac.compare_digest(shown, hashes[0]):
            raise BadSignature("the body is not the one that was signed")
        return ""
    kind = header_value(headers, "Content-Type") or ""
    if body and not kind.startswith("application/x-www-form-urlencoded"):
        raise BadSignature("the body is not covered by the signature")
    try:
        fields = set(_fields(body))
    except ValueError as error:
        raise BadSignature("the form cannot be read") from error
    # Every field counts, those to come too; of one given several times each value once.
    return "".join(f"{name}{value}" for name, value in sorted(fields))


def _fields(body: bytes) -> Iterable[tuple[str, str]]:
    """The form's fields. Raises ValueError."""
    return parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=False)


def _form(body: bytes) -> dict[str, str]:
    return {storable(name): storable(value) for name, value in _fields(body)}


def _object(body: bytes) -> dict[str, str]:
    return {name: talking.text_of(value) for name, value in read_object(body).items()}


def _kind(told: Mapping[str, str]) -> str:
    ends = (told.get("To", ""), told.get("From", ""), told.get("ChannelPrefix", ""))
    return "whatsapp" if any(one.startswith("whatsapp") for one in ends) else "sms"


def _receipt(told: Mapping[str, str], status: str) -> Receipt:
    code = _code(told.get("ErrorCode"))
    meaning = STATUSES[status]
    if meaning == ReceiptStatus.FAILED and code in NO_SUCH_NUMBER:
        meaning = ReceiptStatus.BOUNCED
    if meaning == ReceiptStatus.FAILED and code in OPTED_OUT:
        meaning = ReceiptStatus.OPTED_OUT
    return Receipt(
        event_id=f"{told['MessageSid']}:{status}:{code or ''}", provider_id=told["MessageSid"],
        status=meaning, recipient=with_plus(told.get("To")), kind=_kind(told),
        occurred_at=_done_at(told.get("RawDlrDoneDate", "")),
        error=f"{status} {code} {told.get('ErrorMessage', '')}".strip() if code else "",
    )  # fmt: skip


def _done_at(value: str) -> datetime | None:
    """YYMMDDhhmm."""
    try:
        return datetime.strptime(value, "%y%m%d%H%M").replace(tzinfo=UTC)
    except ValueError:
        return None


def _answer_of(told: Mapping[str, str]) -> list[Receipt]:
    """What a person wrote: only STOP and START are for us."""
    wish = talking.wish_of(told.get("OptOutType") or told.get("Body"), _kind(told))
    if wish is None:
        return []
    return [
        Receipt(
            event_id=f"{told.get('MessageSid', '')}:{wish}", provider_id="", status=wish,
            recipient=with_plus(told.get("From")), kind=_kind(told),
        )
    ]  # fmt: skip
