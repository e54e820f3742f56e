"""The line to Shiprocket: every call with the one token in force, renewed once after a 401."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from shop.clock import utcnow
from shop.config import settings
from shop.delivery.couriers import shiprocket_words as said
from shop.delivery.couriers.base import TokenStore
from shop.providers import Answer, OutcomeUnknown, ProviderRefused, call

TOKEN_DAYS = 10
LOGIN_SECONDS = 15
PROVIDER = "shiprocket"
"""The line's name: its calls share a breaker and four slots (shop/providers.py)."""

RATES = "shiprocket-rates"
"""Questions of the checkout have a line of their own: they neither wait for bookings nor stop them."""


class Line:
    """Calls with the token; what answers 401 is repeated once after one log-in, no more."""

    def __init__(self, tokens: TokenStore) -> None:
        self.tokens = tokens

    def get(
        self, path: str, params: Mapping[str, Any], read_seconds: float, provider: str = PROVIDER
    ) -> Answer:
        """Ask."""
        return self._call(provider, "GET", path, read_seconds, params=params)

    def post(self, path: str, wish: Any, read_seconds: float) -> Answer:
        """Order something."""
        return self._call(PROVIDER, "POST", path, read_seconds, json=wish)

    def _call(
        self, provider: str, method: str, path: str, read_seconds: float, **more: Any
    ) -> Answer:
        token = self._token(read_seconds)
        answer = _call_with(token, provider, method, path, read_seconds, **more)
        if answer.status == 401:
            token = self._token(read_seconds, stale=token)
            answer = _call_with(token, provider, method, path, read_seconds, **more)
        if answer.status == 401:
            raise ProviderRefused("the courier refuses a fresh token", "401")
        return answer

    def _token(self, read_seconds: float, stale: str = "") -> str:
        """Who can wait a few seconds only does not wait longer for a log-in either."""
        held = settings()
        credentials = f"{held.shiprocket_email}\n{held.shiprocket_password}"
        seconds = min(LOGIN_SECONDS, read_seconds)
        return self.tokens.token(
            credentials, lambda: _log_in(seconds), stale, patience=read_seconds
        )


def body_of(answer: Answer) -> dict[str, Any]:
    """The answer's object. What is no JSON tells nothing: it may have been done."""
    if answer.json is None:
        raise OutcomeUnknown(f"HTTP {answer.status} with a body that is not JSON")
    return answer.json if isinstance(answer.json, dict) else {}


def number(written: str) -> int:
    """Shiprocket's ids are integers on the wire."""
    if not written.isdigit():
        raise ProviderRefused(f"{written!r} is no id of Shiprocket")
    return int(written)


def _log_in(seconds: float) -> tuple[str, datetime]:
    """The most dangerous call: several bad ones lock the account. Called by the token store only."""
    held = settings()
    wish = {"email": held.shiprocket_email, "password": held.shiprocket_password}
    answer = call(
        PROVIDER, "POST", held.shiprocket_api_base + "/auth/login", read_seconds=seconds, json=wish
    )
    token = answer.json.get("token") if isinstance(answer.json, dict) else None
    if answer.status >= 400 or not isinstance(token, str) or not token:
        raise ProviderRefused(said.failure(answer), str(answer.status))
    return token, utcnow() + timedelta(days=TOKEN_DAYS)


def _call_with(
    token: str, provider: str, method: str, path: str, read_seconds: float, **more: Any
) -> Answer:
    return call(
        provider, method, settings().shiprocket_api_base + path, read_seconds=read_seconds,
        headers={"Authorization": f"Bearer {token}"}, **more,
    )  # fmt: skip
