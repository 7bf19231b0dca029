"""When an alert opens, gets worse and is over, in any order of events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import cycle, islice

from hypothesis import given
from hypothesis import strategies as st

from mobius.alerting.machine import QUIET, News, Standing, follow

START = datetime(2027, 1, 1, tzinfo=UTC)
LOOKS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400)), max_size=40)
"""Looks: at what level the condition is found, and how many seconds after the look before."""


def told(looks: list[tuple[int, int]]) -> list[tuple[News, Standing, Standing]]:
    """What is news, with how it stood before and how it stands then."""
    standing, now, told = Standing(), START, []
    for found, seconds in looks:
        now += timedelta(seconds=seconds)
        before, (standing, news) = standing, follow(standing, found, now)
        if news is not None:
            told.append((news, before, standing))
    return told


@given(LOOKS)
def test_what_is_told_alternates_between_opened_and_over_whatever_happens(looks: list[tuple[int, int]]) -> None:
    ends = [news for news, *_ in told(looks) if news != News.WORSENED]
    assert ends == list(islice(cycle([News.OPENED, News.CLOSED]), len(ends)))


@given(LOOKS)
def test_it_gets_worse_only_while_it_is_open_and_only_upwards(looks: list[tuple[int, int]]) -> None:
    for news, before, standing in told(looks):
        assert (news == News.WORSENED) == (0 < before.level < standing.level)


@given(LOOKS)
def test_an_outage_that_is_over_was_away_for_the_whole_quiet_time(looks: list[tuple[int, int]]) -> None:
    now, last_bad = START, START
    standing = Standing()
    for found, seconds in looks:
        now += timedelta(seconds=seconds)
        standing, news = follow(standing, found, now)
        if news == News.CLOSED:
            assert now - last_bad >= QUIET
        if found:
            last_bad = now


def test_what_comes_and_goes_within_minutes_is_one_outage() -> None:
    flaps = [(found, 60) for found in (1, 0, 1, 0, 0, 1, 0, 1)]
    assert [news for news, *_ in told(flaps)] == [News.OPENED]


def test_a_budget_whose_limit_was_raised_tells_of_the_same_mark_again() -> None:
    marks = [(75, 30), (0, 30), (50, 400), (50, 400), (75, 30)]
    assert [news for news, *_ in told(marks)] == [News.OPENED, News.WORSENED]


def test_a_clock_that_stepped_back_does_not_keep_an_alert_open_for_long() -> None:
    eased, _ = follow(Standing(level=1), 0, START)
    eased, _ = follow(eased, 0, START - timedelta(days=1))
    _, news = follow(eased, 0, START - timedelta(days=1) + QUIET)
    assert news == News.CLOSED
