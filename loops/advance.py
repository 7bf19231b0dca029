"""Taking a run as far as it goes. The only module that executes steps.

A worker reads the run, decides in memory (`loops.turn`), and writes in one transaction. Only then, with no transaction
open, does a row go out; what became of it is written in the next transaction, which also begins the next step.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Q

from integrations import delivering
from integrations.delivering import Parcel, Sending
from integrations.providers.contract import Exchange, Failure
from loops import machine
from loops.acting import Sent, prepare_row, record_alone, record_outcome, reserve_row, take_outcome
from loops.changes import Overtaken
from loops.checking import check
from loops.children import start_child
from loops.expressions import ExpressionError, Names, evaluate, render_parameters, truthy
from loops.models import Run, RunStatus, Step, StepStatus, SuspendedFor
from loops.spec import ActionConfig, CheckConfig, LoopConfig, SleepConfig, StepSpec, WaitConfig
from loops.turn import Turn
from loops.versions import spec_of
from loops.waiting import wait_for_event
from mobius import clock
from mobius.engine import embedded, liveness
from mobius.engine.crowd import together, wait_no_more, was_in_the_way
from mobius.engine.doorbell import Work
from mobius.engine.gathering import gathering
from mobius.engine.trouble import is_passing, wait_a_moment
from mobius.errors import MobiusError
from mobius.prepared import Select

logger = logging.getLogger(__name__)


def advance(run_id: str, go_on: Callable[[], bool] = lambda: True) -> None:
    """Take the run if it is ready, and carry it on until it ends, rests, or `go_on` says that we are closing.

    Does nothing for a run that is not ready, or that another worker takes first.
    """
    _carry_on(run_id, None, None, go_on)


def begin(run: Run) -> bool:
    """Insert `run` with its first turn played, if a worker of this process is free to carry it on.

    It is handed over when the transaction commits: one commit and one change of threads less until its row leaves.
    False: nothing was done. Raises IntegrityError when the run's idempotency key is taken.
    """
    place = embedded.keep_place()
    if place is None:
        return False
    turn = Turn(_copy(run), spec_of(run.loop_version_id), {}, now=clock.now(), new=True)
    sending = _play_turn(turn, None, lambda: True)
    if sending is not None or turn.goes_on:
        embedded.hand_over(place, run.pk, partial(_carry_on, run.pk, turn, sending))
    return True


def pass_on(run: Run) -> bool:
    """Let a worker of this process take `run`, which the caller inserts: as it is, without reading it again.

    False: it is to be rung, for there is none, or too much waits already.
    """
    return embedded.pass_on(run.pk, partial(_carry_on, run.pk, None, None, fresh=_copy(run)))


def begin_all(run_ids: list[str], go_on: Callable[[], bool]) -> dict[str, Work]:
    """Take those of the runs that are ready and play the next turn of each, in one transaction; what is then left to
    do for each. When that fails, each is to be advanced by itself, and it shows whose fault it was."""
    try:
        played = together(partial(_play_next_turns, run_ids, go_on), working=True, light=True)
    except Exception:
        return {run_id: partial(advance, run_id) for run_id in run_ids}
    return {
        run_id: partial(_carry_on, run_id, turn, sending)
        for run_id, (turn, sending) in played.items()
        if sending is not None or turn.goes_on
    }


def _play_next_turns(run_ids: list[str], go_on: Callable[[], bool]) -> dict[str, tuple[Turn, Sending | None]]:
    played: dict[str, tuple[Turn, Sending | None]] = {}
    ready = {run.pk: run for run in _by_id.of_any(run_ids) if _is_ready(run)}
    steps: defaultdict[str, dict[str, Step]] = defaultdict(dict)
    for step in _steps_of.of_any([run.pk for run in ready.values() if run.started_at]):
        steps[step.run_id][step.key] = step
    with gathering():
        for run_id in run_ids:  # in the order in which they were rung
            if (run := ready.get(run_id)) is None:
                continue
            if len(played) == 1:
                wait_no_more()
            turn = Turn(run, spec_of(run.loop_version_id), steps[run_id], now=clock.now())
            played[run_id] = turn, _play_turn(turn, None, go_on)
    return played


def _copy(run: Run) -> Run:
    """For the worker, who changes it while the caller still shows his own."""
    copied = Run.__new__(Run)
    copied.__dict__.update(run.__dict__)
    return copied


def _carry_on(
    run_id: str, turn: Turn | None, sending: Sending | None, go_on: Callable[[], bool], *, fresh: Run | None = None
) -> None:
    """Go on from `turn`, which was written, with the row that is to go out after it; without one, take the run: it is
    `fresh`, or else it is read."""
    claim = turn.run.claim if turn is not None else None  # ours, once the first turn is written
    sent = _send(sending, liveness.Permit(turn.run.worker)) if turn is not None and sending is not None else None
    alone = False
    while True:
        try:
            next_turn = partial(_play_next_turn, run_id, turn, claim, sent, go_on, fresh)
            fresh = None  # whatever comes of it, it is written or read from now on
            turn, sending = together(next_turn, working=True, light=True, alone=alone)
            alone = False
        except Overtaken:
            if claim is None:
                return  # taken by another worker, or changed by somebody who rings again
            turn = None
            continue
        except Exception as error:
            if is_passing(error):
                turn = None  # what came of the row is kept here until it can be written
                if was_in_the_way(error) and not alone:
                    alone = True
                    continue
                if claim is None or not go_on():
                    raise  # nothing of ours is lost: the database holds the run as it was
                logger.warning("run %s cannot be written just now; trying again: %s", run_id, error)
                wait_a_moment()
                continue
            # A fault of ours. What went over the wire is written all the same, and the run does not hang.
            _give_up(run_id, claim, sent, go_on)
            raise
        if turn is None:
            break
        claim, sent = turn.run.claim, None
        if sending is not None:
            sent = _send(sending, liveness.Permit(turn.run.worker))
        elif not turn.goes_on:
            return
    if sent is not None:
        record_alone(sent, go_on)


_by_id = Select(lambda run: Run.objects.filter(pk=run))
_steps_of = Select(lambda run: Step.objects.filter(run=run))


def _ready(run_id: str) -> Run | None:
    run = _by_id.first(run_id)
    return run if run is not None and _is_ready(run) else None


def _is_ready(run: Run) -> bool:
    if run.status == RunStatus.QUEUED:
        return not run.queue_reason
    return run.status == RunStatus.SUSPENDED and run.wake_at is not None and run.wake_at <= clock.now()


def _play_next_turn(
    run_id: str,
    before: Turn | None,
    claim: int | None,
    sent: Sent | None,
    go_on: Callable[[], bool],
    fresh: Run | None = None,
) -> tuple[Turn | None, Sending | None]:
    """The turn just played, and the row that is to go out next, if any. No turn: the run is not ours to go on with.

    What `before` left behind is what the database holds, as long as nobody overtakes us; else the run is read.
    """
    if before is not None:
        run, steps = before.run, before.steps
    else:
        found = fresh or (_ready(run_id) if claim is None else _ours(run_id, claim))
        if found is None:
            return None, None
        run, steps = found, {step.key: step for step in _steps_of(run_id)} if found.started_at else {}
    turn = Turn(run, spec_of(run.loop_version_id), steps, now=clock.now())
    return turn, _play_turn(turn, sent, go_on)


def _ours(run_id: str, claim: int) -> Run | None:
    """The run, while this worker holds it and it has not ended."""
    return Run.objects.filter(pk=run_id, claim=claim, status=RunStatus.RUNNING).first()


def _play_turn(turn: Turn, sent: Sent | None, go_on: Callable[[], bool]) -> Sending | None:
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
        turn.lock_loop()
        turn.save()  # from here on the run is held
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


def _send(sending: Sending, permit: liveness.Permit) -> Sent:
    """Send the row. A fault of ours or of the provider's own code must not lose what came of it."""
    exchange = Exchange(request_began=True, failure=Failure.CRASHED)  # what we know, should `send` itself break
    try:
        exchange = delivering.send(sending, may_begin=permit)
        delivery = delivering.weigh(sending, exchange)
    except Exception:
        logger.exception("the outcome of attempt %s could not be explained", sending.parcel.attempt_id)
        delivery = delivering.unexplained(exchange)
    return Sent(sending=sending, exchange=exchange, delivery=delivery, withheld=permit.refused)


def _give_up(run_id: str, claim: int | None, sent: Sent | None, go_on: Callable[[], bool]) -> None:
    if sent is not None:
        record_alone(sent, go_on)
    # Without a claim the run was not ours yet; if it is running now, it is another worker's.
    ours = Q(claim=claim) if claim is not None else ~Q(status=RunStatus.RUNNING)
    run = Run.objects.filter(ours, pk=run_id).active().first()
    if run is None:
        return
    turn = Turn(run, spec_of(run.loop_version_id), {step.key: step for step in _steps_of(run_id)}, now=clock.now())
    turn.fail_as_a_whole(
        stop_reason="step_failed",
        error_type="internal_error",
        error_message="This console met a fault of its own; its log has the details.",
    )
    try:
        with transaction.atomic():
            turn.lock_loop()
            turn.save()
    except Overtaken:  # a callback came in between
        _give_up(run_id, claim, None, go_on)


def _out_of_time(turn: Turn) -> bool:
    deadline = turn.run.wall_clock_deadline_at
    return turn.goes_on and deadline is not None and deadline <= turn.now


# --- one step after the other -----------------------------------------------------------------------------------------


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
