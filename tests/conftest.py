"""What every test may ask for. Servers: tests/servers.py. The shop under test: tests/shops.py."""

import hypothesis  # noqa: F401  (first: CPython 3.11.7 ends wrongly when it is imported at the end)

# isort: split
import email
import email.policy
import gc
import os
import re
import shutil
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from argon2 import PasswordHasher
from flask import Flask

from shop import books
from shop.accounts import passwords
from shop.books.reading import snapshot
from shop.clock import utcnow
from shop.extensions import db, limiter
from tests import servers, shops
from tests.incidents import forcing

IN_CI = os.environ.get("CI") == "true"
#: The shell is Chromium without its windows: the same pages and scripts for less than half the work.
CHROMIUM = os.environ.get("SHOP_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser"))),
    None,
)
MISSING = "missing on this machine: "
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def _missing(what: str) -> Any:
    if IN_CI:
        pytest.fail(MISSING + what, pytrace=False)
    pytest.skip(MISSING + what)


def _had(start: Callable[[], Any]) -> Any:
    """The server that `start()` starts, or the test ends here, saying what this machine lacks."""
    try:
        return start()
    except servers.Missing as missing:
        return _missing(str(missing))


def pytest_configure(config: pytest.Config) -> None:
    """Each test process keeps to itself; warnings of libraries are not ours to mend."""
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="aiosmtpd")


def pytest_collection_finish() -> None:
    """What is loaded by now stays: the collector of garbage need not look through it each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say once, loudly, what was not tested."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = {str(report.longrepr[2]) for report in skipped if isinstance(report.longrepr, tuple)}
    lacking = sorted({r.split(MISSING)[1] for r in reasons if MISSING in r})
    if lacking:
        terminalreporter.write_line(
            f"NOT TESTED, because this machine has no {', no '.join(lacking)}. "
            "With CI=true this is a failure.", red=True, bold=True,
        )  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def no_outside() -> Iterator[None]:
    """Nothing in the tests may speak to the outside: only loopback and Unix sockets connect."""
    real, real_ex = socket.socket.connect, socket.socket.connect_ex

    def checked(sock: socket.socket, address: Any) -> None:
        if sock.family != socket.AF_UNIX and address[0] not in LOOPBACK:
            raise AssertionError(f"a test tried to reach {address}")

    def connect(self: socket.socket, address: Any) -> None:
        checked(self, address)
        real(self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        checked(self, address)
        return real_ex(self, address)

    given = os.environ.get("TEST_REDIS_URL")
    if given:
        LOOPBACK.add(sa.engine.make_url(given).host or "localhost")
    socket.socket.connect, socket.socket.connect_ex = connect, connect_ex  # type: ignore[method-assign]
    yield
    socket.socket.connect, socket.socket.connect_ex = real, real_ex  # type: ignore[method-assign]


@pytest.fixture(scope="session", autouse=True)
def real_hasher() -> Iterator[PasswordHasher]:
    """Passwords are hashed cheaply in the tests; this is the hasher that the shop comes with."""
    real = passwords.HASHER
    passwords.HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    yield real
    passwords.HASHER = real


@pytest.fixture(scope="session")
def folder() -> Iterator[Any]:
    """This test process's folder."""
    made = shops.new_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    """A PostgreSQL server."""
    server = _had(servers.Postgres)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Any]:
    """A Redis or Valkey server; `stop()` and `start()` lose its memory."""
    given = os.environ.get("TEST_REDIS_URL")
    server = _had(lambda: servers.GivenRedis(given) if given else servers.RedisServer())
    yield server
    server.remove()


@pytest.fixture
def redis_to_stop(redis_server: Any) -> Iterator[servers.RedisServer]:
    """The Redis, or one of our own where TEST_REDIS_URL names one that cannot be stopped from here."""
    if isinstance(redis_server, servers.RedisServer):
        redis_server.empty()
        yield redis_server
        return
    own = _had(servers.RedisServer)
    yield own
    own.remove()


@pytest.fixture
def redis_url(redis_server: Any) -> str:
    """The address of an empty Redis. `configure(redis_url=redis_url)` makes the shop use it."""
    redis_server.empty()
    return str(redis_server.url)


