"""The providers' own test modes, for who has keys: TEST_ and the setting's name in the environment.

Nothing but the environment says them, and a key that moves real money is refused before it is used.
"""

import os
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

import tests.conftest
from shop.config import Settings
from shop.payments.gateways.swish_calls import HOSTS
from shop.start_checks import KEYS, SWISH_FILES, mode

#: What each must be given, as settings: TEST_STRIPE_SECRET_KEY and so on.
NEEDED = {
    "stripe": ("stripe_secret_key",),
    "razorpay": ("razorpay_key_id", "razorpay_key_secret"),
    "paystack": ("paystack_secret_key",),
    "flutterwave": ("flutterwave_secret_key",),
    "swish": SWISH_FILES,
    "shiprocket": ("shiprocket_email", "shiprocket_password"),
}


def given() -> list[str]:
    """The providers for which the environment holds anything."""
    return [key for key, names in NEEDED.items() if any(map(_of, names))]


def settings_of(key: str) -> dict[str, Any]:
    """The shop's settings for the test mode of that provider. Opens the way out to it, and to it alone.

    Fails the test where a variable is missing, or where a key or an address is not for tests.
    """
    names = NEEDED[key]
    lacking = [f"TEST_{name.upper()}" for name in names if not _of(name)]
    if lacking:
        pytest.fail(f"{' and '.join(lacking)} missing for the test mode of {key}", pytrace=False)
    may = (f"{key}_api_base", f"{key}_ca_file")
    found: dict[str, Any] = {name: _of(name) for name in (*names, *may) if _of(name)}
    fields = Settings.__dataclass_fields__
    address = found.setdefault(f"{key}_api_base", fields[f"{key}_api_base"].default)
    if key == "swish":
        address = found["swish_api_base"] = address or HOSTS["test"]
        found["swish_environment"] = "test"
    _refuse_real_money(key, found)
    _let_through(address)
    return found


def _of(name: str) -> str:
    return os.environ.get(f"TEST_{name.upper()}", "")


def _refuse_real_money(key: str, found: dict[str, Any]) -> None:
    if key in KEYS and mode(key, Settings(**found)) != "test":
        name, begins, _live = KEYS[key]
        words = f"TEST_{name.upper()} is not a test key: those begin with {' or '.join(begins)}"
        pytest.fail(words, pytrace=False)
    if found.get("swish_api_base", "").startswith(HOSTS["production"]):
        pytest.fail("TEST_SWISH_API_BASE is where money is real", pytrace=False)


def _let_through(address: str) -> None:
    """The tests speak to nobody outside but this."""
    parts = urlsplit(address)
    for found in socket.getaddrinfo(parts.hostname, parts.port or 443):
        tests.conftest.LOOPBACK.add(str(found[4][0]))
