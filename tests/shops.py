"""The shop under test: one application per database engine and test process, emptied between tests."""

import dataclasses
import itertools
import math
import os
import re
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from contextvars import Context
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import flask_migrate
import psycopg
import sqlalchemy as sa
from flask import Flask, has_app_context
from flask.testing import FlaskClient
from flask_wtf.csrf import generate_csrf
from sqlalchemy import event
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.test import TestResponse

from shop import create_app, providers
from shop.extensions import db, limiter
from shop.jobs import runner, schedule
from shop.jobs.handlers import HANDLERS
from shop.jobs.models import Job
from shop.webhooks import refusals
from tests import servers
from tests.compiled_templates import CompiledTemplates
from tests.simulators import serving

SECRET_KEY = "a key for the tests, long enough"
SCENE_SECONDS = 120
#: What visits alone write; no proof of the books reads it.
OF_VISITS = {
    "alerts", "attempts", "cart_lines", "carts", "error_counts", "live_quotes", "mailed_links",
    "schedule_slots", "sign_in_failures", "sign_ins", "webhook_refusals", "worker_presence",
}  # fmt: skip
WRITING = re.compile(r'\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+"?(\w+)', re.IGNORECASE)
TOKEN_FIELD = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class Shopper(FlaskClient):
    """A test client whose requests run in a context of their own, as a server's do.

    A request that shared the test's application context would share its session and its signed-in
    user too, and so prove nothing.
    """

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        if has_app_context():
            db.session.rollback()
        kwargs.setdefault("base_url", self.application.extensions["settings"].public_url)
        answer: TestResponse = Context().run(super().open, *args, **kwargs)
        if has_app_context():
            db.session.rollback()
        return answer

    def post_form(
        self,
        url: str,
        data: dict[str, Any] | None = None,
        *,
        page: str | None = None,
        **kwargs: Any,
    ) -> TestResponse:
        """Send a form as a browser does: with the token of the page that holds it.

        `page` is where the form stands (default: the address it is sent to). Where that answers no
        page (an address for POST only, which is not even asked) a token of the same session is made.
        """
        token = self._token_on(page or url) if page or self._has_page(url) else None
        return self._sent(url, token, data, kwargs)

    def send(self, url: str, data: dict[str, Any] | None = None, **kwargs: Any) -> TestResponse:
        """Send a form whose page is not what the test is about: with a token of the same session."""
        return self._sent(url, None, data, kwargs)

    def _sent(
        self, url: str, token: str | None, data: dict[str, Any] | None, more: dict[str, Any]
    ) -> TestResponse:
        fields = {"csrf_token": token or self.csrf_token(), **(data or {})}
        headers = {"Sec-Fetch-Site": "same-origin", **more.pop("headers", {})}
        return self.post(url, data=fields, headers=headers, **more)

    def _has_page(self, url: str) -> bool:
        """Whether GET is routed to something at this address."""
        routes = self.application.url_map.bind("shop.example")
        try:
            routes.match(urlsplit(url).path, "GET")
        except HTTPException as refusal:
            return not isinstance(refusal, MethodNotAllowed)
        return True

    def _token_on(self, page: str) -> str | None:
        """The token of the first form of a page; None where there is no page."""
        shown = self.get(page)
        token = TOKEN_FIELD.search(shown.text)
        if shown.status_code == 200 and not token:
            raise AssertionError(f"the page {page} has no form with a token")
        return token[1] if token else None

    def csrf_token(self) -> str:
        """A token of this client's session."""
        settings = self.application.extensions["settings"]
        with self.session_transaction(base_url=settings.public_url) as session:
            kept = dict(session)

        def made() -> tuple[str, dict[str, Any]]:
            from flask import session as current

            with self.application.test_request_context(base_url=settings.public_url):
                current.update(kept)
                token = generate_csrf()
                return token, dict(current)

        token, changed = Context().run(made)
        with self.session_transaction(base_url=settings.public_url) as session:
            session.update(changed)
        return token


