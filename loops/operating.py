"""What people and clients do to a run while it goes: cancel it, or say what it waits for (mobius-contract §7.3).

Each verb holds the run's row, writes its fact and bumps `revision`, never `claim`: a worker that has the run reads it
again (design §4, "Two guards").
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from loops.ending import hold_run
from loops.models import Run, RunStatus, Step, StepStatus, WaitState
from loops.spec import StepKind
from loops.stopping import note, operators_turn, stop
from mobius import clock
from mobius.engine.doorbell import ring
from mobius.errors import BadRequest, NotFound
from mobius.projects.auditing import Actor


class NotWaiting(BadRequest):
    """This step does not wait for an event now, so there is nothing to signal."""


def cancel(run: Run, *, by: Actor, reason: str = "") -> Run:
    """End the run at once, whatever it is doing. A run that has ended already stays as it is.

    A row on the wire is not called back: it may arrive, and its delivery says so.
    """
    with transaction.atomic():
        held = hold_run(run)
        if not held.has_ended:
            stop(held, stop_reason="cancelled", reason=reason, now=clock.now())
            note(by, "cancel", held, reason)
    return held


def signal(run: Run, *, step_key: str, result: dict[str, Any], by: Actor) -> Run:
    """`result` becomes the output of the step `step_key`, which waits for an event, and the run goes on.

    Raises NotFound for a step that the loop does not have, and NotWaiting.
    """
    with transaction.atomic():
        held = hold_run(run)
        turn = operators_turn(held, now=clock.now())
        if step_key not in turn.spec.step_keys:
            raise NotFound(f"The run has no step named {step_key}.")
        step = turn.steps.get(step_key)
        _demand_waiting(held, step)
        assert step is not None
        turn.close_wait(step, WaitState.RESUMED)
        turn.complete_step(step, result)
        turn.suspend_run(wake_at=turn.now)
        turn.save()
        note(by, "signal", held, f"step {step_key}")
        ring(held.pk)
    return held


def _demand_waiting(run: Run, step: Step | None) -> None:
    if run.has_ended:
        raise NotWaiting(f"The run has ended: it is {run.status}.")
    if step is None:
        raise NotWaiting("The run has not come to this step yet.")
    if step.kind != StepKind.WAIT_FOR_EVENT:
        raise NotWaiting(f"Only a step that waits for an event can be signalled; this one is of kind {step.kind}.")
    if step.status != StepStatus.SUSPENDED or run.status != RunStatus.SUSPENDED:
        raise NotWaiting(f"The step does not wait any more: it is {step.status}.")
