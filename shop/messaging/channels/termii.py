"""Termii: SMS in Nigeria and around. See docs/channels/termii.md.

Order messages go by the route `dnd`, which reaches numbers that refuse offers. The key stands in
the body, so bodies are never logged. There is no idempotency key, and nothing to search by: after
an unknown outcome only a receipt tells.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shop.config import settings
from shop.messaging.channels import talking
from shop.messaging.channels.base import (
    ChannelBroken,
    Outgoing,
    Receipt,
    ReceiptStatus,
    Unreachable,
    digits_of,
    is_dry_run,
    rehearsed,
    sms_text,
    with_plus,
)
from shop.payments.gateways.signatures import check_body_signature, header_value
from shop.provider_json import read_object
from shop.providers import Answer, ProviderRefused, TryLater

LONGEST_TEXT = 1600
#: A daily limit is tried again after an hour: nobody says when the day ends.
DAILY_LIMIT_SECONDS = 3600
RATE_SECONDS = 30
#: Parts of refusals that a person must mend.
OURS_TO_MEND = ("sender", "route", "not active", "device not found", "balance", "api key")

#: By how a status begins, in small letters; both shapes of the report are covered.
STATUSES = (
    ("delivered", ReceiptStatus.DELIVERED),
    ("dnd", ReceiptStatus.FAILED),
    ("message failed", ReceiptStatus.FAILED),
    ("failed", ReceiptStatus.FAILED),
    ("rejected", ReceiptStatus.FAILED),
    ("expired", ReceiptStatus.FAILED),
    ("message sent", ReceiptStatus.SENT),
    ("sent", ReceiptStatus.SENT),
)


class Termii:
    """The channel and its delivery reports."""

    key = "termii"
    name = "Termii"

    def send(self, message: Outgoing) -> str:
        """POST /sms/send; returns message_id, a long number kept as text."""
        text = sms_text(message, LONGEST_TEXT)
        wish = {
            "to": digits_of(message.recipient), "from": settings().termii_sender_id, "sms": text,
            "type": "plain" if text.isascii() else "unicode", "channel": "dnd",
        }  # fmt: skip
        if is_dry_run():
            return rehearsed(self.key, message)
        answer, body = talking.ask(
            self.key, "POST", f"{settings().termii_api_base}/sms/send", wait=RATE_SECONDS,
            json={"api_key": settings().termii_api_key, **wish},
        )  # fmt: skip
        made = talking.text_of(body.get("message_id"))
        if answer.status >= 300 or not made or body.get("code", "ok") != "ok":
            raise _refusal(answer, body)
        return made

    def try_out(self) -> str:
        """Ask for the balance."""
        answer, body = talking.ask(
            self.key, "GET", f"{settings().termii_api_base}/get-balance",
            params={"api_key": settings().termii_api_key},
        )  # fmt: skip
        if answer.status >= 300 or "balance" not in body:
            raise _refusal(answer, body)
        return f"It answered: the balance is {body['balance']} {body.get('currency', '')}".strip()

    def verify(self, body: bytes, headers: Mapping[str, str], url: str) -> None:
        """X-Termii-Signature: HMAC-SHA512 of the raw body with the secret key, in hex."""
        given = header_value(headers, "X-Termii-Signature")
        check_body_signature(body, given, settings().termii_secret_key, "sha512")

    def parse(self, body: bytes, content_type: str) -> Sequence[Receipt]:
        """One message's state a post. Times have no known zone, so none is read."""
        told = read_object(body)
        words = talking.text_of(told.get("status")).strip()
        meaning = _meaning(words)
        sent = talking.text_of(told.get("message_id"))
        if meaning is None or not sent or told.get("type") != "outbound":
            return []
        return [
            Receipt(
                event_id=f"{sent}:{words.casefold()}"[:120], provider_id=sent, status=meaning,
                recipient=with_plus(told.get("receiver")), kind="sms",
                error=words if meaning == ReceiptStatus.FAILED else "",
            )
        ]  # fmt: skip


def _meaning(words: str) -> ReceiptStatus | None:
    small = words.casefold()
    return next((meaning for begin, meaning in STATUSES if small.startswith(begin)), None)


def _refusal(answer: Answer, body: Mapping[str, Any]) -> Exception:
    """What a refusal means. Termii has no codes of its own: its words are all there is."""
    words = talking.said(answer, body)
    small, code = words.casefold(), str(answer.status)
    if "daily limit" in small:
        return TryLater(words, code, DAILY_LIMIT_SECONDS)
    if any(part in small for part in OURS_TO_MEND):
        return ChannelBroken(words, code)
    if "phone number" in small or "invalid number" in small:
        return Unreachable(words, code)
    return ProviderRefused(words, code)
