"""Loops, runs and steps in exactly the contract's shape: one extra key breaks Mobius's Python client."""

from __future__ import annotations

from typing import Any

from loops.awaiting import Overdue
from loops.models import Callback, Loop, Run, Step, StepStatus
from loops.spec import StepSpec
from loops.versions import spec_of
from mobius.api.serializing import timestamp, without_nulls

JsonObject = dict[str, Any]


def loop_json(loop: Loop) -> JsonObject:
    authored = dict(loop.current_version.spec) if loop.current_version else {}
    return authored | without_nulls(
        {
            "id": loop.pk,
            "name": loop.name,
            "status": loop.status,
            "last_run_at": timestamp(getattr(loop, "last_run_at", None)),
            "created_at": timestamp(loop.created_at),
            "updated_at": timestamp(loop.updated_at),
        }
    )


def run_json(run: Run) -> JsonObject:
    """A LoopRun (mobius-contract §7.2). Reads the run's loop and version, so load them with it."""
    shown: JsonObject = {
        "id": run.pk,
        "loop_id": run.loop_id,
        "loop_version_id": run.loop_version_id,
        "loop_version": run.loop_version.number,
        "loop_name": run.loop.name,
        "status": run.status,
        "attempt": run.attempt,
        "event": run.event,
        "meta": run.meta,
        "created_at": timestamp(run.created_at),
        "updated_at": timestamp(run.updated_at),
        "wake_at": timestamp(run.wake_at) if run.status == "suspended" else None,
        "wall_clock_deadline_at": timestamp(run.wall_clock_deadline_at),
        "started_at": timestamp(run.started_at),
        "completed_at": timestamp(run.completed_at),
        "result": run.result,
    }
    for name in ("config", "source"):
        if value := getattr(run, name):
            shown[name] = value
    if run.status == "queued" and run.queue_reason:
        shown["queue_reason"] = run.queue_reason
    for name in ("name", "description", "stop_reason", "error_message", "error_type"):
        if text := getattr(run, name):
            shown[name] = text
    return without_nulls(shown)


def steps_json(run: Run) -> list[JsonObject]:
    """Every step in the loop's order: those that have begun, then those that are still to come."""
    begun = {step.key: step for step in run.steps.all()}
    return [
        _step_json(begun[spec.key], spec) if spec.key in begun else _coming_json(run, spec)
        for spec in spec_of(run.loop_version_id).steps
    ]


def callback_json(callback: Callback) -> JsonObject:
    return {"id": callback.pk, "state": callback.state, "received_at": timestamp(callback.received_at)}


def overdue_json(overdue: Overdue) -> JsonObject:
    """Ours, not the contract's: it has no list of callbacks."""
    wait = overdue.wait
    return without_nulls(
        {
            "run_id": wait.run_id,
            "loop_id": wait.loop_id,
            "loop_name": wait.loop.name,
            "step_key": wait.step_id.partition(":")[2],
            "source_step_key": overdue.source_key,
            "waiting_since": timestamp(wait.created_at),
            "age_seconds": int(overdue.age.total_seconds()),
            "expected_at": timestamp(overdue.expected_at),
            "usual_seconds": None if overdue.usual is None else round(overdue.usual.total_seconds(), 3),
            "gives_up_at": timestamp(wait.expires_at),
        }
    )


def _step_json(step: Step, spec: StepSpec) -> JsonObject:
    shown: JsonObject = {
        "id": step.pk,
        "run_id": step.run_id,
        "step_key": step.key,
        "kind": step.kind,
        "status": step.status,
        "seq": step.seq,
        "attempt": step.attempt,
        "inputs": step.inputs,
        "parameters": getattr(spec.config, "parameters", None),
        "result": step.result,
        "created_at": timestamp(step.created_at),
        "updated_at": timestamp(step.updated_at),
    }
    for key, text in (("step_name", step.name), ("error_type", step.error_type), ("error_message", step.error_message)):
        if text:
            shown[key] = text
    # Nullable in the contract, and so present even when empty (mobius-contract §0.3).
    return without_nulls(shown) | {
        "started_at": timestamp(step.started_at),
        "completed_at": timestamp(step.completed_at),
    }


def _coming_json(run: Run, spec: StepSpec) -> JsonObject:
    shown: JsonObject = {
        "id": f"{run.pk}:{spec.key}",
        "run_id": run.pk,
        "step_key": spec.key,
        "kind": spec.kind.value,
        "status": (StepStatus.CANCELLED if run.has_ended else StepStatus.PENDING).value,
        "seq": spec.index,
        "attempt": 1,
        "created_at": timestamp(run.created_at),
        "updated_at": timestamp(run.created_at),
        "started_at": None,
        "completed_at": None,
    }
    return shown | ({"step_name": spec.name} if spec.name else {})
