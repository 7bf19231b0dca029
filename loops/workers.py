"""Which worker processes are alive, and what becomes of the runs of one that is not (design §4, distributed).

A run that is being worked on bears its worker's name. A name that has not been heard of for MOBIUS_SILENCE_SECONDS, or
is unknown, has nobody behind it whose word counts: the run goes on from where it was, and a row that was on the wire is
in doubt. Should its sender only have been asleep, its late answer still settles the doubt, and the guards of the run
keep it from writing anything else.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from integrations import delivering
from integrations.models import Attempt
from loops import callbacks
from loops.models import Run, RunStatus, Step, StepStatus, SuspendedFor, Worker
from mobius import clock
from mobius.prepared import answered

BATCH = 200
_ANY_SILENT = """
    SELECT EXISTS (SELECT 1 FROM loops_worker WHERE beaten_at <= %s) OR EXISTS (
        SELECT 1 FROM loops_run WHERE worker > '' AND NOT (worker = '')
            AND worker NOT IN (SELECT id FROM loops_worker WHERE beaten_at > %s))
"""
"""Asked at every sweep."""


def beat(name: str) -> str:
    """Note that the worker `name` is alive. Returns the name that it goes on under: a new one when it has none, or was
    silent for so long that it may have been given up."""
    now = clock.ask()
    if name and Worker.objects.alive(since=now - _silence()).filter(pk=name).update(beaten_at=now):
        return name
    return Worker.objects.create(beaten_at=now).pk


def leave(name: str) -> None:
    """The worker `name` works no more. What it could not end in time is given up at once."""
    Worker.objects.filter(pk=name).delete()
    give_up_silent(now=clock.now())


def give_up_silent(*, now: datetime) -> None:
    """Take the runs of workers that are not alive away from them. Safe in several processes at once."""
    alive_since = now - _silence()
    moment = connection.ops.adapt_datetimefield_value(alive_since)
    if not answered(_ANY_SILENT, moment, moment)[0][0]:
        return
    with transaction.atomic():
        lost = Run.objects.left_behind(alive_since)[:BATCH]
        for run in lost:
            _give_up(run, now)
        Worker.objects.filter(beaten_at__lt=alive_since - 2 * _silence()).delete()


def alive() -> int:
    """How many worker processes there are."""
    return Worker.objects.alive(since=clock.now() - _silence()).count()


def _silence() -> timedelta:
    return timedelta(seconds=settings.MOBIUS_SILENCE_SECONDS)


def _give_up(run: Run, now: datetime) -> None:
    """What was on the wire is in doubt and waits for somebody who knows; any other run goes on where it was."""
    doubts = delivering.doubt_the_silent(now=now, run_id=run.pk)
    for attempt in doubts:
        suspend_in_doubt(attempt, now)
    Run.objects.filter(pk=run.pk, status=RunStatus.RUNNING).update(
        status=RunStatus.SUSPENDED, wake_at=now, ring_due_at=now, revision=F("revision") + 1, updated_at=now
    )
    # Whatever the worker had taken and not begun is due at once.
    Run.objects.filter(pk=run.pk, ring_due_at__gt=now, rings__gt=0).update(ring_due_at=now)
    Run.objects.filter(pk=run.pk).update(worker="")


def suspend_in_doubt(attempt: Attempt, now: datetime) -> None:
    """Let the attempt's run wait for somebody who knows whether the row arrived."""
    step = Step.objects.select_related("run").filter(pk=attempt.step_id, run__status=RunStatus.RUNNING).first()
    if step is None:
        return
    # Clay may call back before it answers: then the row has arrived. Or the table lets the row be sent once more.
    proven = callbacks.has_come_for(step.pk) and delivering.prove_arrival(attempt.run_id, step.pk, now=now)
    limits = [limit for limit in (step.deadline_at, step.run.wall_clock_deadline_at) if limit is not None]
    wake_at = now if proven or delivering.deduplicated(attempt) else min(limits, default=None)
    held = Run.objects.filter(pk=attempt.run_id, status=RunStatus.RUNNING).update(
        status=RunStatus.SUSPENDED, wake_at=wake_at, ring_due_at=wake_at, revision=F("revision") + 1, updated_at=now
    )
    if held:
        Step.objects.filter(pk=step.pk).update(
            status=StepStatus.SUSPENDED,
            error_type=SuspendedFor.DELIVERY_IN_DOUBT,
            error_message="This console stopped while the row was on its way: it may or may not have arrived.",
            updated_at=now,
        )
