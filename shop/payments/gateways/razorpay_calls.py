"""One call to Razorpay, a list read to its end, and what its errors mean (sections 1 and 4)."""

import base64
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from shop.clock import utcnow
from shop.config import settings
from shop.payments.gateways.razorpay_reading import is_countable
from shop.provider_json import UNREADABLE
from shop.providers import Answer, OutcomeUnknown, ProviderRefused, call

T = TypeVar("T")
PAGE_ROWS = 100
#: Lines of settlements come in larger pages.
MOST_SETTLED = 1_000


def base() -> str:
    """Where Razorpay answers, or its stand-in."""
    return settings().razorpay_api_base


def charged(amount_minor: int, currency: str) -> int:
    """Our minor units are Razorpay's. Raises ProviderRefused for what it cannot charge exactly."""
    if not is_countable(amount_minor, currency):
        raise ProviderRefused(f"{amount_minor} {currency} cannot be charged exactly")
    return amount_minor


def made_since(moment: datetime) -> dict[str, int]:
    """Until now: rows that come while the list is read do not move it."""
    return {"from": int(moment.timestamp()), "to": int(utcnow().timestamp()) + 1}


def rows_of(
    path: str, read_seconds: int, window: Mapping[str, int] | None = None
) -> list[dict[str, Any]]:
    """All pages of a list. One that is not cut into pages ends it too."""
    return told(lambda: _paged(path, read_seconds, window or {}))


def _paged(path: str, read_seconds: int, window: Mapping[str, int]) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    while True:
        params = {**window, "count": PAGE_ROWS, "skip": len(rows)}
        page = ask("GET", path, read_seconds, params=params)["items"]
        known = len(rows)
        rows |= {row["id"]: row for row in page}
        if len(page) < PAGE_ROWS or len(rows) == known:
            return list(rows.values())


def settled_in(period: Mapping[str, str], read_seconds: int) -> list[dict[str, Any]]:
    """What was settled in that month, or on a day of it: payments, refunds, transfers, adjustments.

    Nobody documents how many rows come unless asked for, so it is asked until none is new.
    Source: razorpay.com/docs/api/settlements/fetch-recon; the most rows, razorpay-node's types.
    """
    rows: dict[str, dict[str, Any]] = {}
    while True:
        params = {**period, "count": MOST_SETTLED, "skip": len(rows)}
        page = ask("GET", "settlements/recon/combined", read_seconds, params=params)["items"]
        known = len(rows)
        rows |= {row["entity_id"]: row for row in page}
        if len(rows) == known:
            return list(rows.values())


def ask(
    method: str,
    path: str,
    read_seconds: int,
    *,
    wish: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """One call that answers an object. Raises shop.providers' errors."""
    pair = f"{settings().razorpay_key_id}:{settings().razorpay_key_secret}"
    proof = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    answer = call(
        "razorpay", method, f"{base()}/v1/{path}", read_seconds=read_seconds,
        headers={**proof, **(headers or {})}, json=wish, params=params,
    )  # fmt: skip
    if 400 <= answer.status < 500:
        raise _refusal(answer)
    if not 200 <= answer.status < 300 or not isinstance(answer.json, dict):
        raise OutcomeUnknown("Razorpay's answer could not be read")
    return answer.json


def _refusal(answer: Answer) -> ProviderRefused:
    """Razorpay's words, and the word for machines (4)."""
    said = answer.json.get("error") if isinstance(answer.json, dict) else None
    error = said if isinstance(said, dict) else {}
    reason = error.get("reason")
    code = reason if reason and reason != "NA" else error.get("code")
    return ProviderRefused(
        str(error.get("description") or f"HTTP {answer.status}"), str(code or "")
    )


def told(read: Callable[[], T]) -> T:
    """What an answer means. One that cannot be read tells nothing."""
    try:
        return read()
    except UNREADABLE as error:
        raise OutcomeUnknown("an answer of Razorpay could not be read") from error
