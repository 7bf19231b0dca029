"""What became of a row, written down and read again."""

from __future__ import annotations

from datetime import datetime

from django.db.models import F

from integrations import ledger, pacing
from integrations.choosing import Chosen
from integrations.judging import Delivery, unsuccessful
from integrations.models import Attempt, AttemptQuerySet, AttemptState, Integration, IntegrationStatus, Webhook
from integrations.parcels import Sending
from integrations.providers.contract import Exchange, Failure, JsonObject
from integrations.providers.registry import all_actions
from mobius.prepared import Update

_REFUSALS_UNTIL_PAUSED = 3
_write_outcome = Update(
    Attempt,
    writes=["state", "status_code", "response", "failure", "error_message", "latency_ms", "finished_at"],
    where=["id", "state"],
)


def record(sending: Sending, exchange: Exchange, delivery: Delivery, *, now: datetime) -> bool:
    """Write the outcome down, whatever became of the run meanwhile. In the caller's transaction.

    A definite outcome also settles an attempt that was found silent and put in doubt before; True when it did.
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
    settles = False
    if not _write_outcome(outcome, {"id": parcel.attempt_id, "state": AttemptState.SENDING}):
        doubt = {"id": parcel.attempt_id, "state": AttemptState.IN_DOUBT}
        settles = delivery.state != AttemptState.IN_DOUBT and bool(_write_outcome(outcome, doubt))
        if not settles:
            return False
    if delivery.status == 429:  # before the webhook: everybody locks a pacer first
        pacing.hold(parcel.chosen.integration.pacer_id, until=now.timestamp() + delivery.retry_after_seconds)
    _return_unit(parcel.chosen.webhook.pk, delivery, now, was_in_flight=not settles)
    if not delivery.state.holds_a_unit:
        ledger.free(parcel.attempt_id)
    if delivery.refuses_the_webhook:
        _flag(parcel.chosen, delivery)
    return settles


def doubt_the_silent(*, now: datetime, run_id: str = "") -> list[Attempt]:
    """Put every attempt still `sending`, or those of one run, in doubt: the sender is dead, the row may have arrived.

    For all of them only when no earlier worker can be alive (design §4: the lock on the data directory proves it), for
    a run's only when its worker has been silent for too long.
    """
    sending = Attempt.objects.of_run(run_id).sending() if run_id else Attempt.objects.sending()
    return _doubt(sending, now)


def doubt_the_lost(*, before: datetime, now: datetime) -> None:
    """Put attempts outside runs in doubt that were begun so long ago that their sender would have answered by now."""
    _doubt(Attempt.objects.sending().outside_runs().filter(created_at__lt=before), now)


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


def prove_arrival(run_id: str, step_id: str, *, now: datetime) -> None:
    """A callback came for this step's row, so the row is there: a doubt about it is settled."""
    Attempt.objects.of_run(run_id).filter(step_id=step_id).in_doubt().update(
        state=AttemptState.ACCEPTED, error_message="Settled by a callback: the row arrived.", finished_at=now
    )


def last_attempt(run_id: str, step_id: str) -> Attempt | None:
    return Attempt.objects.of_run(run_id).filter(step_id=step_id).last()


def rows_sent_as(project_id: str, request_id: str) -> list[Attempt]:
    """The attempts of runs whose row exists, or may exist, under this `request_id`; oldest first."""
    return list(Attempt.objects.arrived(project_id, request_id).without_bodies())


def delivery_of(attempt: Attempt) -> Delivery:
    """The definite outcome of an attempt that made no row, from what was recorded."""
    return unsuccessful(AttemptState(attempt.state), attempt.status_code, attempt.error_message)


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


def _return_unit(webhook_id: str, delivery: Delivery, now: datetime, *, was_in_flight: bool) -> None:
    """Move the unit from `in_flight` to `used`, or free it."""
    accepted = delivery.state == AttemptState.ACCEPTED
    pacing.settle_unit(
        webhook_id,
        was_in_flight=was_in_flight,
        counts=delivery.state.holds_a_unit,
        accepted=accepted,
        refuses=delivery.refuses_the_webhook,
        now=now,
    )


def _flag(chosen: Chosen, delivery: Delivery) -> None:
    """Say on the integration what is wrong; pause it when it is wrong for every row."""
    changes: dict[str, object] = {"attention": delivery.error_message[:500]}
    refusals = Webhook.objects.values_list("refusals_in_a_row", flat=True).get(pk=chosen.webhook.pk)
    if delivery.at_limit or refusals >= _REFUSALS_UNTIL_PAUSED:
        changes["status"] = IntegrationStatus.INACTIVE
    Integration.objects.filter(pk=chosen.integration.pk, status=IntegrationStatus.ACTIVE).update(**changes)
