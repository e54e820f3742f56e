"""Hours in which nobody's telephone rings because of us: SMS and WhatsApp wait for their end."""

from datetime import datetime, time, timedelta

from shop.clock import from_local, local
from shop.preferences import preferences

SPREAD_SECONDS = 600
"""What rested overnight goes over so many seconds: its receipts come back as it goes."""

RINGS = frozenset({"sms", "whatsapp"})
"""Kinds of messages that make a telephone ring."""


def rests_until(channel: str, now: datetime, number: int = 0) -> datetime | None:
    """When a message that is due now may go by this channel; None: at once.

    `number` is the message's own, by which they are spread over the first minutes.
    """
    if channel not in RINGS:
        return None
    chosen = preferences("quiet_from", "quiet_to")
    end = end_of_quiet(now, chosen["quiet_from"], chosen["quiet_to"])
    return end and end + timedelta(seconds=number % SPREAD_SECONDS)


def end_of_quiet(now: datetime, begins: str, ends: str) -> datetime | None:
    """The end of the quiet hours that `now` lies in, by the shop's own clock; None outside them.

    Times are written as 21:00; hours that end before they begin go over midnight. Without one of
    the two, or with both alike, there are none.
    """
    if not begins or not ends or begins == ends:
        return None
    wall = local(now).replace(tzinfo=None)
    start, end = time.fromisoformat(begins), time.fromisoformat(ends)
    goes_over_midnight = end < start
    is_late, is_early = wall.time() >= start, wall.time() < end
    is_quiet = (is_late or is_early) if goes_over_midnight else (is_late and is_early)
    if not is_quiet:
        return None
    day = wall.date() + timedelta(days=1) if goes_over_midnight and is_late else wall.date()
    return from_local(datetime.combine(day, end))
