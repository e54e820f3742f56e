"""How long a message outlasts its channel's trouble: a day, by tries that are not counted.

A channel that needs a person (a key that was changed, no money left) and a server that is away fail
every message alike. Each waits and is tried again, and one incident says so for all of them; once
the channel is mended they go by themselves.
"""

from datetime import datetime, timedelta

from shop.clock import utcnow
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.messaging.channels.base import ChannelBroken
from shop.providers import BreakerOpen, ProviderError, PutOff, TryLater

LONGEST = timedelta(hours=24)
WAIT_SECONDS = 900
#: So many tries of an ordinary "later" are counted and come quicker.
QUICK_TRIES = 5


class ChannelDown(PutOff):
    """The channel carries nothing now, neither this message nor others."""


def outlasting(error: ProviderError, since: datetime, attempt: int) -> ProviderError:
    """The error to raise instead: one that puts the try off, while a day has not passed since then."""
    if isinstance(error, BreakerOpen) or since < utcnow() - LONGEST:
        return error
    if isinstance(error, ChannelBroken):
        return ChannelDown(error.words, error.code, WAIT_SECONDS)
    if not isinstance(error, TryLater) or attempt < QUICK_TRIES:
        return error
    # Whoever gives a code was reached, and may mean this message alone (greylisting).
    kind = PutOff if error.code else ChannelDown
    return kind(error.words, error.code, max(error.retry_after or 0, WAIT_SECONDS))


def tell_if_down(error: Exception, channel: str, provider: str) -> None:
    """Open the channel's incident, or count it up, in the caller's transaction."""
    if not isinstance(error, ChannelDown):
        return
    open_incident(
        About(
            issue=f"Messages by {channel} wait: {provider} does not take them",
            category=Category.API, severity=Severity.HIGH,
            context={"channel": channel, "provider": provider},
        ),
        f"channel_broken:{channel}:{provider}",
        str(error),
    )  # fmt: skip
