"""Periodic jobs look at everything that waits: a page in each transaction, until none is left."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select

from shop.extensions import db
from shop.jobs.handlers import Work
from shop.jobs.queue import enqueue


def next_page(
    work: Work, query: Select[*tuple[Any, ...]], size: int, part: str = ""
) -> Sequence[Row[*tuple[Any, ...]]]:
    """The rows of this job's page; what comes after a full one is put in as a job of its own.

    The first column of `query` is a number that pages go up by: what is still waiting when it is
    looked at again never keeps what comes later from its turn. A sweep over several lists names
    each by `part`, and the job for the rest of one looks at that one alone.
    """
    if work.payload.get("part", part) != part:
        return ()
    number = query.selected_columns[0]
    beyond = query.where(number > work.payload.get("after", 0))
    found = db.session.execute(beyond.order_by(number).limit(size)).all()
    if len(found) == size:
        last: int = found[-1][0]
        rest = {**work.payload, "part": part, "after": last}
        enqueue(work.kind, rest, key=f"{part}:{last}")
    return found
