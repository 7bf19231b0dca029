"""A person says whether a row in doubt arrived, and its run goes on, sends it again, or fails."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from integrations.models import Attempt
from integrations.settling import Decision, settle_attempt
from loops.ending import hold_run
from loops.models import Run, RunStatus, Step, StepStatus, SuspendedFor
from loops.retrying import why_not
from loops.stopping import operators_turn
from mobius import clock
from mobius.engine.doorbell import ring
from mobius.errors import Conflict, InvalidFields
from mobius.projects import auditing
from mobius.projects.auditing import Actor


class NothingToSend(Conflict):
    """Nothing would send this row again: say whether it arrived, or give it up."""


def settle(attempt: Attempt, decision: Decision, *, reason: str, by: Actor) -> Attempt:
    """End the doubt about a delivery, with a reason for those who come after.

    A run that waits for it goes on at once. A run that has failed stays so: the decision says what a retry of it may
    do. Raises InvalidFields without a reason, NothingToSend, and NotInDoubt when it was settled already.
    """
    if not reason.strip():
        raise InvalidFields({"reason": ["Say how you know, such as “Looked into the table”."]})
    with transaction.atomic():
        now = clock.now()
        run = _run_of(attempt)
        settled = settle_attempt(attempt, decision, by=by.name, reason=reason.strip(), now=now)
        if decision == Decision.SEND_AGAIN and (refusal := why_not_again(run)):
            raise NothingToSend(f"{refusal} So nothing would send the row again: say that it arrived, or give it up.")
        if run is not None:
            _move_on(run, settled, decision, reason.strip(), now)
        auditing.record(
            by,
            f"delivery.{decision}",
            project_id=attempt.project_id,
            kind="delivery",
            id=attempt.pk,
            name=attempt.request_id,
            reason=reason.strip(),
        )
    return settled


def why_not_again(run: Run | None) -> str:
    """Why "send again" would send nothing; "" when it would, or would let a retry do it. Reads the run's loop."""
    if run is None:
        return "The row belongs to no run."
    return why_not(run) if run.has_ended else ""


def _run_of(attempt: Attempt) -> Run | None:
    run = Run.objects.filter(pk=attempt.run_id).first() if attempt.run_id else None
    return hold_run(run) if run else None


def _move_on(run: Run, attempt: Attempt, decision: Decision, reason: str, now: datetime) -> None:
    """Take the run on, if it waits for just this row."""
    turn = operators_turn(run, now=now)
    step = turn.steps.get(attempt.step_id.partition(":")[2])
    if run.status != RunStatus.SUSPENDED or step is None or not _waits_for(step, attempt):
        return
    if decision == Decision.GIVE_UP:
        message = f"The row was in doubt, and somebody gave it up: {reason}"
        turn.fail_step(step, error_type="delivery_abandoned", error_message=message)
    else:
        turn.suspend_run(wake_at=now)  # a worker reads how the doubt ended
        ring(run.pk)
    turn.save()


def _waits_for(step: Step, attempt: Attempt) -> bool:
    in_doubt = step.status == StepStatus.SUSPENDED and step.error_type == SuspendedFor.DELIVERY_IN_DOUBT
    return in_doubt and attempt.number == step.attempt
