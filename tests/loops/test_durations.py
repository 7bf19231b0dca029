"""Go durations, read and written."""

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loops.durations import DurationInvalid, parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        (".5s", timedelta(milliseconds=500)),
        ("100ms", timedelta(milliseconds=100)),
        ("1h0m0s", timedelta(hours=1)),  # as Go prints it
        ("7us", timedelta(microseconds=7)),
        ("7µs", timedelta(microseconds=7)),
        ("1ns", timedelta()),  # below what we can tell
        ("0", timedelta()),
        ("0s", timedelta()),
    ],
)
def test_reads_what_go_writes(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "5", "5 m", " 5m", "m", "1d", "5min", "1h-30m", "1e3s", "٣s", "5m\n", "5M", "."])
def test_refuses_what_is_no_duration_and_shows_one(text):
    with pytest.raises(DurationInvalid, match="1h30m"):
        parse_duration(text)


def test_says_what_is_wrong_with_a_negative_and_an_endless_duration():
    with pytest.raises(DurationInvalid, match="negative"):
        parse_duration("-5m")
    with pytest.raises(DurationInvalid, match="292 years"):
        parse_duration("9999999999h")
    with pytest.raises(DurationInvalid):
        parse_duration("9" * 100_000 + "h")


@given(st.text(max_size=100))
def test_any_text_is_a_duration_or_refused(text):
    with contextlib.suppress(DurationInvalid):
        assert parse_duration(text) >= timedelta()
