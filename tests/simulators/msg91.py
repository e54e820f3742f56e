"""A stand-in for MSG91: WhatsApp templates in bulk calls, failures with 200, unsigned reports.

Written from what MSG91's help and its integrators tell.
"""

import json
from typing import Any

from werkzeug import Request, Response

from tests.simulators.base import Fault
from tests.simulators.messengers import Messenger, Refusal, Sent, answer, parsed

AUTH_KEY = "412233AinventedAuthKey0001"
NUMBER = "919847011223"
SECRET = "msg91-secret-0123456789abcdef"


class Msg91(Messenger):
    """One account with one integrated number."""

    name = "MSG91"

    def __init__(self, port: int = 0) -> None:
        #: False: the key's list of addresses does not hold ours.
        self.knows_our_address = True
        super().__init__(port)

    @property
    def api(self) -> str:
        """With the version."""
        return f"{self.url}/api/v5"

    def act(self, request: Request) -> Response:
        """Authenticate by the header, then route."""
        if request.headers.get("authkey") != AUTH_KEY:
            raise Refusal(401, {"message": "Unauthorized", "type": "error", "code": "401"})
        if not self.knows_our_address:
            raise Refusal(418, {"message": "IP is not whitelisted", "type": "error", "code": "418"})
        if request.path == f"/api/v5/whatsapp/get-template-client/{NUMBER}":
            rows = [{"name": name, "languages": ["en"]} for name in self.templates]
            return answer(200, {"status": "success", "hasError": False, "data": rows})
        if request.path != "/api/v5/whatsapp/whatsapp-outbound-message/bulk/":
            raise Refusal(404, {"message": "Not found", "type": "error"})
        return self._send(parsed(request))

    def failure(self, fault: Fault, request: Request) -> Response:
        """Errors in MSG91's shape."""
        return answer(fault.status, {"message": "simulated", "type": "error"}, fault.headers)

    def _send(self, body: dict[str, Any]) -> Response:
        if body.get("integrated_number") != NUMBER:
            raise _failed("Integrated number not found")
        payload = body.get("payload", {})
        template = payload.get("template", {})
        rows = template.get("to_and_components", [])
        if len(rows) != 1 or len(rows[0].get("to", [])) != 1:
            raise _failed("Invalid recipients")
        parts, to = rows[0].get("components", {}), str(rows[0]["to"][0])
        values = [
            parts.get(f"body_{place}", {}).get("value", "") for place in range(1, len(parts) + 1)
        ]
        wrong = self.check_template(template.get("name", ""), values)
        if wrong:
            raise _failed("Template not found or not approved for the integrated number" if wrong == "missing" else f"Template {wrong} mismatch")  # fmt: skip
        if not to.isdigit():
            raise _failed("Invalid mobile number")
        made = f"b5c1f0c2a9d84e0a8b77{self.next_number():012x}"
        self.take(Sent(id=made, to=to, text="", template=template["name"], values=values))
        words = "Your request is in process, check delivery reports for status"
        return answer(
            200,
            {"status": "success", "hasError": False, "data": words, "errors": None, "request_id": made},
        )  # fmt: skip

    # --- the other side ---------------------------------------------------------------------

    def report(self, message_id: str, status: str, code: int = 0) -> None:
        """What the panel's "On Outbound Report Received" posts; the address holds a secret."""
        sent = self.messages[message_id]
        if sent.to in self.unknown and status != "sent":
            status = "failed"
        sent.status = status
        self.post(
            {
                "crqid": "", "companyId": "412233", "requestedAt": "2026-11-20 17:50:02",
                "customerNumber": sent.to,
                "content": json.dumps([{"type": "body", "text": value} for value in sent.values]),
                "requestId": sent.id, "reason": "Message Undeliverable." if status == "failed" else "",
                "eventName": status, "status": status, "uuid": f"wamid.{sent.id}",
                "integratedNumber": NUMBER, "messageType": "template", "direction": "outbound",
                "templateName": sent.template,
            }
        )  # fmt: skip


def _failed(words: str) -> Refusal:
    return Refusal(200, {"status": "fail", "hasError": True, "errors": words, "code": "400"})
