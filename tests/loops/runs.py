"""Making loops and runs for tests, and looking at what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from integrations.models import Attempt
from integrations.providers.clay.simulator import Behaviour
from loops.authoring import create_loop
from loops.models import Loop, Run, RunEvent, Step
from loops.starting import Start, start_run
from mobius.projects.models import Project
from tests.cast import work_off

JsonObject = dict[str, Any]

NO_ANSWER = Behaviour(reset=True)  # the row arrives, the answer does not
LOST = Behaviour(reset=True, keep_row=False)  # neither does
BROKEN = Behaviour(fail=500, keep_row=True)


def push(step_id: str = "push", /, **fields: Any) -> JsonObject:
    """A step that submits a row to Clay."""
    parameters = {"payload": {"email": "${{ event.email }}"}, "request_id": f"{step_id}-${{{{ meta.run_id }}}}"}
    config = {"action_name": "clay.webhook.submit", "parameters": parameters}
    return {"id": step_id, "kind": "action", "config": config} | fields


def wait(step_id: str = "wait", /, **fields: Any) -> JsonObject:
    """A step that waits for an event."""
    return {"id": step_id, "kind": "wait_for_event", "config": {"event_type": "clay.callback"}} | fields


def loop_of(project: Project, *steps: JsonObject, **fields: Any) -> Loop:
    authored = {"name": f"loop {Loop.objects.count()}", "schema_version": "1", "steps": list(steps)}
    return create_loop(project=project, authored=authored | fields)


def begin(loop: Loop, *, key: str = "") -> Run:
    event = {"email": "ada@example.com"}
    loop = Loop.objects.get(pk=loop.pk)
    start = Start(event=event, meta={}, config={}, source={}, idempotency_key=key)
    return start_run(loop=loop, start=start).run


def go(project: Project, *steps: JsonObject, **fields: Any) -> Run:
    """A run of a loop of these steps, taken as far as it goes."""
    run = begin(loop_of(project, *steps, **fields))
    work_off()
    return fresh(run)


def fresh(run: Run) -> Run:
    return Run.objects.select_related("loop").get(pk=run.pk)


def step_of(run: Run, key: str = "push") -> Step:
    return Step.objects.get(run=run, key=key)


def attempts_of(run: Run) -> list[Attempt]:
    return list(Attempt.objects.of_run(run.pk))


def log_of(run: Run) -> list[str]:
    return list(RunEvent.objects.filter(run=run).order_by("sequence").values_list("event_type", flat=True))


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.005)
