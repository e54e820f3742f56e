"""Calling Flutterwave v3: the key, exact numbers, pages of lists, and what an answer's status means."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from shop.clock import in_future
from shop.config import settings
from shop.provider_json import UNREADABLE, exact, read_json
from shop.providers import Answer, OutcomeUnknown, ProviderRefused, call

#: Asked while a shopper waits, too.
ASK_SECONDS = 6
WORKER_SECONDS = 25

Read = TypeVar("Read")


def get(path: str, read_seconds: float, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The whole body of an answer. Raises shop.providers' errors."""
    return _judged(call(
        "flutterwave", "GET", settings().flutterwave_api_base + path,
        read_seconds=read_seconds, headers=_bearer(), params=params,
    ))  # fmt: skip


def post(path: str, read_seconds: float, body: bytes) -> dict[str, Any]:
    """The whole body of an answer to this JSON. Raises shop.providers' errors."""
    headers = _bearer() | {"Content-Type": "application/json"}
    return _judged(call(
        "flutterwave", "POST", settings().flutterwave_api_base + path,
        read_seconds=read_seconds, headers=headers, data=body,
    ))  # fmt: skip


def rows_of(path: str, wish: Mapping[str, Any], read_seconds: float) -> Iterator[dict[str, Any]]:
    """All pages of a list; `meta.page_info` says how many there are, a list without it has one."""
    for page in count(1):
        body = get(path, read_seconds, {**wish, "page": page})
        rows = body.get("data")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise OutcomeUnknown("a list of Flutterwave could not be read")
        yield from rows
        if not rows or page >= _pages(body.get("meta")):
            return


def made_since(moment: datetime) -> dict[str, str]:
    """Whole days, of a calendar that nobody names: a day more on either side."""
    return {
        "from": (moment.astimezone(UTC) - timedelta(days=1)).strftime("%Y-%m-%d"),
        "to": in_future(hours=24).astimezone(UTC).strftime("%Y-%m-%d"),
    }


def transaction(name: str) -> dict[str, Any] | None:
    """The transaction of that id, or None. Verifying is documented as not rate limited."""
    return _found_at(f"/transactions/{name}/verify")


def by_reference(reference: str) -> dict[str, Any] | None:
    """One of the transactions of our reference, nobody says which; None before the first."""
    return _found_at("/transactions/verify_by_reference", {"tx_ref": reference})


def object_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The object in an answer."""
    found = body.get("data")
    if not isinstance(found, dict):
        raise OutcomeUnknown("an answer of Flutterwave could not be read")
    return found


def told(read: Callable[[Mapping[str, Any]], Read], found: Mapping[str, Any]) -> Read:
    """What an answer means. One that cannot be read tells nothing."""
    try:
        return read(found)
    except UNREADABLE as error:
        raise OutcomeUnknown("an answer of Flutterwave could not be read") from error


def _found_at(path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """What is there, or None. "No transaction was found" has been seen with 400 as well as 404."""
    try:
        return object_of(get(path, ASK_SECONDS, params))
    except ProviderRefused as error:
        if error.code == "404" or "no transaction was found" in error.words.lower():
            return None
        raise


def _pages(meta: Any) -> int:
    info = meta.get("page_info") if isinstance(meta, dict) else None
    pages = info.get("total_pages") if isinstance(info, dict) else None
    return pages if isinstance(pages, int) else 1


def _bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {settings().flutterwave_secret_key}"}


def _judged(answer: Answer) -> dict[str, Any]:
    """A refusal has a message and no code: its HTTP status stands for one."""
    body = _body(answer)
    if 400 <= answer.status < 500 or body.get("status") == "error":
        said = body.get("message") or f"HTTP {answer.status}"
        raise ProviderRefused(str(said), str(answer.status))
    if answer.status >= 300 or body.get("status") != "success":
        raise OutcomeUnknown(f"HTTP {answer.status} with a body that could not be read")
    return body


def _body(answer: Answer) -> dict[str, Any]:
    """Read anew from the bytes, with exact numbers; empty where it is no object."""
    try:
        body = read_json(answer.body, exact)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
