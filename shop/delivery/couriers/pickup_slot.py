"""On which day a courier is asked to come: the shop's pickup hours, such as "10:00-18:00"."""

from datetime import date, datetime, time, timedelta

SUNDAY = 6


def pickup_day(now: datetime, slot: str) -> date | None:
    """Today while the slot has not ended, else the next working day; never a Sunday.

    `now` is the time on the shop's wall. None without a slot: the courier then picks the day.
    """
    if not slot:
        return None
    day = now.date()
    if now.time().replace(tzinfo=None) >= end_of(slot):
        day += timedelta(days=1)
    return day + timedelta(days=day.weekday() == SUNDAY)


def end_of(slot: str) -> time:
    """When the pickup hours end; config.time_slot has checked how they are written."""
    return time.fromisoformat(slot.partition("-")[2])
