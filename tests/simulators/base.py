"""What the stand-ins share: a server on loopback, faults on order, and webhooks repeated by their schedule."""

import copy
import ssl
import threading
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import StartResponse

import requests
from werkzeug import Request, Response
from werkzeug.serving import make_server

from tests.simulators import serving

HANG_SECONDS = 30


@dataclass
class Fault:
    """What goes wrong with the next requests that fit.

    kind: "refuse" (answer `status`, nothing done), "fail_after" (done, then answer `status`),
    "fail_stored" (not done, and the answer is kept for the key where the provider keeps answers),
    "hang_before" and "hang_after" (no answer at all, not done or done), "half_body" (done, the
    connection is cut in the middle of the answer), "garbage" (done, the answer is no JSON), "slow"
    (done, and answered after `slow_ms`).
    """

    kind: str
    method: str = "POST"
    path: str = ""
    status: int = 500
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    slow_ms: int = 0

    @property
    def is_before(self) -> bool:
        """True when the request is not carried out."""
        return self.kind in {"refuse", "fail_stored", "hang_before"}


@dataclass
class Hook:
    """A webhook on its way."""

    url: str
    body: bytes
    sign: Callable[[bytes], dict[str, str]]
    tries: int = 0
    #: When its next turn is, in Unix time; the first is at once.
    next_at: float = 0


