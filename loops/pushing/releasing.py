"""A push as it goes: a few rows at a time are started, and what became of them is written down.

A row changes its state in the transaction that starts its run, so that a crash leaves both or neither: no row is
started twice and none is forgotten. Only a few are started ahead, so that others who share the pace wait no longer than
seconds, and a pause is a pause.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction

from integrations.models import Attempt, AttemptState
from loops.ending import hold_run
from loops.models import Loop, LoopStatus, Push, PushRow, PushState, RowState, Run, RunStatus, Step, SuspendedFor
from loops.models.pushes import RowChange
from loops.pushing import drafting
from loops.pushing.mapping import Mapping
from loops.starting import Start, start_run
from loops.stopping import stop
from mobius import clock
from mobius.errors import MobiusError
from mobius.projects import auditing
from mobius.projects.auditing import SYSTEM

logger = logging.getLogger(__name__)

AHEAD = 40
"""Rows that are started and have not ended: some seconds of Clay's pace."""
BATCH = 20
"""Rows started or stopped in one transaction."""
SETBACKS = 25
"""So many rows in a row that fail or come into doubt pause the push: the next ones would fare no better."""
_PUSHES = 20
_LOOKS_EVERY = timedelta(seconds=0.2)
_LOOKS_FOR_DECISIONS_EVERY = timedelta(seconds=2)


def look_after_pushes(*, now: datetime) -> bool:
    """Do what is due for every push. Safe in several processes at once. True while any of them is going."""
    due = list(Push.objects.due(now).values_list("pk", flat=True)[:_PUSHES])
    for push_id in due:
        try:
            _look_after(push_id, now)
        except Exception:
            # A border as the sweep's own: a push that cannot go on must not keep the others from it.
            logger.exception("the push %s could not go on; it is tried again", push_id)
    return bool(due)


def _look_after(push_id: str, now: datetime) -> None:
    with transaction.atomic():
        push = Push.objects.held_if_free(push_id, now).first()
        if push is None:
            return  # another process does
        if push.state == PushState.READING:
            cut_off = True
        else:
            cut_off = False
            _settle(push)
            if push.state == PushState.CANCELLED:
                _stop_some(push, now)
            started = _start_some(push) if push.state == PushState.RUNNING else 0
            _plan(push, now, busy=started == BATCH)
    if cut_off:
        drafting.delete(push)


def _plan(push: Push, now: datetime, *, busy: bool) -> None:
    """When to look again; the push is complete once nothing waits and nothing may change any more."""
    rows = PushRow.objects.of_push(push.pk)
    on_its_way = rows.in_states(RowState.STARTED).exists()
    in_doubt = on_its_way or rows.in_states(RowState.IN_DOUBT).exists()
    waits = push.state == PushState.RUNNING and rows.waiting().exists()
    if busy:
        push.due_at = now
    elif waits or on_its_way:
        push.due_at = now + _LOOKS_EVERY
    elif in_doubt:
        push.due_at = now + _LOOKS_FOR_DECISIONS_EVERY
    else:
        push.due_at = None
        if push.state == PushState.RUNNING:
            push.state, push.ended_at = PushState.COMPLETED, now
    push.save(update_fields=["due_at", "state", "ended_at", "paused_because", "setbacks"])


# --- starting ---------------------------------------------------------------------------------------------------------


def _start_some(push: Push) -> int:
    """Start the runs of the next rows, as many as there is room for. Returns how many."""
    rows = PushRow.objects.of_push(push.pk)
    room = AHEAD - rows.in_states(RowState.STARTED).count()
    loop = Loop.objects.filter(pk=push.loop_id).exclude(status=LoopStatus.DELETED).first()
    if loop is None:
        _pause(push, "The loop that its rows are runs of was deleted.")
        return 0
    mapping, started = Mapping.stored(push.mapping), []
    for row in rows.waiting()[: max(min(room, BATCH), 0)]:
        start = _start(push, mapping, row)
        try:
            with transaction.atomic():
                run = start_run(loop=loop, start=start).run
        except MobiusError as error:
            _pause(push, f"Row {row.number:,} could not be started: {error.message}")
            break
        started.append(RowChange(RowState.STARTED.value, "", run.pk, row.pk))
    PushRow.objects.change(started)
    return len(started)


def _start(push: Push, mapping: Mapping, row: PushRow) -> Start:
    return Start(
        event=mapping.event(json.loads(row.content), push.columns),
        meta={"push_id": push.pk, "push_row": row.number},
        config={},
        source={"type": "manual", "id": push.pk, "label": f"Push of {push.name}"[:200]},
        idempotency_key=f"{push.pk}:{row.number}",
    )


