"""A stand-in for Twilio: messages of both kinds, signed callbacks, the errors of its table, with state.

Written from Twilio's documents. Methods below "the other side" do what handsets and people do.
"""

import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

from werkzeug import Request, Response

from tests.simulators.base import Fault, Hook, now
from tests.simulators.messengers import Messenger, Refusal, Sent, answer

ACCOUNT = "AC00000000000000000000000000000001"
TOKEN = "test_auth_token_0123456789abcdef"
SMS_FROM = "+15005550006"
WHATSAPP_FROM = "+14155238886"
SERVICE = "MG00000000000000000000000000000001"

WORDS = {
    20003: "Authenticate", 20404: "The requested resource was not found", 20429: "Too Many Requests",
    21211: "Invalid 'To' Phone Number", 21212: "Invalid 'From' Number", 21408: "Permission to send an SMS has not been enabled for the region",
    21602: "Message body is required", 21606: "The 'From' phone number is not a valid message-capable number",
    21609: "Invalid 'StatusCallback' URL", 21610: "Attempt to send to unsubscribed recipient",
    21611: "This 'From' number has exceeded the maximum number of queued messages",
    21612: "The message cannot be sent with this combination of 'To' and 'From'",
    21614: "'To' number is not a valid mobile number", 21617: "The concatenated message body exceeds the 1600 character limit",
    21656: "The ContentVariables parameter is invalid",
}  # fmt: skip
#: Numbers that fail in a way of their own, in test mode.
MAGIC_TO = {
    "+15005550001": 21211, "+15005550002": 21612, "+15005550003": 21408, "+15005550004": 21610,
    "+15005550009": 21614,
}  # fmt: skip
MAGIC_FROM = {"+15005550001": 21212, "+15005550007": 21606, "+15005550008": 21611}


