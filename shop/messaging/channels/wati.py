"""Wati: WhatsApp templates, whose parameters have names. See docs/channels/wati.md.

An accepted call is only queued, and HTTP 200 proves nothing: `result`, the receiver and its
localMessageId do. It signs no webhook, so a secret stands in the address. It repeats a webhook 144
times, and tells each event twice, of which only the form with localMessageId is read.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from shop.config import settings
from shop.messaging.channels import meta_codes, talking
from shop.messaging.channels.base import (
    ChannelBroken,
    Outgoing,
    Receipt,
    ReceiptStatus,
    Unreachable,
    digits_of,
    is_dry_run,
    rehearsed,
    template_values,
    with_plus,
)
from shop.provider_json import read_object
from shop.providers import Answer, OutcomeUnknown, ProviderRefused

RATE_SECONDS = 10
OURS_TO_MEND = ("template", "parameter", "token", "balance", "plan")
EVENTS = {
    "templateMessageSent_v2": ReceiptStatus.SENT,
    "sentMessageDELIVERED_v2": ReceiptStatus.DELIVERED,
    "sentMessageREAD_v2": ReceiptStatus.READ,
    "templateMessageFailed": ReceiptStatus.FAILED,
}


class Wati:
    """The channel and its webhook."""

    key = "wati"
    name = "Wati"

    def send(self, message: Outgoing) -> str:
        """POST v2, the one that tells localMessageId; returns that."""
        values = template_values(message)
        number = digits_of(message.recipient)
        wish = {
            "template_name": message.template,
            "broadcast_name": _label(message),
            "parameters": [{"name": name, "value": value} for name, value in values],
        }
        if is_dry_run():
            return rehearsed(self.key, message)
        answer, body = talking.ask(
            self.key, "POST", f"{settings().wati_url}/api/v2/sendTemplateMessage",
            params={"whatsappNumber": number}, json=wish, headers=_login(), wait=RATE_SECONDS,
        )  # fmt: skip
        return _accepted(answer, body)

    def try_out(self) -> str:
        """Ask for a template."""
        answer, body = talking.ask(
            self.key, "GET", f"{settings().wati_url}/api/v1/getMessageTemplates",
            params={"pageSize": 1}, headers=_login(),
        )  # fmt: skip
        if answer.status >= 300:
            raise _refusal(answer, body)
        return "It answered, and the token is good."

    def verify(self, body: bytes, headers: Mapping[str, str], url: str) -> None:
        """The secret in the address."""
        talking.check_path_secret(url, settings().wati_webhook_secret)

    def parse(self, body: bytes, content_type: str) -> Sequence[Receipt]:
        """One event a post."""
        told = read_object(body)
        event, sent = (talking.text_of(told.get(name)) for name in ("eventType", "localMessageId"))
        meaning = EVENTS.get(event)
        if meaning is None or not sent:
            return []
        error = ""
        if meaning == ReceiptStatus.FAILED:
            code = talking.text_of(told.get("failedCode"))
            meaning = meta_codes.failed_as(meta_codes.number(code))
            error = f"{code} {talking.text_of(told.get('failedDetail'))}".strip()
        return [
            Receipt(
                event_id=f"{sent}:{event}"[:120], provider_id=sent, status=meaning, error=error,
                recipient=with_plus(told.get("waId")), kind="whatsapp",
                template=talking.text_of(told.get("templateName")),
                occurred_at=talking.moment(told.get("timestamp") or told.get("created")),
            )
        ]  # fmt: skip


def _label(message: Outgoing) -> str:
    """A free name of the sending, by which it is found in Wati's panel."""
    return f"{message.template}_{re.sub(r'[^A-Za-z0-9._-]', '', message.message_id)}"[:100]


def _login() -> dict[str, str]:
    token = settings().wati_token
    return {"Authorization": f"Bearer {token.removeprefix('Bearer ').strip()}"}


def _accepted(answer: Answer, body: Mapping[str, Any]) -> str:
    """The id of a message that was really taken."""
    if answer.status >= 300 or body.get("result") is not True:
        raise _refusal(answer, body)
    rows = body.get("receivers")
    first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    errors = first.get("errors") or []
    words = "; ".join(map(str, errors)) if isinstance(errors, list) else str(errors)
    if first.get("isValidWhatsAppNumber") is False:
        raise Unreachable(words or "not a WhatsApp number")
    if errors:
        raise ProviderRefused(words)
    made = talking.text_of(first.get("localMessageId"))
    if not made or first.get("isValidWhatsAppNumber") is not True:
        raise OutcomeUnknown("success without a receiver and its localMessageId")
    return made


def _refusal(answer: Answer, body: Mapping[str, Any]) -> Exception:
    words = talking.said(answer, {**body, "message": body.get("error") or body.get("message")})
    is_ours = any(part in words.casefold() for part in OURS_TO_MEND)
    return (ChannelBroken if is_ours else ProviderRefused)(words, str(answer.status))
