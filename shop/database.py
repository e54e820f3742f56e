"""How the shop talks to its database: column types, engine set-up for each dialect, transactions.

One transaction per use case (architecture.md, rule 2): the view, CLI command or job runner writes
`with transaction():` once; rules below it never commit.
"""

import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, cast

import structlog
from sqlalchemy import (
    BigInteger,
    BindParameter,
    DateTime,
    Engine,
    Enum,
    Integer,
    Table,
    bindparam,
    event,
    func,
    literal,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import CursorResult, Dialect, Result
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from shop.clock import utcnow
from shop.extensions import Model, db

log = structlog.get_logger()
T = TypeVar("T")

BigId = BigInteger().with_variant(Integer(), "sqlite")
"""Keys: SQLite counts rows by INTEGER only."""

WRITING = "shop_writing"

REST_SECONDS = 1
"""A connection that was used so lately is taken to live."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, aware and in UTC on both sides. Naive values are refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Into the database: UTC; SQLite keeps no zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Out of the database: aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def stored(kind: type[StrEnum]) -> Enum:
    """A column for the words of an enum: text with a check, alike on both databases."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=True,
        name=kind.__name__.lower(),
        length=32,
        validate_strings=True,
        values_callable=lambda members: [member.value for member in members],
    )


class Row(Model):
    """What every table has: a key and the moments of its making and last change (UTC)."""

    __abstract__ = True

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, onupdate=utcnow)


