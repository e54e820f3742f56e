"""Where a parcel goes: postal codes, and the patterns that take in many of them. Nothing here is stored."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from shop.accounts.addresses import country_name, rules_of
from shop.config import settings

HOME_OF = {"INR": "IN", "SEK": "SE", "NGN": "NG", "USD": "US", "GBP": "GB", "EUR": "DE"}
"""Where most shoppers live, by the currency of the shop."""

MOST_SIGNS = 16
"""No postal code is longer; what is typed beyond it cannot make one fit."""


@dataclass(frozen=True)
class Place:
    """A country (ISO 3166) and, as far as it is known, the postal code as it was typed."""

    country: str
    postal_code: str = ""

    @property
    def words(self) -> str:
        """How the place is named to the shopper: the code, cut short, or else the country."""
        return self.postal_code.strip()[:12] or country_name(self.country)

    @property
    def code_label(self) -> str:
        """What the country calls its codes, within a sentence: "PIN code", "postcode"."""
        label = rules_of(self.country).postal_label
        return label if label[:2].isupper() else label[0].lower() + label[1:]


def home_country() -> str:
    """The country that forms begin with."""
    return HOME_OF.get(settings().default_currency, "IN")


def plain(postal_code: str) -> str:
    """The code without blanks and hyphens, in capitals, cut to what a code can have."""
    return re.sub(r"[\s-]", "", postal_code[: 4 * MOST_SIGNS]).upper()[:MOST_SIGNS]


def listed(text: str) -> list[str]:
    """The entries of a list with commas."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def matches(postal_code: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern takes the code in: * is any rest, ? any one letter or digit."""
    code = plain(postal_code)
    return any(fnmatchcase(code, pattern) for pattern in patterns)
