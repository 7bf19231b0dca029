"""The machine's clock fell back: what was put off under the clock that was ahead must not wait until that time comes.

A clock that jumps forward cannot be told from time that has passed: what was due by then is due.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from loops.models import Run, RunStatus, Step, StepStatus, Wait, WaitState

BATCH = 200
_TELLING = timedelta(seconds=5)  # less is corrected every day, and hurts nobody


class ClockWatch:
    """Compares the clock with one that cannot be set, from one look to the next."""

    def __init__(self) -> None:
        self._seen: tuple[datetime, float] | None = None

    def look(self, *, now: datetime) -> None:
        """If the clock fell back since the last look, bring forward what was put off before."""
        seen, self._seen = self._seen, (now, time.monotonic())
        if seen is None:
            return
        should_be = seen[0] + timedelta(seconds=self._seen[1] - seen[1])
        if should_be - now > _TELLING:
            bring_forward(should_be - now, now=now)


def bring_forward(step: timedelta, *, now: datetime) -> None:
    """Move the times of runs that were written by a clock `step` ahead. Only once, however many processes do it."""
    ahead = Run.objects.filter(ring_due_at__gt=now, updated_at__gt=now + _TELLING)
    while ids := list(ahead.values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            _bring_forward(ids, step, now)


def _bring_forward(ids: list[str], step: timedelta, now: datetime) -> None:
    runs = Run.objects.filter(pk__in=ids, updated_at__gt=now + _TELLING)
    ours = list(runs.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))
    # What was made before the clock went ahead has its right times.
    made_ahead = {"pk__in": ours, "created_at__gt": now}
    Run.objects.filter(**made_ahead).update(wall_clock_deadline_at=F("wall_clock_deadline_at") - step)
    steps = Step.objects.filter(run__in=ours, status=StepStatus.SUSPENDED, created_at__gt=now)
    steps.update(created_at=F("created_at") - step, deadline_at=F("deadline_at") - step)
    waits = Wait.objects.filter(run__in=ours, state=WaitState.OPEN, created_at__gt=now)
    waits.update(created_at=F("created_at") - step, expires_at=F("expires_at") - step)
    times = {"ring_due_at": F("ring_due_at") - step, "updated_at": now, "revision": F("revision") + 1}
    suspended = Run.objects.filter(pk__in=ours, status=RunStatus.SUSPENDED)
    woken = suspended.update(wake_at=F("wake_at") - step, **times)
    if woken < len(ours):
        Run.objects.filter(pk__in=ours, updated_at__gt=now).update(**times)
