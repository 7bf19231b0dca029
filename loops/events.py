"""A run's log as it is told: what was written down, and what the run and its steps say themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loops.models import Run, RunEvent, Step, Wait
from loops.spec import ActionConfig, WaitConfig
from loops.versions import spec_of
from mobius.api.serializing import timestamp

MOST_AT_ONCE = 100
_ENDS_A_WAIT = ("wait.resumed", "wait.timed_out")


@dataclass(frozen=True, kw_only=True)
class Told:
    """Events after a place, oldest first, with their payloads."""

    events: list[tuple[RunEvent, dict[str, Any]]]
    more: bool = False  # others have come after these
    over: bool = False  # the run has ended, and none will come unless somebody retries it


def tell(run_id: str, *, after: int, limit: int = MOST_AT_ONCE) -> Told:
    """What came after the event of this sequence.

    The events of a run are numbered and committed one turn after the other, so that none appears before another.
    """
    ended_with = _ended_with(run_id)  # first: what ended the run is then among the events
    events = list(RunEvent.objects.filter(run=run_id, sequence__gt=after).order_by("sequence")[: limit + 1])
    more, events = len(events) > limit, events[:limit]
    last = events[-1].sequence if events else after
    return Told(events=_with_payloads(run_id, events), more=more, over=ended_with is not None and last >= ended_with)


def _ended_with(run_id: str) -> int | None:
    """The sequence of the last event of a run that has ended. None: it goes on."""
    run = Run.objects.only("status", "last_sequence").filter(pk=run_id).first()
    if run is None:
        return 0
    return run.last_sequence if run.has_ended else None


def _with_payloads(run_id: str, events: list[RunEvent]) -> list[tuple[RunEvent, dict[str, Any]]]:
    if not events:
        return []
    run = Run.objects.get(pk=run_id)
    steps = {step.key: step for step in run.steps.all()}
    ended = _waits_that_ended(events)
    return [
        (event, payload_of(event, run, steps) | ended.get((event.step_key, event.created_at), {})) for event in events
    ]


def _waits_that_ended(events: list[RunEvent]) -> dict[tuple[str, datetime], dict[str, str]]:
    """Which wait it was that ended, by its step and moment."""
    moments = [event.created_at for event in events if event.event_type in _ENDS_A_WAIT]
    if not moments:
        return {}
    waits = Wait.objects.filter(run=events[0].run_id, closed_at__in=moments)
    return {(wait.step_id.partition(":")[2], wait.closed_at): {"wait_id": wait.pk} for wait in waits if wait.closed_at}


def payload_of(event: RunEvent, run: Run, steps: Mapping[str, Step]) -> dict[str, Any]:
    """The event's payload (mobius-contract §8). Outputs and errors are read where they stand, not stored twice."""
    step = steps.get(event.step_key)
    payload = dict(event.payload)
    if step is not None:
        payload |= {"step": step.key, "kind": step.kind} | _action(event, run, step)
    match event.event_type:
        case "run.started":
            payload |= {"loop_id": run.loop_id, "loop_version_id": run.loop_version_id} | _firing(run)
        case "run.completed":
            payload["output"] = run.result
        case "run.failed":
            payload |= {"error": run.error_message, "error_type": run.error_type}
        case "step.retried":
            payload.setdefault("retry_scope", "step_policy")
        case "step.completed" | "action.completed" if step is not None:
            payload["output" if event.event_type == "step.completed" else "result"] = step.result
        case "wait.opened" if step is not None:
            payload |= _awaited(run, step)
        case "wait.resumed" if step is not None:
            payload["payload"] = step.result
        case "wait.timed_out" if step is not None:
            payload["reason"] = step.error_message
        case "step.failed" | "action.failed" if step is not None:
            payload |= {"error": step.error_message, "error_type": step.error_type}
        case "action.called" if step is not None:
            payload["parameters"] = step.inputs or {}
    # A run that was retried says nothing any more of how it failed before.
    return {name: value for name, value in payload.items() if value not in (None, "")}


def _firing(run: Run) -> dict[str, Any]:
    """What fired the trigger that started the run, and which trigger that was."""
    if not run.source_event_id:
        return {}
    return {"source_event_id": run.source_event_id, "trigger_id": run.source.get("trigger_id")}


def _awaited(run: Run, step: Step) -> dict[str, Any]:
    """What the step waits for."""
    config = spec_of(run.loop_version_id).steps[step.seq].config
    if not isinstance(config, WaitConfig):
        return {}
    return {"source_id": config.source_id, "match": config.match or None, "expires_at": timestamp(step.deadline_at)}


def _action(event: RunEvent, run: Run, step: Step) -> dict[str, str]:
    if not event.event_type.startswith("action."):
        return {}
    config = spec_of(run.loop_version_id).steps[step.seq].config
    return {"action": config.action_name} if isinstance(config, ActionConfig) else {}