class Live:
    """The application served on loopback, counting the requests that are under way."""

    def __init__(self) -> None:
        self.under_way = 0
        self.lock = threading.Lock()
        self.app: Flask | None = None
        self.server: BaseWSGIServer = make_server("127.0.0.1", 0, self.answer, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def start(self, app: Flask) -> None:
        """Serve this application from now on."""
        self.app = app
        threading.Thread(target=self.server.serve_forever, name="live", daemon=True).start()

    def answer(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        """The WSGI application."""
        with self.lock:
            self.under_way += 1
        try:
            assert self.app
            yield from self.app.wsgi_app(environ, start_response)
        finally:
            with self.lock:
                self.under_way -= 1

    def rest(self, seconds: float = 3) -> None:
        """Wait until no request is under way."""
        until = time.monotonic() + seconds
        while self.under_way and time.monotonic() < until:
            time.sleep(0.01)

    def stop(self) -> None:
        """Serve no more."""
        serving.end(self.server)


class Shop:
    """One application on one engine."""

    def __init__(self, engine: str, database_url: str, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.live = Live()
        self.environ = {
            "SHOP_ENV": "development",
            "SECRET_KEY": SECRET_KEY,
            "DATABASE_URL": database_url,
            "PUBLIC_URL": self.live.url,
            "SANDBOX_API_BASE": self.live.url,
            "STORAGE_URL": f"file://{folder}/files",
            "INCIDENTS_FILE": str(folder / "incidents.jsonl"),
            "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
        }
        # An application made while the limiter is off never counts, not even once it is on again.
        limiter.enabled = True
        self.app = create_app(self.environ)
        self.app.test_client_class = Shopper
        self.app.testing = False
        self.app.jinja_env.bytecode_cache = CompiledTemplates()
        limiter.enabled = False
        self.first_settings = self.app.extensions["settings"]
        self.scenes: dict[str, tuple[float, Any]] = {}
        self.live.start(self.app)
        #: Audits the books; the fixture that knows the test says how.
        self.faults: Callable[[], list[str]] = list
        #: This test leaves the books wrong on purpose: nobody else gets a copy of its scene.
        self.breaks_books = False
        #: The tables that this test wrote to, its scene aside.
        self.written: set[str] = set()
        with self.app.app_context():
            self.sa_engine = db.engine
        event.listen(self.sa_engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if found := WRITING.match(statement):
            self.written.add(found[1])

    def migrate(self) -> None:
        """Bring the database up to date, as `flask db upgrade` does."""
        with self.app.app_context():
            flask_migrate.upgrade()

    def before(self) -> None:
        """Set up what a test may have left otherwise in this process."""
        providers.reset_lines()
        schedule._taken.clear()
        runner.held.clear()
        refusals.forget()
        limiter.enabled = False
        # Nobody works here unless a test says so: that is no alarm.
        self.app.extensions["lookout"].next_look = math.inf
        for kept in self.folder.glob("incidents*.jsonl"):
            kept.unlink()
        self.app.extensions.pop("redis", None)
        self.app.extensions["settings"] = self.first_settings
        self.written.clear()

    def after(self) -> None:
        """Let requests end, then take the test's rows away."""
        self.live.rest()

    def stop(self) -> None:
        """Serve no more, and let the database go."""
        self.live.stop()
        self.sa_engine.dispose()

    def scene(self, name: str, make: Callable[[], Any], seconds: float = SCENE_SECONDS) -> Any:
        """What `make()` writes into the empty database, and what it returned (keys, no rows).

        It is made when first asked for, and its rows are copied for the tests of the next `seconds`:
        not for longer, since holds end and the rows tell the time.
        """
        made_at, value = self.scenes.get(name, (-math.inf, None))
        db.session.rollback()
        if time.monotonic() - made_at < seconds:
            self.restore(name)
            return value
        made_at, value = time.monotonic(), make()
        db.session.rollback()
        if self.breaks_books:
            return value
        faults = self.faults()
        assert not faults, f"the books of the scene {name} do not add up: {faults}"
        if self.keep(name):
            self.scenes[name] = made_at, value
        return value

    def keep(self, name: str) -> bool:
        """Copy the rows that stand now. False where that cannot be done."""
        raise NotImplementedError

    def restore(self, name: str) -> None:
        """Put the copied rows into the empty database."""
        raise NotImplementedError

    def configure(self, **changes: Any) -> None:
        """Replace settings until the end of the test."""
        held = self.app.extensions["settings"]
        self.app.extensions["settings"] = dataclasses.replace(held, **changes)
        if "redis_url" in changes:
            self.app.extensions.pop("redis", None)

    def child_environ(self) -> dict[str, str]:
        """The environment of a process that works on the same shop (a worker, say)."""
        self.written.add("what another process writes")
        settings = self.app.extensions["settings"]
        changed = {"REDIS_URL": settings.redis_url, "SMTP_URL": settings.smtp_url}
        return {**os.environ, **self.environ, "DATABASE_URL": settings.database_url, **changed}


class SqliteShop(Shop):
    """Each test gets a file of its own, copied from one that was migrated once.

    A connection that an earlier test left open (a page that still polls) keeps its own, old file.
    """

    def __init__(self, folder: Path) -> None:
        self.template = folder / "template.db"
        self.path = self.template
        self.number = itertools.count(1)
        super().__init__("sqlite", f"sqlite:///{self.template}", folder)
        event.listen(self.sa_engine, "do_connect", self._redirected)
        self.migrate()
        with self.sa_engine.connect() as connection:
            connection.connection.dbapi_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.sa_engine.dispose()

    def _redirected(self, _dialect: Any, _record: Any, cargs: list[Any], _cparams: Any) -> None:
        cargs[:] = [str(self.path)]

    def before(self) -> None:
        super().before()
        self.path = self.folder / f"shop-{next(self.number)}.db"
        shutil.copyfile(self.template, self.path)
        self.configure(database_url=f"sqlite:///{self.path}")

    def keep(self, name: str) -> bool:
        with (
            closing(sqlite3.connect(self.path)) as here,
            closing(sqlite3.connect(self._scene(name))) as copy,
        ):
            here.backup(copy)
        return True

    def restore(self, name: str) -> None:
        self.sa_engine.dispose()
        for ending in ("-wal", "-shm"):
            Path(f"{self.path}{ending}").unlink(missing_ok=True)
        shutil.copyfile(self._scene(name), self.path)

    def _scene(self, name: str) -> Path:
        return self.folder / f"scene-{name}.db"

    def after(self) -> None:
        super().after()
        self.sa_engine.dispose()
        for ending in ("", "-wal", "-shm"):
            Path(f"{self.path}{ending}").unlink(missing_ok=True)


class PostgresShop(Shop):
    """One database; after each test the tables that have rows are emptied."""

    def __init__(self, folder: Path, database_url: str) -> None:
        super().__init__("postgresql", database_url, folder)
        # The audit after each test reads small tables: a cursor at the server is four round trips.
        self.sa_engine.dialect.supports_server_side_cursors = False
        #: Reading is committed by itself in the shop; what stands here needs transactions.
        self.in_transaction = self.sa_engine.execution_options(isolation_level="READ COMMITTED")
        self.migrate()
        #: What the migrations put in stays.
        self.tables = sorted(db.metadata.tables)
        with self.in_transaction.begin() as connection:
            may_silence = connection.scalar(
                sa.text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
            )
        #: A connection on which no trigger and no foreign key looks on; None without the right to it.
        self.quiet: psycopg.Connection[Any] | None = None
        if may_silence:
            plain = database_url.replace("postgresql+psycopg://", "postgresql://")
            silenced = "-c session_replication_role=replica"
            self.quiet = psycopg.connect(plain, autocommit=True, options=silenced)
            steps = (f"IF {self._has_rows(name)} THEN DELETE FROM {name}; END IF;" for name in self.tables)  # fmt: skip
            self._define("empty_all", steps)

    def _define(self, name: str, steps: Iterable[str]) -> None:
        """Keep steps as a function of the server's: it plans them once, and is asked once."""
        assert self.quiet
        body = " ".join(steps)
        self.quiet.execute(
            f"CREATE FUNCTION {name}() RETURNS void LANGUAGE plpgsql AS $$BEGIN {body} END$$"
        )

    @staticmethod
    def _has_rows(table: str) -> str:
        return f"EXISTS (SELECT 1 FROM {table})"

    def keep(self, name: str) -> bool:
        if not self.quiet:
            return False
        held = [row[0] for row in self.quiet.execute(self._filled())]
        self.quiet.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
        self.quiet.execute(f'CREATE SCHEMA "{name}"')
        for table in held:
            self.quiet.execute(f'CREATE TABLE "{name}".{table} AS TABLE {table}')
        steps = (f'INSERT INTO {table} SELECT * FROM "{name}".{table};' for table in held)
        self._define(f'"{name}".restore', steps)
        return True

    def restore(self, name: str) -> None:
        # The counters of keys never go back, so that new rows get keys of their own.
        assert self.quiet
        self.quiet.execute(f'SELECT "{name}".restore()')

    def _filled(self) -> str:
        return " UNION ALL ".join(
            f"SELECT '{name}' WHERE {self._has_rows(name)}" for name in self.tables
        )

    def after(self) -> None:
        super().after()
        if self.quiet:
            self.quiet.execute("SELECT empty_all()")
            return
        with self.in_transaction.begin() as connection:
            filled = connection.scalars(sa.text(self._filled())).all()
            if filled:
                connection.execute(sa.text(f"TRUNCATE {', '.join(filled)} CASCADE"))

    def stop(self) -> None:
        super().stop()
        if self.quiet:
            self.quiet.close()


def new_folder() -> Path:
    """A folder for this test process, in memory where the machine has such."""
    return Path(tempfile.mkdtemp(prefix="till", dir=servers.memory()))


def run_next_of(kinds: str | tuple[str, ...], worker: str = "test") -> bool:
    """Run the next due job whose kind begins so, or in one of these ways. False when none is due."""
    if not kinds:
        return runner.run_next(worker)
    begins = (kinds,) if isinstance(kinds, str) else kinds
    unknown = [one for one in begins if not any(kind.startswith(one) for kind in HANDLERS)]
    assert not unknown, f"no kind of job begins so: {unknown}"
    found = db.session.scalar(
        sa.select(Job.id)
        .where(runner.is_due(), sa.or_(*(Job.kind.startswith(kind) for kind in begins)))
        .order_by(Job.priority, Job.run_at, Job.id)
        .limit(1)
    )
    db.session.rollback()
    return found is not None and runner.run(found, worker)


@contextmanager
def counting(engine: sa.Engine, *, everything: bool = False) -> Iterator[list[str]]:
    """The statements sent within, as they are sent. BEGIN and its kind only with `everything`."""
    told: list[str] = []
    quiet = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")

    def noted(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if everything or not statement.lstrip().upper().startswith(quiet):
            told.append(statement)

    event.listen(engine, "before_cursor_execute", noted)
    try:
        yield told
    finally:
        event.remove(engine, "before_cursor_execute", noted)
