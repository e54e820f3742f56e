"""What Meta's codes mean. WhatsApp's own interface answers by them, and resellers pass them on."""

from shop.messaging.channels.base import ChannelBroken, ReceiptStatus, Unreachable
from shop.providers import ProviderRefused, TryLater

RATE_SECONDS = 60
PAIR_SECONDS = 30
"""One message each 6 s to the same person; Meta wants 4^n seconds, and the job's waits grow by themselves."""

RATE = {4, 80007, 130429}
PAIR = {131056}
#: Unknown, service down, maintenance, generic.
TROUBLE = {131000, 131016, 131057, 135000}
#: Not on WhatsApp, too old a version of it, or its terms not accepted.
NOT_ON_WHATSAPP = {131026}
STOPPED_OFFERS = {131050}
#: Token, rights, account, money, quality, and everything about a template.
OURS_TO_MEND = {
    0, 3, 10, 190, 368, 131005, 131031, 131042, 131048, 131064,
    132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, *range(200, 300),
}  # fmt: skip


def number(value: object) -> int | None:
    """A code, which some write as text; None where there is none."""
    text = str(value if value is not None else "")
    return int(text) if text.isascii() and text.isdigit() else None


def refusal(code: int | None, words: str) -> Exception:
    """The error for an answer that is none of success."""
    told = str(code) if code is not None else ""
    if code in RATE:
        return TryLater(words, told, RATE_SECONDS)
    if code in PAIR:
        return TryLater(words, told, PAIR_SECONDS)
    if code in TROUBLE:
        return TryLater(words, told)
    if code in NOT_ON_WHATSAPP:
        return Unreachable(words, told)
    kind = ChannelBroken if code in OURS_TO_MEND else ProviderRefused
    return kind(words, told)


def failed_as(code: int | None) -> ReceiptStatus:
    """What a receipt of a failure says of the recipient."""
    if code in NOT_ON_WHATSAPP:
        return ReceiptStatus.BOUNCED
    return ReceiptStatus.STOPPED_OFFERS if code in STOPPED_OFFERS else ReceiptStatus.FAILED
