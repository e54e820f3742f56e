"""Logging: JSON lines in UTC on standard output, with the request's and the job's ids.

Nothing secret goes in: what is logged is named field by field at the place that logs. Line
breaks from outside are escaped by the JSON itself.
"""

import logging
import re
import sys
from typing import Any

import structlog

#: What stands behind these opens something, so it is no matter for logs.
TOKEN_IN_PATH = re.compile(
    r"/(orders|o|messages/stop|messages/cart|account/reset|account/confirm|account/move|pay/[a-z_]+|webhooks/messages/[a-z0-9]+)/[A-Za-z0-9_.-]{20,}"
)
#: Also as they stand in an address, percent-encoded. Bounded, so that no text takes long.
EMAIL = re.compile(r"[^\s@\"'<>()=?&;,:]{1,64}(?:@|%40)[A-Za-z0-9.-]{1,190}\.[A-Za-z]{2,24}")
#: A number with + (or %2B) before it, and what may be one behind an equals sign; 9 to 15 digits.
PHONE = re.compile(r"(?:\+|%2[Bb])\d[\d -]{6,16}\d\b|(?<==)\d{9,15}\b")
#: 16 digits, perhaps in fours; a card's when their check digit is right.
CARD = re.compile(r"\b\d{4}([ -]?)\d{4}\1\d{4}\1\d{4}\b")
#: What providers' words get into.
PROVIDERS_WORDS = ("error", "exception", "issue", "reason")
HIDDEN = {"password", "token", "secret", "authorization", "cookie", "signature", "api_key"}


def set_up(level: str, *, pretty: bool) -> None:
    """Configure structlog; `pretty` for a developer's terminal."""
    logging.basicConfig(stream=sys.stdout, level=level, format="%(message)s", force=True)
    for noisy in ("urllib3", "werkzeug", "rq.worker", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=False)
        if pretty
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_secrets,
            *([] if pretty else [structlog.processors.format_exc_info]),
            _without_people,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=False,
    )


def _without_secrets(_logger: Any, _name: str, event: Any) -> Any:
    for key in event:
        if key.lower() in HIDDEN:
            event[key] = "[hidden]"
    if isinstance(event.get("path"), str):
        event["path"] = TOKEN_IN_PATH.sub(r"/\1/[hidden]", event["path"])
    return event


def _without_people(_logger: Any, _name: str, event: Any) -> Any:
    for key in PROVIDERS_WORDS:
        if isinstance(event.get(key), str):
            event[key] = without_contact(event[key])
    return event


def without_contact(text: str) -> str:
    """The text with every e-mail address, telephone number and card number masked.

    Providers repeat in their errors to whom something was to go: a mail server the address, and
    the library that calls an address its query.
    """
    return PHONE.sub(_masked_number, EMAIL.sub(_masked_address, CARD.sub(_masked_card, text)))


def _masked_card(found: re.Match[str]) -> str:
    """By Luhn's check digit: a waybill of 16 digits mostly has another one."""
    digits = [int(one) for one in found.group(0) if one.isdigit()]
    doubled = [2 * one - 9 * (one > 4) for one in digits[::2]]
    is_card = (sum(doubled) + sum(digits[1::2])) % 10 == 0
    return "[card]" if is_card else found.group(0)


def _masked_address(found: re.Match[str]) -> str:
    return masked_email(found.group(0).replace("%40", "@"))


def _masked_number(found: re.Match[str]) -> str:
    return masked_phone(found.group(0))


def masked_email(email: str) -> str:
    """a…@d….com: enough to recognise, too little to write to."""
    name, _, domain = email.partition("@")
    host, _, ending = domain.rpartition(".")
    return f"{name[:1]}…@{host[:1]}….{ending}" if ending else "…"


def masked_phone(number: str) -> str:
    """…210: the last three digits."""
    return f"…{number[-3:]}" if len(number) > 3 else "…"
