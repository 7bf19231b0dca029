"""The rows that wait to go out through one integration: how many, what sending them takes, moving and discarding them.

A row keeps its place whatever it waits for. The rows of a paused integration stand aside, so that they are not in the
way of others who share its pacer; when it is resumed they go back to their places in that line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from integrations.models import Integration, Webhook
from integrations.pacing import Pace, pace_of
from integrations.usage import Usage, usage_of
from loops.announcing import announce
from loops.ending import let_next_in, lock_loop
from loops.listeners import anybody_listens
from loops.models import Run, RunEvent, RunStatus, Step, StepStatus, SuspendedFor, Wait, WaitState
from mobius import clock
from mobius.projects import auditing
from mobius.projects.auditing import Actor

BATCH = 500
"""Runs in one transaction: short enough for a row that wants to go out meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The rows that wait at an integration, and what sending them would take."""

    rows: int
    usage: Usage | None  # of the webhook that they would go to; None when there is none
    pace: Pace | None  # None: unpaced

    @property
    def missing(self) -> int:
        """How many of the rows the webhook cannot take any more."""
        left = self.usage.left if self.usage else 0
        return 0 if left is None else max(self.rows - left, 0)

    @property
    def takes(self) -> timedelta | None:
        """How long sending all of them takes at the pace, once it is their turn. None when nothing paces them."""
        if self.pace is None:
            return None
        return timedelta(seconds=max(self.rows - self.pace.burst, 0) * self.pace.interval_seconds)


def queue_of(integration: Integration) -> Queue:
    return sending(Run.objects.queue_at(integration.pk).count(), integration)


def sending(rows: int, integration: Integration) -> Queue:
    """What sending so many rows through `integration` would take."""
    webhook = Webhook.objects.current_of(integration)
    return Queue(
        rows=rows,
        usage=usage_of(webhook, now=clock.now()) if webhook else None,
        pace=pace_of(integration.pacer),
    )


def discard(integration: Integration, *, by: Actor) -> int:
    """Cancel every run whose row waits at `integration`: those rows are never sent. Returns how many there were.

    Rows that come while this goes on stay. What is on its way, or in doubt, does not wait and is left alone.
    """
    now, last, discarded = clock.now(), "", 0
    reason = f"{by.name} discarded the rows that waited at {integration.name}; this row was not sent."
    while batch := _waiting(integration, until=now, after=last):
        with transaction.atomic():
            for loop_id in sorted({run.loop_id for run in batch}):
                lock_loop(loop_id)  # before any run (design §4, lock order)
            # Asked of the locked rows themselves: a worker may take one while we wait for its lock, and a new policy
            # may begin to count one.
            still_waiting = Run.objects.queue_at(integration.pk).filter(pk__in=[run.pk for run in batch])
            runs = list(still_waiting.select_for_update(no_key=True).order_by("pk"))
            _cancel(runs, reason, now)
            for loop_id in sorted({run.loop_id for run in runs if run.governed}):
                let_next_in(loop_id, now=now)
        discarded, last = discarded + len(runs), batch[-1].pk
    auditing.record(
        by,
        "integration.discard_queue",
        project_id=integration.project_id,
        kind="integration",
        id=integration.pk,
        name=integration.name,
        reason=f"Rows that waited and were discarded: {discarded:,}.",
    )
    return discarded


def _waiting(integration: Integration, *, until: datetime, after: str) -> list[Run]:
    """The next runs, by their ids, whose rows wait at `integration` since `until` or longer."""
    queue = Run.objects.queue_at(integration.pk).values("pk")
    waiting = Run.objects.filter(pk__in=queue, created_at__lte=until, pk__gt=after)
    return list(waiting.only("loop_id").order_by("pk")[:BATCH])


def stand_aside(subject_id: str, integration_id: str, *, now: datetime) -> None:
    """Rows of a paused integration that wait for `subject_id` wait for the integration instead, with their places."""
    message = "The integration is paused; the row waits until it is resumed."
    _move(subject_id, integration_id, integration_id, SuspendedFor.INTEGRATION_PAUSED, message, now)


def join_pacer(integration_id: str, pacer_id: str, *, now: datetime) -> None:
    """Rows of an integration that was resumed take their places in the pacer's line, the oldest first."""
    _move(integration_id, integration_id, pacer_id, SuspendedFor.PACED, "Waits for its turn at Clay's pace.", now)


def _move(
    old_subject: str, integration_id: str, new_subject: str, reason: SuspendedFor, message: str, now: datetime
) -> None:
    with transaction.atomic():
        waiters = (
            Run.objects.waiters_of(old_subject, now).filter(waits_at=integration_id).select_for_update(no_key=True)
        )
        ids = list(waiters.values_list("pk", flat=True)[:BATCH])
        Run.objects.filter(pk__in=ids).update(waits_for=new_subject, revision=F("revision") + 1, updated_at=now)
        Step.objects.waiting_in(ids).update(error_type=reason, error_message=message, updated_at=now)


def _cancel(runs: list[Run], reason: str, now: datetime) -> None:
    """End these runs, which the caller holds. Their steps and their logs say why."""
    ids = [run.pk for run in runs]
    Run.objects.filter(pk__in=ids).update(
        status=RunStatus.CANCELLED,
        stop_reason="cancelled",
        error_type="discarded",
        error_message=reason,
        completed_at=now,
        updated_at=now,
        wake_at=None,
        ring_due_at=None,
        waits_for="",
        waits_since=None,
        waits_at="",
        revision=F("revision") + 1,
        last_sequence=F("last_sequence") + 1,
    )
    Step.objects.waiting_in(ids).update(
        status=StepStatus.CANCELLED, error_type="discarded", error_message=reason, completed_at=now, updated_at=now
    )
    Wait.objects.filter(run__in=ids, state=WaitState.OPEN).update(state=WaitState.CANCELLED, closed_at=now)
    RunEvent.objects.bulk_create(
        RunEvent(
            run_id=run.pk,
            sequence=run.last_sequence + 1,
            event_type="run.cancelled",
            payload={"reason": reason},
            created_at=now,
        )
        for run in runs
    )
    for run in Run.objects.filter(pk__in=ids).select_related("loop", "loop_version") if _heard(runs) else ():
        announce(run, ["run.cancelled"], now=now)


def _heard(runs: Sequence[Run]) -> bool:
    return bool(runs) and anybody_listens(runs[0].project_id)
