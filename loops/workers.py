"""Which worker processes are alive, and what becomes of the runs of one that is not (design §4, distributed).

A run that is being worked on bears its worker's name. A name that has not been heard of for MOBIUS_SILENCE_SECONDS, or
is unknown, has nobody behind it whose word counts: the run goes on from where it was, and a row that was on the wire is
in doubt. Should its sender only have been asleep, its late answer still settles the doubt, and the guards of the run
keep it from writing anything else.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F

from integrations import delivering
from loops import callbacks
from loops.models import RING_AGAIN_AFTER, Run, RunStatus, Step, StepStatus, SuspendedFor, Worker
from mobius import clock
from mobius.engine.doorbell import ring

BATCH = 200
_SENT_OUTSIDE_A_RUN_WITHIN = timedelta(seconds=60)  # a test of a webhook takes half of that at most


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
    with transaction.atomic():
        lost = Run.objects.left_behind(alive_since)[:BATCH]
        for run in lost:
            _give_up(run, now)
        Worker.objects.filter(beaten_at__lt=alive_since - 2 * _silence()).delete()
    delivering.doubt_the_lost(before=now - _SENT_OUTSIDE_A_RUN_WITHIN, now=now)


def _silence() -> timedelta:
    return timedelta(seconds=settings.MOBIUS_SILENCE_SECONDS)


def _give_up(run: Run, now: datetime) -> None:
    """What was on the wire is in doubt and waits for somebody who knows; any other run goes on where it was."""
    doubts = delivering.doubt_the_silent(now=now, run_id=run.pk)
    for attempt in doubts:
        suspend_in_doubt(run.pk, attempt.step_id, now)
    Run.objects.filter(pk=run.pk, status=RunStatus.RUNNING).update(
        status=RunStatus.SUSPENDED, wake_at=now, ring_due_at=now, revision=F("revision") + 1, updated_at=now
    )
    Run.objects.filter(pk=run.pk).update(worker="")


def suspend_in_doubt(run_id: str, step_id: str, now: datetime) -> None:
    """Let the run wait for somebody who knows whether the row of this step arrived."""
    step = Step.objects.filter(pk=step_id).first()
    if step is None or not run_id:
        return
    wake_at = step.deadline_at
    if callbacks.has_come_for(step_id):  # it overtook the answer: there is no doubt
        delivering.prove_arrival(run_id, step_id, now=now)
        wake_at = now
    held = Run.objects.filter(pk=run_id, status=RunStatus.RUNNING).update(
        status=RunStatus.SUSPENDED,
        wake_at=wake_at,
        ring_due_at=wake_at,
        revision=F("revision") + 1,
        updated_at=now,
    )
    if held:
        Step.objects.filter(pk=step_id).update(
            status=StepStatus.SUSPENDED,
            error_type=SuspendedFor.DELIVERY_IN_DOUBT,
            error_message="This console stopped while the row was on its way: it may or may not have arrived.",
            updated_at=now,
        )


def wake_from_doubt(run_id: str, step_id: str, *, now: datetime) -> None:
    """The doubt about this step's row is over: a run that waits for that goes on. In the caller's transaction."""
    doubting = Step.objects.filter(pk=step_id, status=StepStatus.SUSPENDED, error_type=SuspendedFor.DELIVERY_IN_DOUBT)
    waiting = Run.objects.filter(pk=run_id, status=RunStatus.SUSPENDED)
    if doubting.exists() and waiting.update(
        wake_at=now, ring_due_at=now + RING_AGAIN_AFTER, revision=F("revision") + 1, updated_at=now
    ):
        ring(run_id)