class db_now(FunctionElement[datetime]):
    """The database's own clock, plus some seconds: for leases and presence (reliability.md, I38)."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: int | BindParameter[int] = 0) -> None:
        given_later = isinstance(seconds, BindParameter)
        super().__init__(seconds if given_later else literal(int(seconds), Integer()))


@compiles(db_now, "postgresql")
def _now_on_postgres(element: db_now, compiler: Any, **kw: Any) -> str:
    return f"(clock_timestamp() + {compiler.process(element.clauses, **kw)} * interval '1 second')"


@compiles(db_now, "sqlite")
def _now_on_sqlite(element: db_now, compiler: Any, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {seconds} || ' seconds') || '000')"


class quarter_hours(FunctionElement[int]):
    """Quarters of an hour since 1970, UTC: fine enough to be added up to days of any time zone."""

    type = Integer()
    inherit_cache = True


@compiles(quarter_hours, "postgresql")
def _quarters_on_postgres(element: quarter_hours, compiler: Any, **kw: Any) -> str:
    return f"floor(extract(epoch from {compiler.process(element.clauses, **kw)}) / 900)::int"


@compiles(quarter_hours, "sqlite")
def _quarters_on_sqlite(element: quarter_hours, compiler: Any, **kw: Any) -> str:
    return f"CAST(strftime('%s', {compiler.process(element.clauses, **kw)}) AS INTEGER) / 900"


def engine_options(url: str, statement_seconds: int = 10) -> dict[str, Any]:
    """What create_app hands to SQLAlchemy for this address; workers get longer statements."""
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": 5}}
    options = (
        "-c lock_timeout=3000 -c idle_in_transaction_session_timeout=15000"
        f" -c statement_timeout={1000 * statement_seconds}"
    )
    return {
        # Reading holds no transaction: a rollback would make the driver forget its prepared statements.
        "isolation_level": "AUTOCOMMIT",
        "pool_size": 8,
        "max_overflow": 4,
        "pool_timeout": 3,
        "pool_use_lifo": True,
        "connect_args": {"connect_timeout": 3, "options": options},
    }


def tune(engine: Engine) -> None:
    """Set up what an address alone cannot say. See the two below."""
    if engine.dialect.name == "sqlite":
        _tune_sqlite(engine)
    else:
        _ping_rested(engine)


def _ping_rested(engine: Engine) -> None:
    """Ask whether a pooled connection still lives, but only one that nobody used for a second.

    Under load each transaction would cost a round trip more; at rest a restart of the server must
    not meet the next shopper.
    """

    @event.listens_for(engine, "checkin")
    def on_checkin(_dbapi_connection: Any, record: Any) -> None:
        record.info["rests_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def on_checkout(dbapi_connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("rests_since", math.inf) < REST_SECONDS:
            return
        try:
            engine.dialect.do_ping(dbapi_connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error


def _tune_sqlite(engine: Engine) -> None:
    """WAL, full durability, and BEGIN IMMEDIATE for every transaction that writes.

    The driver's own transaction control is switched off, because a deferred transaction that
    reads and then writes fails at once when another has written in between, and the busy
    time-out does not help. Reads stay deferred: IMMEDIATE on them would queue every reader.
    """

    @event.listens_for(engine, "connect")
    def on_connect(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "busy_timeout=5000",
        ):
            dbapi_connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:
        writing = connection.get_execution_options().get(WRITING)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def rows_changed(result: Result[Any]) -> int:
    """How many rows an UPDATE, INSERT or DELETE changed; 0 where its condition did not hold."""
    return int(cast(CursorResult[Any], result).rowcount)


@contextmanager
def transaction() -> Iterator[Session]:
    """One writing transaction: commits at the end, rolls back on any exception, is never nested.

    A reading transaction that stands open (the sign-in's user was loaded, say) is ended first,
    so that nothing read before it is taken for true inside it.
    """
    session = db.session()
    if session.info.get("open"):
        raise RuntimeError("a transaction is already open")
    session.rollback()
    session.info["open"] = True
    try:
        session.connection(execution_options=_options_to_write(session))
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.info["open"] = False


def _options_to_write(session: Session) -> dict[str, Any]:
    if session.get_bind().dialect.name == "sqlite":
        return {WRITING: True}
    return {"isolation_level": "READ COMMITTED"}


def end_reading() -> None:
    """Give the connection back before a slow call to the outside."""
    db.session.rollback()


def is_passing(error: BaseException) -> bool:
    """True for faults that the same work, done again, may not meet: deadlock, lock, serialization."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return state in {"40P01", "40001", "55P03"} or "database is locked" in str(error.orig)


def retried(work: Callable[[], T], tries: int = 3) -> T:
    """Do a whole use case again when the database was only busy (20 to 200 ms apart)."""
    for attempt in range(1, tries + 1):
        try:
            return work()
        except DBAPIError as error:
            db.session.rollback()
            if attempt == tries or not is_passing(error):
                raise
            log.info("database.retry", attempt=attempt)
            time.sleep(random.uniform(0.02, 0.2))  # noqa: S311  (jitter, not a secret)
    raise AssertionError("unreachable")


def table_of(model: type[Row]) -> Table:
    """The model's table. A statement on it goes past the unit of work, which costs more than the row."""
    table: Table = model.__table__  # type: ignore[assignment]
    return table


_INSERTS: dict[str, Any] = {"sqlite": sqlite_insert, "postgresql": postgresql_insert}


def insert_ignore(model: Any, values: dict[str, Any]) -> Any:
    """Insert a row unless a unique key forbids it. Returns the new row's id, else None.

    Both dialects speak ON CONFLICT DO NOTHING; it does not break the caller's transaction.
    """
    statement = _insert_ignoring(model, db.engine.dialect.name)
    return db.session.execute(statement, values).scalar_one_or_none()


@cache
def _insert_ignoring(model: Any, dialect: str) -> Any:
    """Built once: building a statement costs more than running it."""
    table = table_of(model)
    return _INSERTS[dialect](table).on_conflict_do_nothing().returning(table.c.id)


class Upsert:
    """Inserts a row, or changes the one that the unique columns name: one statement, built once.

    `values` and `then` hold what stays the same; what differs is `given("name")` at each call.
    A call returns the column `returning` as it then is.
    """

    def __init__(
        self,
        model: Any,
        values: dict[str, Any],
        *,
        unique: tuple[str, ...],
        then: dict[str, Any],
        returning: str,
    ) -> None:
        self.table = table_of(model)
        self.values = values
        self.unique = unique
        self.then = {**then, "updated_at": given("now")}
        self.returning = returning
        self.built = {dialect: self._built(insert) for dialect, insert in _INSERTS.items()}

    def __call__(self, **values: Any) -> Any:
        """Run it with these values."""
        named = {f"given_{name}": value for name, value in values.items()}
        statement = self.built[db.engine.dialect.name]
        return db.session.execute(statement, {**named, "given_now": utcnow()}).scalar_one()

    def _built(self, insert: Any) -> Any:
        return (
            insert(self.table)
            .values(self.values)
            .on_conflict_do_update(index_elements=list(self.unique), set_=self.then)
            .returning(self.table.c[self.returning])
        )


def given(name: str) -> Any:
    """A value that an Upsert gets at its call."""
    return bindparam(f"given_{name}")


__all__ = [
    "BigId", "Row", "Upsert", "UtcDateTime", "db_now", "end_reading", "engine_options", "func", "given",
    "insert_ignore", "is_passing", "retried", "rows_changed", "stored", "table_of", "transaction", "tune",
]  # fmt: skip
