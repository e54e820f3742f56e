"""Statements as MT940 (SWIFT): account, balances, and for each booking a :61: with its :86:.

Read here and not by a library, so that one line which a bank wrote its own way is told by its
number and the others are kept (docs/decisions/0008-dependencies.md). Layout of :61: by the SWIFT
user handbook: 6!n[4!n]2a[1!a]15d1!a3!c16x[//16x][34x].
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from shop.payments.statements.cells import CellError, read_amount, read_day
from shop.payments.statements.rows import (
    MOST_LINES,
    StatementError,
    StatementFile,
    StatementRow,
    bank_id,
    plain_text,
)

TAG = re.compile(r":(\d{2}[A-Z]?|NS):")
BALANCE = re.compile(r"[CD]\d{6}([A-Z]{3})[\d,]+")
BOOKING = re.compile(
    r"(?P<value>\d{6})(?P<entry>\d{4}|\s{4})?(?P<mark>R?[CD])(?P<funds>[A-Z])?(?P<amount>\d{1,15},\d{0,3}|\d{1,15})"
    r"(?P<kind>[A-Z][A-Z0-9]{3})?(?P<customer>(?:(?!//).){0,35})(?://(?P<bank>.{0,35}))?",
    re.ASCII | re.IGNORECASE,
)
SUBFIELD = re.compile(r"\?\d{2}|(?<=[ /])/(?=[A-Z]{4}/)")
"""In :86: some banks mark their subfields (?20…?29 the purpose, ?32 the name)."""


@dataclass
class Field:
    """One tag with its lines, and the line of the file on which it begins."""

    line: int
    tag: str
    lines: list[str]

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines)


def looks_like_mt940(text: str) -> bool:
    """Whether the file is one: its first tags are the message's own."""
    return re.search(r"(?m)^:20:", text[:4000]) is not None and ":60" in text


def read_mt940(text: str, currency: str) -> StatementFile:
    """Read one or more statements. `currency` is taken where no balance names one.

    Raises StatementError when the file has too many bookings.
    """
    found = StatementFile("mt940")
    account, own, booking = "", currency, None
    for field in _fields(text):
        if field.tag == "25":
            account = plain_text(field.text)[:60]
        elif field.tag.startswith("60"):
            shown = BALANCE.match(field.text)
            own = shown.group(1) if shown else currency
        elif field.tag == "86" and booking is not None:
            _add(found, booking, field.lines, account, own)
            booking = None
            continue
        if field.tag in {"61", "62F", "62M", "20"} and booking is not None:
            _add(found, booking, [], account, own)
            booking = None
        if field.tag == "61":
            booking = field
    if booking is not None:
        _add(found, booking, [], account, own)
    return found


def _fields(text: str) -> Iterator[Field]:
    """The tags in their order; what stands before the first one is the envelope."""
    field: Field | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        tag = TAG.match(line)
        if tag:
            if field:
                yield field
            field = Field(number, tag.group(1), [line[tag.end() :].strip()])
        elif line.strip() in {"-", "-}"}:
            if field:
                yield field
            field = None
        elif field and line.strip():
            field.lines.append(line.strip())
    if field:
        yield field


def _add(
    found: StatementFile, booking: Field, details: list[str], account: str, currency: str
) -> None:
    if len(found.rows) + len(found.faults) >= MOST_LINES:
        raise StatementError(f"The file has more than {MOST_LINES} bookings. Bring it in parts.")
    try:
        found.rows.append(_row(booking, details, account, currency))
    except CellError as error:
        found.fault(booking.line, str(error), " ".join([*booking.lines, *details]))


def _row(booking: Field, details: list[str], account: str, currency: str) -> StatementRow:
    read = BOOKING.match(booking.lines[0])
    if read is None:
        raise CellError("the booking (:61:) is not written as MT940 asks")
    minor = read_amount(read["amount"].rstrip(","), currency, ",")
    # RC takes a credit back, RD a debit.
    comes_in = read["mark"].upper() in {"C", "RD"}
    customer = "" if bank_id(read["customer"]) is None else read["customer"]
    purpose = SUBFIELD.sub(" ", " ".join(_joined(details)))
    return StatementRow(
        line=booking.line,
        booked_on=_day(read["value"], read["entry"]),
        amount_minor=minor if comes_in else -minor,
        currency=currency,
        text=plain_text(" · ".join(part for part in (purpose, customer, *booking.lines[1:]) if part.strip())),
        bank_id=bank_id(read["bank"] or ""),
        account=account,
    )  # fmt: skip


def _joined(details: list[str]) -> list[str]:
    """Lines of 65 letters are one line that was cut; shorter ones end where they end."""
    joined: list[str] = []
    for line in details:
        if joined and len(details[len(joined) - 1]) >= 65:
            joined[-1] += line
        else:
            joined.append(line)
    return joined


def _day(value: str, entry: str | None) -> date:
    """The day of the booking: the entry's, in the year nearest to the value date's."""
    value_day = read_day(f"20{value}")
    if not entry or not entry.strip():
        return value_day
    near = []
    for year in (value_day.year - 1, value_day.year, value_day.year + 1):
        try:
            near.append(read_day(f"{year}{entry}"))
        except CellError:
            continue
    if not near:
        raise CellError(f"“{entry}” is not a day of the year")
    return min(near, key=lambda day: abs((day - value_day).days))
