"""Forgetting what old runs were given and gave, what came back, and what others were told. The log of it all stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from integrations.purging import Walk, through_attempts
from loops.closing import erase_secrets_of_deleted
from loops.models import BulkJob, Callback, Chore, Run, RunEvent, Step
from loops.pushing.purging import through_pushes
from mobius import clock
from mobius.alerting.purging import through_mails
from mobius.notifying.purging import through_notifications
from mobius.projects import uses

BATCH = 200
"""Runs in one transaction, each with its steps, its events and what came back."""

_NAME = "purge"
_EVERY = timedelta(hours=1)
_LOOKS_EVERY_SECONDS = 60.0
_ROUNDS_UNTIL_ALL = 24
"""What was not to be forgotten when a walk passed it, such as a run that had not ended, is found a day later."""


def walks() -> list[Walk]:
    """Through everything that holds what people sent."""
    return [
        through_attempts(),
        Walk(name="runs", objects=Run.objects, made_at="created_at", forget=_forget_runs, batch=BATCH),
        Walk(name="callbacks", objects=Callback.objects, made_at="received_at", forget=_forget_callbacks),
        through_pushes(),
        Walk(name="bulk jobs", objects=BulkJob.objects, made_at="created_at", forget=_forget_bulk_jobs),
        through_notifications(),
        through_mails(),
    ]


def purge_all(*, before: datetime) -> dict[str, int]:
    """Forget everything older than `before`. Returns how much of what. To be called in no transaction."""
    return {walk.name: sum(walk.pages(before)) for walk in walks()}


@transaction.atomic
def _forget_runs(ids: list[str], before: datetime) -> int:
    held = Run.objects.to_purge(before).filter(pk__in=ids).order_by("pk").select_for_update(no_key=True)
    old = list(held.values_list("pk", flat=True))  # one that is retried just now has not ended any more
    Step.objects.filter(run__in=old).update(inputs=None, result=None)
    RunEvent.objects.filter(run__in=old).exclude(payload={}).update(payload={})
    return Run.objects.filter(pk__in=old).update(event={}, meta={}, config={}, result=None, purged_at=clock.now())


def _forget_callbacks(ids: list[str], before: datetime) -> int:
    old = Callback.objects.to_purge(before).filter(pk__in=ids).values_list("pk", flat=True)
    return Callback.objects.filter(pk__in=list(old)).update(body={}, purged_at=clock.now())


def _forget_bulk_jobs(ids: list[str], before: datetime) -> int:
    """Whole: who started which, over how many and why, stands in the audit."""
    return BulkJob.objects.to_purge(before).filter(pk__in=ids).delete()[0]


class HourlyPurge:
    """Forgets by itself, once an hour, in one of all the processes, a page at a time."""

    def __init__(self) -> None:
        self._walks = walks()
        self._rounds = 0
        self._looks_at = 0.0
        self._under_way: Iterator[int] | None = None

    def go_on(self, *, now: datetime) -> None:
        """Do the next page, if an hour has passed since somebody began. Quick; to be called every so often."""
        if self._under_way is None:
            if time.monotonic() < self._looks_at:
                return
            self._looks_at = time.monotonic() + _LOOKS_EVERY_SECONDS
            if not _is_mine(now):
                return
            erase_secrets_of_deleted(now=now)
            uses.erase_old(now=now)
            if not settings.MOBIUS_RETENTION_DAYS:
                return
            self._under_way = self._pages(now - timedelta(days=settings.MOBIUS_RETENTION_DAYS))
        try:
            next(self._under_way)
        except StopIteration:
            self._under_way = None
        except BaseException:  # the next hour goes on from the last page that was done
            self._under_way = None
            raise

    def _pages(self, before: datetime) -> Iterator[int]:
        if self._rounds % _ROUNDS_UNTIL_ALL == 0:
            self._walks = walks()
        self._rounds += 1
        for walk in self._walks:
            yield from walk.pages(before)


def _is_mine(now: datetime) -> bool:
    """Is the chore due, and am I the one who does it? Also when a clock that was ahead has put it off for days."""
    due = Q(due_at__lte=now) | Q(due_at__gt=now + _EVERY)
    if Chore.objects.filter(due, pk=_NAME).update(due_at=now + _EVERY):
        return True
    if Chore.objects.filter(pk=_NAME).exists():
        return False
    try:
        with transaction.atomic():
            Chore.objects.create(name=_NAME, due_at=now + _EVERY)
    except IntegrityError:
        return False
    return True
