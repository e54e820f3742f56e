"""WhatsApp by Meta's own Cloud API. See docs/channels/whatsapp_cloud.md.

200 means accepted, not delivered. Our message id goes along as biz_opaque_callback_data and comes
back with every status, so that a receipt ends the doubt about a call without an answer.
"""

import hmac
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shop.config import settings
from shop.messaging.channels import meta_codes, talking
from shop.messaging.channels.base import (
    Outgoing,
    Receipt,
    ReceiptStatus,
    digits_of,
    is_dry_run,
    rehearsed,
    template_values,
    with_plus,
)
from shop.provider_json import read_object
from shop.providers import Answer, OutcomeUnknown

LONGEST_REFERENCE = 512
STATUSES = {
    "sent": ReceiptStatus.SENT,
    "delivered": ReceiptStatus.DELIVERED,
    "read": ReceiptStatus.READ,
    "failed": ReceiptStatus.FAILED,
}


class WhatsAppCloud:
    """The channel and its webhook."""

    key = "cloud"
    name = "Meta's Cloud API"

    def send(self, message: Outgoing) -> str:
        """POST a template; returns the wamid."""
        wish = _wish(message)
        if is_dry_run():
            return rehearsed(self.key, message)
        answer, body = _ask("POST", f"{settings().whatsapp_cloud_phone_id}/messages", json=wish)
        sent = body.get("messages")
        first = sent[0] if isinstance(sent, list) and sent and isinstance(sent[0], dict) else {}
        made = talking.text_of(first.get("id"))
        if not made:
            raise OutcomeUnknown(f"HTTP {answer.status} without a message's id")
        return made

    def try_out(self) -> str:
        """Ask for the number, and for the templates where the account is known."""
        _answer, body = _ask(
            "GET", settings().whatsapp_cloud_phone_id,
            params={"fields": "verified_name,quality_rating"},
        )  # fmt: skip
        words = f"It answered: {body.get('verified_name', 'the number')} is there."
        return f"{words} {_templates()}".strip()

    def challenge(self, query: Mapping[str, str]) -> str | None:
        """What to answer when the webhook is set up; None when the word is not ours."""
        given, ours = query.get("hub.verify_token", ""), settings().whatsapp_cloud_verify_token
        fits = hmac.compare_digest(given.encode(), ours.encode())
        if not ours or not fits or query.get("hub.mode") != "subscribe":
            return None
        return query.get("hub.challenge", "")

    def verify(self, body: bytes, headers: Mapping[str, str], url: str) -> None:
        """X-Hub-Signature-256 over the raw bytes: the same JSON written otherwise is signed otherwise."""
        names = ("X-Hub-Signature-256",)
        talking.check_prefixed_sha256(body, headers, names, settings().whatsapp_cloud_app_secret)

    def parse(self, body: bytes, content_type: str) -> Sequence[Receipt]:
        """A post may hold several entries, changes and statuses; other numbers of the app are left out."""
        told = read_object(body)
        receipts: list[Receipt] = []
        for value in _values(told):
            receipts += filter(None, map(_receipt, _dicts(value.get("statuses"))))
            receipts += filter(None, map(_answer_of, _dicts(value.get("messages"))))
        return receipts


def _wish(message: Outgoing) -> dict[str, Any]:
    values = template_values(message)
    body = {
        "type": "body",
        "parameters": [{"type": "text", "text": value} for _name, value in values],
    }
    wish: dict[str, Any] = {
        "messaging_product": "whatsapp", "recipient_type": "individual",
        "to": digits_of(message.recipient), "type": "template",
        "template": {
            "name": message.template, "language": {"code": message.language.replace("-", "_")},
            "components": [body] if values else [],
        },
    }  # fmt: skip
    if 0 < len(message.message_id) <= LONGEST_REFERENCE:
        wish["biz_opaque_callback_data"] = message.message_id
    return wish


def _ask(method: str, path: str, **more: Any) -> tuple[Answer, dict[str, Any]]:
    """One call. Raises by Meta's code, wherever there is one: a refusal may come with any status."""
    answer, body = talking.ask(
        WhatsAppCloud.key, method, f"{settings().whatsapp_cloud_api_base}/{path}",
        wait=meta_codes.RATE_SECONDS, reads_errors=True,
        headers={"Authorization": f"Bearer {settings().whatsapp_cloud_token}"}, **more,
    )  # fmt: skip
    error = body.get("error")
    if isinstance(error, dict):
        raise meta_codes.refusal(meta_codes.number(error.get("code")), _words(error))
    if answer.status >= 400:
        code = 190 if answer.status in talking.LOCKED_OUT else None
        raise meta_codes.refusal(code, f"HTTP {answer.status}")
    return answer, body


def _words(error: Mapping[str, Any]) -> str:
    """What Meta says, the details, and the id that its support asks for."""
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else ""
    parts = (error.get("message") or error.get("title"), details, error.get("fbtrace_id"))
    return " · ".join(" ".join(str(part).split()) for part in parts if part)[:300]


def _templates() -> str:
    if not settings().whatsapp_cloud_account_id:
        return ""
    _answer, body = _ask(
        "GET", f"{settings().whatsapp_cloud_account_id}/message_templates",
        params={"fields": "name,status,language,category", "limit": 100},
    )  # fmt: skip
    rows = _dicts(body.get("data"))
    waiting = [f"{row.get('name')} is {row.get('status')}" for row in rows if row.get("status") != "APPROVED"]  # fmt: skip
    approved = f"{len(rows) - len(waiting)} templates are approved"
    return ", ".join([approved, *waiting]) + "."


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _values(told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What is told of our number."""
    for entry in _dicts(told.get("entry")):
        for change in _dicts(entry.get("changes")):
            value = _dict(change.get("value"))
            number = _dict(value.get("metadata")).get("phone_number_id")
            if number == settings().whatsapp_cloud_phone_id:
                yield value


def _receipt(told: Mapping[str, Any]) -> Receipt | None:
    words, sent = talking.text_of(told.get("status")), talking.text_of(told.get("id"))
    meaning = STATUSES.get(words)
    if meaning is None or not (sent or told.get("biz_opaque_callback_data")):
        return None
    error = next(iter(_dicts(told.get("errors"))), {})
    code = meta_codes.number(error.get("code"))
    if meaning == ReceiptStatus.FAILED:
        meaning = meta_codes.failed_as(code)
    return Receipt(
        event_id=f"{sent}:{words}"[:120], provider_id=sent, status=meaning, kind="whatsapp",
        recipient=with_plus(told.get("recipient_id")), occurred_at=talking.moment(told.get("timestamp")),
        message_id=talking.text_of(told.get("biz_opaque_callback_data")),
        error=f"{code or ''} {_words(error)}".strip() if error else "",
    )  # fmt: skip


def _answer_of(told: Mapping[str, Any]) -> Receipt | None:
    """What a person wrote or pressed: only STOP and START are for us."""
    kind = told.get("type")
    part = told.get(str(kind)) if kind in {"text", "button"} else None
    said = (part.get("body") or part.get("text")) if isinstance(part, dict) else ""
    wish = talking.wish_of(said, "whatsapp")
    recipient = with_plus(told.get("from"))
    if wish is None or not recipient:
        return None
    return Receipt(
        event_id=f"{told.get('id', '')}:{wish}"[:120], provider_id="", status=wish, kind="whatsapp",
        recipient=recipient, occurred_at=talking.moment(told.get("timestamp")),
    )  # fmt: skip
