"""Loops, runs and steps in exactly the contract's shape: one extra key breaks Mobius's Python client."""

from __future__ import annotations

from typing import Any

from integrations.api.serializing import usage_json
from loops.awaiting import Overdue
from loops.describing import run_json
from loops.models import Callback, Loop, Run, Step, StepStatus
from loops.queue import Queue
from loops.spec import StepKind, StepSpec, TriggerKind
from loops.spec.triggers import keys_of
from loops.versions import spec_of
from mobius.api.serializing import timestamp, without_nulls

JsonObject = dict[str, Any]

__all__ = ["callback_json", "loop_json", "overdue_json", "queue_json", "run_json", "steps_json"]


def loop_json(loop: Loop, *, handles: bool = False) -> JsonObject:
    """A Loop. With `handles` the secret addresses of its HTTP triggers are among it, else they are left out."""
    authored = dict(loop.current_version.spec) if loop.current_version else {}
    if authored.get("triggers"):
        authored["triggers"] = _triggers_json(loop, authored["triggers"], handles)
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


def _triggers_json(loop: Loop, authored: list[JsonObject], handles: bool) -> list[JsonObject]:
    given = {one.key: one.http_handle for one in loop.triggers.all()}
    return [
        _trigger_json(one, given.get(key, "") if handles else "")
        for key, one in zip(keys_of(authored), authored, strict=True)
    ]


def _trigger_json(authored: JsonObject, handle: str) -> JsonObject:
    if authored["kind"] != TriggerKind.HTTP:
        return authored
    # An empty config would fit two kinds of trigger (mobius-contract §6.1).
    plain = {name: value for name, value in authored.items() if name != "config"}
    return plain | ({"config": {"http_handle": handle}} if handle else {})


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
    if step.kind == StepKind.CHECK and isinstance(step.result, dict):
        shown |= {"verdict": step.result["verdict"], "verdict_detail": step.result}
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


def queue_json(queue: Queue) -> JsonObject:
    """Rows that wait, and what sending them takes."""
    return without_nulls(
        {
            "rows": queue.rows,
            "over_budget": queue.missing,
            "usage": usage_json(queue.usage) if queue.usage else None,
            "rate_per_second": queue.pace.rate_per_second if queue.pace else None,
            "seconds": round(queue.takes.total_seconds(), 1) if queue.takes is not None else None,
        }
    )