@pytest.fixture(scope="session")
def all_shops(folder: Any, request: pytest.FixtureRequest) -> Iterator[Callable[[str], shops.Shop]]:
    """The applications of this process, each made when first asked for."""
    made: dict[str, shops.Shop] = {}
    process = os.environ.get("PYTEST_XDIST_WORKER", "main")

    def of(engine: str) -> shops.Shop:
        if engine not in made:
            (folder / engine).mkdir(exist_ok=True)
            if engine == "sqlite":
                made[engine] = shops.SqliteShop(folder / engine)
            else:
                url = request.getfixturevalue("postgres").database(f"till_test_{process}")
                made[engine] = shops.PostgresShop(folder / engine, url)
        return made[engine]

    yield of
    for shop in made.values():
        shop.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.pg)])
def engine(request: pytest.FixtureRequest) -> str:
    """Each test with a database runs on both.

    One that proves nothing more on the second says
    `@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)`.
    """
    return str(request.param)


@pytest.fixture
def shop(
    engine: str, all_shops: Callable[[str], shops.Shop], request: pytest.FixtureRequest
) -> Iterator[shops.Shop]:
    """The shop under test, empty, with an application context for the test's body."""
    held = all_shops(engine)
    held.before()
    held.faults = lambda: _faults(engine, request.node.nodeid)
    held.breaks_books = bool(request.node.get_closest_marker("breaks_books"))
    with held.app.app_context():
        yield held
        db.session.rollback()
        has_written = held.written - shops.OF_VISITS and not held.breaks_books
        faults = held.faults() if has_written else []
        lacking = forcing.unforced(request.node)
        db.session.rollback()
    held.after()
    assert not faults, "the books do not add up:\n" + "\n".join(map(str, faults))
    assert not lacking, lacking


#: Where money and goods are moved by several at once: the engines may differ in that.
AUDITED_TWICE = re.compile(
    r"tests/(payments|race|jobs|returns|delivery|stock|promotions)/|tests/checkout/test_placing"
)


def _faults(engine: str, path: str) -> list[str]:
    """What the audit of the books finds, when a test moved money or stock or did what is audited.

    (A scene is proven when it is made; a test that only looks at its copy has nothing to prove.)
    All of it on SQLite. On PostgreSQL it takes four times as long for the same deeds: all of it
    where the engine may matter, elsewhere the quick proofs.
    """
    moved = sa.text(
        "SELECT EXISTS (SELECT 1 FROM orders), EXISTS (SELECT 1 FROM audit_entries),"
        " EXISTS (SELECT 1 FROM stock_levels)"
    )
    has_orders, has_deeds, has_stock = db.session.execute(moved).one()
    if not (has_orders or has_deeds or has_stock):
        return []
    is_full = engine == "sqlite" or AUDITED_TWICE.match(path)
    # Without an order there are no sums of money to prove, only those of stock, and the deeds.
    others = {proof.line for proof in books.PROOFS} if has_orders else {"I33"} if has_deeds else {}
    with snapshot() as connection:
        return [
            f"{proof.line} {fault}"
            for proof in books.PROOFS
            if proof.is_light or (is_full and proof.line in others)
            for fault in proof.find(connection)
        ]


@pytest.fixture
def app(shop: shops.Shop) -> Flask:
    """The application. The test's body stands in an application context; requests have their own."""
    return shop.app


@pytest.fixture
def client(app: Flask) -> Any:
    """A browser without JavaScript: get, post, and `post_form(url, data, page=…)` with its token."""
    return app.test_client()


@pytest.fixture
def new_client(app: Flask) -> Callable[[], Any]:
    """Makes more browsers."""
    return app.test_client


@pytest.fixture
def live(shop: shops.Shop) -> str:
    """The address where the shop answers real HTTP."""
    return shop.live.url


@pytest.fixture
def configure(shop: shops.Shop) -> Callable[..., None]:
    """`configure(smtp_url=…)` replaces settings until the test ends."""
    return shop.configure


@pytest.fixture
def child_environ(shop: shops.Shop) -> Callable[[], dict[str, str]]:
    """The environment for a process that works on the same shop."""
    return shop.child_environ


@pytest.fixture
def run_jobs(app: Flask) -> Callable[..., int]:
    """`run_jobs()` runs what is due, here, until nothing is; returns how many.

    `ahead=seconds` turns the clock so that what waits for a retry or a later hour is due too.
    `kinds="payments."` leaves jobs whose kind begins otherwise in the queue: most tests need no mail.
    Several kinds are a tuple.
    """

    def run(limit: int = 200, ahead: float = 0, kinds: str | tuple[str, ...] = "") -> int:
        if ahead:
            with time_machine.travel(utcnow() + timedelta(seconds=ahead), tick=True):
                return run(limit, kinds=kinds)
        db.session.rollback()
        count = 0
        while count < limit:
            with app.app_context():
                if not shops.run_next_of(kinds):
                    break
            count += 1
        db.session.rollback()
        return count

    return run


