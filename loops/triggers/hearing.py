"""Something happened that other loops listen to: written down with it, in its transaction, and acted on afterwards."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from loops.listeners import anybody_listens
from loops.models import Callback, Run, RunStatus, SourceEvent, SourceEventState, Trigger
from mobius.api.serializing import timestamp, without_nulls

CALLBACK_EVENT = "clay.callback"

_HEARD = {RunStatus.COMPLETED: "run.completed", RunStatus.FAILED: "run.failed"}


def hear_end(run: Run, *, now: datetime) -> None:
    """The run has ended, in this transaction, and somebody may want to hear of it."""
    if run.status in _HEARD:
        # A run that was retried ends again.
        _write(_HEARD[RunStatus(run.status)], run, f"{run.pk}:{run.attempt}", lambda: _told(run), now)


def hear_callback(callback: Callback, run: Run, *, now: datetime) -> None:
    """A callback has come for the run, in this transaction."""
    if anybody_listens(run.project_id):
        _write(CALLBACK_EVENT, run, callback.pk, lambda: _told_callback(callback, run), now)


def _write(event_type: str, run: Run, cause: str, tell: Any, now: datetime) -> None:
    triggers = Trigger.objects.hearing(event_type, project_id=run.project_id, loop_id=run.loop_id)
    SourceEvent.objects.bulk_create(
        [
            SourceEvent(
                project_id=run.project_id,
                trigger=trigger,
                cause=cause,
                state=SourceEventState.PENDING,
                event=tell(),
                depth=run.depth + 1,
                due_at=now,
                created_at=now,
            )
            for trigger in triggers
        ],
        ignore_conflicts=True,
    )


def _told(run: Run) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": _HEARD[RunStatus(run.status)],
        "run_id": run.pk,
        "loop_id": run.loop_id,
        "loop_name": run.loop.name,
        "event": run.event,
        "result": run.result,
        "error_type": run.error_type or None,
        "error_message": run.error_message or None,
        "completed_at": timestamp(run.completed_at),
    }
    return without_nulls(told)


def _told_callback(callback: Callback, run: Run) -> dict[str, Any]:
    return {
        "type": CALLBACK_EVENT,
        "callback_id": callback.pk,
        "run_id": run.pk,
        "loop_id": run.loop_id,
        "step_key": callback.step_id.partition(":")[2],
        "request_id": callback.request_id,
        "body": callback.body,
        "received_at": timestamp(callback.received_at),
    }
