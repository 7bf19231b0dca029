"""The step `action`: its row is prepared, reserved when the turn is written, and its outcome moves the step on."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from integrations import delivering
from integrations.delivering import AlreadyAccepted, NotNow, Order, Parcel, Sending
from integrations.judging import Delivery
from integrations.models import AttemptState
from integrations.providers.contract import Exchange, Failure
from loops import callbacks, machine
from loops.expressions import Names, render_parameters, uses_callback_url
from loops.models import Run, Step, SuspendedFor
from loops.spec import ActionConfig, StepSpec
from loops.turn import Turn
from mobius.errors import MobiusError


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A row that was on the wire, and what came of it."""

    sending: Sending
    exchange: Exchange
    delivery: Delivery
    withheld: bool = False  # this worker had no right to send any more: nothing left, and nothing went wrong


def prepare_row(
    turn: Turn, spec: StepSpec, config: ActionConfig, step: Step, names: Names, waited_for: str | None
) -> Parcel | None:
    """Render and check the row. It is reserved when the turn is written."""
    if waited_for == SuspendedFor.DELIVERY_IN_DOUBT and not _settled(turn, spec, step):
        return None
    if waited_for == SuspendedFor.RETRYING:
        step.attempt += 1
        turn.log("step.retried", step, attempt=step.attempt, max_attempts=spec.retry.max_attempts)
    parameters = render_parameters(config.parameters, names)
    step.inputs = parameters
    address = callbacks.give_address(step) if uses_callback_url(config.parameters) else ""
    turn.touch_step(step)
    integration = parameters.pop("integration", "")
    return delivering.prepare(
        Order(
            project_id=turn.run.project_id,
            action=config.action_name,
            parameters=parameters,
            integration=integration if isinstance(integration, str) else "",
            run_id=turn.run.pk,
            step_id=step.pk,
            number=step.attempt,
            callback_url=address,
            timeout_seconds=_seconds_left(step, turn.now),
        )
    )


def _settled(turn: Turn, spec: StepSpec, step: Step) -> bool:
    """True when the doubt about the last attempt ended with "send again"; else the step is put where it belongs."""
    attempt = delivering.last_attempt(turn.run.pk, step.pk)
    if attempt is None or attempt.state == AttemptState.ABANDONED or attempt.failure == Failure.WITHHELD:
        return True
    if attempt.state == AttemptState.ACCEPTED:
        turn.complete_step(step, delivering.output_of(attempt))
    elif attempt.is_open:
        turn.suspend_step(step, SuspendedFor.DELIVERY_IN_DOUBT, message=attempt.error_message, wake_at=None)
    else:  # the late answer of a sender that was given up
        _move_on(turn, spec, step, delivering.delivery_of(attempt))
    return False


def _seconds_left(step: Step, now: datetime) -> float:
    if step.deadline_at is None:
        return delivering.SEND_SECONDS
    return max((step.deadline_at - now).total_seconds(), 0.1)


def reserve_row(turn: Turn, parcel: Parcel) -> Sending | None:
    """Take slot, unit and ledger entry for the row, in the transaction that writes the turn."""
    step = turn.step(parcel.order.step_id)
    try:
        answer = _behind_others(turn.run, parcel) or delivering.reserve(parcel, now=turn.now)
    except MobiusError as error:
        turn.fail_step(step, error_type=error.code, error_message=error.message)
        return None
    match answer:
        case NotNow():
            turn.put_off(step, answer)
        case AlreadyAccepted(delivery=delivery):
            turn.complete_step(step, delivery.output)
        case Sending(warnings=warnings):
            turn.leave_queue()
            for warning in warnings:
                turn.log("warning", step, message=warning)
            turn.log("action.called", step, attempt=step.attempt)
            return answer
    return None


def _behind_others(run: Run, parcel: Parcel) -> NotNow | None:
    """Rows leave in the order in which they asked: whoever comes new waits behind those who wait already."""
    pacer = delivering.pacer_of(parcel)
    if pacer and run.waits_for != pacer and Run.objects.waiting_for(pacer).exists():
        return delivering.paced(pacer)
    return None


def take_outcome(turn: Turn, sent: Sent) -> None:
    """Move the step on by what became of its row."""
    step, delivery = turn.step(sent.sending.parcel.order.step_id), sent.delivery
    status = {"status_code": delivery.status} if delivery.status is not None else {}
    turn.log("action.completed" if delivery.state == AttemptState.ACCEPTED else "action.failed", step, **status)
    spec = turn.spec.steps[step.seq]
    if delivery.state == AttemptState.IN_DOUBT and not delivery.answered and callbacks.has_come_for(step.pk):
        turn.complete_step(step, delivering.proven_output(sent.sending))  # it overtook the answer: the row arrived
        return
    _move_on(turn, spec, step, delivery)


def _move_on(turn: Turn, spec: StepSpec, step: Step, delivery: Delivery) -> None:
    chance = secrets.randbelow(1000) / 1000
    match machine.after_delivery(delivery, retry=spec.retry, attempts=step.attempt, chance=chance):
        case machine.Completes(output=output):
            turn.complete_step(step, output)
        case machine.Fails(error_type=error_type, error_message=message):
            turn.fail_step(step, error_type=error_type, error_message=message)
        case machine.Waits(reason=reason, message=message, after_seconds=seconds):
            wake_at = None if seconds is None else turn.now + timedelta(seconds=seconds)
            turn.suspend_step(step, reason, message=message, wake_at=wake_at)
