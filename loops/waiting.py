"""The step `wait_for_event`: it is over when the callback is there, or when its time is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loops.expressions import Names, evaluate_each, render_parameters, uses_callback_url
from loops.matching import look_through
from loops.models import Callback, CallbackState, Step, SuspendedFor, Wait, WaitState
from loops.spec import ActionConfig, StepKind, StepSpec, WaitConfig
from loops.triggers.hearing import CALLBACK_EVENT
from loops.turn import Turn


def wait_for_event(turn: Turn, spec: StepSpec, config: WaitConfig, step: Step, names: Names) -> None:
    """Complete `step` with the callback that came, fail it when its time has passed, else let the run rest."""
    key = source_of(turn.spec.steps, spec, config)
    source = f"{turn.run.pk}:{key}" if key else ""
    if source and (callback := _first_that_fits(turn, config, step, source, names)) is not None:
        turn.use_callback(callback, step)
        turn.complete_step(step, _output(config, callback, names))
        return
    if turn.is_out_of_time(step):
        turn.close_wait(step, WaitState.TIMED_OUT)
        turn.fail_step(
            step,
            error_type="wait_timed_out",
            error_message=f"No {config.event_type} arrived within the step's timeout.",
        )
        return
    if not turn.is_waiting(step):
        turn.open_wait(
            step,
            Wait(
                run_id=turn.run.pk,
                loop_id=turn.run.loop_id,
                step_id=step.pk,
                event_type=config.event_type,
                source_step_id=source,
                expires_at=step.deadline_at,
                created_at=turn.now,
            ),
        )
    turn.suspend_step(step, SuspendedFor.SLEEPING, wake_at=None)


def _first_that_fits(turn: Turn, config: WaitConfig, step: Step, source: str, names: Names) -> Callback | None:
    """The callback that ends the wait. What becomes of the others is written with the turn."""
    looked = look_through(source, render_parameters(config.match, names), waiting=step, taken=turn.taken_callbacks)
    turn.sort_callbacks(looked.unmatched, CallbackState.UNMATCHED)
    turn.sort_callbacks(looked.updates, CallbackState.UPDATE)
    return looked.found


def source_of(steps: Sequence[StepSpec], spec: StepSpec, config: WaitConfig) -> str:
    """The key of the step whose callback is awaited: the named one, else the nearest earlier one that gave its
    callback's address away, else the nearest earlier action. "" when only a signal can end the wait."""
    if config.event_type != CALLBACK_EVENT:
        return ""
    if config.source_id:
        return config.source_id
    earlier = [step for step in reversed(steps[: spec.index]) if step.kind == StepKind.ACTION]
    giving = [
        step for step in earlier if isinstance(step.config, ActionConfig) and uses_callback_url(step.config.parameters)
    ]
    nearest = (giving or earlier)[:1]
    return nearest[0].key if nearest else ""


def _output(config: WaitConfig, callback: Callback, names: Names) -> Any:
    if config.payload_mapping is None:
        return callback.body
    seen = Names(event=callback.body, meta=names.meta)
    return evaluate_each(config.payload_mapping, seen)
