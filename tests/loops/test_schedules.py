"""When a schedule fires: cron in a time zone, its nicknames, intervals, and the days on which the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from loops.schedules import MOST_COUNTED, ScheduleInvalid, read_schedule


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def times(config: dict[str, Any], start: str, count: int) -> list[str]:
    """The next times as the wall clock of the schedule's zone shows them."""
    schedule, moment, found = read_schedule(config), at(start), []
    for _ in range(count):
        moment = schedule.after(moment)
        found.append(moment.astimezone(schedule.zone).isoformat(timespec="minutes"))  # type: ignore[union-attr]
    return found


def test_five_fields_are_read_in_the_time_zone() -> None:
    config = {"cron": "30 9 * * 1-5", "timezone": "Europe/Berlin"}

    assert times(config, "2026-11-27T12:00:00+01:00", 2) == ["2026-11-30T09:30+01:00", "2026-12-01T09:30+01:00"]


@pytest.mark.parametrize(
    ("nickname", "expected"),
    [
        ("@hourly", "2026-11-27T13:00+00:00"),
        ("@daily", "2026-11-28T00:00+00:00"),
        ("@midnight", "2026-11-28T00:00+00:00"),
        ("@weekly", "2026-11-29T00:00+00:00"),
        ("@monthly", "2026-12-01T00:00+00:00"),
        ("@Yearly", "2027-01-01T00:00+00:00"),
        ("@annually", "2027-01-01T00:00+00:00"),
    ],
)
def test_nicknames(nickname: str, expected: str) -> None:
    assert times({"cron": nickname}, "2026-11-27T12:34:56+00:00", 1) == [expected]


def test_a_time_of_day_that_is_left_out_in_spring_comes_once_at_the_next_moment_that_exists() -> None:
    config = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}

    assert times(config, "2026-03-28T12:00:00+01:00", 2) == ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]


def test_a_time_of_day_that_comes_twice_in_autumn_fires_the_first_time_only() -> None:
    config = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}

    assert times(config, "2026-10-24T12:00:00+02:00", 2) == ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]


def test_from_within_the_hour_that_comes_again_nothing_that_has_passed_is_named() -> None:
    config = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}

    assert times(config, "2026-10-25T02:10:00+01:00", 1) == ["2026-10-26T02:30+01:00"]


def test_every_quarter_of_an_hour_goes_on_in_real_time_when_the_clocks_change() -> None:
    schedule = read_schedule({"cron": "*/15 * * * *", "timezone": "Europe/Berlin"})
    moment = at("2026-10-25T01:50:00+02:00")

    for _ in range(8):
        later = schedule.after(moment)
        assert timedelta() < later - moment <= timedelta(minutes=15)
        moment = later


def test_an_interval_keeps_its_grid() -> None:
    schedule = read_schedule({"interval": "1h30m"})
    due = schedule.due(at("2026-11-27T10:00:00+00:00"), at("2026-11-27T14:10:00+00:00"))

    assert (due.latest, due.missed, due.next) == (
        at("2026-11-27T13:00:00+00:00"),
        2,
        at("2026-11-27T14:30:00+00:00"),
    )


def test_missed_times_of_cron_are_counted() -> None:
    schedule = read_schedule({"cron": "@hourly"})
    due = schedule.due(at("2026-11-27T10:00:00+00:00"), at("2026-11-27T13:00:00+00:00"))

    assert (due.latest, due.missed, due.next) == (at("2026-11-27T13:00:00+00:00"), 3, at("2026-11-27T14:00:00+00:00"))


def test_after_a_year_of_silence_nobody_counts_half_a_million_minutes() -> None:
    schedule = read_schedule({"cron": "* * * * *", "timezone": "America/New_York"})
    due = schedule.due(at("2026-01-01T00:00:00+00:00"), at("2026-11-27T13:00:30+00:00"))

    assert due.missed > MOST_COUNTED
    assert (due.latest, due.next) == (at("2026-11-27T13:00:00+00:00"), at("2026-11-27T13:01:00+00:00"))


@pytest.mark.parametrize(
    ("config", "field", "says"),
    [
        ({}, "cron", "Give either"),
        ({"cron": "@hourly", "interval": "1h"}, "cron", "Give either"),
        ({"cron": "* * * *"}, "cron", "five fields"),
        ({"cron": "0 * * * * *"}, "cron", "five fields"),
        ({"cron": "61 * * * *"}, "cron", "bad minute"),
        ({"cron": "0 0 30 2 *"}, "cron", "day"),
        ({"cron": "@reboot"}, "cron", "@hourly"),
        ({"cron": "@hourly", "timezone": "Mars/Olympus"}, "timezone", "Europe/Berlin"),
        ({"cron": "@hourly", "timezone": "../../etc/passwd"}, "timezone", "no time zone"),
        ({"interval": "never"}, "interval", "not a duration"),
        ({"interval": "10ms"}, "interval", "shortest"),
        ({"interval": "100000h"}, "interval", "longest"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_do(config: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(ScheduleInvalid) as refusal:
        read_schedule(config)

    assert refusal.value.field == field
    assert says in refusal.value.message
