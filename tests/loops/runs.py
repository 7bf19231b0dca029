"""Steps under the names that tests of a person's verbs use, and what is written down about a run."""

from __future__ import annotations

from typing import Any

from integrations.models import Attempt
from loops.models import BulkDeed, BulkJob, BulkState, Run, RunEvent
from mobius import clock
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from tests.loops import flow
from tests.loops.flow import JsonObject


def push(step_id: str = "push", /, **fields: Any) -> JsonObject:
    """A step that submits a row to Clay, under a request_id of its own."""
    row = {"payload": {"email": "${{ event.email }}"}, "request_id": f"{step_id}-${{{{ meta.run_id }}}}"}
    return flow.push(step_id, row=row, **fields)


def wait(step_id: str = "wait", /, **fields: Any) -> JsonObject:
    """A step that waits for an event."""
    return flow.waiting(step_id, **fields)


def attempts_of(run: Run) -> list[Attempt]:
    return list(Attempt.objects.of_run(run.pk))


def log_of(run: Run) -> list[str]:
    return list(RunEvent.objects.filter(run=run).order_by("sequence").values_list("event_type", flat=True))


def bulk_job_of(project: Project) -> BulkJob:
    """A bulk job that has ended."""
    now = clock.now()
    return BulkJob.objects.create(
        project=project,
        deed=BulkDeed.RETRY,
        state=BulkState.COMPLETED,
        total=1,
        done=1,
        asked_at=now,
        created_at=now,
        ended_at=now,
        actor_kind=SYSTEM.kind,
        actor_name=SYSTEM.name,
    )
