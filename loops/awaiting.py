"""Whose callback is overdue? Rows that are in Clay, and have not been answered within the usual time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Subquery

from loops.models import Loop, Wait
from mobius.projects.models import Project

_LATEST = 100
_FEWEST_TO_KNOW = 5
WHEN_NOTHING_IS_KNOWN = timedelta(hours=1)
"""Clay's columns take seconds to minutes: after an hour without an answer somebody should look."""


@dataclass(frozen=True, kw_only=True)
class Overdue:
    """A wait whose callback should have come; `wait.run` and `wait.loop` are loaded."""

    wait: Wait
    age: timedelta
    expected_within: timedelta
    usual: timedelta | None  # None: the loop has had too few answers to tell

    @property
    def expected_at(self) -> datetime:
        return self.wait.created_at + self.expected_within

    @property
    def source_key(self) -> str:
        """The step whose row Clay has."""
        return self.wait.source_step_id.partition(":")[2]


@dataclass(frozen=True, kw_only=True)
class OldestWait:
    """A loop, and since when the first of its runs waits for a callback."""

    loop: Loop
    since: datetime


@dataclass(frozen=True, kw_only=True)
class OverdueList:
    items: list[Overdue]  # the oldest first
    has_more: bool


def overdue_in(project: Project, *, now: datetime, most: int = 100) -> OverdueList:
    """The waits of the project whose callback is overdue, oldest first.

    Expected is the loop's usual time. A wait that has had its own time-out fails by itself, and is not listed.
    Costs two look-ups for each loop that waits, however many runs wait.
    """
    waiting = Wait.objects.awaiting_callback(OuterRef("pk"))
    overdue: list[Overdue] = []
    for loop in Loop.objects.of_project(project).filter(Exists(waiting)):
        usual = usual_time(loop.pk)
        expected = usual or WHEN_NOTHING_IS_KNOWN
        late = Wait.objects.awaiting_callback(loop.pk).filter(created_at__lt=now - expected)
        for wait in late.select_related("run")[: most + 1]:
            wait.loop = loop
            overdue.append(Overdue(wait=wait, age=now - wait.created_at, expected_within=expected, usual=usual))
    overdue.sort(key=lambda one: one.wait.created_at)
    return OverdueList(items=overdue[:most], has_more=len(overdue) > most)


def oldest_waits() -> list[OldestWait]:
    """Of every loop that waits, in projects that are there. One statement: a look-up for each loop."""
    oldest = Wait.objects.awaiting_callback(OuterRef("pk")).values("created_at")[:1]
    loops = Loop.objects.filter(project__deleted_at=None).annotate(oldest=Subquery(oldest))
    waiting = loops.filter(oldest__isnull=False)
    return [OldestWait(loop=loop, since=loop.oldest) for loop in waiting]  # type: ignore[attr-defined]  # the annotation


class UsualTimes:
    """Within which time callbacks are expected, remembered for a while: it takes a hundred answers to say so."""

    _HOLDS_FOR_SECONDS = 600.0
    _MOST_LEARNED = 20

    def __init__(self) -> None:
        self._known: dict[str, tuple[timedelta, float]] = {}

    def of_each(self, loop_ids: list[str]) -> dict[str, timedelta]:
        """Of those that are known: no more than twenty are learned at once, so that asking stays cheap."""
        self._known = {one: self._known[one] for one in loop_ids if one in self._known}
        unknown = [one for one in loop_ids if not self._holds(one)]
        for loop_id in unknown[: self._MOST_LEARNED]:
            self._known[loop_id] = usual_time(loop_id) or WHEN_NOTHING_IS_KNOWN, time.monotonic()
        return {loop_id: expected for loop_id, (expected, _) in self._known.items()}

    def _holds(self, loop_id: str) -> bool:
        known = self._known.get(loop_id)
        return known is not None and time.monotonic() - known[1] < self._HOLDS_FOR_SECONDS


def usual_time(loop_id: str) -> timedelta | None:
    """Within which 95 of 100 of the loop's latest answers came; None when there are too few to tell."""
    latest = Wait.objects.answered(loop_id).values_list("created_at", "closed_at")[:_LATEST]
    took = sorted(closed - opened for opened, closed in latest if closed is not None)
    if len(took) < _FEWEST_TO_KNOW:
        return None
    return took[math.ceil(len(took) * 0.95) - 1]
