"""When a figure is an alarm, and what is said of it: without a database."""

import pytest

from shop.alerts.evaluating import _step
from shop.alerts.measures import Measured, share
from shop.alerts.models import Alert, AlertState
from shop.alerts.pace import percentile
from shop.alerts.rules import RULES, is_bad, sentence_of, shown
from shop.clock import in_future, utcnow
from shop.preferences import PREFERENCES

NOW = utcnow()


def test_every_word_of_a_rule_is_a_preference():
    named = {word for rule in RULES.values() for word in (rule.threshold, rule.minimum)}
    assert {word for word in named if isinstance(word, str)} <= PREFERENCES.keys()


@pytest.mark.parametrize(
    ("key", "value", "sample", "expected"),
    [
        ("payment_success", 89.9, 50, True),
        ("payment_success", 90.0, 50, False),
        ("payment_success", 0.0, 9, False),
        ("payment_success", None, 0, False),
        ("webhook_failures", 5.0, 50, False),
        ("webhook_failures", 5.1, 50, True),
        ("errors", 5, 5, False),
        ("errors", 6, 6, True),
        ("disputes", 1, 1, True),
        ("no_worker", 0, 1, False),
    ],
)
def test_a_figure_is_an_alarm_beyond_its_threshold_and_of_a_sample_that_says_something(
    key, value, sample, expected
):
    rule = RULES[key]
    threshold, minimum = (
        PREFERENCES[word].default if isinstance(word, str) else word
        for word in (rule.threshold, rule.minimum)
    )
    assert is_bad(rule, Measured(value, sample), threshold, minimum) is expected


def row(state=AlertState.QUIET, **values):
    return Alert(key="errors", state=state, since=NOW, **values)


def step(held, bad, *, key="errors", now=NOW):
    return _step(held, RULES[key], bad, 6, now)


def test_it_is_told_when_it_begins_and_not_again_within_the_hours():
    held = row()
    assert step(held, True) == "began"
    assert (held.state, held.since) == (AlertState.FIRING, NOW)
    held.last_told_at = NOW
    assert step(held, True, now=in_future(hours=5)) == ""
    assert step(held, True, now=in_future(hours=6.1)) == "still"


def test_it_ends_only_when_it_has_been_good_for_its_minutes():
    held = row(AlertState.FIRING, last_told_at=NOW)
    assert step(held, False) == ""
    assert step(held, True, now=in_future(minutes=3)) == ""
    assert held.better_since is None
    assert step(held, False, now=in_future(minutes=4)) == ""
    assert step(held, False, now=in_future(minutes=8)) == ""
    assert step(held, False, now=in_future(minutes=10)) == "ended"
    assert held.state == AlertState.QUIET


def test_one_more_dispute_is_told_at_once_and_one_more_error_is_not():
    held = row(AlertState.FIRING, last_told_at=NOW, value=2, told_value=1)
    assert step(held, True, key="disputes") == "more"
    assert step(held, True, key="errors") == ""
    held.told_value, held.value = 2, 1
    assert step(held, True, key="disputes") == ""
    held.value = 2
    assert step(held, True, key="disputes") == "more"


def test_a_sentence_says_figure_sample_and_threshold():
    said = sentence_of(RULES["payment_success"], 84.0, 50, 90)
    assert said == "84 % of 50 payments in the last hour succeeded; under 90 % is an alarm."
    assert "{" not in "".join(sentence_of(rule, 1, 1, 1) for rule in RULES.values())
    assert sentence_of(RULES["payment_success"], None, 0, 90).startswith("There is nothing")
    assert (shown(84.26, "%"), shown(None, "%"), shown(7.0)) == ("84.3 %", "–", "7")


def test_shares_and_percentiles():
    assert share(1, 3) == Measured(33.33, 3)
    assert share(0, 0) == Measured(None, 0)
    assert percentile([], 95) is None
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 95) == 4.0
