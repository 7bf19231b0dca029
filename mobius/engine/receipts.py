"""What the Tasks API wants back for a task that was enqueued. A ring is a hint: nobody asks what became of it."""

from __future__ import annotations

from typing import Any

from django_tasks.base import Task, TaskResult, TaskResultStatus


def receipt(task: Task[..., Any], run_id: str, *, id: str, backend: str) -> TaskResult[Any]:
    return TaskResult(
        task=task,
        id=id,
        status=TaskResultStatus.READY,
        enqueued_at=None,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=[run_id],
        kwargs={},
        backend=backend,
        errors=[],
        worker_ids=[],
    )
