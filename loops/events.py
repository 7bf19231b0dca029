"""A run's log as it is told: what was written down, and what the run and its steps say themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loops.models import Run, RunEvent, Step


def payload_of(event: RunEvent, run: Run, steps: Mapping[str, Step]) -> dict[str, Any]:
    """The event's payload (mobius-contract §8). Outputs and errors are read where they stand, not stored twice."""
    step = steps.get(event.step_key)
    payload = dict(event.payload)
    if step is not None:
        payload |= {"step": step.key, "kind": step.kind}
    match event.event_type:
        case "run.started":
            payload |= {"loop_id": run.loop_id, "loop_version_id": run.loop_version_id}
        case "run.completed":
            payload["output"] = run.result
        case "run.failed":
            payload |= {"error": run.error_message, "error_type": run.error_type}
        case "step.completed" | "action.completed" if step is not None and step.result is not None:
            payload["output" if event.event_type == "step.completed" else "result"] = step.result
        case "step.failed" | "action.failed" if step is not None:
            payload |= {"error": step.error_message, "error_type": step.error_type}
        case "action.called" if step is not None:
            payload["parameters"] = step.inputs or {}
    return payload