class Simulator:
    """A provider on loopback. Subclasses write `handle`; `fault` breaks what comes next.

    `port` 0 takes a free one; with `tls` it is spoken to by https.
    """

    #: The status codes by which the shop says that it took a webhook.
    accepts: Container[int] = range(200, 300)
    #: The fields that hold what it knows of money, for `known`.
    KNOWS: tuple[str, ...] = ()
    #: The waits between the tries of a webhook that the shop does not take, in seconds; after the
    #: last one it is given up. Empty where the provider promises no second try.
    RETRIES: Sequence[float] = ()

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.lock = threading.RLock()
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.faults: list[Fault] = []
        #: Webhooks not yet taken by the shop.
        self.outbox: list[Hook] = []
        #: Webhooks that were tried to the end of the schedule, and never come again by themselves.
        self.given_up: list[Hook] = []
        #: By what the waits of the schedule are multiplied: a demo has no days to wait.
        self.pace = 1.0
        #: Status codes that the shop answered webhooks with.
        self.answers: list[int] = []
        #: False keeps webhooks in the outbox until `deliver()`.
        self.delivers = True
        #: How often each webhook is sent.
        self.copies = 1
        #: How long every answer takes.
        self.latency_ms = 0
        self._released = threading.Event()
        self._server = make_server("127.0.0.1", port, self._serve, threaded=True, ssl_context=tls)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}"
        serving.start(self._server)

    def stop(self) -> None:
        """End the server and let hanging requests go."""
        self._released.set()
        serving.end(self._server)

    def fault(self, kind: str, **more: Any) -> None:
        """Break the next request that fits (see Fault)."""
        self.faults.append(Fault(kind, **more))

    def seen(self, method: str, path: str) -> list[dict[str, Any]]:
        """What was sent to addresses that begin so."""
        return [sent for m, p, sent in self.requests if m == method and p.startswith(path)]

    def known(self) -> dict[str, Any]:
        """A copy of what it knows of money: not how it is set, nor what it was asked and has told."""
        return copy.deepcopy({name: getattr(self, name) for name in self.KNOWS})

    def remember(self, known: dict[str, Any]) -> None:
        """Know what another one knew."""
        vars(self).update(copy.deepcopy(known))

    def handle(self, request: Request) -> Response:
        """Answer a request."""
        raise NotImplementedError

    # --- webhooks ---------------------------------------------------------------------------

    def send(self, hook: Hook) -> None:
        """Put a webhook on its way."""
        with self.lock:
            self.outbox += [Hook(hook.url, hook.body, hook.sign) for _ in range(self.copies)]
        if self.delivers:
            self.deliver_due()

    def deliver(self, *, backwards: bool = False) -> list[int]:
        """Send what is in the outbox, whenever its turn is. Returns what the shop answered."""
        with self.lock:
            waiting, self.outbox = self.outbox, []
        return self.attempt(waiting[::-1] if backwards else waiting)

    def deliver_due(self) -> list[int]:
        """Send what has its turn by now. Returns what the shop answered."""
        with self.lock:
            moment, waiting = time.time(), self.outbox
            due = [hook for hook in waiting if hook.next_at <= moment]
            self.outbox = [hook for hook in waiting if hook.next_at > moment]
        return self.attempt(due)

    def attempt(self, hooks: Sequence[Hook]) -> list[int]:
        """Try each once; what is not taken waits for its next turn, or is given up after the last."""
        answers = [self._post(hook) for hook in hooks]
        for hook, status in zip(hooks, answers, strict=True):
            if status in self.accepts:
                continue
            if hook.tries > len(self.RETRIES):
                self.give_up(hook)
                continue
            hook.next_at = time.time() + self.RETRIES[hook.tries - 1] * self.pace
            with self.lock:
                self.outbox.append(hook)
        self.answers += answers
        return answers

    def give_up(self, hook: Hook) -> None:
        """The last try was in vain."""
        self.given_up.append(hook)

    def _post(self, hook: Hook) -> int:
        hook.tries += 1
        headers = {"Content-Type": "application/json", **hook.sign(hook.body)}
        try:
            return requests.post(hook.url, data=hook.body, headers=headers, timeout=10).status_code
        except requests.RequestException:
            return 0

    def lose(self) -> int:
        """Drop what is in the outbox, as if it never arrived."""
        lost, self.outbox = len(self.outbox), []
        return lost

    # --- the server -------------------------------------------------------------------------

    def _serve(self, environ: dict[str, Any], start_response: StartResponse) -> Any:
        request = Request(environ)
        body = request.get_data()
        self.requests.append(
            (request.method, request.path, {"headers": dict(request.headers), "body": body})
        )
        if self.latency_ms:
            time.sleep(self.latency_ms / 1000)
        fault = self._fault_for(request)
        if fault and fault.is_before:
            return self._broken(fault, request, None)(environ, start_response)
        response = self.handle(request)
        if fault:
            return self._broken(fault, request, response)(environ, start_response)
        return response(environ, start_response)

    def _fault_for(self, request: Request) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.method == request.method and request.path.startswith(fault.path):
                    fault.times -= 1
                    if fault.times <= 0:
                        self.faults.remove(fault)
                    return fault
        return None

    def _broken(self, fault: Fault, request: Request, response: Response | None) -> Response:
        if fault.kind.startswith("hang"):
            self._released.wait(HANG_SECONDS)
            return Response(status=504)
        if fault.kind == "slow" and response is not None:
            time.sleep(fault.slow_ms / 1000)
            return response
        if fault.kind == "half_body" and response is not None:
            whole = response.get_data()
            cut = Response(
                whole[: len(whole) // 2], status=response.status_code, mimetype="application/json"
            )
            cut.headers["Content-Length"] = str(len(whole))
            cut.headers["Connection"] = "close"
            return cut
        if fault.kind == "garbage":
            return Response("<html>not what you asked for</html>", mimetype="text/html")
        return self.failure(fault, request)

    def failure(self, fault: Fault, request: Request) -> Response:
        """The answer of a "refuse" or "fail_after"; a subclass may give it the provider's shape."""
        return Response(
            '{"error": {"message": "simulated"}}', fault.status, fault.headers, "application/json"
        )


def doubling(first: float, until: float) -> tuple[float, ...]:
    """Waits that double, the last one stretched so that they come to `until` together.

    For providers that say no more than that the waits grow, and for how long they try.
    """
    waits = [first]
    while sum(waits) + 2 * waits[-1] <= until:
        waits.append(2 * waits[-1])
    waits[-1] += until - sum(waits)
    return tuple(waits)


def now() -> int:
    """Unix time. A module function, so that a test that turns the clock turns this one too."""
    return int(time.time())
