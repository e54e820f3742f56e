"""Passwords: what is accepted, and how they are kept (Argon2id)."""

import string
from functools import cache
from pathlib import Path
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from shop.config import settings

SHORTEST, SHORTEST_STAFF, LONGEST = 12, 15, 128
COMMON = Path(__file__).with_name("common_passwords.txt")

ENDINGS = string.digits + string.punctuation + " "

HASHER = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
"""32 MiB and three passes, more than the 19 MiB and two that are asked for (security.md, S32)."""

AT_ONCE = BoundedSemaphore(4)
"""So many hashes at most are computed in one process: 128 MiB, and sign-in cannot starve the shop."""


def hashed(password: str) -> str:
    """The hash to keep, with its own salt and settings."""
    with AT_ONCE:
        return HASHER.hash(password)


def fits(password: str, known_hash: str | None) -> bool:
    """Whether the password fits. Without a hash the same work is done, and it does not."""
    with AT_ONCE:
        try:
            HASHER.verify(known_hash or _hash_of_nobody(), password)
        except (VerificationError, InvalidHashError):
            return False
    return known_hash is not None


def is_outdated(known_hash: str) -> bool:
    """Whether the hash was made with weaker settings than today's."""
    return HASHER.check_needs_rehash(known_hash)


def fault(password: str, email: str, *, is_staff: bool = False) -> str | None:
    """What is wrong with a new password, in a sentence, or None. It is used exactly as typed."""
    shortest = SHORTEST_STAFF if is_staff else SHORTEST
    if len(password) < shortest:
        return f"Use at least {shortest} characters. A few words in a row do well."
    if len(password) > LONGEST:
        return f"Use at most {LONGEST} characters."
    if _is_common(password.casefold()):
        return "This password is among the first that others would try. Choose another."
    if _is_about(password, email):
        return "Choose a password without your email address or the shop's name at its heart."
    return None


def _is_common(folded: str) -> bool:
    """Whether the password, or what it is made of, is on the list: "Shadow!2024", "dragondragon"."""
    root = folded.strip(ENDINGS)
    half = root[: len(root) // 2]
    words = {folded, root, half if half * 2 == root else folded}
    return len(set(folded)) < 4 or not words.isdisjoint(common())


def _is_about(password: str, email: str) -> bool:
    """Whether little is left of the password without the address's or the shop's words."""
    rest = password.casefold()
    name, _, host = email.casefold().partition("@")
    for known in (email.casefold(), settings().shop_name.casefold(), name, host.partition(".")[0]):
        if len(known) >= 4:
            rest = rest.replace(known, "")
    return len(rest) < len(password) and len(rest) < 8


@cache
def common() -> frozenset[str]:
    """The commonest passwords, folded. Lines with # tell about the list."""
    lines = COMMON.read_text(encoding="utf-8").splitlines()
    return frozenset(line.casefold() for line in lines if line and not line.startswith("#"))


@cache
def _hash_of_nobody() -> str:
    """A hash nobody knows the password of, for addresses that do not exist."""
    return HASHER.hash("nobody's password, never accepted")
