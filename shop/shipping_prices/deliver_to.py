"""Where this browser wants its parcel: the postal code typed just now, or the one typed before.

The session holds a place only once somebody has typed one (privacy: nothing is guessed).
"""

from dataclasses import dataclass

from flask import request, session

from shop.accounts.addresses import read_postal_code, rules_of
from shop.accounts.forms import tidy
from shop.shipping_prices.places import MOST_SIGNS, Place, home_country

KEY = "deliver_to"
"""In the session: [country, postal code]."""


@dataclass(frozen=True)
class Asked:
    """The place as it stands in the form; `error` is what is wrong with what was typed."""

    place: Place
    error: str = ""
    #: The button was pressed for this answer: the courier may be asked.
    is_new: bool = False

    @property
    def is_known(self) -> bool:
        """Whether there is a code to estimate for."""
        return bool(self.place.postal_code) and not self.error


def remembered() -> Place:
    """The place of the session; without one the country that forms begin with."""
    held = session.get(KEY) if request.cookies else None
    return Place(held[0], held[1]) if held else Place(home_country())


def asked() -> Asked:
    """What the address of this page asks (?postcode=…&country=…), else what the session remembers.

    A code that fits its country is remembered, an empty one is forgotten.
    """
    typed = request.args.get("postcode")
    if typed is None:
        return Asked(remembered())
    country = request.args.get("country", "") or remembered().country
    country = country if len(country) == 2 and country.isascii() else home_country()
    rules = rules_of(country)
    code = read_postal_code(typed[: 4 * MOST_SIGNS], rules)
    shown = tidy(typed)[:MOST_SIGNS]
    if not shown:
        session.pop(KEY, None)
        return Asked(Place(country))
    if not code or len(typed) > 4 * MOST_SIGNS:
        return Asked(Place(country, shown), rules.postal_words)
    session[KEY] = [country, code]
    return Asked(Place(country, code), is_new=True)


def is_asked() -> bool:
    """Whether the answer depends on the browser's place: such a page is nobody else's."""
    return "postcode" in request.args
