"""Money: whole minor units and a currency. No float touches it.

The number of decimals comes from the currency (JPY 0, INR 2, KWD 3), by Babel's table.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from babel.numbers import format_currency, get_currency_precision

MAX_MINOR = 10**12
"""No amount of the shop exceeds this; what does was mistyped or is an attack."""


class MoneyError(ValueError):
    """The amount is not one that the shop can count with."""


@dataclass(frozen=True, order=True)
class Money:
    """An amount in minor units (paise, öre, cents) of one currency (ISO 4217)."""

    amount_minor: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        return Money(self.amount_minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.amount_minor - self._same(other), self.currency)

    def __mul__(self, factor: int) -> "Money":
        return Money(self.amount_minor * factor, self.currency)

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise MoneyError(f"{self.currency} and {other.currency} cannot be added")
        return other.amount_minor

    def __str__(self) -> str:
        return format_minor(self.amount_minor, self.currency)


def exponent(currency: str) -> int:
    """How many decimals the currency has."""
    return int(get_currency_precision(currency))


def to_decimal(amount_minor: int, currency: str) -> Decimal:
    """12345 INR as Decimal('123.45'): for providers that want major units."""
    return Decimal(amount_minor).scaleb(-exponent(currency))


def parse_minor(written: str, currency: str) -> int:
    """Read what a person typed, exactly: '1,299.00', '1299'. Raises MoneyError.

    Signs, exponents, blanks inside, other scripts' digits and more decimals than the currency has
    are refused (security.md, S58).
    """
    decimals = exponent(currency)
    pattern = r"\d{1,3}(?:,\d{2,3})*|\d+"
    fraction = rf"(?:\.(\d{{1,{decimals}}}))?" if decimals else "()"
    found = re.fullmatch(rf"({pattern}){fraction}", written.strip(), re.ASCII)
    if not found:
        raise MoneyError("Enter an amount like 1299.00")
    whole = found.group(1).replace(",", "")
    amount: int = int(whole) * 10**decimals + int((found.group(2) or "").ljust(decimals, "0") or 0)
    if amount > MAX_MINOR:
        raise MoneyError("That amount is too large")
    return amount


@lru_cache(maxsize=8192)
def format_minor(amount_minor: int, currency: str, locale: str = "en_IN") -> str:
    """₹5,499.00: for people."""
    return format_currency(to_decimal(amount_minor, currency), currency, locale=locale)


def share(total_minor: int, weights: Sequence[int]) -> list[int]:
    """Divide by largest remainder, so that the parts sum to the whole. Weights are ≥ 0."""
    whole = sum(weights)
    if whole == 0:
        return [0 for _ in weights]
    parts = [total_minor * weight // whole for weight in weights]
    by_remainder = sorted(
        range(len(weights)), key=lambda i: (-(total_minor * weights[i] % whole), i)
    )
    for index in by_remainder[: total_minor - sum(parts)]:
        parts[index] += 1
    return parts


def tax_included(amount_minor: int, rate_bp: int) -> int:
    """The tax inside a price that includes it. `rate_bp` in basis points: 1800 is 18 %.

    Rounded half up, by whole numbers: amount × rate / (100 % + rate).
    """
    return (2 * amount_minor * rate_bp + (10_000 + rate_bp)) // (2 * (10_000 + rate_bp))
