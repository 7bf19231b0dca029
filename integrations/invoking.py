"""Calling an action by itself, outside any run (mobius-contract §5.3): one row, now, and what became of it.

It goes out like any other row: reserved at the workspace's pace and within the webhook's budget, sent once, recorded.
The row is sent by a thread of its own, which carries on when the caller has waited for as long as he wanted; at most 8
are under way in a process.
"""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from django.db import connections, transaction

from integrations import delivering
from integrations.delivering import AlreadyAccepted, Delivery, NotNow, Order, Sending, SubmissionLimitReached
from integrations.models import Attempt, AttemptKind, AttemptState
from integrations.providers.contract import Exchange, Failure, JsonObject
from integrations.providers.errors import ActionInputInvalid
from mobius import clock
from mobius.atonce import WAITING_CALLS
from mobius.engine.trouble import written_at_last
from mobius.errors import Conflict, RateLimitExceeded, ServiceUnavailable
from mobius.projects import auditing
from mobius.projects.auditing import Actor
from mobius.projects.models import Project

logger = logging.getLogger(__name__)

DEED = "action.invoke"  # in the audit, with the delivery as its object
_ASK_AGAIN_SECONDS = 0.1
_RECORD_WITHIN_SECONDS = 60.0
_THREAD = "invoke "
_closing = threading.Event()


class CallStatus(enum.StrEnum):
    """Mobius's words."""

    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Called:
    """What became of a call, as far as the caller waited."""

    status: CallStatus
    attempt_id: str = ""  # "": nothing was sent
    output: JsonObject = field(default_factory=dict)
    error: str = ""


def invoke(project: Project, action: str, parameters: JsonObject, *, timeout_seconds: float, by: Actor) -> Called:
    """Send one row with `action`, and wait for its outcome for at most so long.

    A row in doubt has failed, and is never sent again. Raises NotFound for an unknown action, ActionInputInvalid,
    NotConnected, SubmissionLimitReached, Conflict when the integration is paused, SecretUnreadable, and
    RateLimitExceeded when the pace left no slot in time or too many calls are under way; then nothing was sent.
    """
    until = time.monotonic() + timeout_seconds
    leave = WAITING_CALLS.enter()
    try:
        answer = _reserve(_order(project, action, parameters), until, by)
        if isinstance(answer, Called):
            leave()
            return answer
        outcome = _begin(answer, leave)
    except BaseException:
        leave()
        raise
    try:
        return outcome.result(timeout=max(until - time.monotonic(), 0))
    except TimeoutError:
        return Called(status=CallStatus.ACTIVE, attempt_id=answer.parcel.attempt_id)


def close() -> None:
    """This process stops: calls that still wait for a slot send nothing any more."""
    _closing.set()


def wait(*, patience_seconds: float) -> bool:
    """Wait for the calls whose row is on its way. False when one had not ended in time."""
    deadline = time.monotonic() + patience_seconds
    calls = [thread for thread in threading.enumerate() if thread.name.startswith(_THREAD)]
    for thread in calls:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in calls)


def _order(project: Project, action: str, parameters: JsonObject) -> Order:
    """`integration`, which chooses among several, is never sent. Raises ActionInputInvalid when it is no text."""
    sent = dict(parameters)
    integration = sent.pop("integration", None)
    if integration is not None and not isinstance(integration, str):
        raise ActionInputInvalid("integration must be text: the name or the id of the one that the row goes to.")
    return Order(
        project_id=project.pk,
        action=action,
        parameters=sent,
        integration=integration or "",
        kind=AttemptKind.INVOKE,
    )


# --- may it go? -------------------------------------------------------------------------------------------------------


def _reserve(order: Order, until: float, by: Actor) -> Sending | Called:
    """The row reserved, or what can be said without sending it. Raises what `invoke` does."""
    while True:
        answer = _ask(order, by)
        match answer:
            case Sending():
                return answer
            case AlreadyAccepted(delivery=delivery):
                return Called(status=CallStatus.COMPLETED, output=delivery.output)
        if not _may_pass(answer):
            return _refuse(answer)
        if time.monotonic() >= until:
            raise RateLimitExceeded(f"{answer.message} No slot came in time, so nothing was sent: try again.")
        if _closing.wait(_ASK_AGAIN_SECONDS):
            raise ServiceUnavailable("This console is being stopped. Nothing was sent: try again in a moment.")


