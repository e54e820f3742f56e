"""What both kinds of statements are read into."""

import re
from dataclasses import dataclass, field
from datetime import date

from shop.errors import Refused

MOST_LINES = 5_000
TEXT_LETTERS = 1_000
NO_ID = re.compile(r"(?i)0*|-+|\.+|N/?A|NONREF|NOTPROVIDED|NIL|NULL|KREF")
"""What banks write where they have no id."""


class StatementError(Refused):
    """The whole file cannot be read, in words for the person who brought it."""

    status = 422


@dataclass(frozen=True)
class StatementRow:
    """One booking. `amount_minor` is negative where money went out."""

    #: Where it stands in the file, counted from 1.
    line: int
    booked_on: date
    amount_minor: int
    currency: str
    text: str
    bank_id: str | None = None
    account: str = ""
    #: All in it that may be a reference of ours; none where money went out.
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fault:
    """A line that could not be read: where, why, and the line itself, so that nothing is lost."""

    line: int
    words: str
    text: str


@dataclass
class StatementFile:
    """All that a file says."""

    form: str
    rows: list[StatementRow] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, line: int, words: str, text: str) -> None:
        """Note a line that could not be read."""
        self.faults.append(Fault(line, words[:1].upper() + words[1:], plain_text(text)[:300]))


def plain_text(written: str) -> str:
    """One line without control characters, at most TEXT_LETTERS letters."""
    kept = "".join(letter if letter.isprintable() else " " for letter in written)
    return re.sub(r"\s+", " ", kept).strip()[:TEXT_LETTERS]


def bank_id(written: str) -> str | None:
    """The bank's id of a booking as it is compared; None for what stands there in place of one."""
    plain = re.sub(r"\s", "", plain_text(written)).upper()[:80]
    return None if NO_ID.fullmatch(plain) else plain
