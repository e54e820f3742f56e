"""MSG91: WhatsApp templates. See docs/channels/msg91.md.

HTTP 200 proves nothing: `status` and `hasError` do. It signs no webhook, so a secret stands in the
address. Its reports of SMS are read too, in both shapes, for accounts whose panel sends them here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from shop.config import settings
from shop.messaging.channels import talking
from shop.messaging.channels.base import (
    ChannelBroken,
    Outgoing,
    Receipt,
    ReceiptStatus,
    digits_of,
    is_dry_run,
    rehearsed,
    template_values,
    with_plus,
)
from shop.provider_json import read_json
from shop.providers import Answer, OutcomeUnknown, ProviderRefused

RATE_SECONDS = 30
OURS_TO_MEND = ("template", "namespace", "integrated number", "balance", "whitelist", "authkey")

WHATSAPP = {
    "sent": ReceiptStatus.SENT, "submitted": ReceiptStatus.SENT,
    "delivered": ReceiptStatus.DELIVERED, "read": ReceiptStatus.READ,
    "failed": ReceiptStatus.FAILED, "rejected": ReceiptStatus.FAILED,
}  # fmt: skip
#: 2 failed, 9 refuses offers, 16 and 25 rejected, 17 blocked.
SMS = {"1": ReceiptStatus.DELIVERED} | dict.fromkeys(("2", "9", "16", "17", "25"), ReceiptStatus.FAILED)  # fmt: skip


class Msg91:
    """The channel and its webhook."""

    key = "msg91"
    name = "MSG91"

    def send(self, message: Outgoing) -> str:
        """One recipient a call, so that one request id is one message; returns it."""
        wish = _wish(message)
        if is_dry_run():
            return rehearsed(self.key, message)
        answer, body = talking.ask(
            self.key, "POST",
            f"{settings().msg91_api_base}/whatsapp/whatsapp-outbound-message/bulk/",
            json=wish, headers=_login(), wait=RATE_SECONDS,
        )  # fmt: skip
        if answer.status >= 300 or body.get("status") != "success" or body.get("hasError"):
            raise _refusal(answer, body)
        made = talking.text_of(body.get("request_id"))
        if not made:
            raise OutcomeUnknown("success without a request_id")
        return made

    def try_out(self) -> str:
        """Ask for the templates of the number."""
        answer, body = talking.ask(
            self.key, "GET",
            f"{settings().msg91_api_base}/whatsapp/get-template-client/{settings().msg91_whatsapp_number}",
            headers=_login(),
        )  # fmt: skip
        if answer.status >= 300 or body.get("hasError") or body.get("type") == "error":
            raise _refusal(answer, body)
        rows = body.get("data")
        count = len(rows) if isinstance(rows, list) else "some"
        return f"It answered: the number has {count} templates."

    def verify(self, body: bytes, headers: Mapping[str, str], url: str) -> None:
        """The secret in the address."""
        talking.check_path_secret(url, settings().msg91_webhook_secret)

    def parse(self, body: bytes, content_type: str) -> Sequence[Receipt]:
        """WhatsApp's report, an SMS report as flat JSON (v3), or a form whose field is JSON text (v2)."""
        if content_type.startswith("application/x-www-form-urlencoded"):
            told = read_json(parse_qs(body.decode()).get("data", ["[]"])[0])
            return [one for row in _dicts(told) for one in _reports(row)]
        told = read_json(body)
        rows = [told] if isinstance(told, dict) else told
        if not isinstance(rows, list):
            raise ValueError("neither an object nor a list")
        return list(filter(None, map(_read, _dicts(rows))))


def _wish(message: Outgoing) -> dict[str, Any]:
    values = template_values(message)
    template: dict[str, Any] = {
        "name": message.template,
        "language": {"code": message.language.replace("-", "_"), "policy": "deterministic"},
        "to_and_components": [
            {
                "to": [digits_of(message.recipient)],
                "components": {
                    f"body_{place}": {"type": "text", "value": value}
                    for place, (_name, value) in enumerate(values, start=1)
                },
            }
        ],
    }
    if settings().msg91_namespace:
        template["namespace"] = settings().msg91_namespace
    payload = {"messaging_product": "whatsapp", "type": "template", "template": template}
    return {
        "integrated_number": settings().msg91_whatsapp_number,
        "content_type": "template",
        "payload": payload,
    }


def _login() -> dict[str, str]:
    return {"authkey": settings().msg91_auth_key, "accept": "application/json"}


def _refusal(answer: Answer, body: Mapping[str, Any]) -> Exception:
    """What a refusal means; its words are all there is, and they often come with HTTP 200."""
    words, code = talking.said(answer, body), str(body.get("code") or answer.status)
    if code in {"401", "418"} or any(part in words.casefold() for part in OURS_TO_MEND):
        return ChannelBroken(words, code)
    return ProviderRefused(words, code)


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _read(told: Mapping[str, Any]) -> Receipt | None:
    """An object: of WhatsApp where it names an event, else of SMS."""
    is_whatsapp = "eventName" in told or "integratedNumber" in told
    return _whatsapp(told) if is_whatsapp else _sms(told, told)


def _whatsapp(told: Mapping[str, Any]) -> Receipt | None:
    """The fields are a template that is edited in the panel; both editions' names are read."""
    words = talking.text_of(told.get("eventName") or told.get("status")).casefold()
    meaning, sent = WHATSAPP.get(words), talking.text_of(told.get("requestId"))
    if meaning is None or not sent or told.get("direction") == "inbound":
        return None
    why = talking.text_of(told.get("reason") or told.get("failureReason"))
    return Receipt(
        event_id=f"{sent}:{words}", provider_id=sent, status=meaning, kind="whatsapp",
        recipient=with_plus(told.get("customerNumber") or told.get("mobile")),
        error=why if meaning == ReceiptStatus.FAILED else "",
        message_id=talking.text_of(told.get("crqid") or told.get("CRQID")),
        template=talking.text_of(told.get("templateName")),
    )  # fmt: skip


def _reports(told: Mapping[str, Any]) -> Iterator[Receipt]:
    for report in _dicts(told.get("report")):
        found = _sms(told, report)
        if found:
            yield found


def _sms(about: Mapping[str, Any], report: Mapping[str, Any]) -> Receipt | None:
    status, sent = talking.text_of(report.get("status")), talking.text_of(about.get("requestId"))
    number, meaning = with_plus(report.get("number")), SMS.get(status)
    if meaning is None or not sent:
        return None
    why = talking.text_of(report.get("failedReason") or report.get("desc"))
    return Receipt(
        event_id=f"{sent}:{number}:{status}", provider_id=sent, status=meaning, kind="sms",
        recipient=number, error=f"{status} {why}" if meaning == ReceiptStatus.FAILED else "",
        message_id=talking.text_of(report.get("CRQID")),
    )  # fmt: skip
