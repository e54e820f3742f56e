"""Hours in which no telephone rings."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from shop.messaging import quiet_hours
from shop.messaging.quiet_hours import end_of_quiet

KOLKATA = ZoneInfo("Asia/Kolkata")


@pytest.fixture(autouse=True)
def in_india(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop's clock stands in Kolkata, UTC+5:30, whatever runs the test."""
    monkeypatch.setattr("shop.clock.shop_zone", lambda: KOLKATA)


def at(wall: str) -> datetime:
    """Saturday 21 November 2026 at this time in Kolkata."""
    hour, minute = map(int, wall.split(":"))
    return datetime(2026, 11, 21, hour, minute, tzinfo=KOLKATA).astimezone(UTC)


def ends(wall: str, begins: str = "21:00", end: str = "08:00") -> str | None:
    found = end_of_quiet(at(wall), begins, end)
    return f"{found.astimezone(KOLKATA):%d %H:%M}" if found else None


@pytest.mark.parametrize(
    ("wall", "until"),
    [
        ("20:59", None), ("21:00", "22 08:00"), ("23:59", "22 08:00"), ("00:00", "21 08:00"),
        ("07:59", "21 08:00"), ("08:00", None), ("12:00", None),
    ],
)  # fmt: skip
def test_a_night_goes_over_midnight(wall, until):
    assert ends(wall) == until


@pytest.mark.parametrize(
    ("wall", "until"), [("12:59", None), ("13:00", "21 15:00"), ("14:59", "21 15:00"), ("15:00", None)]
)  # fmt: skip
def test_hours_within_a_day_end_on_it(wall, until):
    assert ends(wall, "13:00", "15:00") == until


def test_what_rested_goes_spread_over_the_first_minutes(monkeypatch):
    hours = {"quiet_from": "21:00", "quiet_to": "08:00"}
    monkeypatch.setattr(quiet_hours, "preferences", lambda *_names: hours)
    ends = {quiet_hours.rests_until("sms", at("23:00"), number) for number in range(1, 1200)}
    assert len(ends) == quiet_hours.SPREAD_SECONDS
    assert min(ends) == at("08:00") + timedelta(days=1)
    assert max(ends) < at("08:10") + timedelta(days=1)


@pytest.mark.parametrize(("begins", "end"), [("", "08:00"), ("21:00", ""), ("08:00", "08:00")])
def test_half_of_them_or_none_is_no_quiet(begins, end):
    assert ends("03:00", begins, end) is None
