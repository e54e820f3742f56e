"""Finding products by words: accents and case do not matter, and the start of a word is enough."""

import re
import unicodedata
from typing import Any

from sqlalchemy import ColumnElement, and_, true

from shop.catalog.models import Product

MOST_LETTERS = 100
MOST_WORDS = 8

_FOLDED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})
_BETWEEN_WORDS = re.compile(r"[\s,.;:()/\"'’!?\-]+")


def fold(text: str) -> str:
    """Plain lower-case letters: "Älvar Grön" becomes "alvar gron". Words are parted by one blank."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return _BETWEEN_WORDS.sub(" ", plain.translate(_FOLDED)).strip()


def text_for(*parts: str) -> str:
    """What goes into Product.search_text: each word has a blank before it, so that starts match."""
    return " " + fold(" ".join(parts))


def words_of(query: str) -> list[str]:
    """The folded words of what somebody typed; the same word counts once."""
    return list(dict.fromkeys(fold(query[:MOST_LETTERS]).split()))[:MOST_WORDS]


def matches(query: str) -> ColumnElement[bool]:
    """Every word must be the start of a word of the product. % and _ stand for themselves."""
    conditions: list[Any] = [
        Product.search_text.contains(f" {word}", autoescape=True) for word in words_of(query)
    ]
    return and_(true(), *conditions)
