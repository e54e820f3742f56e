"""Interakt: WhatsApp templates. See docs/channels/interakt.md.

The key is in base64 already and is passed on as it is. Our message id goes along as callbackData
and comes back with every report. Its webhook is switched off after some answers slower than three
seconds: the inbox stores and answers, the rest is a job's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import phonenumbers

from shop.config import settings
from shop.messaging.channels import meta_codes, talking
from shop.messaging.channels.base import (
    ChannelBroken,
    Outgoing,
    Receipt,
    ReceiptStatus,
    Unreachable,
    is_dry_run,
    number_of,
    rehearsed,
    template_values,
    with_plus,
)
from shop.provider_json import read_object
from shop.providers import Answer, OutcomeUnknown, ProviderRefused

RATE_SECONDS = 60
LONGEST_REFERENCE = 100
OURS_TO_MEND = ("template", "values", "token", "plan", "balance", "credit")
#: Which names the header has is told in two ways; the HMAC decides.
SIGNATURE_HEADERS = ("Interakt-Signature", "X-Interakt-Signature")
EVENTS = {
    "message_api_sent": (ReceiptStatus.SENT, "received_at_utc"),
    "message_api_delivered": (ReceiptStatus.DELIVERED, "delivered_at_utc"),
    "message_api_read": (ReceiptStatus.READ, "seen_at_utc"),
    "message_api_failed": (ReceiptStatus.FAILED, "received_at_utc"),
}


class Interakt:
    """The channel and its webhook."""

    key = "interakt"
    name = "Interakt"

    def send(self, message: Outgoing) -> str:
        """POST a template; returns its id."""
        wish = _wish(message)
        if is_dry_run():
            return rehearsed(self.key, message)
        answer, body = talking.ask(
            self.key, "POST", f"{settings().interakt_api_base}/v1/public/message/",
            json=wish, headers=_login(), wait=RATE_SECONDS,
        )  # fmt: skip
        if answer.status >= 300 or body.get("result") is not True:
            raise _refusal(answer, body)
        inner = body.get("data")
        made = body.get("id") or (inner.get("id") if isinstance(inner, dict) else None)
        if not made:
            raise OutcomeUnknown("success without an id")
        return str(made)

    def verify(self, body: bytes, headers: Mapping[str, str], url: str) -> None:
        """HMAC-SHA256 of the raw body, with or without `sha256=`."""
        talking.check_prefixed_sha256(
            body, headers, SIGNATURE_HEADERS, settings().interakt_webhook_secret
        )

    def parse(self, body: bytes, content_type: str) -> Sequence[Receipt]:
        """One event a post; the set-up call tells nothing."""
        told = read_object(body)
        event, data = talking.text_of(told.get("type")), _inner(told, "data")
        customer, message = _inner(data, "customer"), _inner(data, "message")
        recipient = with_plus(customer.get("channel_phone_number"))
        if event == "message_received":
            return _answer_of(message, recipient)
        meaning, timed = EVENTS.get(event, (None, ""))
        sent = talking.text_of(message.get("id"))
        if meaning is None or not sent:
            return []
        error = ""
        if meaning == ReceiptStatus.FAILED:
            code = talking.text_of(message.get("channel_error_code"))
            meaning = meta_codes.failed_as(meta_codes.number(code))
            error = f"{code} {talking.text_of(message.get('channel_failure_reason'))}".strip()
        return [
            Receipt(
                event_id=f"{sent}:{event}"[:120], provider_id=sent, status=meaning, error=error,
                recipient=recipient, occurred_at=talking.moment(message.get(timed)),
                message_id=_reference(message), kind="whatsapp",
            )
        ]  # fmt: skip


def _wish(message: Outgoing) -> dict[str, Any]:
    """Country code and number stand apart: a number with its code in it reaches nobody."""
    number = number_of(message.recipient)
    values = template_values(message)
    wish: dict[str, Any] = {
        "countryCode": f"+{number.country_code}",
        "phoneNumber": phonenumbers.national_significant_number(number),
        "type": "Template",
        "template": {
            "name": message.template, "languageCode": message.language.replace("-", "_"),
            "bodyValues": [value for _name, value in values],
        },
    }  # fmt: skip
    if 0 < len(message.message_id) <= LONGEST_REFERENCE:
        wish["callbackData"] = message.message_id
    return wish


def _login() -> dict[str, str]:
    return {"Authorization": f"Basic {settings().interakt_api_key}"}


def _refusal(answer: Answer, body: Mapping[str, Any]) -> Exception:
    words = talking.said(answer, body)
    small, code = words.casefold(), str(answer.status)
    if any(part in small for part in OURS_TO_MEND):
        return ChannelBroken(words, code)
    if "phone" in small or "whatsapp number" in small:
        return Unreachable(words, code)
    return ProviderRefused(words, code)


def _inner(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = told.get(name)
    return found if isinstance(found, dict) else {}


def _reference(message: Mapping[str, Any]) -> str:
    source = _inner(_inner(message, "meta_data"), "source_data")
    return talking.text_of(source.get("callback_data"))


def _answer_of(message: Mapping[str, Any], recipient: str) -> list[Receipt]:
    """What a person wrote: only STOP and START are for us."""
    wish = talking.wish_of(message.get("message"), "whatsapp")
    if wish is None or not recipient:
        return []
    sent = talking.text_of(message.get("id"))
    return [Receipt(f"{sent}:{wish}"[:120], "", wish, recipient=recipient, kind="whatsapp")]
