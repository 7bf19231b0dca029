"""What became of a row, written down and read again."""

from __future__ import annotations

from datetime import datetime

from django.db.models import F

from integrations import connecting, ledger, pacing, succession
from integrations.choosing import Chosen
from integrations.judging import Delivery
from integrations.models import (
    Attempt,
    AttemptQuerySet,
    AttemptState,
    Integration,
    IntegrationStatus,
    Webhook,
    WebhookState,
)
from integrations.parcels import Parcel, Sending
from integrations.providers.contract import Exchange, Failure, JsonObject
from integrations.providers.registry import all_actions
from mobius.engine.gathering import read_again
from mobius.prepared import Rows, Select, Update
from mobius.projects.auditing import SYSTEM

_REFUSALS_UNTIL_PAUSED = 3
_MOST_ROWS = 100
_lost = Rows(lambda: Attempt.objects.sending().outside_runs().values_list("pk")[:1])  # asked at every sweep
_doubtful = Select(lambda run, step: Attempt.objects.of_step(run, step).in_doubt())
_rows_sent_as = Select(
    lambda project, request_id: Attempt.objects.arrived(project, request_id).order_by("-id")[:_MOST_ROWS]
)
_write_outcome = Update(
    Attempt,
    writes=["state", "status_code", "response", "failure", "error_message", "latency_ms", "finished_at"],
    where=["id", "state"],
)


def settles_itself_alone(sending: Sending, delivery: Delivery) -> bool:
    """Does the outcome concern nothing but its own attempt and unit? That of nearly every row does."""
    return delivery.state == AttemptState.ACCEPTED and sending.parcel.order.number == 1


def record(sending: Sending, exchange: Exchange, delivery: Delivery, *, now: datetime) -> None:
    """Write the outcome down, whatever became of the run meanwhile. In the caller's transaction.

    A definite outcome also settles an attempt that was found silent and put in doubt before.
    """
    parcel = sending.parcel
    outcome = {
        "state": delivery.state,
        "status_code": exchange.status,
        "response": exchange.body.decode(errors="replace").replace("\x00", "\ufffd"),
        "failure": exchange.failure or "",
        "error_message": delivery.error_message,
        "latency_ms": exchange.latency_ms,
        "finished_at": now,
    }
    on_the_wire = {"id": parcel.attempt_id, "state": AttemptState.SENDING}
    if settles_itself_alone(sending, delivery) and _write_outcome.later(outcome, on_the_wire):
        pacing.use_unit(parcel.chosen.webhook.pk, now=now)
        return
    was_in_flight = bool(_write_outcome(outcome, on_the_wire))
    settles = not was_in_flight and delivery.state != AttemptState.IN_DOUBT
    if settles:
        settles = bool(_write_outcome(outcome, {"id": parcel.attempt_id, "state": AttemptState.IN_DOUBT}))
    if not (was_in_flight or settles):
        return
    # In the lock order: pacer, webhook, ledger.
    if delivery.status == 429:
        pacing.hold(parcel.chosen.integration.pacer_id, until=now.timestamp() + delivery.retry_after_seconds)
    _return_unit(parcel, delivery, now, was_in_flight=was_in_flight)
    taken_over = delivery.at_limit and succession.take_over(parcel.chosen.webhook.pk)
    if delivery.speaks_of_the_webhook and parcel.goes_as_stored and not taken_over:
        _flag(parcel.chosen, delivery)
    if parcel.order.number > 1:
        _settle_earlier(parcel, delivery, now)
    if not delivery.state.holds_a_unit:
        ledger.free(parcel.attempt_id)


def _settle_earlier(parcel: Parcel, delivery: Delivery, now: datetime) -> None:
    """What this outcome says of earlier attempts in doubt, after which the row was sent again.

    Only a table that deduplicates allows that: when it takes the row now, the row is there once. When it does not,
    the doubt remains, and with it the row's place in the ledger.
    """
    order = parcel.order
    if delivery.state == AttemptState.ACCEPTED:
        sentence = f"Sent again as attempt {order.number}; the table tells by the request_id that it is one row."
        _settle_doubts(order.run_id, order.step_id, sentence, now)
    elif not delivery.state.holds_a_unit:
        doubtful = Attempt.objects.of_step(order.run_id, order.step_id).in_doubt().values_list("pk", flat=True).last()
        if doubtful is not None:
            ledger.hand_over(parcel.attempt_id, doubtful)


def is_on_the_wire(attempt_id: str) -> bool:
    """Is the attempt written down, and nothing yet of what became of it?"""
    return Attempt.objects.sending().filter(pk=attempt_id).exists()


def doubt_the_silent(*, now: datetime, run_id: str = "") -> list[Attempt]:
    """Put every attempt still `sending`, or those of one run, in doubt: the sender is dead, the row may have arrived.

    For all of them only when no earlier worker can be alive (design §4: the lock on the data directory proves it), for
    a run's only when its worker has been silent for too long.
    """
    sending = Attempt.objects.of_run(run_id).sending() if run_id else Attempt.objects.sending()
    return _doubt(sending, now)


