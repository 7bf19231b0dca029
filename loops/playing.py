"""Playing one turn of a run: steps are decided in memory until a row must go out, or the run rests or ends.

The only module that executes steps.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from integrations import delivering
from integrations.delivering import Parcel, Sending
from loops import machine
from loops.acting import Sent, prepare_row, record_outcome, reserve_row, take_outcome
from loops.checking import check
from loops.children import start_child
from loops.expressions import ExpressionError, Names, evaluate, render_parameters, truthy
from loops.models import Run, RunStatus, Step, StepStatus, SuspendedFor
from loops.spec import ActionConfig, CheckConfig, LoopConfig, SleepConfig, StepSpec, WaitConfig
from loops.turn import Turn
from loops.waiting import wait_for_event
from mobius.errors import MobiusError


def play_turn(turn: Turn, sent: Sent | None, go_on: Callable[[], bool]) -> Sending | None:
    """Decide and write one turn, in the caller's transaction. Gives the row that is to go out next, if any.

    Raises Overtaken, and then nothing may be committed.
    """
    if turn.run.status != RunStatus.RUNNING:
        turn.take()
    if sent is not None and sent.withheld:
        turn.suspend_run(wake_at=turn.now)  # for a worker that may send
    elif sent is not None:
        take_outcome(turn, sent)
    if _out_of_time(turn):
        turn.run_out_of_time()
    parcel = _decide(turn, go_on)
    # The loop before the run, and the run before the attempt, as everybody does.
    if parcel is None:
        if sent is not None and not sent.is_plain:
            turn.lock()  # what it settles at once is locked after the run
        else:
            turn.lock_loop()
        turn.save()
        if sent is not None:
            record_outcome(sent, now=turn.now)
        return None
    if sent is not None or turn.is_counted:
        turn.lock()
    if sent is not None:
        delivering.lock_pacer(parcel)
        record_outcome(sent, now=turn.now)
    sending = reserve_row(turn, parcel)
    turn.save()
    return sending


def _out_of_time(turn: Turn) -> bool:
    deadline = turn.run.wall_clock_deadline_at
    return turn.goes_on and deadline is not None and deadline <= turn.now


def _decide(turn: Turn, go_on: Callable[[], bool]) -> Parcel | None:
    """Play steps until a row must go out, or the run rests or ends."""
    while turn.goes_on:
        spec = machine.next_step(turn.spec, {key: StepStatus(step.status) for key, step in turn.steps.items()})
        if spec is None:
            _complete(turn)
            return None
        if not go_on():  # we are closing: the next start takes the run from here, and it keeps its place
            turn.suspend_run(wake_at=turn.now, waits_for=turn.run.waits_for, waits_at=turn.run.waits_at)
            return None
        try:
            parcel = _play(turn, spec)
        except MobiusError as error:
            turn.fail_step(turn.begin_step(spec), error_type=error.code, error_message=error.message)
            return None
        if parcel is not None:
            return parcel
    return None


def _play(turn: Turn, spec: StepSpec) -> Parcel | None:
    names = names_for(turn)
    if spec.condition and spec.key not in turn.steps and not truthy(evaluate(spec.condition, names)):
        turn.skip_step(spec)
        return None
    known = turn.steps.get(spec.key)
    waited_for = known.error_type if known is not None and known.status == StepStatus.SUSPENDED else None
    step = turn.begin_step(spec)
    match spec.config:
        case ActionConfig() as config:
            return prepare_row(turn, spec, config, step, names, waited_for)
        case SleepConfig() as config:
            _sleep(turn, config, step)
        case WaitConfig() as config:
            wait_for_event(turn, spec, config, step, names)
        case LoopConfig() as config:
            start_child(turn, config, step, names)
        case CheckConfig() as config:
            check(turn, config, step, names)
    return None


def _complete(turn: Turn) -> None:
    """The run's result: what the loop's `output` says, or else the outputs of its steps."""
    try:
        output = turn.spec.output
        turn.complete_run(render_parameters(output, names_for(turn)) if output is not None else turn.outputs)
    except ExpressionError as error:
        turn.fail_run(stop_reason="step_failed", error_type=error.code, error_message=f"output: {error.message}")


def _sleep(turn: Turn, config: SleepConfig, step: Step) -> None:
    until = config.until or step.created_at + (config.duration or timedelta())
    in_time = step.deadline_at is None or until <= step.deadline_at
    # Both may have passed while nobody was at work: what came first decides.
    if until <= turn.now and in_time:
        turn.complete_step(step, {})
    elif turn.is_out_of_time(step):
        turn.time_out_step(step)
    else:
        turn.suspend_step(step, SuspendedFor.SLEEPING, wake_at=until)


def names_for(turn: Turn) -> Names:
    """What the expressions of this run can read."""
    run, spec = turn.run, turn.spec
    return Names(
        event=spec.filled_event(run.event),
        meta=meta_of(run),
        config=spec.filled_config(run.config),
        steps=turn.outputs,
        step_order=spec.step_keys,
    )


def meta_of(run: Run) -> dict[str, Any]:
    """What the expressions of this run read as `meta`."""
    given: dict[str, Any] = run.meta
    return given | {"run_id": run.pk, "loop_id": run.loop_id, "source": run.source, "trigger": _trigger_of(run)}


def _trigger_of(run: Run) -> str:
    """What kind of trigger started the run. (A caller's own `meta.trigger` says nothing about that.)"""
    return str(run.meta.get("trigger")) if run.source_event_id else "manual"