@pytest.fixture
def turn_clock() -> Iterator[Callable[..., None]]:
    """`turn_clock(minutes=11)` moves the shop's clock on; a datetime sets it. Time goes on."""
    turned: list[time_machine.travel] = []

    def turn(moment: datetime | None = None, **span: float) -> None:
        aim = moment or utcnow() + timedelta(**span)
        traveller = time_machine.travel(aim, tick=True)
        traveller.start()
        turned.append(traveller)

    yield turn
    for traveller in reversed(turned):
        traveller.stop()


@pytest.fixture
def limits_on(app: Flask) -> Iterator[None]:
    """Flask-Limiter's limits, which other tests run without."""
    limiter.enabled = True
    limiter.reset()
    yield
    limiter.reset()
    limiter.enabled = False


@pytest.fixture
def loose_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counted tries (shop.limits) never run out: for tests that place hundreds of orders."""
    from shop import limits

    loose = {action: limits.Limit(10**9, held.seconds) for action, held in limits.LIMITS.items()}
    monkeypatch.setattr(limits, "LIMITS", loose)


@pytest.fixture
def sql_count(app: Flask) -> Callable[..., AbstractContextManager[list[str]]]:
    """`with sql_count() as told:` collects the statements sent; `everything=True` with BEGIN too."""

    def count(*, everything: bool = False) -> AbstractContextManager[list[str]]:
        return shops.counting(db.engine, everything=everything)

    return count


class Mailbox:
    """What the SMTP server took. `refuse_with` makes it refuse: "451 busy", "550 no such user"."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.refuse_with: str | None = None
        #: Called with the envelope before an answer is given; may sleep or raise.
        self.on_message: Callable[[Envelope], None] | None = None

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        if self.refuse_with:
            return self.refuse_with
        self.envelopes.append(envelope)
        raw = envelope.original_content or b""
        message = email.message_from_bytes(raw, policy=email.policy.default)
        self.messages.append(message)  # type: ignore[arg-type]
        if self.on_message:
            self.on_message(envelope)
        return "250 taken"

    def clear(self) -> None:
        """Empty it."""
        self.__init__()  # type: ignore[misc]


@pytest.fixture(scope="session")
def smtp_controller() -> Iterator[Controller]:
    """One SMTP server for this process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(Mailbox(), hostname="127.0.0.1", port=port, ready_timeout=10)
    controller.start()
    yield controller
    controller.stop()


@pytest.fixture
def smtp_server(smtp_controller: Controller, configure: Callable[..., None]) -> Mailbox:
    """A real SMTP server to which the shop sends in this test; look at `.messages`."""
    box: Mailbox = smtp_controller.handler
    box.clear()
    configure(smtp_url=f"smtp://{smtp_controller.hostname}:{smtp_controller.port}")
    return box


# The browser (pytest-playwright).


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The machine's own Chromium; nothing is downloaded."""
    if not CHROMIUM:
        _missing("Chromium")
    arguments = [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        # Nothing is asked of the outside.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        # No page lives long enough for optimising its script, axe above all, to pay.
        "--js-flags=--no-opt,--no-maglev",
    ]  # fmt: skip
    return {
        **browser_type_launch_args,
        "headless": True,
        "executable_path": CHROMIUM,
        "args": arguments,
    }


@pytest.fixture
def watch_page(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Any]]:
    """`watch_page(page)`: its script errors and console complaints fail the test."""
    marker = request.node.get_closest_marker("allows_console")
    allowed = re.compile(marker.args[0]) if marker else None
    complaints: list[str] = []

    def noted(words: str) -> None:
        if not (allowed and allowed.search(words)):
            complaints.append(words)

    def watch(page: Any) -> Any:
        page.on("pageerror", lambda error: noted(f"script error: {error}"))
        page.on(
            "console", lambda m: noted(f"{m.text} ({m.location})") if m.type == "error" else None
        )
        return page

    yield watch
    assert not complaints, "the browser complained:\n" + "\n".join(complaints)


@pytest.fixture
def page(page: Any, watch_page: Callable[[Any], Any]) -> Any:
    """A browser page that is watched."""
    page.set_default_timeout(10_000)
    return watch_page(page)
