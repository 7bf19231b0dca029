"""Loops and runs in a few words, for tests that take them as far as they go."""

from __future__ import annotations

from typing import Any

from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops.authoring import create_loop
from loops.models import Loop, Run, Step
from loops.starting import Start, start_run
from mobius.projects.models import Project
from tests.cast import work_off

JsonObject = dict[str, Any]

NO_ANSWER = Behaviour(reset=True)
"""The row arrives, its answer does not."""
LOST = Behaviour(reset=True, keep_row=False)
"""Neither does the row."""
BROKEN = Behaviour(fail=500, keep_row=True)
"""The row arrives, and is answered with an error."""

NAP: JsonObject = {"id": "nap", "kind": "sleep", "config": {"duration": "0s"}}
"""A step that is done at once."""
FAILS: JsonObject = {
    "id": "no",
    "kind": "check",
    "config": {"checks": [{"name": "never", "kind": "expr", "expr": "false"}]},
}
"""A step that fails its run at once."""


def push(step_id: str = "push", /, *, row: JsonObject | None = None, **fields: Any) -> JsonObject:
    """A step that submits a row to Clay."""
    parameters = row or {"payload": {"email": "${{ event.email }}"}, "request_id": "${{ meta.run_id }}"}
    config = {"action_name": "clay.webhook.submit", "parameters": parameters}
    return {"id": step_id, "kind": "action", "config": config} | fields


def asking(step_id: str = "push", /, **fields: Any) -> JsonObject:
    """A step that submits a row and gives Clay the address for its answer."""
    row = {
        "payload": {"email": "${{ event.email }}"},
        "request_id": "${{ event.request_id ?? meta.run_id }}",
        "callback_url": "${{ callback.url }}",
    }
    return push(step_id, row=row, **fields)


def waiting(step_id: str = "answer", /, *, config: JsonObject | None = None, **fields: Any) -> JsonObject:
    """A step that waits for Clay's callback."""
    wanted = {"event_type": "clay.callback"} | (config or {})
    return {"id": step_id, "kind": "wait_for_event", "config": wanted} | fields


def sleeping(step_id: str = "nap", /, **fields: Any) -> JsonObject:
    config = {name: fields.pop(name) for name in ("duration", "until") if name in fields}
    return {"id": step_id, "kind": "sleep", "config": config} | fields


def loop_of(project: Project, *steps: JsonObject, **fields: Any) -> Loop:
    authored = {"name": f"loop {Loop.objects.count()}", "schema_version": "1", "steps": list(steps)}
    return create_loop(project=project, authored=authored | fields)


def begin(loop: Loop, *, key: str = "", **event: Any) -> Run:
    """A run that has been started, with the loop as it is stored now, and not been worked on."""
    given = {"email": "ada@example.com"} | event
    start = Start(event=given, meta={}, config={}, source={}, idempotency_key=key)
    return start_run(loop=Loop.objects.get(pk=loop.pk), start=start).run


def go(project: Project, *steps: JsonObject, event: JsonObject | None = None, **fields: Any) -> Run:
    """A run of a loop of these steps, taken as far as it goes."""
    run = begin(loop_of(project, *steps, **fields), **(event or {}))
    work_off()
    return fresh(run)


def fresh(run: Run) -> Run:
    return Run.objects.select_related("loop").get(pk=run.pk)


def step_of(run: Run, key: str = "push") -> Step:
    return Step.objects.get(run=run, key=key)


def token_of(clay: ClaySimulator, index: int = -1) -> str:
    """The token of the callback address that a row took to Clay."""
    return str(clay.rows[index].body["callback_url"]).rpartition("/")[2]
