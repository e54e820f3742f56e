"""A stand-in for Termii: SMS, a balance that falls, signed delivery reports in both shapes.

Written from Termii's documents.
"""

import hashlib
import hmac
from typing import Any

from werkzeug import Request, Response

from tests.simulators.base import Fault
from tests.simulators.messengers import Messenger, Refusal, Sent, answer, parsed

API_KEY = "TLinventedkey"
SECRET_KEY = "termii_secret_key_invented"
SENDER = "ShopAlert"
PAGE_COST = 3.9

REPORTS = {
    "sent": "Message Sent", "delivered": "Delivered", "failed": "Message Failed",
    "dnd": "DND Active on Phone Number", "rejected": "Rejected", "expired": "Expired",
}  # fmt: skip


class Termii(Messenger):
    """One account with one sender."""

    name = "Termii"

    def __init__(self, port: int = 0) -> None:
        self.secret = SECRET_KEY
        self.balance = 1042.55
        self.has_dnd_route = True
        self.is_over_daily_limit = False
        #: Reports in the shape of 2020.
        self.is_old = False
        super().__init__(port)

    @property
    def api(self) -> str:
        """The account's own address."""
        return f"{self.url}/api"

    def act(self, request: Request) -> Response:
        """Authenticate by the body or the query, then route."""
        body = parsed(request)
        if (body.get("api_key") or request.args.get("api_key")) != API_KEY:
            raise Refusal(401, {"message": "Unauthorized"})
        if request.method == "GET" and request.path == "/api/get-balance":
            return answer(200, {"user": "Halflong", "balance": self.balance, "currency": "NGN"})
        if request.path != "/api/sms/send":
            raise Refusal(404, {"message": "Not Found"})
        if request.method != "POST":
            raise Refusal(405, {"message": "Method Not Allowed"})
        return self._send(body)

    def failure(self, fault: Fault, request: Request) -> Response:
        """Errors in Termii's shape."""
        return answer(fault.status, {"message": "simulated"}, fault.headers)

    def _send(self, body: dict[str, Any]) -> Response:
        missing = [name for name in ("to", "from", "sms", "type", "channel") if not body.get(name)]
        if missing:
            raise Refusal(422, {"message": f"The {missing[0]} field is required."})
        if body["from"] != SENDER:
            words = f"ApplicationSenderId not found for applicationId: 12345 and senderName: {body['from']}"
            raise Refusal(400, {"code": 400, "message": words, "status": "error"})
        to = str(body["to"])
        if not to.isdigit() or to in self.unknown:
            raise Refusal(400, {"message": "Invalid phone number"})
        if body["channel"] == "dnd" and not self.has_dnd_route:
            raise Refusal(400, {"message": "You are not set up on this route"})
        if self.is_over_daily_limit:
            raise Refusal(400, {"message": "Your device has reached the daily limit"})
        if self.balance < PAGE_COST:
            # Told with 200, and without a message_id.
            raise Refusal(200, {"message": "Insufficient balance", "balance": self.balance})
        self.balance = round(self.balance - PAGE_COST, 2)
        made = str(9_122_821_270_554_876_573 + self.next_number())
        self.take(Sent(id=made, to=to, text=body["sms"], more={"channel": body["channel"]}))
        return answer(
            200,
            {
                "code": "ok", "message_id": made, "message": "Successfully Sent",
                "balance": self.balance, "user": "Halflong",
            },
        )  # fmt: skip

    # --- the other side ---------------------------------------------------------------------

    def report(self, message_id: str, status: str, code: int = 0) -> None:
        """A delivery report, signed by the secret key."""
        sent = self.messages[message_id]
        sent.status = status
        body = {
            "type": "outbound", "id": f"5b0f1c9e-{message_id[-4:]}", "message_id": sent.id,
            "receiver": sent.to, "sender": SENDER, "message": sent.text,
            "sent_at": "2026-11-20 17:50:02", "cost": str(PAGE_COST),
            "status": REPORTS.get(status, status), "channel": sent.more["channel"],
        }  # fmt: skip
        if self.is_old:
            del body["id"]
            body |= {"command": "deliver", "channel": "Number Api", "status": f"{status.upper()} | Message {status} to handset"}  # fmt: skip
        self.post(body, self.sign)

    def sign(self, body: bytes) -> dict[str, str]:
        """X-Termii-Signature."""
        made = hmac.new(self.secret.encode(), body, hashlib.sha512).hexdigest()
        return {"X-Termii-Signature": made}
