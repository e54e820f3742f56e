"""How long an SMS is: the alphabets GSM-7 and UCS-2, and the parts in which a text travels.

A text in GSM-7 (3GPP TS 23.038) has 160 characters in one part and 153 in each of several; one sign
outside it makes the whole text UCS-2, with 70 and 67. The provider bills by the part.
"""

import re
from dataclasses import dataclass

GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_OF_TWO = frozenset("^{}\\[~]|€\f")
"""These take two places."""

LOOKALIKES = str.maketrans(
    {
        "₹": "Rs", "₦": "NGN", "\u00a0": " ", "\u202f": " ", "–": "-", "—": "-", "−": "-", "‘": "'",
        "’": "'", "“": '"', "”": '"', "«": '"', "»": '"', "…": "...", "\t": " ",
    }
)  # fmt: skip
"""Signs that have a neighbour in GSM-7."""
SIGN_BEFORE = re.compile(r"[₹₦](?=\d)")
"""Written with letters they stand apart from the amount."""


@dataclass(frozen=True)
class Length:
    """How a text travels. `places` counts what `parts` are made of."""

    alphabet: str
    places: int
    parts: int


def sendable(text: str) -> str:
    """The text with neighbours from GSM-7 where that makes it all GSM-7; otherwise as it is."""
    plain = SIGN_BEFORE.sub(r"\g<0> ", text).translate(LOOKALIKES)
    return plain if _is_gsm(plain) else text


def length_of(text: str) -> Length:
    """The alphabet, the places taken, and the number of parts."""
    if _is_gsm(text):
        places = sum(2 if sign in GSM_OF_TWO else 1 for sign in text)
        return Length("GSM-7", places, _parts(places, 160, 153))
    places = len(text.encode("utf-16-be")) // 2
    return Length("UCS-2", places, _parts(places, 70, 67))


def _is_gsm(text: str) -> bool:
    return all(sign in GSM or sign in GSM_OF_TWO for sign in text)


def _parts(places: int, alone: int, among: int) -> int:
    return 1 if places <= alone else -(-places // among)
