"""Whose callback is overdue? Rows that are in Clay, and have not been answered within the usual time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Subquery

from loops.models import Loop, Wait
from loops.models.steps import WaitQuerySet
from mobius.projects.models import Project

_LATEST = 100
_FEWEST_TO_KNOW = 5
_AT_ONCE = 50
WHEN_NOTHING_IS_KNOWN = timedelta(hours=1)
"""Clay's columns take seconds to minutes: after an hour without an answer somebody should look."""


@dataclass(frozen=True, kw_only=True)
class Overdue:
    """A wait whose callback should have come; `wait.loop` is loaded."""

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
    Costs three statements for fifty loops that wait, however many runs wait.
    """
    waiting = Wait.objects.awaiting_callback(OuterRef("pk"))
    loops = {loop.pk: loop for loop in Loop.objects.of_project(project).filter(Exists(waiting))}
    usual = usual_times(list(loops))
    expected = {loop_id: usual[loop_id] or WHEN_NOTHING_IS_KNOWN for loop_id in loops}
    late = [
        Wait.objects.awaiting_callback(loop_id).filter(created_at__lt=now - expected[loop_id])[: most + 1]
        for loop_id in loops
    ]
    waits = sorted(_all_of(late), key=lambda wait: wait.created_at)
    return OverdueList(
        items=[_overdue(wait, loops[wait.loop_id], expected, usual, now) for wait in waits[:most]],
        has_more=len(waits) > most,
    )


def _overdue(
    wait: Wait, loop: Loop, expected: dict[str, timedelta], usual: dict[str, timedelta | None], now: datetime
) -> Overdue:
    wait.loop = loop
    return Overdue(wait=wait, age=now - wait.created_at, expected_within=expected[loop.pk], usual=usual[loop.pk])


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
        for loop_id, usual in usual_times(unknown[: self._MOST_LEARNED]).items():
            self._known[loop_id] = usual or WHEN_NOTHING_IS_KNOWN, time.monotonic()
        return {loop_id: expected for loop_id, (expected, _) in self._known.items()}

    def _holds(self, loop_id: str) -> bool:
        known = self._known.get(loop_id)
        return known is not None and time.monotonic() - known[1] < self._HOLDS_FOR_SECONDS


def usual_times(loop_ids: list[str]) -> dict[str, timedelta | None]:
    """Within which 95 of 100 of each loop's latest answers came; None when there are too few to tell."""
    took: dict[str, list[timedelta]] = {loop_id: [] for loop_id in loop_ids}
    for wait in _all_of([Wait.objects.answered(loop_id)[:_LATEST] for loop_id in loop_ids]):
        if wait.closed_at is not None:
            took[wait.loop_id].append(wait.closed_at - wait.created_at)
    return {loop_id: _within_which_95_of_100(sorted(times)) for loop_id, times in took.items()}


def _within_which_95_of_100(times: list[timedelta]) -> timedelta | None:
    return times[math.ceil(len(times) * 0.95) - 1] if len(times) >= _FEWEST_TO_KNOW else None


def _all_of(several: list[WaitQuerySet]) -> list[Wait]:
    """What they find, in one statement for fifty of them, each of which its own index answers."""
    found: list[Wait] = []
    for begin in range(0, len(several), _AT_ONCE):
        # SQLite takes no LIMIT in a part of a union, but in a part of a part.
        first, *others = [Wait.objects.filter(pk__in=one.values("pk")) for one in several[begin : begin + _AT_ONCE]]
        found += first.union(*others, all=True)
    return found
