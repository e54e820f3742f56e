"""A real shop for measuring and racing: gunicorn, the pretend gateway's own process, a worker.

The load comes over HTTP from threads of this process, one address a shopper (X-Forwarded-For,
with TRUSTED_PROXIES=1), so that rate limits stay switched on.
"""

import hashlib
import hmac
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
TOKEN = re.compile(r'name="csrf_token"[^>]*?value="([^"]+)"')
FIELD = re.compile(r'name="(idempotency_key|quoted_total)"[^>]*?value="([^"]+)"')
#: Production's secrets and checks would refuse the sandbox; everything else is as in production.
COMMON = {
    "SHOP_ENV": "staging",
    "SECRET_KEY": "only for measuring, thirty-two chars",
    "TRUSTED_PROXIES": "1",
    "LOG_LEVEL": "INFO",
    "PYTHONUNBUFFERED": "1",
    # As in the Procfile.
    "MALLOC_ARENA_MAX": "1",
}
#: Signs the sandbox's webhooks, derived as the shop does it.
SECRET = hashlib.sha256(f"sandbox:{COMMON['SECRET_KEY']}".encode()).hexdigest()
ADDRESS = {
    "email": "asha@shopper.example", "tel": "+919812345678", "country": "IN", "name": "Asha Rao",
    "postal_code": "560001", "city": "Bengaluru", "state": "Karnataka",
    "address_line1": "12 MG Road", "rate": "standard", "billing_same": "y",
}  # fmt: skip


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Rig:
    """The running processes and how to reach them."""

    port: int
    environ: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the shop answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *command: str, **more: str) -> subprocess.Popen[bytes]:
        """Start a process of the shop; its output goes to a file, as a service's would."""
        log = open(Path(self.environ["RIG_FOLDER"]) / f"{len(self.processes)}.log", "wb")  # noqa: SIM115
        process = subprocess.Popen(
            command, cwd=ROOT, env={**self.environ, **more}, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        log.close()
        self.processes.append(process)
        return process

    def stop(self) -> None:
        """End every process."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def running(
    folder: Path,
    database_url: str,
    *,
    worker: bool = True,
    sandbox_url: str = "",
    web: int = 2,
    **more: str,
) -> Iterator[Rig]:
    """A shop on this database (migrated already), with web, sandbox and worker processes.

    `sandbox_url` is a pretend gateway that runs already.
    """
    port, sandbox = free_port(), free_port()
    environ = {
        **os.environ, **COMMON, "DATABASE_URL": database_url, "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "SANDBOX_API_BASE": sandbox_url or f"http://127.0.0.1:{sandbox}", "RIG_FOLDER": str(folder),
        "INCIDENTS_FILE": str(folder / "incidents.jsonl"), "STORAGE_URL": f"file://{folder}/files", **more,
    }  # fmt: skip
    rig = Rig(port, environ)
    # As in the Procfile.
    gunicorn = (
        str(BIN / "gunicorn"), "-k", "gthread", "--no-control-socket", "--preload", "--backlog", "2048",
    )  # fmt: skip
    try:
        rig.start(
            *gunicorn, "-w", str(web), "--threads", "4", "-b", f"127.0.0.1:{port}", "wsgi:app"
        )
        if not sandbox_url:
            rig.start(
                *gunicorn, "-w", "1", "--threads", "8", "-b", f"127.0.0.1:{sandbox}", "wsgi:app"
            )
        if worker:
            rig.start(sys.executable, "worker.py")
        wait_for(port)
        if not sandbox_url:
            wait_for(sandbox)
        yield rig
    finally:
        rig.stop()


def wait_for(port: int, seconds: float = 20) -> None:
    """Until the process on this port answers /healthz."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing answers on port {port}")


@dataclass
class Answer:
    """What came back."""

    status: int
    text: str
    location: str


class Shopper:
    """One browser without JavaScript: cookies, forms with their tokens, an address of its own."""

    def __init__(self, port: int, number: int) -> None:
        self.port = port
        self.address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        self.cookies: dict[str, str] = {}
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> Answer:
        """One request; the connection is kept, and made anew once when the server closed it."""
        headers = {
            "X-Forwarded-For": self.address,
            "Sec-Fetch-Site": "same-origin",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
        }
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            return self._sent(method, path, body, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            if method != "GET":
                raise
            self.connection.close()
            return self._sent(method, path, body, headers)

    def _sent(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        text = response.read().decode("utf-8", "replace")
        for cookie in response.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return Answer(response.status, text, response.headers.get("Location", ""))

    def add(self, variant_id: int, quantity: int = 1) -> Answer:
        """Put something into the cart."""
        return self.ask(
            "POST", "/cart/items", {"variant_id": str(variant_id), "quantity": str(quantity)}
        )

    def checkout_form(self, method: str = "sandbox") -> dict[str, str]:
        """The filled-in form of the checkout page."""
        page = self.ask("GET", "/checkout")
        token = TOKEN.search(page.text)
        if page.status != 200 or not token:
            raise RuntimeError(f"no checkout page: {page.status} {page.location}")
        hidden = dict(FIELD.findall(page.text))
        return {**ADDRESS, "csrf_token": token[1], "method": method, **hidden}

    def place(self, form: dict[str, str]) -> Answer:
        """Press the button."""
        return self.ask("POST", "/checkout", form)


def post_signed(shopper: Shopper, body: str) -> int:
    """Post a message as the sandbox signs it; returns the status."""
    moment = int(time.time())
    mac = hmac.new(SECRET.encode(), f"{moment}.{body}".encode(), hashlib.sha256).hexdigest()
    headers = {
        "X-Forwarded-For": shopper.address,
        "Content-Type": "application/json",
        "X-Sandbox-Signature": f"t={moment},v1={mac}",
    }
    shopper.connection.request("POST", "/webhooks/sandbox", body, headers)
    response = shopper.connection.getresponse()
    response.read()
    return response.status
