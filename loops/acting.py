"""The step `action`: its row is prepared, reserved when the turn is written, and its outcome moves the step on."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from integrations import delivering, judging
from integrations.delivering import AlreadyAccepted, NotNow, Order, Parcel, Sending, WrongKey
from integrations.judging import Delivery
from integrations.models import AttemptState
from integrations.providers.contract import Exchange, Failure
from loops import callbacks, machine
from loops.callback_addresses import give_address
from loops.expressions import Names, render_parameters, uses_callback_url
from loops.models import Run, RunStatus, Step, SuspendedFor
from loops.spec import ActionConfig, StepSpec
from loops.turn import Turn
from mobius import clock
from mobius.engine.doorbell import ring
from mobius.engine.trouble import written_at_last
from mobius.errors import MobiusError

_LOOKS_FOR_THE_KEY_EVERY = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A row that was on the wire, and what came of it."""

    sending: Sending
    exchange: Exchange
    delivery: Delivery
    withheld: bool = False  # this worker had no right to send any more: nothing left, and nothing went wrong

    @property
    def is_plain(self) -> bool:
        """Does it settle nothing but its own attempt?"""
        return delivering.settles_itself_alone(self.sending, self.delivery)


def prepare_row(
    turn: Turn, spec: StepSpec, config: ActionConfig, step: Step, names: Names, waited_for: str | None
) -> Parcel | None:
    """Render and check the row. It is reserved when the turn is written."""
    sent_before = waited_for in (SuspendedFor.RETRYING, SuspendedFor.DELIVERY_IN_DOUBT)
    if sent_before and not _may_send_again(turn, spec, step):
        return None
    if turn.is_out_of_time(step):
        turn.time_out_step(step)
        return None
    if sent_before:
        step.attempt += 1
        turn.log("step.retried", step, attempt=step.attempt, max_attempts=spec.retry.max_attempts)
    parameters = render_parameters(config.parameters, names)
    step.inputs = parameters
    address = give_address(step) if uses_callback_url(config.parameters) else ""
    turn.touch_step(step)
    integration = parameters.pop("integration", "")
    order = Order(
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
    try:
        return delivering.prepare(order)
    except WrongKey as error:
        # The secrets were rotated while this process went on with its old keys: the row waits until it is restarted.
        reason = SuspendedFor.RETRYING if sent_before else SuspendedFor.INTEGRATION_PAUSED
        turn.suspend_step(step, reason, message=error.message, wake_at=turn.now + _LOOKS_FOR_THE_KEY_EVERY)
        return None


def _may_send_again(turn: Turn, spec: StepSpec, step: Step) -> bool:
    """Does what is known by now of the last attempt leave room for another one? Else the step goes where it says."""
    attempt = delivering.last_attempt(turn.run.pk, step.pk)
    if attempt is None or attempt.state == AttemptState.ABANDONED:  # a person said: send it again
        return True
    if attempt.failure == Failure.WITHHELD:  # its sender had lost the right to send: nobody has tried yet
        return True
    tries_left = step.tries < spec.retry.max_attempts
    if attempt.state == AttemptState.ACCEPTED:
        turn.complete_step(step, delivering.output_of(attempt))
        return False
    if not attempt.is_open:  # a definite no, perhaps a late one that ended a doubt
        if tries_left and (attempt.state == AttemptState.NOT_SENT or attempt.status_code == 429):
            return True
        error_type = judging.error_type(AttemptState(attempt.state), attempt.status_code)
        turn.fail_step(step, error_type=error_type, error_message=attempt.error_message)
        return False
    if turn.is_out_of_time(step) or (tries_left and delivering.deduplicated(attempt)):
        return True
    turn.suspend_step(step, SuspendedFor.DELIVERY_IN_DOUBT, message=attempt.error_message, wake_at=None)
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
            in_queue = answer.reason != SuspendedFor.DELIVERY_IN_DOUBT  # that one waits for a person, not for room
            turn.put_off(step, answer, waits_at=parcel.chosen.integration.pk if in_queue else "")
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
    pacer, integration = delivering.pacer_of(parcel), parcel.chosen.integration
    if not pacer or not integration.usable or run.waits_at == integration.pk:
        return None
    # Rows of an integration that was paused still stand there until the sweep has moved them to the pacer.
    if Run.objects.waiting_for(pacer).exists() or Run.objects.waiting_for(integration.pk).exists():
        return delivering.paced(pacer)
    return None


def take_outcome(turn: Turn, sent: Sent) -> None:
    """Move the step on by what became of its row."""
    step, delivery = turn.step(sent.sending.parcel.order.step_id), sent.delivery
    status = {"status_code": delivery.status} if delivery.status is not None else {}
    turn.log("action.completed" if delivery.state == AttemptState.ACCEPTED else "action.failed", step, **status)
    spec = turn.spec.steps[step.seq]
    chance = secrets.randbelow(1000) / 1000
    if delivering.goes_to_successor(sent.sending, delivery):
        step.attempt += 1
        turn.touch_step(step)
        turn.log("step.retried", step, attempt=step.attempt, message="The webhook is full; its successor gets the row.")
        return
    deduplicated = sent.sending.parcel.deduplicated
    match machine.after_delivery(
        delivery, retry=spec.retry, attempts=step.tries, chance=chance, deduplicated=deduplicated
    ):
        case machine.Completes(output=output):
            turn.complete_step(step, output)
        case machine.Fails(error_type=error_type, error_message=message):
            turn.fail_step(step, error_type=error_type, error_message=message)
        case machine.Waits(reason=reason, message=message, after_seconds=seconds):
            in_doubt = delivery.state == AttemptState.IN_DOUBT
            if in_doubt and callbacks.has_come_for(step.pk):  # it overtook the answer that never came: the row arrived
                turn.complete_step(step, delivering.proven_output(sent.sending))
                return
            wake_at = None if seconds is None else turn.now + timedelta(seconds=seconds)
            turn.suspend_step(step, reason, message=message, wake_at=wake_at)


def record_outcome(sent: Sent, *, now: datetime) -> None:
    """Write down what came of the row, in the caller's transaction. A callback may have overtaken it: no doubt then."""
    order = sent.sending.parcel.order
    delivering.record(sent.sending, sent.exchange, sent.delivery, now=now)
    if sent.delivery.state == AttemptState.IN_DOUBT and callbacks.has_come_for(order.step_id):
        delivering.prove_arrival(order.run_id, order.step_id, now=now)


def record_alone(sent: Sent, go_on: Callable[[], bool]) -> None:
    """The run was cancelled, or taken from us, while the row was on the wire: its outcome is written all the same.

    When it cannot be, and `go_on` says that we are closing, the next start finds the attempt and puts it in doubt.
    """
    written_at_last(lambda: _record_and_wake(sent), go_on)


@transaction.atomic
def _record_and_wake(sent: Sent) -> None:
    now, order = clock.now(), sent.sending.parcel.order
    # Before what the row holds.
    Run.objects.select_for_update(no_key=True).filter(pk=order.run_id).values_list("pk").first()
    record_outcome(sent, now=now)
    _wake_from_doubt(order.run_id, order.step_id, now=now)


def _wake_from_doubt(run_id: str, step_id: str, *, now: datetime) -> None:
    """The sender of a row in doubt has written an outcome after all: the step that waits for that looks again."""
    waiting = Q(status=RunStatus.SUSPENDED, steps__pk=step_id, steps__error_type=SuspendedFor.DELIVERY_IN_DOUBT)
    if Run.objects.filter(waiting, pk=run_id).update(wake_at=now, ring_due_at=now, revision=F("revision") + 1):
        ring(run_id)
