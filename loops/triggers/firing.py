"""Triggers fire: their runs are started, each once, whoever looks at them and however often.

A schedule's next time is moved on, and something heard is taken from its queue, in the transaction that starts the run;
so a crash leaves either all of it or nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.db import transaction

from loops.ending import lock_loop
from loops.expressions import ExpressionError, Names, evaluate, truthy
from loops.models import Loop, Run, SourceEvent, SourceEventState, Trigger
from loops.schedules import MOST_COUNTED, Due, ScheduleInvalid, read_schedule
from loops.starting import Origin, Start, start_run
from mobius.api.serializing import timestamp
from mobius.errors import MobiusError

logger = logging.getLogger(__name__)
BATCH = 100


def fire_due(*, now: datetime) -> None:
    """Fire the schedules whose time has come, and what was heard. Safe in several processes at once."""
    _each(Trigger.objects.due(now)[:BATCH], lambda trigger: _fire_schedule(trigger, now))
    _each(SourceEvent.objects.due(now)[:BATCH], lambda heard: _fire_heard(heard, now))


def start_by(
    trigger: Trigger, source_event: SourceEvent, event: dict[str, Any], *, warnings: Iterable[str] = ()
) -> Run:
    """The run that this firing starts. Raises what `start_run` raises."""
    name = trigger.name or trigger.key
    start = Start(
        event=event,
        meta={"source_event_id": source_event.pk, "trigger": trigger.kind},
        config={},
        source={"type": "trigger", "id": trigger.key, "label": name, "trigger_id": trigger.pk},
        origin=Origin(
            trigger_key=trigger.key,
            source_event_id=source_event.pk,
            depth=source_event.depth,
            warnings=tuple(warnings),
        ),
    )
    return start_run(loop=Loop.objects.get(pk=trigger.loop_id), start=start).run


def note_started(source_event: SourceEvent, run: Run, *, now: datetime) -> None:
    """Write down what the firing started."""
    _settle(source_event, SourceEventState.STARTED, run_id=run.pk)
    Trigger.objects.filter(pk=source_event.trigger_id).update(last_fired_at=now, last_run=run.pk, last_remark="")


def _each(found: Iterable[Any], do: Callable[[Any], None]) -> None:
    for one in found:
        try:
            do(one)
        except Exception:
            # A border as the sweep's own: one that cannot fire must not keep the others from it.
            logger.exception("%s could not fire; it is tried again", one.pk)


@transaction.atomic
def _fire_schedule(trigger: Trigger, now: datetime) -> None:
    lock_loop(trigger.loop_id)  # before the trigger, as whoever saves the loop does
    planned = trigger.next_fire_at
    assert planned is not None  # it was found by it
    try:
        due = read_schedule(trigger.config).due(planned, now)
    except ScheduleInvalid as error:  # a time zone that this machine does not know any more
        Trigger.objects.filter(pk=trigger.pk).update(next_fire_at=None, last_remark=error.message[:700])
        return
    if not Trigger.objects.filter(pk=trigger.pk, next_fire_at=planned).update(next_fire_at=due.next):
        return  # another process was quicker, or somebody saved the loop
    source_event = SourceEvent.objects.create(
        project_id=trigger.project_id, trigger=trigger, cause=timestamp(due.latest), created_at=now
    )
    event = {"scheduled_at": timestamp(due.latest), "missed": due.missed}
    _start(trigger, source_event, event, now, warnings=_missed(due, planned))


def _missed(due: Due, planned: datetime) -> list[str]:
    if not due.missed:
        return []
    many = f"more than {MOST_COUNTED:,}" if due.missed > MOST_COUNTED else f"{due.missed:,}"
    times = "1 earlier time" if due.missed == 1 else f"{many} earlier times"
    return [f"The schedule's {times}, from {timestamp(planned)} on, had no run: this run is for the latest."]


@transaction.atomic
def _fire_heard(heard: SourceEvent, now: datetime) -> None:
    trigger = Trigger.objects.select_related("loop").get(pk=heard.trigger_id)
    lock_loop(trigger.loop_id)
    pending = SourceEvent.objects.filter(pk=heard.pk, state=SourceEventState.PENDING)
    if not pending.update(state=SourceEventState.STARTED, due_at=None):
        return
    try:
        wanted = _fits(trigger, heard)
    except ExpressionError as error:
        _refuse(heard, f"Its condition cannot be evaluated: {error.message}", now)
        return
    if not wanted:
        heard.delete()
        return
    _start(trigger, heard, heard.event, now)


def _fits(trigger: Trigger, heard: SourceEvent) -> bool:
    condition = (trigger.config.get("condition") or "").strip()
    if not condition:
        return True
    meta = {"source_event_id": heard.pk, "trigger": trigger.kind, "event_type": trigger.event_type}
    return truthy(evaluate(condition, Names(event=heard.event, meta=meta)))


def _start(
    trigger: Trigger,
    source_event: SourceEvent,
    event: dict[str, Any],
    now: datetime,
    *,
    warnings: Iterable[str] = (),
) -> None:
    try:
        with transaction.atomic():
            run = start_by(trigger, source_event, event, warnings=warnings)
    except MobiusError as error:
        _refuse(source_event, error.message, now)
    else:
        note_started(source_event, run, now=now)


def _refuse(source_event: SourceEvent, remark: str, now: datetime) -> None:
    logger.warning("trigger %s fired and started no run: %s", source_event.trigger_id, remark)
    _settle(source_event, SourceEventState.REFUSED, remark=remark[:700])
    trigger = Trigger.objects.filter(pk=source_event.trigger_id)
    trigger.update(last_fired_at=now, last_run="", last_remark=remark[:700])


def _settle(source_event: SourceEvent, state: SourceEventState, **fields: str) -> None:
    """The run holds the event from now on."""
    SourceEvent.objects.filter(pk=source_event.pk).update(state=state, due_at=None, event={}, **fields)
