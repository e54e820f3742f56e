"""Single cells of a statement: dates and amounts as banks write them. No float, nothing guessed."""

import re
from datetime import date, datetime
from typing import Literal

from shop.money import MAX_MINOR, exponent

DecimalMark = Literal[",", "."]


class CellError(ValueError):
    """The cell cannot be read; the words are for the person who brought the file."""


DAY_FORMS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d",
    "%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y", "%d/%m/%y", "%d-%m-%y",
    "%d-%b-%Y", "%d %b %Y", "%d-%b-%y", "%d %b %y", "%d/%b/%Y", "%d %B %Y",
)  # fmt: skip
TIME_AFTER = re.compile(r"[T ]\d{1,2}[:.]\d{2}.*$")
NOT_OF_AMOUNTS = re.compile(r"[\s\u00a0\u202f'’]")
AROUND = re.compile(r"^[^\d().,+−-]*|[^\d().,+−-]*$")
WHOLE = {
    ",": re.compile(r"\d+|\d{1,3}(?:\.\d{2,3})*\.\d{3}"),
    ".": re.compile(r"\d+|\d{1,3}(?:,\d{2,3})*,\d{3}"),
}
"""Whole parts with the other mark between groups; the last group has three digits, in India too."""


def read_day(written: str) -> date:
    """A day: ISO, or day first. Raises CellError; a month in the first place is no day."""
    plain = TIME_AFTER.sub("", written.strip())
    if not plain.isascii():
        raise CellError(f"“{written[:30]}” is not a date")
    for form in DAY_FORMS:
        try:
            found = datetime.strptime(plain, form).date()  # noqa: DTZ007  (a day has no zone)
        except ValueError:
            continue
        if 1990 <= found.year <= 2100:
            return found
    raise CellError(f"“{written[:30]}” is not a date like 2026-11-24, 24.11.2026 or 24/11/2026")


def mark_of(written: str) -> DecimalMark | None:
    """Which mark this amount shows to be the decimal one; None when it could be either."""
    plain = _bare(written)[0]
    comma, point = plain.rfind(","), plain.rfind(".")
    if comma >= 0 and point >= 0:
        return "," if comma > point else "."
    found: DecimalMark = "," if comma >= 0 else "."
    other: DecimalMark = "." if comma >= 0 else ","
    if plain.count(found) > 1:
        return other
    if plain.count(found) == 1 and len(plain) - plain.rfind(found) - 1 in {1, 2}:
        return found
    return None


def read_amount(written: str, currency: str, mark: DecimalMark | None) -> int:
    """An amount in minor units, with its sign: "1 299,00", "(5.00)", "12.00 DR", "-3".

    `mark` is the file's decimal mark where it is known. Raises CellError.
    """
    plain, is_negative = _bare(written)
    shown = mark_of(written)
    mark = mark or shown
    if mark is None:
        if "," in plain or "." in plain:
            raise CellError(f"“{written[:30]}” could mean two amounts: write it with decimals")
        mark = "."
    whole, _, fraction = plain.rpartition(mark) if mark in plain else (plain, "", "")
    decimals = exponent(currency)
    if not WHOLE[mark].fullmatch(whole) or not re.fullmatch(r"\d*", fraction, re.ASCII):
        raise CellError(f"“{written[:30]}” is not an amount")
    if len(fraction.rstrip("0")) > decimals:
        raise CellError(f"“{written[:30]}” has more decimals than {currency} knows")
    digits = re.sub(r"[.,]", "", whole)
    if len(digits) > 15:
        raise CellError(f"“{written[:30]}” is too large")
    minor: int = int(digits) * 10**decimals + int(fraction[:decimals].ljust(decimals, "0") or 0)
    if minor > MAX_MINOR:
        raise CellError(f"“{written[:30]}” is too large")
    return -minor if is_negative else minor


def _bare(written: str) -> tuple[str, bool]:
    """The digits and marks, and whether money went out. Raises CellError."""
    plain = NOT_OF_AMOUNTS.sub("", written).replace("−", "-")
    ending = re.search(r"(?i)(CR|DR|[CDHS])$", plain)
    plain = AROUND.sub("", plain)
    is_negative = bool(ending) and ending.group(1).upper() in {"DR", "D", "S"} if ending else False
    if plain.startswith("(") and plain.endswith(")"):
        plain, is_negative = plain[1:-1], True
    if plain.startswith(("-", "+")) or plain.endswith(("-", "+")):
        is_negative = is_negative or "-" in plain
        plain = plain.strip("+-")
    if not re.fullmatch(r"[\d.,]*\d[\d.,]*", plain, re.ASCII):
        raise CellError(f"“{written[:30]}” is not an amount")
    return plain, is_negative
