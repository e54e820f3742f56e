"""A stand-in for Interakt: templates, signed reports, and a webhook that is switched off when it is slow.

Written from Interakt's documents.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Sequence
from typing import Any

import phonenumbers
from werkzeug import Request, Response

from tests.simulators.base import Fault, Hook
from tests.simulators.messengers import Messenger, Refusal, Sent, answer, parsed

#: As the dashboard shows it: base64 already.
API_KEY = base64.b64encode(b"interakt:invented-key").decode()
SECRET = "interakt_webhook_secret_invented"
ANSWER_SECONDS = 3
FAILURES = 5


class Interakt(Messenger):
    """One account."""

    name = "Interakt"

    def __init__(self, port: int = 0) -> None:
        self.secret = SECRET
        #: Which of the two names the signature's header has.
        self.header = "Interakt-Signature"
        #: Answers that were no 200, or came too late; after five the webhook is off.
        self.failed = 0
        super().__init__(port)

    @property
    def is_off(self) -> bool:
        """True when Interakt no longer calls the webhook."""
        return self.failed >= FAILURES

    def act(self, request: Request) -> Response:
        """Authenticate, then route."""
        if request.headers.get("Authorization") != f"Basic {API_KEY}":
            raise Refusal(401, {"result": False, "message": "Invalid token provided"})
        if request.path == "/v1/public/message":
            return Response(status=301, headers={"Location": "/v1/public/message/"})
        if request.path != "/v1/public/message/" or request.method != "POST":
            raise Refusal(404, {"result": False, "message": "Not found"})
        return self._send(parsed(request))

    def failure(self, fault: Fault, request: Request) -> Response:
        """Errors in Interakt's shape."""
        words = "Rate limit exceeded for this resource" if fault.status == 429 else "simulated"
        return answer(fault.status, {"result": False, "message": words}, fault.headers)

    def _send(self, body: dict[str, Any]) -> Response:
        template = body.get("template", {})
        code, number = str(body.get("countryCode", "")), str(body.get("phoneNumber", ""))
        if not code.startswith("+") or not number.isdigit() or body.get("type") != "Template":
            raise _refused("phoneNumber or countryCode is not valid")
        values = [str(value) for value in template.get("bodyValues", [])]
        name, language = template.get("name", ""), template.get("languageCode", "")
        wrong = self.check_template(name, values)
        if wrong == "missing":
            raise _refused(
                f"Approved template not found with name '{name}' and language '{language}'"
            )
        if wrong:
            raise _refused("The number of body values does not match the template")
        made = f"0d5f6a1c-7b2e-4c52-9a51-{self.next_number():012x}"
        self.take(
            Sent(
                id=made, to=code.lstrip("+") + number, text="", template=name, values=values,
                reference=str(body.get("callbackData", "")),
                # With its country code twice it is accepted all the same, and reaches nobody.
                more={"is_nobodys": not _exists(code + number)},
            )
        )  # fmt: skip
        return answer(201, {"result": True, "message": "Message created successfully", "id": made})

    # --- the other side ---------------------------------------------------------------------

    def report(self, message_id: str, status: str, code: int = 0) -> None:
        """An event of an API message."""
        sent = self.messages[message_id]
        if (sent.to in self.unknown or sent.more["is_nobodys"]) and status != "sent":
            status = "failed"
        sent.status = status
        has_come = status in {"delivered", "read"}
        message: dict[str, Any] = {
            "id": sent.id, "chat_message_type": "PublicApiMessage",
            "channel_failure_reason": "Message undeliverable" if status == "failed" else None,
            "message_status": status.capitalize(), "message_content_type": "Template",
            "received_at_utc": "2026-11-20T12:20:29",
            "delivered_at_utc": "2026-11-20T12:20:31" if has_come else None,
            "seen_at_utc": "2026-11-20T12:25:02" if status == "read" else None,
            "is_template_message": True,
            "meta_data": {"source": "PublicAPI", "source_data": {"callback_data": sent.reference}},
        }  # fmt: skip
        if status == "failed":
            message["channel_error_code"] = str(code or 131026)
        self._tell(f"message_api_{status}", sent.to, message)

    def says(self, number: str, text: str) -> None:
        """Somebody writes to the number."""
        message = {"id": f"in-{self.next_number()}", "chat_message_type": "CustomerMessage", "message": text}  # fmt: skip
        self._tell("message_received", number.lstrip("+"), message)

    def set_up(self) -> None:
        """The call when the address is entered."""
        self.post({"type": "Webhook Test"}, self.sign)

    def _tell(self, kind: str, number: str, message: dict[str, Any]) -> None:
        customer = {"id": "b1c5e7d0-invented", "channel_phone_number": number, "traits": {}}
        self.post(
            {
                "version": "1.0", "timestamp": "2026-11-20T12:20:31.123456+00:00", "type": kind,
                "data": {"customer": customer, "message": message},
            },
            self.sign,
        )  # fmt: skip

    def sign(self, body: bytes) -> dict[str, str]:
        """sha256=<hex>, under one of two names."""
        made = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        return {self.header: f"sha256={made}"}

    def attempt(self, hooks: Sequence[Hook]) -> list[int]:
        """As all do, counting what is answered badly or late."""
        if self.is_off:
            self.given_up += hooks
            return []
        started = time.monotonic()
        answers = super().attempt(hooks)
        is_late = time.monotonic() - started > ANSWER_SECONDS * max(1, len(answers))
        self.failed += sum(is_late or status != 200 for status in answers)
        return answers


def _exists(number: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return False


def _refused(words: str) -> Refusal:
    return Refusal(400, {"result": False, "message": words})
