"""What the owner typed for a zone or a price, read; what is wrong is told in the owner's words."""

import re
from collections.abc import Mapping
from typing import Any

from shop.accounts.addresses import countries
from shop.accounts.forms import tidy
from shop.config import settings
from shop.errors import Refused
from shop.money import MoneyError, parse_minor
from shop.preferences import codes
from shop.shipping_prices.models import Basis
from shop.shipping_prices.tariff import EVERYWHERE

Form = Mapping[str, str]

MOST_LETTERS = 4000
MOST_GRAMS = 1_000_000
MOST_DAYS = 90
LONGEST_CODE = 10
"""No postal code of the world has more letters and digits."""


def read_zone(form: Form) -> dict[str, Any]:
    """The zone's values. Raises Refused."""
    return {
        "name": _name(form.get("name", ""), "Give the zone a name, such as Metro cities."),
        "countries": _countries(form.get("countries", "")),
        "postal_codes": _postal_codes(form.get("postal_codes", "")),
        "is_active": bool(form.get("is_active")),
    }


def read_rate(form: Form) -> dict[str, Any]:
    """The row's values, in the shop's currency. Raises Refused."""
    label = _name(form.get("label", ""), "Give the method a name, such as Standard.", "label")
    basis = Basis.VALUE if form.get("basis") == Basis.VALUE else Basis.WEIGHT
    first, last = _days(form)
    return {
        "method": method_key(label),
        "label": label,
        "basis": basis,
        "up_to": _bound(form.get("up_to", ""), basis),
        "currency": settings().default_currency,
        "price_minor": _amount(form.get("price", ""), "The price", "price"),
        "free_from_minor": _amount(form["free_from"], "“Free from”", "free_from") if form.get("free_from", "").strip() else None,
        "days_from": first,
        "days_to": last,
        "is_live": bool(form.get("is_live")),
    }  # fmt: skip


def method_key(label: str) -> str:
    """What an order remembers of the method: "Express, by air" → "express-by-air"."""
    return re.sub(r"[\W_]+", "-", label.casefold()).strip("-")[:40] or "delivery"


def _name(typed: str, words: str, field: str = "name") -> str:
    name = tidy(typed)
    if not name:
        raise Refused(words, field=field)
    if len(name) > 80:
        raise Refused("Use at most 80 letters for a name.", field=field)
    return name


def _countries(typed: str) -> str:
    found = _codes(typed, r"[A-Z]{2}|\*", "The countries", "countries")
    if not found:
        words = "Name at least one country by its code, such as IN, or * for every country."
        raise Refused(words, field="countries")
    known = {code for code, _ in countries()} | {EVERYWHERE}
    unknown = [code for code in found.split(", ") if code not in known]
    if unknown:
        words = f"“{unknown[0]}” is no country's code. Use two letters, such as IN or SE."
        raise Refused(words, field="countries")
    return EVERYWHERE if EVERYWHERE in found else found


def _postal_codes(typed: str) -> str:
    """Patterns without the hyphens that some countries write within a code. Raises Refused for a range."""
    for entry in re.split("[,;\n]", typed[:MOST_LETTERS]):
        if _is_range(re.sub(r"\s", "", entry)):
            raise Refused(
                f"“{entry.strip()[:30]}” is a range, which the list cannot hold. "
                "Use a pattern such as 5600?? or 56*, or name the codes one by one.",
                field="postal_codes",
            )
    return _codes(typed.replace("-", ""), r"[A-Z0-9*?]{1,12}", "The postal codes", "postal_codes")


def _is_range(entry: str) -> bool:
    """Whether two codes stand around a hyphen, which within one code has unlike or short sides: 00-001."""
    first, sign, last = re.sub("[–—]", "-", entry).partition("-")
    if not sign:
        return False
    is_even = len(first) == len(last) and (len(first) > 3 or first[:1].isalpha())
    return is_even or len(first + last) > LONGEST_CODE


def _codes(typed: str, pattern: str, what: str, field: str) -> str:
    if len(typed) > MOST_LETTERS:
        raise Refused(f"{what} are too many: use at most {MOST_LETTERS} letters, or patterns with * and ?.", field=field)  # fmt: skip
    try:
        return codes(pattern)(typed.replace("\n", ",").replace(";", ","))
    except ValueError as error:
        raise Refused(f"The list {error}.", field=field) from error


def _bound(typed: str, basis: Basis) -> int | None:
    """Up to where the row counts; None without end."""
    if not typed.strip():
        return None
    if basis == Basis.VALUE:
        bound = _amount(typed, "“Up to”", "up_to")
        if not bound:
            words = "“Up to” must be more than nothing, or empty for no end."
            raise Refused(words, field="up_to")
        return bound
    plain = typed.strip().removesuffix("g").strip()
    if not (plain.isascii() and plain.isdigit() and len(plain) < 9 and 0 < int(plain) <= MOST_GRAMS):  # fmt: skip
        raise Refused(f"“Up to” is a weight in whole grams, from 1 to {MOST_GRAMS:,}, or empty for no end.", field="up_to")  # fmt: skip
    return int(plain)


def _amount(typed: str, what: str, field: str) -> int:
    try:
        return parse_minor(typed, settings().default_currency)
    except MoneyError as error:
        raise Refused(f"{what}: {error}.", field=field) from error


def _days(form: Form) -> tuple[int, int]:
    typed = [form.get(name, "").strip() for name in ("days_from", "days_to")]
    if not all(one.isascii() and one.isdigit() and len(one) < 3 for one in typed):
        words = f"The days are two whole numbers from 0 to {MOST_DAYS}, such as 3 and 5."
        raise Refused(words, field="days_from")
    first, last = int(typed[0]), int(typed[1])
    if not first <= last <= MOST_DAYS:
        words = "The slowest day cannot come before the fastest, nor after 90 days."
        raise Refused(words, field="days_to")
    return first, last
