"""A stand-in for Wati: templates by named parameters, failures with 200, events told in two forms.

Written from Wati's documents.
"""

from typing import Any

from werkzeug import Request, Response

from tests.simulators.base import Fault, now
from tests.simulators.messengers import Messenger, Refusal, Sent, answer, parsed

TENANT = "310042"
TOKEN = "wati-invented-token"
SECRET = "wati-secret-0123456789abcdef"

EVENTS = {
    "sent": ("templateMessageSent", "SENT"), "delivered": ("sentMessageDELIVERED", "Delivered"),
    "read": ("sentMessageREAD", "Read"), "replied": ("sentMessageREPLIED", "Replied"),
}  # fmt: skip


class Wati(Messenger):
    """One tenant."""

    name = "Wati"
    #: 144 tries, one every 10 minutes.
    RETRIES = (600,) * 143

    def __init__(self, port: int = 0) -> None:
        #: True: the events' old form, without localMessageId, is subscribed to as well.
        self.tells_twice = False
        super().__init__(port)

    @property
    def api(self) -> str:
        """With the tenant."""
        return f"{self.url}/{TENANT}"

    def act(self, request: Request) -> Response:
        """Authenticate, then route."""
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refusal(401, {"error": "Unauthorized"})
        if request.path == f"/{TENANT}/api/v1/getMessageTemplates":
            return answer(200, {"result": "success", "messageTemplates": list(self.templates)})
        if request.path != f"/{TENANT}/api/v2/sendTemplateMessage":
            raise Refusal(404, {"error": "Not Found"})
        if request.method != "POST":
            raise Refusal(405, {"error": "Method Not Allowed"})
        return answer(200, self._send(request.args.get("whatsappNumber", ""), parsed(request)))

    def failure(self, fault: Fault, request: Request) -> Response:
        """Errors in Wati's shape."""
        return answer(fault.status, {"error": "simulated"}, fault.headers)

    def _send(self, number: str, body: dict[str, Any]) -> dict[str, Any]:
        name = str(body.get("template_name", ""))
        pairs = body.get("parameters", [])
        values = [str(pair.get("value", "")) for pair in pairs if pair.get("name")]
        said: dict[str, Any] = {"error": None, "templateName": name, "parameters": pairs}
        wrong = self.check_template(name, values)
        if wrong:
            words = "Template not found" if wrong == "missing" else f"Template parameter {wrong}"
            return {**said, "result": False, "error": words, "receivers": [], "parameters": []}
        if not number.isdigit() or number in self.unknown:
            row = {"localMessageId": None, "waId": number, "isValidWhatsAppNumber": False, "errors": ["Invalid WhatsApp number"]}  # fmt: skip
            return {**said, "result": True, "receivers": [row], "parameters": []}
        made = f"d38f0c3a-e833-4725-a894-{self.next_number():012x}"
        label = str(body.get("broadcast_name", ""))
        self.take(Sent(id=made, to=number, text="", template=name, values=values, reference=label))
        row = {"localMessageId": made, "waId": number, "isValidWhatsAppNumber": True, "errors": []}
        return {**said, "result": True, "receivers": [row]}

    # --- the other side ---------------------------------------------------------------------

    def report(self, message_id: str, status: str, code: int = 0) -> None:
        """An event in its v2 form, and in the old one where both are subscribed to."""
        sent = self.messages[message_id]
        sent.status = status
        common = {
            "id": f"66f0c1d4{message_id[-12:]}", "whatsappMessageId": f"wamid.{message_id[-12:]}",
            "conversationId": "639c34fbd205f79bdec80001", "ticketId": "640c8e6d8b67615f88620002",
            "type": "template", "timestamp": str(now()),
        }  # fmt: skip
        if status == "failed":
            self.post(
                {
                    **common, "eventType": "templateMessageFailed", "statusString": "Failed",
                    "localMessageId": sent.id, "failedCode": str(code or 131026),
                    "failedDetail": "Message undeliverable", "text": None, "assigneeId": None,
                }
            )  # fmt: skip
            return
        event, words = EVENTS[status]
        told = {**common, "statusString": words, "created": "2026-11-20T12:20:03.9655388Z", "sourceType": "API"}  # fmt: skip
        if status == "sent":
            told |= {"templateName": sent.template, "waId": sent.to, "operatorEmail": "ops@shop.example.com"}  # fmt: skip
        self.post({**told, "eventType": f"{event}_v2", "localMessageId": sent.id})
        if self.tells_twice:
            self.post({**told, "eventType": event})
