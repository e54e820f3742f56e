"""Encrypting the few secrets that the database keeps whole (courier token, TOTP secret)."""

import base64
import hashlib
from typing import TYPE_CHECKING

from shop.config import settings

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


class Unreadable(Exception):
    """That was sealed by no key of ours, or altered since."""


def _box() -> "MultiFernet":
    # Six megabytes, which a process that opens no box need not carry.
    from cryptography.fernet import Fernet, MultiFernet

    keys = settings().encryption_keys or (_derived(settings().secret_key),)
    return MultiFernet([Fernet(key) for key in keys])


def _derived(secret: str) -> str:
    digest = hashlib.sha256(b"shop encryption " + secret.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()


def seal(plain: str) -> str:
    """Encrypt with the newest key."""
    return _box().encrypt(plain.encode()).decode()


def unseal(sealed: str) -> str:
    """Decrypt with any key in force. Raises Unreadable."""
    from cryptography.fernet import InvalidToken

    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unreadable from error


def derived_secret(purpose: str) -> str:
    """A secret for one purpose, made from SECRET_KEY."""
    return derived_secrets(purpose)[0]


def derived_secrets(purpose: str) -> list[str]:
    """The secrets in force for one purpose: of SECRET_KEY, then of the keys that it replaced."""
    keys = (settings().secret_key, *settings().secret_key_fallbacks)
    return [hashlib.sha256(f"{purpose}:{key}".encode()).hexdigest() for key in keys]
