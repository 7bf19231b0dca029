"""The steps of a run, and what those that are suspended wait for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from django.db import models
from django.db.models import OuterRef, Q

from loops.models.fields import STEP_ID_LENGTH
from loops.models.loops import Loop
from loops.models.runs import Run
from mobius.fields import id_field


class StepStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    SUSPENDED = "suspended", "Suspended"  # `error_type` says what it waits for
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"  # its `if` was false
    CANCELLED = "cancelled", "Cancelled"

    @property
    def done(self) -> bool:
        """Does the run go on to the next step?"""
        return self in (StepStatus.COMPLETED, StepStatus.SKIPPED)


class SuspendedFor(models.TextChoices):
    """Why a step is suspended: the value of its `error_type` then (design §4)."""

    PACED = "paced", "waits for its turn at Clay's pace"
    RETRYING = "retrying", "waits before its next attempt"
    INTEGRATION_PAUSED = "integration_paused", "waits until the integration is resumed"
    AT_LIMIT = "at_limit", "waits because the webhook is at its limit"
    DELIVERY_IN_DOUBT = "delivery_in_doubt", "waits until somebody or a callback says whether the row arrived"
    SAME_ROW = "same_row", "waits for the same row, which another run is sending"
    SLEEPING = "", "sleeps, or waits for an event"


class StepQuerySet(models.QuerySet["Step"]):
    def suspended_in(self, run_id: str) -> Self:
        return self.filter(run_id=run_id, status=StepStatus.SUSPENDED)

    def outputs_of(self, run_id: str) -> dict[str, Any]:
        """The outputs of the steps of this run that have completed, by key."""
        return dict(self.filter(run_id=run_id, status=StepStatus.COMPLETED).values_list("key", "result"))

    def with_address(self, callback_hash: str) -> Self:
        """The step whose callback address has this hash. Not empty: that lets the partial index answer."""
        return self.filter(callback_hash=callback_hash).exclude(callback_hash="")

    def with_addresses_of_other_keys(self, key_numbers: Iterable[str]) -> Self:
        """Steps still under way whose callback address was made with another key than these."""
        under_way = self.filter(status__in=[StepStatus.RUNNING, StepStatus.SUSPENDED]).exclude(callback_hash="")
        return under_way.exclude(callback_key__in=list(key_numbers))

    def waiting_in(self, run_ids: Iterable[str]) -> Self:
        """The step that each of these runs waits in, without its data."""
        return self.filter(run_id__in=list(run_ids), status=StepStatus.SUSPENDED).defer("inputs", "result")


class Step(models.Model):
    """One step of a run that has begun. Steps that are still to come have no row; the version says what they are."""

    id = models.CharField(primary_key=True, max_length=STEP_ID_LENGTH)  # `<run id>:<step key>` (mobius-contract §1.3)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps", db_index=False)
    key = models.CharField(max_length=100)
    seq = models.PositiveIntegerField()
    name = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=20)
    status = models.CharField(max_length=16, choices=StepStatus.choices, default=StepStatus.RUNNING)
    attempt = models.PositiveIntegerField(default=1)
    attempts_before = models.PositiveIntegerField(default=0)  # those before the run's last retry: `retry` counts anew
    inputs = models.JSONField(null=True)  # rendered; a callback's address stays a placeholder
    result = models.JSONField(null=True)
    error_type = models.CharField(max_length=60, blank=True)
    error_message = models.CharField(max_length=1000, blank=True)
    callback_hash = models.CharField(max_length=64, blank=True)  # SHA-256 of the token in its callback address
    callback_key = models.CharField(max_length=16, blank=True)  # which encryption key the token was derived from
    deadline_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = StepQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "key"], name="one_step_per_key"),
            models.UniqueConstraint(
                fields=["callback_hash"], condition=~Q(callback_hash=""), name="one_step_per_callback_address"
            ),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def tries(self) -> int:
        """The attempts that count against the step's `retry`."""
        return self.attempt - self.attempts_before

    @property
    def awaits_callback(self) -> bool:
        """May a callback end what this suspended step waits for: an event, or news of its row in doubt?"""
        return self.kind == "wait_for_event" or self.error_type == SuspendedFor.DELIVERY_IN_DOUBT


class WaitState(models.TextChoices):
    OPEN = "open", "Open"
    RESUMED = "resumed", "Resumed"
    TIMED_OUT = "timed_out", "Timed out"
    CANCELLED = "cancelled", "Cancelled"


class WaitQuerySet(models.QuerySet["Wait"]):
    def awaiting_callback(self, loop_id: str | OuterRef) -> Self:
        """Open waits of the loop for a callback, oldest first. What is excluded lets the partial index answer."""
        waits = self.filter(loop_id=loop_id, state=WaitState.OPEN).exclude(source_step_id="")
        return waits.order_by("created_at")

    def answered(self, loop_id: str) -> Self:
        """Waits of the loop that a callback ended, latest first."""
        waits = self.filter(loop_id=loop_id, state=WaitState.RESUMED).exclude(source_step_id="")
        return waits.order_by("-closed_at")


class Wait(models.Model):
    """A step that is suspended until an event arrives, or a signal."""

    id = id_field("wait")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="waits")
    loop = models.ForeignKey(Loop, on_delete=models.CASCADE, related_name="waits", db_index=False)
    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="waits")
    event_type = models.CharField(max_length=100)
    source_step_id = models.CharField(max_length=STEP_ID_LENGTH, blank=True)  # whose callback is awaited
    state = models.CharField(max_length=16, choices=WaitState.choices, default=WaitState.OPEN)
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = WaitQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["step"], condition=Q(state="open"), name="one_open_wait_per_step"),
        ]
        indexes = [
            models.Index(
                fields=["loop", "created_at"],
                condition=Q(state="open") & ~Q(source_step_id=""),
                name="waits_for_callbacks",
            ),
            models.Index(
                fields=["loop", "closed_at"],
                condition=Q(state="resumed") & ~Q(source_step_id=""),
                name="answered_waits",
            ),
        ]

    def __str__(self) -> str:
        return self.id
