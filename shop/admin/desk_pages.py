"""Pages of what waits for a person: the most urgent first, turned both ways by keyset.

A desk may draw from several tables: its pages run on from the rows of one into those of the next.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from typing import Any

from flask import request, url_for
from sqlalchemy import tuple_

from shop.extensions import db

ROWS = 50
#: For a row without a moment of its own: it stands at the end.
FAR = datetime(9999, 1, 1, tzinfo=UTC)
LONGEST_MARK = 60
LONGEST_NUMBER = 18
"""Digits in a mark's number: no key and no moment has more, and each such number fits its column."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def moment_at(number: int) -> datetime:
    """The moment that a mark names, in microseconds. Raises OverflowError."""
    return _EPOCH + number * _MICROSECOND


@dataclass(frozen=True)
class Part:
    """The rows of one table, and what they are sorted by: their urgency, and at last their id."""

    name: str
    #: A SELECT, not sorted and not cut.
    found: Any
    by: Sequence[Any]
    #: The same values of a row that is drawn.
    of: Callable[[Any], Sequence[Any]]
    #: How each is read from a mark: its number back into what the column holds.
    read: Sequence[Callable[[int], Any]] = (int,)
    #: What is drawn of a row of the answer.
    shape: Callable[[Any], Any] = itemgetter(0)


@dataclass(frozen=True)
class Mark:
    """A place in a list: right after, or right before, the row with these values."""

    part: Part
    values: Sequence[Any]
    is_before: bool
    #: As the address says it.
    text: str


@dataclass(frozen=True)
class Turned:
    """One page: its rows, each with its part, and the marks of the pages beside it."""

    shown: Sequence[tuple[Part, Any]]
    before: str | None
    after: str | None
    #: What keeps a form's answer on this page.
    here: dict[str, str]

    def rows(self, name: str) -> list[Any]:
        """The rows of one part."""
        return [row for part, row in self.shown if part.name == name]

    def newer(self, endpoint: str, same: dict[str, Any]) -> str | None:
        """The address of the page with what is more urgent."""
        return url_for(endpoint, **same, before=self.before) if self.before else None

    def older(self, endpoint: str, same: dict[str, Any]) -> str | None:
        """The address of the page with what is less urgent."""
        return url_for(endpoint, **same, after=self.after) if self.after else None


def turned(parts: Sequence[Part]) -> Turned:
    """The page that the address or the form names: a statement for each part that it reaches into.

    Where nothing is left of that page, since all of it was decided, the first one.
    """
    mark = _mark(parts)
    read = _read(parts, mark)
    if mark and not read:
        mark, read = None, _read(parts, None)
    shown, has_more = read[:ROWS], len(read) > ROWS
    if mark is None:
        return Turned(shown, None, _text(*shown[-1]) if has_more else None, {})
    has_newer, has_older = True, has_more
    if mark.is_before:
        shown, has_newer, has_older = shown[::-1], has_more, True
    return Turned(
        shown,
        before=_text(*shown[0]) if has_newer else None,
        after=_text(*shown[-1]) if has_older else None,
        here={"before" if mark.is_before else "after": mark.text},
    )


def place() -> dict[str, Any]:
    """What keeps a form's answer on the page of its list, as the form carries it."""
    return {name: request.form[name] for name in ("after", "before") if name in request.form}


def _read(parts: Sequence[Part], mark: Mark | None) -> list[tuple[Part, Any]]:
    """A row more than a page, from the mark on: towards the less urgent, or back."""
    is_back = mark is not None and mark.is_before
    waiting = list(parts[::-1] if is_back else parts)
    while mark and waiting[0] is not mark.part:
        waiting.pop(0)
    rows: list[tuple[Part, Any]] = []
    for part in waiting:
        if len(rows) > ROWS:
            break
        found = part.found.order_by(*(one.desc() for one in part.by) if is_back else part.by)
        if mark and part is mark.part:
            place = tuple_(*part.by)
            found = found.where(place < mark.values if is_back else place > mark.values)
        read = db.session.execute(found.limit(ROWS + 1 - len(rows)))
        rows += [(part, part.shape(row)) for row in read]
    return rows


def _mark(parts: Sequence[Part]) -> Mark | None:
    """The place that was asked for; None where there is none, or none that can be read."""
    for name in ("after", "before"):
        text = request.values.get(name, "")[:LONGEST_MARK]
        part_name, *numbers = text.split("~")
        part = next((one for one in parts if one.name == part_name), None)
        if part is None or len(numbers) != len(part.read):
            continue
        if not all(_is_number(number) for number in numbers):
            continue
        try:
            values = [read(int(number)) for read, number in zip(part.read, numbers, strict=True)]
        except (ValueError, OverflowError):
            continue
        return Mark(part, values, name == "before", text)
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER


def _text(part: Part, row: Any) -> str:
    return "~".join([part.name, *(str(_number(value)) for value in part.of(row))])


def _number(value: Any) -> int:
    if isinstance(value, datetime):
        return (value - _EPOCH) // _MICROSECOND
    return value.toordinal() if isinstance(value, date) else int(value)