def doubt_the_lost(*, before: datetime, now: datetime) -> list[Attempt]:
    """Put attempts outside runs in doubt that were begun so long ago that their sender would have answered by now."""
    return _doubt(Attempt.objects.sending().outside_runs().filter(created_at__lt=before), now) if _lost() else []


def _doubt(sending: AttemptQuerySet, now: datetime) -> list[Attempt]:
    silent = list(sending.without_bodies())
    for attempt in silent:
        changed = Attempt.objects.filter(pk=attempt.pk, state=AttemptState.SENDING).update(
            state=AttemptState.IN_DOUBT,
            failure=Failure.CRASHED,
            error_message="This console stopped while the row was on its way: it may or may not have arrived. "
            "Look for the row in Clay before you send it again.",
            finished_at=now,
        )
        if changed:
            Webhook.objects.filter(pk=attempt.webhook_id).update(in_flight=F("in_flight") - 1, used=F("used") + 1)
    return silent


def prove_arrival(run_id: str, step_id: str, *, now: datetime) -> bool:
    """A callback came for this step's row, so the row is there. True when that settled a doubt about it."""
    return _settle_doubts(run_id, step_id, "Settled by a callback: the row arrived.", now)


def _settle_doubts(run_id: str, step_id: str, sentence: str, now: datetime) -> bool:
    """The row of this step exists: its attempts in doubt were accepted. They keep their units."""
    settled = False
    for attempt in _doubtful(run_id, step_id):
        changed = Attempt.objects.in_doubt().filter(pk=attempt.pk)
        if changed.update(state=AttemptState.ACCEPTED, error_message=sentence, finished_at=now):
            pacing.settle_unit(
                attempt.webhook_id, was_in_flight=False, counts=True, accepted=True, refuses=False, now=now
            )
            settled = True
    return settled


def goes_to_successor(sending: Sending, delivery: Delivery) -> bool:
    """Does the row, refused because the webhook is full, go once more, to the webhook that takes over?"""
    return delivery.at_limit and succession.follows(sending.parcel.chosen.webhook.pk)


def last_attempt(run_id: str, step_id: str) -> Attempt | None:
    return Attempt.objects.of_step(run_id, step_id).last()


def request_id_of(run_id: str, step_id: str) -> str:
    """Under which `request_id` this step's row went out last; "" when it had none, or did not go out."""
    return Attempt.objects.of_step(run_id, step_id).values_list("request_id", flat=True).last() or ""


def rows_sent_as(project_id: str, request_id: str) -> list[Attempt]:
    """The attempts of runs whose row exists, or may exist, under this `request_id`; oldest first.

    The latest hundred at most: a `request_id` that more rows share tells none of them from the others.
    """
    return _rows_sent_as(project_id, request_id)[::-1]


def deduplicated(attempt: Attempt) -> bool:
    """Does the table tell a repeated row by its `request_id`, so that this one may be sent again without harm?"""
    return bool(attempt.request_id and attempt.integration and attempt.integration.deduplicates)


def output_of(attempt: Attempt) -> JsonObject:
    """The action's output for an accepted attempt, from what was recorded."""
    _, action = all_actions()[attempt.action]
    # A doubt that was settled may carry the 5xx that caused it; the row is there all the same.
    status = attempt.status_code if attempt.status_code and attempt.status_code < 300 else None
    was = Exchange(request_began=True, status=status, body=attempt.response.encode())
    return action.output(was, attempt.request_id)


def proven_output(sending: Sending) -> JsonObject:
    """The output for a row that got no answer but whose callback is here already."""
    parcel = sending.parcel
    return parcel.chosen.action.output(Exchange(request_began=True), parcel.row.request_id)


def _return_unit(parcel: Parcel, delivery: Delivery, now: datetime, *, was_in_flight: bool) -> None:
    """Move the unit from `in_flight` to `used`, or free it."""
    accepted = delivery.state == AttemptState.ACCEPTED
    pacing.settle_unit(
        parcel.chosen.webhook.pk,
        was_in_flight=was_in_flight,
        counts=delivery.state.holds_a_unit,
        accepted=accepted,
        refuses=delivery.refuses_the_webhook and parcel.goes_as_stored,
        now=now,
    )


def _flag(chosen: Chosen, delivery: Delivery) -> None:
    """Say on the integration what is wrong; pause it when it is wrong for every row.

    What a staged webhook answers to a test, or a retired one to the last rows on their way, is not wrong for any row.
    """
    webhook = Webhook.objects.only("state", "refusals_in_a_row").get(pk=chosen.webhook.pk)
    if webhook.state != WebhookState.CURRENT:
        return
    changes: dict[str, object] = {"attention": delivery.error_message[:500]}
    if delivery.at_limit or webhook.refusals_in_a_row >= _REFUSALS_UNTIL_PAUSED:
        changes["status"] = IntegrationStatus.INACTIVE
    active = Integration.objects.filter(pk=chosen.integration.pk, status=IntegrationStatus.ACTIVE)
    if active.update(**changes) and "status" in changes:
        read_again()
        paused = Integration.objects.get(pk=chosen.integration.pk)
        connecting.note(SYSTEM, "pause", paused, reason=paused.attention)
