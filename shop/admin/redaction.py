"""Payloads as staff may read them: without e-mail, phone, names, addresses, tokens and secrets."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from shop.logs import EMAIL, PHONE
from shop.provider_json import read_json

HIDDEN = "[redacted]"
PRIVATE = re.compile(
    r"e-?mail|phone|mobile|contact|token|secret|password|signature|authorization|cookie|name$|"
    r"address|street|city|line[_]?[12]|pincode|postal|landmark",
    re.IGNORECASE,
)
#: Where providers of messages say to whom, and what: as text only, since others call objects so.
TOLD = re.compile(
    r"^(to|from|number|receiver|recipient_?id|wa_?id|customernumber|body|text|content|channeltoaddress)$",
    re.IGNORECASE,
)
FORM = re.compile(rb"^[A-Za-z0-9_]+=")
MOST_LETTERS = 20_000


def redacted(value: Any, key: str = "") -> Any:
    """The same value with what is private replaced, at any depth."""
    if isinstance(value, dict):
        return {name: redacted(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [redacted(inner, key) for inner in value]
    if key and PRIVATE.search(key) and value not in (None, "", [], {}):
        return HIDDEN
    if not isinstance(value, str):
        return value
    return HIDDEN if TOLD.match(key) and value else _without_contact(value)


def _without_contact(text: str) -> str:
    return PHONE.sub(HIDDEN, EMAIL.sub(HIDDEN, text))


def shown_body(body: bytes) -> str:
    """A stored message, indented, for the inspector; what is neither JSON nor a form is shown as text."""
    try:
        value = dict(parse_qsl(body.decode())) if FORM.match(body) else read_json(body)
    except ValueError:
        return _without_contact(body.decode("utf-8", "replace"))[:MOST_LETTERS]
    return json.dumps(redacted(value), indent=2, ensure_ascii=False)[:MOST_LETTERS]


def shown_payload(payload: dict[str, Any], *, sees_money: bool = True) -> str:
    """A job's payload or an incident's context, indented; without amounts for who may not see them."""
    known = payload if sees_money else {key: payload[key] for key in payload if "amount" not in key}
    return json.dumps(redacted(known), indent=2, ensure_ascii=False, default=str)[:MOST_LETTERS]


def shown_error(text: str | None) -> str:
    """An error's words without anyone's address or number."""
    return _without_contact(text or "")[:MOST_LETTERS]
