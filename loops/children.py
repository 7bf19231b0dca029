"""The step `loop`: it starts a run of another loop, and is done (mobius-contract §6.2)."""

from __future__ import annotations

from loops.expressions import Names, render_parameters
from loops.models import Step
from loops.spec import LoopConfig
from loops.turn import Turn


def start_child(turn: Turn, config: LoopConfig, step: Step, names: Names) -> None:
    """Start the child in the turn's transaction: it is there if and only if `step` is completed.

    Raises MobiusError when the loop is gone or cannot be started.
    """
    from loops.starting import Origin, Start, find_loop_in, start_run  # it begins runs, and so needs what plays steps

    run = turn.run
    start = Start(
        event=run.event if config.event is None else render_parameters(config.event, names),
        meta={},
        config={} if config.config is None else render_parameters(config.config, names),
        source={"type": "api", "id": run.pk, "label": f"step {step.key} of {run.pk}"},
        origin=Origin(parent=run, step_key=step.key, depth=run.depth + 1),
    )
    child = start_run(loop=find_loop_in(run.project_id, config.loop_id), start=start).run
    turn.complete_step(step, {"run_id": child.pk, "loop_id": child.loop_id})
