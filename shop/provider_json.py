"""JSON from outside, read so that nothing in it can surprise whoever goes on with it.

A body that is signed can still be odd: nested a thousand times, a list where an object was, a
number where a text was, a text that no database takes. What cannot be read raises ValueError; a
reader that trips over a part of it catches NOT_AS_EXPECTED and says ValueError, too.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

NOT_AS_EXPECTED = (TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What Python raises where a value is of another kind than its reader expects."""
UNREADABLE = (ValueError, *NOT_AS_EXPECTED)

MOST_LEVELS = 100
"""Objects and lists inside one another. Real messages have about ten."""
LARGEST = 2**63 - 1
"""More is no number of a database; providers' ids stay below it."""
MOST_PLACES = 40
"""A decimal number with more places before or after the point is no amount of anything."""
FIRST_YEAR, LAST_YEAR = 2000, 2100

NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
"""PostgreSQL takes no NUL, and half a sign (a text cut within an emoji) can be written nowhere."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def read_json(raw: bytes | str, number: Callable[[str], Any] = float) -> Any:
    """The value, with every text storable. `number` reads what has a point or an exponent.

    Raises ValueError: also for NaN and Infinity, for what is nested too deeply, and for whole
    numbers that no database takes.
    """
    try:
        found = json.loads(raw, parse_float=number, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return _checked(found, MOST_LEVELS)


def read_object(raw: bytes | str) -> dict[str, Any]:
    """As `read_json`, where only an object will do."""
    found = read_json(raw)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def exact(written: str) -> Decimal:
    """For `read_json`: a number digit for digit. Raises ValueError for one that is absurdly long."""
    found = Decimal(written)
    if abs(found.adjusted()) > MOST_PLACES or len(found.as_tuple().digits) > MOST_PLACES:
        raise ValueError("a number with too many places")
    return found


def storable(text: str) -> str:
    """The text as every database takes it."""
    return NOT_STORABLE.sub(REPLACEMENT, text)


# --- parts of it -----------------------------------------------------------------------------


def name_in(found: Mapping[str, Any], field: str) -> str:
    """An id or another name, written as a text or a whole number. Raises ValueError where there is none."""
    name = found.get(field)
    if isinstance(name, str) and name:
        return name
    if isinstance(name, int) and not isinstance(name, bool):
        return str(name)
    raise ValueError(f"no {field}")


def whole(amount: Any) -> int:
    """A whole number as JSON writes it. Raises ValueError for anything else: money is never rounded."""
    if not isinstance(amount, int) or isinstance(amount, bool):
        raise ValueError("an amount that is no whole number")
    return amount


def unix_moment(seconds: Any) -> datetime | None:
    """Unix time as a moment in UTC; None where there is none. Raises ValueError."""
    if not seconds:
        return None
    try:
        found = datetime.fromtimestamp(whole(seconds), tz=UTC)
    except (OverflowError, OSError) as error:
        raise ValueError("a time that no clock shows") from error
    return checked_moment(found)


def checked_moment(moment: datetime) -> datetime:
    """The moment, if a calendar on any wall can show it. Raises ValueError."""
    if moment.tzinfo is None or not FIRST_YEAR <= moment.year < LAST_YEAR:
        raise ValueError("a time that is not of our time")
    return moment


def _checked(found: Any, levels: int) -> Any:
    if isinstance(found, str):
        return storable(found)
    if isinstance(found, int) and abs(found) > LARGEST:
        raise ValueError("a number that is too large")
    if isinstance(found, float) and not math.isfinite(found):
        raise ValueError("a number that is too large")
    if not isinstance(found, dict | list):
        return found
    if not levels:
        raise ValueError("nested too deeply")
    if isinstance(found, list):
        return [_checked(one, levels - 1) for one in found]
    return {storable(name): _checked(one, levels - 1) for name, one in found.items()}


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")
