"""The safety net under the doorbell: what was not rung, whose time has come, who waits for room, who died."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from integrations import delivering
from loops import bulk, queue
from loops.clock_steps import ClockWatch
from loops.due import ring_due
from loops.models import RING_AGAIN_AFTER, Run, RunStatus
from loops.purging import HourlyPurge
from loops.pushing.releasing import look_after_pushes
from loops.round_trips import end_doubt_if_answered
from loops.triggers.firing import fire_due
from loops.workers import BATCH, give_up_silent, suspend_in_doubt
from mobius import clock
from mobius.alerting import mailing
from mobius.alerting.watching import Watch
from mobius.engine.doorbell import ring
from mobius.notifying import couriers
from mobius.notifying.sending import take_back
from mobius.prepared import answered

_clock = ClockWatch()
_purge = HourlyPurge()
_watch = Watch()
_IDLE_SECONDS = 0.25
_WAITERS_SECONDS = 0.05
_SENT_OUTSIDE_A_RUN_WITHIN = timedelta(seconds=60)  # a test of a webhook takes half of that at most


# Looked at four times a second, mostly in vain: written out, for Django takes longer to compile them than they run.
# The odd condition repeats that of the partial index, which otherwise would not be used.
_TO_DO = """
    SELECT EXISTS (SELECT 1 FROM loops_trigger WHERE next_fire_at <= %s)
            OR EXISTS (SELECT 1 FROM loops_sourceevent WHERE due_at <= %s),
        EXISTS (SELECT 1 FROM loops_bulkjob WHERE state = 'running'),
        EXISTS (SELECT 1 FROM loops_push WHERE due_at <= %s),
        (SELECT MIN(waits_for) FROM loops_run WHERE waits_for > '' AND NOT (waits_for = ''))
"""
_NEXT_SUBJECT = "SELECT MIN(waits_for) FROM loops_run WHERE waits_for > %s AND NOT (waits_for = '')"


class _ToDo(NamedTuple):
    """What there is for a sweep to do. Mostly nothing, and then this is all that it asks."""

    fires: bool
    bulk: bool
    pushes: bool
    first_subject: str | None  # that somebody waits for


def sweep() -> float:
    """Ring what is due and wake as many waiters as there is room for. Returns the seconds until the next sweep."""
    now = clock.now()
    for attempt in delivering.doubt_the_lost(before=now - _SENT_OUTSIDE_A_RUN_WITHIN, now=now):
        end_doubt_if_answered(attempt)
    _clock.look(now=now)
    if settings.MOBIUS_ENGINE == "embedded":
        ring_due(now)
    else:
        give_up_silent(now=now)  # and what is due is taken by the workers themselves
    moment = connection.ops.adapt_datetimefield_value(now)
    to_do = _ToDo(*answered(_TO_DO, moment, moment, moment)[0])
    if to_do.fires:
        fire_due(now=now)
    bulk_goes_on = to_do.bulk and bulk.work_off()
    pushing = to_do.pushes and look_after_pushes(now=now)
    couriers.hand_out(now=now)
    mailing.hand_out(now=now)
    _watch.go_on(now=now)
    _purge.go_on(now=now)
    if not _wake_waiters(to_do.first_subject, now):
        return _WAITERS_SECONDS if bulk_goes_on or pushing else _IDLE_SECONDS
    delivering.pull_back(now=now.timestamp())
    return _WAITERS_SECONDS


def recover() -> None:
    """Once at start, when every earlier worker is known to be dead (design §4: the lock on the data directory).

    What was on the wire is in doubt and waits for somebody who knows; every other run goes on where it was.
    """
    now = clock.now()
    with transaction.atomic():
        for attempt in delivering.doubt_the_silent(now=now):
            suspend_in_doubt(attempt, now)
            end_doubt_if_answered(attempt)
        Run.objects.filter(status=RunStatus.RUNNING).update(
            status=RunStatus.SUSPENDED, wake_at=now, ring_due_at=now, revision=F("revision") + 1, updated_at=now
        )
        Run.objects.filter(status=RunStatus.QUEUED, queue_reason="").update(ring_due_at=now)
        Run.objects.filter(status=RunStatus.SUSPENDED, wake_at__lte=now).update(ring_due_at=now)
        take_back(now=now)


def _wake_waiters(first: str | None, now: datetime) -> bool:
    """Wake the oldest waiters of everything that has room. True while there are any waiters at all."""
    subject = first
    while subject is not None:
        if pacer := delivering.pacer_behind(subject):  # a paused integration that was resumed
            queue.join_pacer(subject, pacer, now=now)
        else:
            _wake_oldest(subject, now)
        subject = _next_subject(after=subject)
    return first is not None


def _wake_oldest(subject: str, now: datetime) -> None:
    room = min(delivering.room_at(subject, now=now), BATCH)
    oldest = list(Run.objects.waiters_of(subject, now).values_list("pk", "waits_at")[:room]) if room else []
    paused = delivering.paused_among({waits_at for _, waits_at in oldest})
    for integration_id in paused:
        queue.stand_aside(subject, integration_id, now=now)
    _wake(subject, [run_id for run_id, waits_at in oldest if waits_at not in paused], now)


def _wake(subject: str, run_ids: list[str], now: datetime) -> None:
    waiters = Run.objects.waiters_of(subject, now).filter(pk__in=run_ids).order_by()
    if settings.MOBIUS_ENGINE != "embedded":  # due, the workers take them without a ring; another sweep finds none
        waiters.update(wake_at=now, ring_due_at=now, rings=0, revision=F("revision") + 1)
        return
    if not run_ids:
        return
    with transaction.atomic():  # one commit for all of them
        still_waiting = set(waiters.values_list("pk", flat=True))
        waiters.update(wake_at=now, ring_due_at=now + RING_AGAIN_AFTER, revision=F("revision") + 1)
        for run_id in run_ids:
            if run_id in still_waiting:
                ring(run_id)


def _next_subject(*, after: str) -> str | None:
    """The next thing that somebody waits for. A look-up a subject, however many wait."""
    found: str | None = answered(_NEXT_SUBJECT, after)[0][0]
    return found
