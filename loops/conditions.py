"""What needs a person about loops: those that paused themselves, and callbacks that should have come."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from loops.awaiting import UsualTimes, oldest_waits
from loops.models import Loop
from mobius.alerting.conditions import Condition, Finding
from mobius.timespans import rough

_usual_times = UsualTimes()


def find(now: datetime) -> Iterator[Finding]:
    """In two statements, and a few more while the usual times of loops are learned."""
    yield from _paused()
    yield from _overdue(now)


def _paused() -> Iterator[Finding]:
    for loop in Loop.objects.paused_by_the_console():
        yield Finding(
            project_id=loop.project_id,
            condition=Condition.LOOP_PAUSED,
            object_id=loop.pk,
            object_name=loop.name,
            summary="paused after too many failed runs",
            detail=f"{loop.paused_because.rstrip('.')}. New starts are refused.",
            to_do="Mend the cause, then switch the loop on again.",
        )


def _overdue(now: datetime) -> Iterator[Finding]:
    waits = oldest_waits()
    expected_within = _usual_times.of_each([one.loop.pk for one in waits])
    for one in waits:
        loop, oldest, expected = one.loop, one.since, expected_within.get(one.loop.pk)
        if expected is None or now - oldest <= expected:
            continue
        yield Finding(
            project_id=loop.project_id,
            condition=Condition.CALLBACKS_OVERDUE,
            object_id=loop.pk,
            object_name=loop.name,
            summary="a callback is overdue",
            detail=f"A row is in Clay since {oldest:%d %b %Y, %H:%M} UTC, and its result was expected within "
            f"{rough(expected)}. Its run waits.",
            to_do="See in the Clay table whether the last HTTP API column ran, and what it was answered.",
        )
