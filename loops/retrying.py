"""Retry and resume: a failed run goes on from its checkpoint (mobius-contract §7.3).

What is done is not done again. A step that failed is done once more, unless its row turns out to have been accepted;
while nobody knows whether the row arrived, nothing is sent.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from integrations import delivering
from integrations.models import Attempt, AttemptState
from loops.admitting import admit
from loops.ending import hold_run
from loops.models import RING_AGAIN_AFTER, LoopStatus, Run, RunStatus, Step, StepStatus
from loops.pushing.releasing import take_up
from loops.spec import StepKind
from loops.stopping import note, operators_turn
from loops.turn import Turn
from mobius import clock
from mobius.engine.doorbell import ring
from mobius.errors import Conflict, InvalidFields
from mobius.projects.auditing import Actor

LONGEST_EXTENSION = timedelta(days=366)
"""So much more wall-clock time may a run be given at once."""


class CannotGoOn(Conflict):
    """This run cannot go on."""


class DeliveryInDoubt(Conflict):
    """Nobody knows whether the row of the failed step arrived: settle its delivery first."""

    code = "delivery_in_doubt"


def retry(run: Run, *, by: Actor, reason: str = "", extend: timedelta | None = None) -> Run:
    """Let a failed run go on from its checkpoint. `extend` gives it more wall-clock time.

    Raises CannotGoOn, DeliveryInDoubt naming the delivery, InvalidFields when the run's time is used up and `extend`
    gives none, and LoopBusy under the policy skip.
    """
    return _go_on(run, "retry", by, reason, extend)


def resume(run: Run, *, by: Actor, reason: str = "", extend: timedelta | None = None) -> Run:
    """Like `retry`, and called so in the log and the audit."""
    return _go_on(run, "resume", by, reason, extend)


def _go_on(run: Run, deed: str, by: Actor, reason: str, extend: timedelta | None) -> Run:
    with transaction.atomic():
        take_up(run)  # a push is held before its runs
        held = hold_run(run)
        if refusal := why_not(held):
            raise CannotGoOn(refusal)
        turn = operators_turn(held, now=clock.now())
        deadline = _deadline(held, extend, turn.now)
        turn.revive_run()
        held.attempt += 1
        held.wall_clock_deadline_at, held.ring_due_at = deadline, turn.now + RING_AGAIN_AFTER
        steps = [step for step in turn.steps.values() if step.status == StepStatus.FAILED]
        payload = {"reason": reason, "recovery_action": deed, "attempt": held.attempt}
        turn.log("run.resumed", steps[-1] if steps else None, **payload)
        for step in steps:
            _take_up(turn, step, deed)
        held.queue_reason, held.governed = "", False
        if turn.spec.is_governed:
            admit(held, turn.spec)
        _write(turn, steps)
        note(by, deed, held, reason)
        if not held.queue_reason:
            ring(held.pk)
    return held


def why_not(run: Run) -> str:
    """Why the run cannot be retried, whatever its deliveries say; "" when it can. Reads the run's loop."""
    if run.status != RunStatus.FAILED:
        return f"Only a run that has failed can go on; this one is {run.status}."
    if run.purged_at is not None:
        return "What the run was given is purged: start a new run."
    if run.loop.status == LoopStatus.DELETED:
        return "The run's loop is deleted."
    if run.loop.current_version_id != run.loop_version_id:
        return "The loop has a newer version than this run: start a new run."
    return ""


def is_out_of_time(run: Run) -> bool:
    """Has a run that ended used up its wall-clock time? Then it goes on only with more of it."""
    return _time_left(run) == timedelta()


def _take_up(turn: Turn, step: Step, deed: str) -> None:
    """The failed step is to be done again, or turns out to have been done."""
    attempts = list(Attempt.objects.of_run(turn.run.pk).filter(step_id=step.pk).without_bodies())
    accepted = [attempt for attempt in attempts if attempt.state == AttemptState.ACCEPTED]
    if accepted:
        turn.complete_step(step, delivering.output_of(accepted[-1]))
        return
    for attempt in attempts:
        _demand_known(attempt)
    turn.reopen_step(step)
    timeout = turn.spec.steps[step.seq].timeout
    step.deadline_at = turn.now + timeout if timeout else None
    step.started_at = turn.now
    if step.kind == StepKind.ACTION and attempts:
        step.attempts_before = step.attempt
        step.attempt += 1
    turn.log("step.retried", step, attempt=step.attempt, retry_scope="run_recovery", recovery_action=deed)


def _demand_known(attempt: Attempt) -> None:
    details = {"delivery_id": attempt.pk, "state": attempt.state}
    if attempt.state == AttemptState.SENDING:
        raise DeliveryInDoubt(f"The row of delivery {attempt.pk} is still on its way; try again soon.", details=details)
    if attempt.state == AttemptState.IN_DOUBT:
        sentence = f"Nobody knows whether the row of delivery {attempt.pk} arrived. Settle that delivery first."
        raise DeliveryInDoubt(sentence, details=details)


def _deadline(run: Run, extend: timedelta | None, now: datetime) -> datetime | None:
    """What was left when the run ended, and `extend`, is left now."""
    before = _time_left(run)
    if before is None:
        return None
    left = before + (extend or timedelta())
    if not left:
        sentence = "The run has used up its time; say by how many seconds more it may take."
        raise InvalidFields({"wall_clock_extend_seconds": [sentence]})
    return now + left


def _time_left(run: Run) -> timedelta | None:
    """Of its wall clock, which stands still since the run ended. None: it may take as long as it likes."""
    if run.wall_clock_deadline_at is None or run.completed_at is None:
        return None
    return max(run.wall_clock_deadline_at - run.completed_at, timedelta())


def _write(turn: Turn, steps: list[Step]) -> None:
    turn.save()
    run = turn.run
    # What a worker's turn never changes, and so does not write.
    run.save(update_fields=["attempt", "wall_clock_deadline_at", "queue_reason", "governed"])
    for step in steps:
        step.save(update_fields=["deadline_at", "started_at", "attempts_before"])
