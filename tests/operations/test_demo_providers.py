"""`make demo-providers`, as a person uses it: the shop beside stand-ins of the providers, over HTTP."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests

from tests.checkout.shopping import ADDRESS, hidden_fields

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 40
PAID = re.compile(">Paid</h2>")
TOKEN = r'name="csrf_token"[^>]*value="([^"]+)"'


@dataclass
class Demo:
    """The running demo: its processes, where the shop is, and what it has said so far."""

    process: subprocess.Popen[str]
    url: str
    said: str
    database: Path

    def end(self) -> int:
        """Ctrl-C, as the terminal gives it to all of the processes."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=20)


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


@pytest.fixture
def demo() -> Iterator[Demo]:
    port, sandbox_port = free_ports(2)
    url = f"http://127.0.0.1:{port}"
    environ = {
        **os.environ, "HOST": "127.0.0.1", "PORT": str(port), "SANDBOX_PORT": str(sandbox_port),
        "PUBLIC_URL": url, "PROVIDERS_PORT": "0", "CURRENCY": "INR",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "scripts/demo_providers.py"], cwd=ROOT, env=environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    said: list[str] = []
    until = time.monotonic() + START_SECONDS
    assert process.stdout
    for line in process.stdout:
        said.append(line)
        if "Stop with Ctrl-C" in line or time.monotonic() > until:
            break
    running = Demo(process, url, "".join(said), ROOT / "instance" / f"providers-{port}.db")
    try:
        assert "Stop with Ctrl-C" in running.said, running.said
        yield running
    finally:
        if process.poll() is None:
            running.end()
        process.stdout.close()


class Shopper:
    """A browser without script."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        # A server that is asked to stop waits for connections that are kept.
        self.session.headers["Connection"] = "close"
        self.own = {"Sec-Fetch-Site": "same-origin"}

    def get(self, path: str) -> str:
        """A page's text."""
        answer = self.session.get(urljoin(self.url, path), timeout=10)
        assert answer.ok, (path, answer.status_code)
        return answer.text

    def post(self, path: str, **fields: str) -> requests.Response:
        """A form's answer, not followed."""
        return self.session.post(
            urljoin(self.url, path),
            data=fields,
            headers=self.own,
            allow_redirects=False,
            timeout=10,
        )

    def checks_out(self, method: str) -> str:
        """Buy a ball; returns the address of the provider's page."""
        product = self.get(_found(r'href="(/products/[^"]+)"', self.get("/"))[1])
        variant = _found(r'name="variant_id"[^>]*value="(\d+)"', product)
        assert self.post("/cart/items", variant_id=variant[1], quantity="1").status_code == 303
        fields = {**ADDRESS, "rate": "standard", **hidden_fields(self.get("/checkout"))}
        answer = self.post("/checkout", **{**fields, "method": method})
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def presses(self, page: str, choice: str) -> str:
        """A button of the provider's page; returns where the browser is led."""
        answer = self.session.post(page, data={"choice": choice}, allow_redirects=False, timeout=10)
        return answer.headers.get("Location", "")

    def waits_for(self, path: str, words: re.Pattern[str]) -> str:
        """The page once it says so."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            text = self.get(path)
            if words.search(text):
                return text
            time.sleep(0.1)
        raise AssertionError(f"{path} never said {words.pattern}:\n{text}")

    def pays(self, method: str) -> str:
        """From the shelf to the paid order, with one declined try; returns the order's address."""
        page = self.checks_out(method)
        assert not page.startswith(self.url)
        self.presses(page, "decline")
        back = self.presses(page, "pay")
        assert back.startswith(self.url)
        shown = self.session.get(back, timeout=10)
        self.waits_for(shown.url, PAID)
        return shown.url


@pytest.mark.slow
def test_a_person_pays_by_two_providers_refunds_and_stops_it(demo: Demo) -> None:
    assert "make demo-providers CURRENCY=" in demo.said
    orders = [Shopper(demo.url).pays(method) for method in ("razorpay", "stripe")]
    assert len(set(orders)) == 2
    _let_the_courier_come(demo, orders[0])
    _look_where_messages_arrive(demo)
    _refund_the_newest(demo)
    assert demo.end() == 0
    assert not demo.database.exists()


def _let_the_courier_come(demo: Demo, order: str) -> None:
    """The parcel was booked by itself; its next scan is pressed in the courier's panel."""
    panel = Shopper(_found(r"\(scans\):\s+(\S+)", demo.said)[1])
    shown = panel.waits_for(panel.url, re.compile("Next scan"))
    panel.post(panel.url, order=_found(r'name="order" value="(\d+)"', shown)[1])
    Shopper(demo.url).waits_for(order, re.compile("Picked up, Kochi_Hub"))


def _look_where_messages_arrive(demo: Demo) -> None:
    """SMS and WhatsApp each have a page; nobody asked for news here."""
    for kind in ("SMS", "WhatsApp messages"):
        page = _found(kind + r" arrive at:\s+(\S+)", demo.said)[1]
        assert "0 messages received" in Shopper(page).get(page)


def _refund_the_newest(demo: Demo) -> None:
    """The owner gives the whole sum back on the order's page."""
    email, password = _found(r"\(admin\): (\S+) / (\S+)", demo.said).groups()
    owner = Shopper(demo.url)
    token = _found(TOKEN, owner.get("/account/sign-in"))[1]
    owner.post("/account/sign-in", email=email, password=password, csrf_token=token)
    order = _found(r'href="(/admin/orders/[^"?/]+)"', owner.get("/admin/orders"))[1]
    form = owner.get(f"{order}/refund")
    fields = {
        "csrf_token": _found(TOKEN, form)[1],
        _found(r'name="(qty-\d+)"', form)[1]: "1",
        "reason": _found(r'name="reason">\s*<option[^>]*>([^<]+)', form)[1],
    }
    counted = owner.post(f"{order}/refunds", do="count", **fields).text
    fields["seen"] = _found(r'name="seen" value="(\d+)"', counted)[1]
    assert owner.post(f"{order}/refunds", do="refund", **fields).status_code == 303
    owner.waits_for(order, re.compile("Refunded"))


def _found(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text)
    assert found, (pattern, text)
    return found
