"""Reading the books: all of a run on one snapshot, large tables row by row.

The proofs' statements are built once, when their modules are loaded: building them costs more
than running them on a small shop.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Executable, func, select

from shop.extensions import db

PAGE = 1_000
"""Rows fetched at a time."""


@contextmanager
def snapshot() -> Iterator[Connection]:
    """A connection of its own that sees the database as it is now, however long the reading takes.

    Proofs compare what several statements read, so an order placed in between must not show in
    one and lack in the other. Writes nothing, waits for no writer and holds none up; the caller's
    session is left as it is, and what that has not committed is not seen.
    """
    with db.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        # On SQLite a deferred transaction keeps what its first statement saw.
        yield connection


def stream(connection: Connection, query: Executable) -> Iterable[Any]:
    """The rows of a statement, a page at a time."""
    return connection.execute(query, execution_options={"yield_per": PAGE})


def beside(connection: Connection, query: Executable) -> Callable[[int], list[Any]]:
    """Reads a table beside another: the rows of each key, for keys asked for in rising order.

    The query's first column is the key, by which it is ordered.
    """
    rows = iter(stream(connection, query))
    ahead = next(rows, None)

    def rows_of(key: int) -> list[Any]:
        nonlocal ahead
        found = []
        while ahead is not None and ahead[0] <= key:
            if ahead[0] == key:
                found.append(ahead)
            ahead = next(rows, None)
        return found

    return rows_of


def sums(key: Any, amount: Any, *conditions: Any) -> Executable:
    """The statement for the sum of `amount` of each key, in the order of the keys."""
    return select(key, func.sum(amount)).where(*conditions).group_by(key).order_by(key)


def sums_beside(connection: Connection, query: Executable) -> Callable[[int], int]:
    """Each key's sum of such a statement, for keys asked for in rising order; 0 without rows."""
    rows_of = beside(connection, query)
    return lambda wanted: sum(int(row[1]) for row in rows_of(wanted))
