"""What the stand-ins for providers of messages share: what was sent, receipts on order, and a page of it all."""

import json
import threading
from dataclasses import dataclass, field
from typing import Any

from markupsafe import escape
from werkzeug import Request, Response
from werkzeug.utils import redirect

from tests.simulators.base import Hook, Simulator

#: What a person may make happen to a message on the stand-in's page.
STEPS = ("sent", "delivered", "read", "failed")


class Refusal(Exception):
    """An answer that is none of success, in the provider's shape."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


@dataclass
class Sent:
    """A message that the provider has taken."""

    id: str
    #: Digits with country code, without a plus.
    to: str
    text: str
    template: str = ""
    values: list[str] = field(default_factory=list)
    reference: str = ""
    status: str = "accepted"
    #: Where its receipts go, if it has an address of its own.
    callback: str = ""
    more: dict[str, Any] = field(default_factory=dict)


class Messenger(Simulator):
    """A provider that takes messages and tells what became of them.

    Subclasses write `act` (answer a request under the lock, or raise Refusal) and `report`.
    """

    #: How the provider is called on its page.
    name = ""

    def __init__(self, port: int = 0) -> None:
        self.messages: dict[str, Sent] = {}
        #: Templates that are approved: how many values each takes.
        self.templates: dict[str, int] = {}
        #: True takes every template, as a demo wants it.
        self.takes_any_template = False
        #: Numbers (digits) that do not exist, or are not on WhatsApp.
        self.unknown: set[str] = set()
        #: Numbers whose owner wrote STOP.
        self.stopped: set[str] = set()
        #: What happens by itself to each message that is taken, and after how many seconds.
        self.goes: tuple[str, ...] = ()
        self.goes_after = 0.0
        #: Where receipts go, where the account has one address.
        self.webhook_url = ""
        self._number = 0
        super().__init__(port)

    @property
    def api(self) -> str:
        """The address for the shop's settings."""
        return self.url

    def act(self, request: Request) -> Response:
        """Answer a call of the API."""
        raise NotImplementedError

    def report(self, message_id: str, status: str, code: int = 0) -> None:
        """Tell the shop that a message is there; `code` says why one failed."""
        raise NotImplementedError

    def says(self, number: str, text: str) -> None:
        """Somebody writes back. Providers that pass that on override this."""

    # --- what the subclasses use ------------------------------------------------------------

    def next_number(self) -> int:
        """Ids count up."""
        self._number += 1
        return self._number

    def take(self, sent: Sent) -> Sent:
        """Keep a message; it goes its way by itself where `goes` says so."""
        self.messages[sent.id] = sent
        if self.goes:
            timer = threading.Timer(self.goes_after, self._go, [sent.id])
            timer.daemon = True
            timer.start()
        return sent

    def _go(self, message_id: str) -> None:
        for status in self.goes:
            self.report(message_id, status)

    def check_template(self, name: str, values: list[str]) -> str:
        """Empty, or what is wrong: "missing", "count", "value"."""
        if name not in self.templates and not self.takes_any_template:
            return "missing"
        if not self.takes_any_template and self.templates[name] != len(values):
            return "count"
        bad = any(not v or "\n" in v or "\t" in v or "     " in v for v in values)
        return "value" if bad else ""

    def post(self, body: Any, sign: Any = None, url: str = "") -> None:
        """Send a webhook as JSON."""
        address = url or self.webhook_url
        if address:
            raw = json.dumps(body, ensure_ascii=False).encode()
            self.send(Hook(address, raw, sign or (lambda _body: {})))

    # --- the server -------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """The page of what was received, or the API."""
        if request.path == "/received":
            return self._page(request)
        try:
            with self.lock:
                return self.act(request)
        except Refusal as refusal:
            return answer(refusal.status, refusal.body)

    def _page(self, request: Request) -> Response:
        if request.method == "POST":
            self.report(request.form["id"], request.form["status"])
            return redirect(request.path, 303)
        rows = "".join(map(_row, reversed(self.messages.values())))
        head = (
            f"<!doctype html><meta charset=utf-8><title>{self.name} (stand-in)</title>"
            f"<h1>{self.name}, a stand-in</h1><p>{len(self.messages)} messages received.</p>"
        )
        return Response(head + rows, mimetype="text/html")


def _row(sent: Sent) -> str:
    buttons = "".join(f'<button name="status" value="{step}">{step}</button> ' for step in STEPS)
    told = f"{sent.template}: {', '.join(sent.values)}" if sent.template else sent.text
    return (
        f'<form method="post"><input type="hidden" name="id" value="{escape(sent.id)}">'
        f"<p><strong>+{escape(sent.to)}</strong> {escape(told)} <em>{escape(sent.status)}</em> "
        f"{buttons}</p></form>"
    )


def answer(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(json.dumps(body), status, headers or {}, "application/json")


def parsed(request: Request) -> dict[str, Any]:
    """A JSON object that was sent; an empty one for anything else."""
    body = request.get_json(silent=True)
    return body if isinstance(body, dict) else {}
