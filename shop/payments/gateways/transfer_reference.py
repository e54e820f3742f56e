"""The reference that a shopper quotes in a bank transfer: "7K4Q-9DXM-P".

Eight letters of the attempt's own random reference, in an alphabet without 0, O, 1 and I, and a
check letter: 40 bits that nobody guesses from an order's number.
"""

import re
from collections.abc import Iterator
from operator import mul

ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
LOOKS_LIKE = str.maketrans({"0": "Q", "O": "Q", "1": "L", "I": "L"})
"""What is read for a letter that the alphabet has."""
VALUES = {letter: value for value, letter in enumerate(ALPHABET)}
LETTERS = 8
WEIGHTS = tuple(range(1, 2 * LETTERS, 2))
"""Odd, so that every single wrong letter changes the check letter."""


def transfer_reference(reference: str) -> str:
    """For an attempt's reference (26 characters A–Z 2–7): nine letters, without hyphens."""
    body = reference[:LETTERS].translate(str.maketrans(BASE32, ALPHABET))
    return body + _check(body)


def shown(compact: str) -> str:
    """As people read it: 7K4Q9DXMP → 7K4Q-9DXM-P."""
    return f"{compact[:4]}-{compact[4:8]}-{compact[8:]}"


def references_in(text: str) -> list[str]:
    """All that may be references in what a payer wrote: blanks, marks and case do not matter.

    Each has a right check letter; whether it is one of ours only the attempts can tell.
    """
    return list(dict.fromkeys(_candidates(text)))


def _candidates(text: str) -> Iterator[str]:
    plain = re.sub(r"[^0-9A-Z]", "", text[:1000].upper()).translate(LOOKS_LIKE)
    values = [VALUES[letter] for letter in plain]
    for start in range(len(plain) - LETTERS):
        end = start + LETTERS
        if sum(map(mul, WEIGHTS, values[start:end])) % len(ALPHABET) == values[end]:
            yield plain[start : end + 1]


def _check(body: str) -> str:
    return ALPHABET[sum(map(mul, WEIGHTS, (VALUES[letter] for letter in body))) % len(ALPHABET)]
