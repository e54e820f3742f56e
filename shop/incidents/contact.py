"""What may leave to an outside tracker of people's contact data: TICKET_CONTACT_DATA decides."""

import re
from typing import Any

from shop.config import settings
from shop.logs import masked_email

EMAIL = re.compile(r"[^\s@\"'<>()]+@[^\s@\"'<>()]+\.[A-Za-z]{2,}")
PHONE = re.compile(r"\+\d[\d -]{6,16}\d\b")
CONTACT = ("customerEmail", "customerPhone")


def outward(text: str) -> str:
    """The text without anybody's address or number, unless the setting lets them out."""
    if settings().ticket_contact_data == "full":
        return text
    return PHONE.sub(_phone, EMAIL.sub(_email, text))


def outward_context(context: dict[str, Any]) -> dict[str, Any]:
    """The context as the setting lets it out: whole, masked, or without contact data."""
    rule = settings().ticket_contact_data
    kept = {key: value for key, value in context.items() if rule != "none" or key not in CONTACT}
    if rule == "masked" and kept.get("customerPhone"):
        kept["customerPhone"] = f"…{str(kept['customerPhone'])[-3:]}"
    return {key: outward(value) if isinstance(value, str) else value for key, value in kept.items()}


def _email(found: re.Match[str]) -> str:
    return masked_email(found.group(0))


def _phone(found: re.Match[str]) -> str:
    return f"…{found.group(0)[-3:]}"
