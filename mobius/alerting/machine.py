"""When an alert opens, gets worse and is over: pure, so that any order of events can be tried."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

QUIET = timedelta(minutes=5)
"""So long a condition must stay away, or be less bad, before that is believed: what comes and goes is one outage."""


class News(StrEnum):
    """What is told."""

    OPENED = "opened"
    WORSENED = "worsened"
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How an alert stands. Level 0: there is none, or it is over."""

    level: int = 0
    eased_to: int | None = None  # it was found less bad than `level`: how bad
    eased_since: datetime | None = None  # and since when that has been so without a change


def follow(standing: Standing, found: int, now: datetime) -> tuple[Standing, News | None]:
    """How it stands once its condition was found at level `found` (0: it does not hold), and what of that is news."""
    if found > standing.level:
        return Standing(level=found), News.WORSENED if standing.level else News.OPENED
    if found == standing.level:
        return Standing(level=found), None
    since = (standing.eased_since if standing.eased_to == found else None) or now
    if now - since < QUIET:
        # A clock that stepped back says nothing about how long it was.
        return Standing(level=standing.level, eased_to=found, eased_since=min(since, now)), None
    return Standing(level=found), None if found else News.CLOSED
