"""What staff read when a provider was tried and did not answer as it should."""

from dataclasses import fields

from shop.config import settings
from shop.providers import BreakerOpen, OutcomeUnknown, ProviderError, ProviderRefused

LETTERS = 300


def failure(error: ProviderError, asked: str, check: str) -> str:
    """The error in a sentence. `asked` is what it was ("call"), `check` the settings to look at."""
    return without_secrets(_said(error, asked, check))


def _said(error: ProviderError, asked: str, check: str) -> str:
    words = str(error).rstrip(".")
    if isinstance(error, ProviderRefused):
        return f"It turned the {asked} down: {words}. Check {check}."
    if isinstance(error, BreakerOpen):
        return (
            "It failed several times in a row and is left alone for half a minute. Test again then."
        )
    if isinstance(error, OutcomeUnknown):
        return f"No answer that can be used: {words}."
    return f"Not reached: {words}."


def without_secrets(words: str) -> str:
    """The words, cut to LETTERS: a provider may repeat the key that it was shown."""
    for setting in fields(settings()):
        if setting.metadata["secret"]:
            held = getattr(settings(), setting.name)
            for value in (held,) if isinstance(held, str) else held:
                words = words.replace(value, "…") if value else words
    return words[:LETTERS]
