"""A run in exactly the contract's shape (mobius-contract §7.2): what `/v1` answers and what webhooks tell."""

from __future__ import annotations

from typing import Any

from loops.models import Run
from mobius.api.serializing import timestamp, without_nulls

_TEXTS = (
    *("name", "description", "stop_reason", "error_message", "error_type"),
    *("parent_run_id", "parent_loop_id", "parent_step_key"),
)


def run_json(run: Run) -> dict[str, Any]:
    """A LoopRun. Reads the run's loop and version, so load them with it."""
    shown: dict[str, Any] = {
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
    for name in _TEXTS:
        if text := getattr(run, name):
            shown[name] = text
    return without_nulls(shown)
