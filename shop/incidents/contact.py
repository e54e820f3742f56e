"""What may leave to an outside tracker of people's contact data: TICKET_CONTACT_DATA decides."""

from typing import Any

from shop.config import settings
from shop.logs import masked_phone, without_contact

CONTACT = ("customerEmail", "customerPhone")


def outward(text: str) -> str:
    """The text without anybody's address or number, unless the setting lets them out."""
    if settings().ticket_contact_data == "full":
        return text
    return without_contact(text)


def outward_context(context: dict[str, Any]) -> dict[str, Any]:
    """The context as the setting lets it out: whole, masked, or without contact data."""
    rule = settings().ticket_contact_data
    kept = {key: value for key, value in context.items() if rule != "none" or key not in CONTACT}
    if rule == "masked" and kept.get("customerPhone"):
        kept["customerPhone"] = masked_phone(str(kept["customerPhone"]))
    return {key: outward(value) if isinstance(value, str) else value for key, value in kept.items()}