def _pause(push: Push, reason: str) -> None:
    push.state, push.paused_because = PushState.PAUSED, reason[:500]
    auditing.record(
        SYSTEM, "push.pause", project_id=push.project_id, kind="push", id=push.pk, name=push.name, reason=reason
    )


# --- what became of them ----------------------------------------------------------------------------------------------


def _settle(push: Push) -> None:
    """Write down what became of the rows that were started; a row in doubt stays so until somebody has settled it."""
    unsettled = PushRow.objects.of_push(push.pk).in_states(*RowState.unsettled())
    rows = list(unsettled.order_by("number").defer("content"))
    if not rows:
        return
    outcomes = outcomes_of([row.run_id for row in rows])
    changed = [row for row in rows if row.run_id in outcomes and outcomes[row.run_id][0] != row.state]
    for row in changed:
        row.state, row.reason = outcomes[row.run_id]
    PushRow.objects.change([RowChange(row.state, row.reason, row.run_id, row.pk) for row in changed])
    _count_setbacks(push, changed)


def outcomes_of(run_ids: Iterable[str]) -> dict[str, tuple[RowState, str]]:
    """What has become of the rows of these runs, each with the reason."""
    runs = list(Run.objects.filter(pk__in=list(run_ids)).only("status", "result", "error_message"))
    suspended = [run.pk for run in runs if run.status == RunStatus.SUSPENDED]
    ended = [run.pk for run in runs if run.status in (RunStatus.FAILED, RunStatus.CANCELLED)]
    waiting = Step.objects.waiting_in(suspended).filter(error_type=SuspendedFor.DELIVERY_IN_DOUBT)
    doubts = set(waiting.values_list("run_id", flat=True)) if suspended else set()
    sent = Attempt.objects.states_by_run(ended) if ended else {}
    return {run.pk: _outcome(run, run.pk in doubts, sent.get(run.pk, set())) for run in runs}


def _outcome(run: Run, in_doubt: bool, attempts: set[str]) -> tuple[RowState, str]:
    """`attempts`: the states of those of a run that failed or was cancelled, whose row may be there all the same."""
    if in_doubt or AttemptState.IN_DOUBT in attempts:
        return RowState.IN_DOUBT, "It may have arrived: look in the table, then settle its delivery."
    if AttemptState.SENDING in attempts or not run.has_ended:
        return RowState.STARTED, ""
    if AttemptState.ACCEPTED in attempts:
        return RowState.SENT, ""
    if run.status == RunStatus.FAILED:
        return RowState.FAILED, run.error_message[:500]
    if run.status == RunStatus.CANCELLED:
        return RowState.NOT_SENT, "Its run was cancelled before the row was sent."
    outputs = [one for one in (run.result or {}).values() if isinstance(one, dict)]
    return RowState.DUPLICATE if any(one.get("duplicate") for one in outputs) else RowState.SENT, ""


def _count_setbacks(push: Push, changed: Iterable[PushRow]) -> None:
    for row in changed:
        if row.state in (RowState.SENT, RowState.DUPLICATE):
            push.setbacks = 0
        elif row.state in (RowState.FAILED, RowState.IN_DOUBT):
            push.setbacks += 1
        if push.setbacks >= SETBACKS and push.state == PushState.RUNNING:
            push.setbacks = 0
            _pause(push, f"{SETBACKS} rows in a row did not get through, the last with: {row.reason}")


def take_up(run: Run) -> None:
    """The run goes on although it had ended: what becomes of its row is open again. In the caller's transaction."""
    push_id, number = run.meta.get("push_id"), run.meta.get("push_row")
    if not isinstance(push_id, str) or not isinstance(number, int):
        return
    row = PushRow.objects.of_push(push_id).filter(number=number, run_id=run.pk)  # whoever starts a run chooses its meta
    if row.update(state=RowState.STARTED, reason=""):
        Push.objects.filter(pk=push_id).update(due_at=clock.now())


def _stop_some(push: Push, now: datetime) -> None:
    """The push was cancelled: its rows that have not left yet never do. A POST that has begun is not interrupted."""
    started = PushRow.objects.of_push(push.pk).in_states(RowState.STARTED).order_by("number")
    for run in Run.objects.filter(pk__in=list(started.values_list("run_id", flat=True)[:BATCH])):
        held = hold_run(run)
        if not held.has_ended:
            stop(held, stop_reason="cancelled", reason="Its push was cancelled.", now=now)
