"""Lengths of time in words."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mobius.timespans import measured, rough


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"),  # two clocks that differ
        (0.84, "840 ms"),
        (12.34, "12.3 s"),
        (250, "4 min 10 s"),
        (7500, "2 h 5 min"),
        (76 * 3600, "3 d 4 h"),
    ],
)
def test_what_was_measured_is_told_in_two_units(seconds: float, text: str) -> None:
    assert measured(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "a moment"),
        (40.4, "40 seconds"),
        (89, "89 seconds"),
        (1000, "17 minutes"),
        (3600, "1 hour"),
        (5050.5, "1 hour 24 minutes"),
        (7260, "2 hours 1 minute"),
        (24 * 3600, "24 hours"),
        (76 * 3600, "3 days 4 hours"),
    ],
)
def test_an_estimate_is_said_as_a_person_would(seconds: float, text: str) -> None:
    assert rough(timedelta(seconds=seconds)) == text