class Twilio(Messenger):
    """One account with an SMS number, a messaging service and a WhatsApp sender."""

    name = "Twilio"
    #: One more try. How soon is not published.
    RETRIES = (1,)

    def __init__(self, token: str = TOKEN, port: int = 0) -> None:
        self.token = token
        #: Approved content templates by id.
        self.contents: dict[str, int] = {}
        #: Signs callbacks instead of the token: a shared key (SHA-256).
        self.shared_key = ""
        super().__init__(port)

    def act(self, request: Request) -> Response:
        """Authenticate, then route."""
        login = request.authorization
        if login is None or (login.username, login.password) != (ACCOUNT, self.token):
            raise _error(401, 20003)
        root = f"/2010-04-01/Accounts/{ACCOUNT}"
        one = re.fullmatch(rf"{root}/Messages/(\w+)\.json", request.path)
        if request.method == "POST" and request.path == f"{root}/Messages.json":
            return answer(201, self._create(request))
        if request.method == "GET" and request.path == f"{root}/Messages.json":
            return answer(200, self._list(request))
        if request.method == "GET" and one and one[1] in self.messages:
            return answer(200, self._object(self.messages[one[1]]))
        if request.method == "GET" and request.path == f"{root}.json":
            return answer(200, {"sid": ACCOUNT, "status": "active", "friendly_name": "Halflong"})
        raise _error(404, 20404)

    def failure(self, fault: Fault, request: Request) -> Response:
        """Errors in Twilio's shape."""
        code = 20429 if fault.status == 429 else 20500
        made = answer(fault.status, _body(fault.status, code))
        made.headers.update(fault.headers)
        return made

    def _create(self, request: Request) -> dict[str, Any]:
        if request.mimetype != "application/x-www-form-urlencoded":
            raise _error(400, 21602)
        form = request.form.to_dict()
        is_whatsapp = form.get("To", "").startswith("whatsapp:")
        to = form.get("To", "").removeprefix("whatsapp:")
        self._check_ends(form, to, is_whatsapp)
        _check_callback(form.get("StatusCallback", ""))
        text, values = self._content(form, is_whatsapp)
        number = self.next_number()
        sent = Sent(
            id=f"{'MM' if is_whatsapp else 'SM'}{number:032d}", to=to.lstrip("+"), text=text,
            template=form.get("ContentSid", ""), values=values, callback=form.get("StatusCallback", ""),
            status="accepted" if "MessagingServiceSid" in form else "queued",
            more={
                "made": now(), "is_whatsapp": is_whatsapp, "from": form.get("From"),
                # A template that is sent as a text fails afterwards, outside the window.
                "outside": is_whatsapp and "ContentSid" not in form,
            },
        )  # fmt: skip
        self.take(sent)
        return self._object(sent)

    def _check_ends(self, form: dict[str, str], to: str, is_whatsapp: bool) -> None:
        if to in MAGIC_TO:
            raise _error(400, MAGIC_TO[to])
        if not re.fullmatch(r"\+[1-9][0-9]{6,14}", to) or to.lstrip("+") in self.unknown:
            raise _error(400, 21211)
        if to.lstrip("+") in self.stopped:
            raise _error(400, 21610)
        if form.get("MessagingServiceSid") == SERVICE:
            return
        sender = form.get("From", "")
        if sender in MAGIC_FROM:
            raise _error(400, MAGIC_FROM[sender])
        if sender != (f"whatsapp:{WHATSAPP_FROM}" if is_whatsapp else SMS_FROM):
            raise _error(400, 21606 if sender.removeprefix("whatsapp:").startswith("+") else 21212)

    def _content(self, form: dict[str, str], is_whatsapp: bool) -> tuple[str, list[str]]:
        if "ContentSid" in form:
            if form["ContentSid"] not in self.contents and not self.takes_any_template:
                raise _error(404, 20404)
            try:
                given = json.loads(form.get("ContentVariables", "{}"))
            except ValueError:
                raise _error(400, 21656) from None
            if not all(isinstance(value, str) for value in given.values()):
                raise _error(400, 21656)
            count = self.contents.get(form["ContentSid"], len(given))
            # What is missing falls back to the template's sample, as a buyer would see it.
            return "", [given.get(str(n), f"sample {n}") for n in range(1, count + 1)]
        if not form.get("Body"):
            raise _error(400, 21602)
        if len(form["Body"]) > 1600:
            raise _error(400, 21617)
        return form["Body"], []

    def _list(self, request: Request) -> dict[str, Any]:
        to = request.args.get("To", "").removeprefix("whatsapp:").lstrip("+")
        since = request.args.get("DateSent>", "")
        rows = [self._object(sent) for sent in self.messages.values() if sent.to == to]
        made = [sent.more["made"] for sent in self.messages.values() if sent.to == to]
        kept = [
            row
            for row, at in zip(rows, made, strict=True)
            if datetime.fromtimestamp(at, UTC).date().isoformat() >= since
        ]
        return {"messages": kept[::-1], "page": 0, "page_size": 50}

    def _object(self, sent: Sent) -> dict[str, Any]:
        at = format_datetime(datetime.fromtimestamp(sent.more["made"], UTC))
        prefix = "whatsapp:" if sent.more["is_whatsapp"] else ""
        return {
            "account_sid": ACCOUNT, "api_version": "2010-04-01", "body": sent.text, "date_created": at,
            "date_sent": None, "date_updated": at, "direction": "outbound-api",
            "error_code": sent.more.get("code"), "error_message": None, "from": sent.more["from"],
            "messaging_service_sid": None if sent.more["from"] else SERVICE, "num_media": "0",
            "num_segments": "0", "price": None, "price_unit": None, "sid": sent.id,
            "status": sent.status, "to": f"{prefix}+{sent.to}",
        }  # fmt: skip

    # --- the other side ---------------------------------------------------------------------

    def report(self, message_id: str, status: str, code: int = 0) -> None:
        """A callback, to the message's own address."""
        sent = self.messages[message_id]
        if sent.more["outside"] and status not in {"queued", "sending"}:
            status, code = "undelivered", 63016
        sent.status, sent.more["code"] = status, code or None
        prefix = "whatsapp:" if sent.more["is_whatsapp"] else ""
        fields = {
            "AccountSid": ACCOUNT, "ApiVersion": "2010-04-01", "MessageSid": sent.id,
            "SmsSid": sent.id, "MessageStatus": status, "SmsStatus": status,
            "To": f"{prefix}+{sent.to}", "From": sent.more["from"] or SMS_FROM,
        }  # fmt: skip
        if prefix:
            fields |= {"ChannelPrefix": "whatsapp", "EventType": status.upper(), "StructuredMessage": "false"}  # fmt: skip
        if code or status in {"failed", "undelivered"}:
            fields["ErrorCode"] = str(code or 30008)
        if sent.callback:
            self._post_form(sent.callback, fields)

    def says(self, number: str, text: str) -> None:
        """Somebody writes to the SMS number; STOP is heard by Twilio, too."""
        word = text.strip().upper()
        if word in {"STOP", "START", "UNSTOP"}:
            (self.stopped.add if word == "STOP" else self.stopped.discard)(number.lstrip("+"))
        sid = f"SM{self.next_number():032d}"
        fields = {
            "AccountSid": ACCOUNT, "ApiVersion": "2010-04-01", "MessageSid": sid, "SmsSid": sid,
            "SmsStatus": "received", "SmsMessageSid": sid, "Body": text, "From": f"+{number.lstrip('+')}",
            "To": SMS_FROM, "NumMedia": "0", "NumSegments": "1",
        }  # fmt: skip
        if self.webhook_url:
            self._post_form(self.webhook_url, fields)

    def _post_form(self, url: str, fields: dict[str, str]) -> None:
        def sign(_body: bytes) -> dict[str, str]:
            headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
            if self.shared_key:
                headers["X-Twilio-Webhooks-Signature-Settings"] = "key=1,algorithm=HMAC_SHA256"
                return headers | {"X-Twilio-Signature": signature(self.shared_key, url, fields, "sha256")}  # fmt: skip
            return headers | {"X-Twilio-Signature": signature(self.token, url, fields)}

        self.send(Hook(url, urlencode(fields).encode(), sign))


def signature(key: str, url: str, fields: dict[str, str], digest: str = "sha1") -> str:
    """X-Twilio-Signature: over the address and every field, sorted by name."""
    text = url + "".join(f"{name}{value}" for name, value in sorted(fields.items()))
    made = hmac.new(key.encode(), text.encode(), getattr(hashlib, digest)).digest()
    return base64.b64encode(made).decode()


def _check_callback(address: str) -> None:
    host = re.match(r"https?://([^/:]+)", address)
    if address and (host is None or "_" in host[1]):
        raise _error(400, 21609)


def _body(status: int, code: int) -> dict[str, Any]:
    return {
        "code": code, "message": WORDS.get(code, "Internal Server Error"),
        "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status,
    }  # fmt: skip


def _error(status: int, code: int) -> Refusal:
    return Refusal(status, _body(status, code))