def _ask(order: Order, by: Actor) -> Sending | NotNow | AlreadyAccepted:
    parcel = delivering.prepare(order)
    with transaction.atomic():
        answer = delivering.reserve(parcel, now=clock.now())
        if isinstance(answer, Sending):
            auditing.record(
                by,
                DEED,
                project_id=order.project_id,
                kind="delivery",
                id=answer.parcel.attempt_id,
                name=order.action,
            )
    return answer


def _may_pass(answer: NotNow) -> bool:
    """Is it worth asking again in a moment?"""
    if answer.reason == "same_row":  # as long as the other one is on its way
        return Attempt.objects.sending().filter(pk=answer.waits_for).exists()
    return answer.reason == "paced" or answer.wake_at is not None


def _refuse(answer: NotNow) -> Called:
    if answer.reason == "integration_paused":
        raise Conflict("The integration is paused, so nothing was sent. Resume it first.")
    if answer.reason == "at_limit":
        raise SubmissionLimitReached
    return Called(status=CallStatus.FAILED, error=f"{answer.message} Nothing was sent by this call.")


# --- on its way -------------------------------------------------------------------------------------------------------


def _begin(sending: Sending, leave: Callable[[], None]) -> Future[Called]:
    outcome: Future[Called] = Future()

    def work() -> None:
        try:
            called = _carry_out(sending)
        except Exception as error:
            logger.exception("the call %s could not be carried out", sending.parcel.attempt_id)
            _end(leave)
            outcome.set_exception(error)
        else:
            _end(leave)
            outcome.set_result(called)

    # No daemon: the interpreter waits for it, so that an orderly end of the process leaves no doubt.
    threading.Thread(target=work, name=f"{_THREAD}{sending.parcel.attempt_id}").start()
    return outcome


def _end(leave: Callable[[], None]) -> None:
    connections.close_all()
    leave()


def _carry_out(sending: Sending) -> Called:
    """Send, record, and send once more to the successor that takes over when the webhook turns out to be full."""
    exchange, delivery = _send(sending)
    _record(sending, exchange, delivery)
    if delivering.goes_to_successor(sending, delivery):
        again = _reserve_again(sending.parcel.order)
        if again is not None:
            return _carry_out(again)
    return _told(sending, delivery)


def _send(sending: Sending) -> tuple[Exchange, Delivery]:
    exchange = Exchange(request_began=True, failure=Failure.CRASHED)  # what we know, should `send` itself break
    try:
        exchange = delivering.send(sending)
        return exchange, delivering.weigh(sending, exchange)
    except Exception:
        logger.exception("the outcome of attempt %s could not be explained", sending.parcel.attempt_id)
        return exchange, delivering.unexplained(exchange)


def _record(sending: Sending, exchange: Exchange, delivery: Delivery) -> None:
    """Write the outcome down, also when the database is in trouble for a while."""

    @transaction.atomic
    def write() -> None:
        delivering.record(sending, exchange, delivery, now=clock.now())

    give_up_at = time.monotonic() + _RECORD_WITHIN_SECONDS
    written_at_last(write, lambda: time.monotonic() < give_up_at)


def _reserve_again(order: Order) -> Sending | None:
    with transaction.atomic():
        answer = delivering.reserve(delivering.prepare(order), now=clock.now())
    return answer if isinstance(answer, Sending) else None


def _told(sending: Sending, delivery: Delivery) -> Called:
    attempt_id = sending.parcel.attempt_id
    if delivery.state == AttemptState.ACCEPTED:
        return Called(status=CallStatus.COMPLETED, attempt_id=attempt_id, output=delivery.output)
    error = delivery.error_message
    if delivery.state == AttemptState.IN_DOUBT:
        error = f"The row is in doubt: it may or may not have arrived, and is not sent again. {error}"
    return Called(status=CallStatus.FAILED, attempt_id=attempt_id, error=error)
