"""A stand-in for Meta's WhatsApp Cloud API: templates, signed webhooks in batches, its error codes.

Written from Meta's documents.
"""

import hashlib
import hmac
from typing import Any

import requests
from werkzeug import Request, Response

from tests.simulators.base import Fault, doubling, now
from tests.simulators.messengers import Messenger, Refusal, Sent, answer, parsed

PHONE_ID = "106540352242922"
ACCOUNT_ID = "102290129340398"
TOKEN = "EAAGinventedSystemUserToken"
APP_SECRET = "meta_app_secret_00112233445566778899aabbccddeeff"
VERIFY_TOKEN = "verify-token-invented"
VERSION = "v26.0"

WORDS = {
    190: "Error validating access token: Session has expired", 100: "Invalid parameter",
    131008: "Required parameter is missing", 131026: "Message undeliverable",
    131030: "Recipient phone number not in allowed list", 131056: "(Business Account, Consumer Account) pair rate limit hit",
    130429: "Rate limit hit", 132000: "Number of parameters does not match the expected number of params",
    132001: "Template name does not exist in the translation", 132015: "Template is paused",
    131000: "Something went wrong", 131050: "User has stopped receiving marketing messages",
}  # fmt: skip


class WhatsAppCloud(Messenger):
    """One number of one business account."""

    name = "WhatsApp Cloud API"
    #: For seven days, with waits that grow. How they do is not published.
    RETRIES = doubling(60, 7 * 24 * 3600)

    def __init__(self, port: int = 0) -> None:
        self.secret = APP_SECRET
        self.token = TOKEN
        self.languages = {"en"}
        #: The next calls are answered with these codes.
        self.codes: list[int] = []
        #: The numbers a test number may write to; None: all.
        self.allowed: set[str] | None = None
        #: Usernames: the phone number is left out of answers and webhooks.
        self.hides_numbers = False
        self.paused: set[str] = set()
        super().__init__(port)

    @property
    def api(self) -> str:
        """With the version."""
        return f"{self.url}/{VERSION}"

    def act(self, request: Request) -> Response:
        """Authenticate, then route."""
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            raise error(401, 190, error_subcode=463)
        if self.codes:
            code = self.codes.pop(0)
            raise error(500 if code == 131000 else 429 if code == 130429 else 400, code)
        if request.method == "POST" and request.path == f"/{VERSION}/{PHONE_ID}/messages":
            return answer(200, self._send(parsed(request)))
        if request.method == "GET" and request.path == f"/{VERSION}/{PHONE_ID}":
            return answer(
                200, {"verified_name": "Halflong", "quality_rating": "GREEN", "id": PHONE_ID}
            )
        if request.method == "GET" and request.path == f"/{VERSION}/{ACCOUNT_ID}/message_templates":
            return answer(200, {"data": [self._template(name) for name in self.templates]})
        raise error(404, 100)

    def failure(self, fault: Fault, request: Request) -> Response:
        """Errors in Meta's shape."""
        body = error(fault.status, 130429 if fault.status == 429 else 131000).body
        return answer(fault.status, body, fault.headers)

    def _template(self, name: str) -> dict[str, str]:
        status = "PAUSED" if name in self.paused else "APPROVED"
        return {"name": name, "status": status, "language": "en", "category": "UTILITY"}

    def _send(self, body: dict[str, Any]) -> dict[str, Any]:
        to = str(body.get("to", "")).lstrip("+")
        if body.get("messaging_product") != "whatsapp" or body.get("type") != "template":
            raise error(400, 100)
        if not to.isdigit():
            raise error(400, 131008)
        if self.allowed is not None and to not in self.allowed:
            raise error(400, 131030)
        template = body.get("template", {})
        name, language = template.get("name", ""), template.get("language", {}).get("code", "")
        values = [
            part.get("text", "")
            for component in template.get("components", [])
            if component.get("type") == "body"
            for part in component["parameters"]
        ]
        wrong = self.check_template(name, values)
        if wrong == "missing" or (language not in self.languages and not self.takes_any_template):
            raise error(404, 132001, f"template name ({name}) does not exist in {language}", error_subcode=2494073)  # fmt: skip
        if name in self.paused:
            raise error(400, 132015)
        if wrong:
            raise error(400, 132000 if wrong == "count" else 131008)
        made = f"wamid.HBgMOTE5ODc2NTQzMjEwFQIAERgS{self.next_number():08d}"
        reference = str(body.get("biz_opaque_callback_data", ""))
        self.take(Sent(id=made, to=to, text="", template=name, values=values, reference=reference))
        contact = {"input": to} | ({"user_id": "IN.1349"} if self.hides_numbers else {"wa_id": to})
        return {
            "messaging_product": "whatsapp", "contacts": [contact],
            "messages": [{"id": made, "message_status": "accepted"}],
        }  # fmt: skip

    # --- the other side ---------------------------------------------------------------------

    def subscribe(self, url: str, token: str = VERIFY_TOKEN) -> bool:
        """Set the webhook's address, as the app's page does: it is asked to prove itself."""
        query = {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": "1158201444"}
        told = requests.get(url, params=query, timeout=10)
        if told.status_code == 200 and told.text == "1158201444":
            self.webhook_url = url
            return True
        return False

    def status(self, message_id: str, status: str, code: int = 0) -> dict[str, Any]:
        """One status, as it stands in a webhook."""
        sent = self.messages[message_id]
        if sent.to in self.unknown and status != "sent":
            status, code = "failed", code or 131026
        sent.status = status
        told: dict[str, Any] = {"id": sent.id, "status": status, "timestamp": str(now())}
        if not self.hides_numbers:
            told["recipient_id"] = sent.to
        if sent.reference:
            told["biz_opaque_callback_data"] = sent.reference
        if status == "failed":
            words = WORDS.get(code or 131026, "Failed")
            told["errors"] = [
                {"code": code or 131026, "title": words, "message": words, "error_data": {"details": words}}
            ]  # fmt: skip
        return told

    def report(self, message_id: str, status: str, code: int = 0) -> None:
        """A webhook with one status."""
        self.batch([self.status(message_id, status, code)])

    def batch(self, *entries: list[dict[str, Any]], phone_id: str = PHONE_ID) -> None:
        """A webhook with several entries of several statuses."""
        self._tell([{"statuses": statuses} for statuses in entries], phone_id)

    def says(self, number: str, text: str) -> None:
        """Somebody writes to the number."""
        message = {
            "from": number.lstrip("+"), "id": f"wamid.in{self.next_number()}", "timestamp": str(now()),
            "type": "text", "text": {"body": text},
        }  # fmt: skip
        self._tell([{"messages": [message]}], PHONE_ID)

    def _tell(self, values: list[dict[str, Any]], phone_id: str) -> None:
        common = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "919847011223", "phone_number_id": phone_id},
        }
        entries = [
            {"id": ACCOUNT_ID, "changes": [{"value": {**common, **value}, "field": "messages"}]}
            for value in values
        ]
        self.post({"object": "whatsapp_business_account", "entry": entries}, self.sign)

    def sign(self, body: bytes) -> dict[str, str]:
        """X-Hub-Signature-256."""
        made = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        return {"X-Hub-Signature-256": f"sha256={made}"}


def error(status: int, code: int, details: str = "", **more: Any) -> Refusal:
    """{"error": …}."""
    words = WORDS.get(code, "Unknown")
    body: dict[str, Any] = {
        "message": words if code == 190 else f"(#{code}) {words}", "type": "OAuthException",
        "code": code, "fbtrace_id": "AInventedTraceId01", **more,
    }  # fmt: skip
    if code != 190:
        body["error_data"] = {"messaging_product": "whatsapp", "details": details or words}
    return Refusal(status, {"error": body})
