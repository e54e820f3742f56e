"""What the channels over HTTP have in common: one call with their limits, and the ways to prove a post."""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from shop.messaging.channels.base import ChannelBroken, ReceiptStatus
from shop.payments.gateways.signatures import header_value
from shop.provider_json import checked_moment
from shop.providers import Answer, BadSignature, OutcomeUnknown, TryLater, call

#: How long an answer may take. Sending is a hand-over; all of these answer within a second or two.
READ_SECONDS = 10
#: Who may not: the key is wrong, or its plan, its rights or this server's address do not allow it.
LOCKED_OUT = {401, 402, 403, 418}

#: In a conversation "cancel" and "end" are about an order or a talk; as an SMS they are carriers' words.
STOP_IN_TALK = frozenset({"stop", "stopall", "unsubscribe"})
STOP_BY_SMS = STOP_IN_TALK | {"cancel", "end", "quit", "optout"}
START_WORDS = frozenset({"start", "unstop"})


def ask(
    provider: str,
    method: str,
    url: str,
    *,
    wait: float | None = None,
    reads_errors: bool = False,
    **more: Any,
) -> tuple[Answer, dict[str, Any]]:
    """One call, and its JSON object; of an answer that is none, an empty one below HTTP 400's.

    `wait`: seconds after which a 429 without Retry-After is tried again. `reads_errors`: the caller
    judges a key that is not let in, by the provider's codes; otherwise that is done here. Raises ChannelBroken where
    the key is not let in, OutcomeUnknown for a success that cannot be read, and what `call` raises.
    """
    try:
        answer = call(provider, method, url, read_seconds=READ_SECONDS, **more)
    except TryLater as error:
        if error.code == "429" and error.retry_after is None:
            error.retry_after = wait
        raise
    body = answer.json if isinstance(answer.json, dict) else {}
    if answer.status in LOCKED_OUT and not reads_errors:
        raise ChannelBroken(said(answer, body), str(answer.status))
    if answer.status < 300 and not body:
        raise OutcomeUnknown(f"HTTP {answer.status} with a body that is not a JSON object")
    if 300 <= answer.status < 400:
        raise ChannelBroken(f"HTTP {answer.status}: the address is redirected", str(answer.status))
    return answer, body


def said(answer: Answer, body: Mapping[str, Any]) -> str:
    """The provider's words of a refusal, at most 300 characters of them."""
    words = next((body[key] for key in ("message", "error", "errors", "info") if body.get(key)), "")
    return " ".join(str(words or f"HTTP {answer.status}").split())[:300]


def check_path_secret(url: str, secrets: Sequence[str]) -> None:
    """For who signs nothing: the address's last part must be one of the secrets. Raises BadSignature."""
    given = urlsplit(url).path.rpartition("/")[2]
    # Every secret is compared, so that the time taken does not tell which one was near.
    matches = [hmac.compare_digest(one.encode(), given.encode()) for one in secrets if one]
    if not any(matches):
        raise BadSignature("the address does not hold the secret")


def check_prefixed_sha256(
    body: bytes, headers: Mapping[str, str], names: Sequence[str], secrets: Sequence[str]
) -> None:
    """`sha256=<hex>` of the raw body, in a header of one of these names. Raises BadSignature."""
    given = next((found for name in names if (found := header_value(headers, name))), "")
    if not given:
        raise BadSignature("the signature header is missing")
    shown = given.removeprefix("sha256=").encode()
    wanted = [hmac.new(key.encode(), body, hashlib.sha256).hexdigest() for key in secrets if key]
    matches = [hmac.compare_digest(one.encode(), shown) for one in wanted]
    if not any(matches):
        raise BadSignature("no signature fits")


def wish_of(text: object, kind: str) -> ReceiptStatus | None:
    """Whether what a person wrote, as a whole, ends or resumes messages. None: it is about something else."""
    word = " ".join(str(text or "").split()).strip(".! ").casefold()
    if word in (STOP_BY_SMS if kind == "sms" else STOP_IN_TALK):
        return ReceiptStatus.OPTED_OUT
    return ReceiptStatus.OPTED_IN if word in START_WORDS else None


def moment(value: object) -> datetime | None:
    """An aware time of Unix seconds as text or number, or of ISO 8601 (UTC where no zone is told)."""
    text = str(value or "").strip()
    if re.fullmatch(r"[0-9]{9,10}", text):
        return datetime.fromtimestamp(int(text), UTC)
    # Some write seven decimals; Python reads six.
    text = re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", text)
    try:
        made = datetime.fromisoformat(text)
        return checked_moment(made if made.tzinfo else made.replace(tzinfo=UTC))
    except ValueError:
        return None


def text_of(value: object) -> str:
    """A field as text; nothing for null."""
    return "" if value is None else str(value)
