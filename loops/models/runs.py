"""Runs of loops, and the log of each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Self

from django.db import connection, models
from django.db.models import OuterRef, Q, Subquery
from django.db.models.expressions import OrderBy

from loops.models.processes import Worker
from mobius.fields import id_field
from mobius.ids import ID_LENGTH, first_id
from mobius.projects.models import Project

RING_AGAIN_AFTER = timedelta(seconds=60)
"""A run that was rung and is not taken by then is rung again by the sweep."""


class RunStatus(models.TextChoices):
    QUEUED = "queued", "Queued"  # ready for a worker, or waiting for its loop's policy
    RUNNING = "running", "Running"  # a worker has it
    SUSPENDED = "suspended", "Suspended"  # a step waits for time, pace, a callback or a person
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"

    @classmethod
    def active(cls) -> tuple[RunStatus, ...]:
        """Runs that a repeated start with the same key returns again."""
        return cls.QUEUED, cls.RUNNING, cls.SUSPENDED

    @property
    def ended(self) -> bool:
        return self not in RunStatus.active()


class QueueReason(models.TextChoices):
    """Why a run waits for an earlier run of its loop (mobius-contract §6)."""

    LOOP_POLICY = "loop_policy", "The loop's own concurrency"
    TRIGGER_CONCURRENCY = "trigger_concurrency", "The concurrency policy of its trigger"


class RunQuerySet(models.QuerySet["Run"]):
    def active(self) -> Self:
        return self.filter(status__in=RunStatus.active())

    def of_project(self, project: Project) -> Self:
        return self.filter(project=project)

    def in_status(self, status: str) -> Self:
        return self.filter(status=status)

    def of_loop(self, loop_id: str) -> Self:
        return self.filter(loop_id=loop_id)

    def governed_by(self, loop_id: str) -> Self:
        """What the loop's concurrency policy looks at: the runs under it that have not ended, oldest first."""
        return self.filter(loop_id=loop_id, governed=True, completed_at__isnull=True).order_by("id")

    def let_in(self) -> Self:
        """Runs that wait for no other run of their loop."""
        return self.filter(queue_reason="")

    def queued_for(self, reason: QueueReason) -> Self:
        """Runs that wait for an earlier run of their loop. Nobody rings them; the end of that run lets them go."""
        return self.filter(queue_reason=reason)

    def holding_key(self, key: str) -> Self:
        """The run that holds this idempotency key. That it is not empty lets the partial index answer."""
        return self.filter(idempotency_key=key).exclude(idempotency_key="")

    def from_source_event(self, source_event_id: str) -> Self:
        """The run that a trigger started for this. That it is not empty lets the partial index answer."""
        return self.filter(source_event_id=source_event_id).exclude(source_event_id="")

    def started_by(self, trigger_keys: Iterable[str]) -> Self:
        """Runs of a loop that these triggers of it started."""
        return self.filter(trigger_key__in=list(trigger_keys))

    def children_of(self, run_id: str) -> Self:
        """Runs that the steps of this one started. Not empty: that lets the partial index answer."""
        return self.filter(parent_run_id=run_id).exclude(parent_run_id="").order_by("pk")

    def to_ring(self, now: datetime) -> Self:
        """Runs that nobody has taken although their time has come: a ring was lost, or a wait is over."""
        return self.filter(ring_due_at__lte=now).order_by("ring_due_at")

    def waiters_of(self, subject_id: str, now: datetime) -> Self:
        """Runs that wait for room at a pacer, an integration or an attempt, in the order of their places.

        One that has been woken, or whose time has come, waits no more; a deadline ahead (`wake_at`) changes nothing.
        """
        asleep = Q(wake_at=None) | Q(wake_at__gt=now)
        return self.waiting_for(subject_id).filter(asleep, status=RunStatus.SUSPENDED).order_by("waits_since", "id")

    def waiting_for(self, subject_id: str) -> Self:
        """Waiters, also those that have just been woken. Not empty: that lets the partial index answer."""
        return self.filter(waits_for=subject_id).exclude(waits_for="")

    def left_behind(self, alive_since: datetime) -> Self:
        """Runs in the hands of a worker that was not heard of since, locked; those that somebody looks at are left."""
        alive = Worker.objects.alive(since=alive_since).values("pk")
        left = self.exclude(worker="").exclude(worker__in=alive).order_by("worker", "id")
        return (
            left.select_for_update(no_key=True, skip_locked=True) if connection.features.has_select_for_update else left
        )

    def queue_at(self, integration_id: str) -> Self:
        """Runs whose row waits to go out through this integration, in the order of their places."""
        return self.standing_at(integration_id).filter(status=RunStatus.SUSPENDED).order_by("waits_since", "id")

    def standing_at(self, integration_id: str) -> Self:
        """As `queue_at`, with those that have just been woken: the index alone answers."""
        return self.filter(waits_at=integration_id).exclude(waits_at="")

    def to_purge(self, before: datetime) -> Self:
        """Runs that ended before `before` and still hold what they were given."""
        return self.filter(completed_at__lt=before, purged_at=None)

    def latest_by_project(self) -> OrderBy:
        """To order projects by: the one in which a run was started last comes first, one without runs last."""
        latest = self.filter(project=OuterRef("pk")).order_by("-id").values("id")[:1]
        return Subquery(latest).desc(nulls_last=True)

    def latest_of(self, loop_id: str) -> Self:
        """The latest first, with where they came from and without what they were given."""
        return self.of_loop(loop_id).order_by("-id").defer("event", "meta", "config", "result", "warnings")

    def failed_since(self, moment: datetime) -> Self:
        """The latest first. Ids know when their runs came in, so that the index of states and ids answers by itself."""
        return self.filter(status=RunStatus.FAILED, pk__gte=first_id("run", moment)).order_by("-pk")

    def for_lists(self) -> Self:
        """Without the JSON that a list does not show."""
        return self.select_related("loop", "loop_version").defer(
            "event", "meta", "config", "result", "loop_version__spec"
        )


class Run(models.Model):
    """One execution of a loop version."""

    id = id_field("run")
    # A row is written four times, and each time into every index: no index beside those below, which begin like it.
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs", db_index=False)
    loop = models.ForeignKey("loops.Loop", on_delete=models.CASCADE, related_name="runs", db_index=False)
    loop_version = models.ForeignKey(
        "loops.LoopVersion", on_delete=models.RESTRICT, related_name="runs", db_index=False
    )
    status = models.CharField(max_length=16, choices=RunStatus.choices, default=RunStatus.QUEUED)
    name = models.CharField(max_length=160, blank=True)
    description = models.CharField(max_length=320, blank=True)
    event = models.JSONField(default=dict)
    meta = models.JSONField(default=dict)
    config = models.JSONField(default=dict)
    source = models.JSONField(default=dict)
    result = models.JSONField(null=True)
    idempotency_key = models.CharField(max_length=255, blank=True)
    attempt = models.PositiveIntegerField(default=1)  # one more with each retry or resume
    depth = models.PositiveSmallIntegerField(default=0)  # how many runs in a row led to this one
    parent_run_id = models.CharField(max_length=ID_LENGTH, blank=True)  # whose step started it
    parent_loop_id = models.CharField(max_length=ID_LENGTH, blank=True)
    parent_step_key = models.CharField(max_length=100, blank=True)
    trigger_key = models.CharField(max_length=100, blank=True)  # the trigger of its loop that started it
    source_event_id = models.CharField(max_length=ID_LENGTH, blank=True)  # what fired that trigger
    governed = models.BooleanField(default=False)  # counts for its loop's concurrency policy: any but allow
    queue_reason = models.CharField(max_length=40, blank=True)  # it waits for its loop's policy, and is not rung
    stop_reason = models.CharField(max_length=40, blank=True)
    error_type = models.CharField(max_length=60, blank=True)
    error_message = models.CharField(max_length=1000, blank=True)
    warnings = models.JSONField(default=list)  # sentences for a person, such as an unfilled placeholder
    # The two guards (design §4): `claim` fences workers, `revision` orders progress.
    claim = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=ID_LENGTH, blank=True)  # who works on it, where several processes do
    revision = models.PositiveIntegerField(default=0)
    last_sequence = models.PositiveIntegerField(default=0)  # of the run's events
    wake_at = models.DateTimeField(null=True, blank=True)  # a suspended run may go on from then
    # What a suspended run waits for when no time is known, and its place in that queue, which it keeps until it goes.
    waits_for = models.CharField(max_length=ID_LENGTH, blank=True)
    waits_since = models.DateTimeField(null=True, blank=True)
    waits_at = models.CharField(max_length=ID_LENGTH, blank=True)  # the integration that its row is to go out through
    ring_due_at = models.DateTimeField(null=True, blank=True)  # the sweep rings it then; empty: nothing to ring for
    rings = models.PositiveSmallIntegerField(default=0)
    wall_clock_deadline_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    purged_at = models.DateTimeField(null=True, blank=True)  # what it was given, and what came of it, is forgotten
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = RunQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="one_run_per_idempotency_key",
            ),
        ]
        indexes = [
            models.Index(fields=["project", "id"], name="runs_by_project"),
            models.Index(fields=["loop", "id"], name="runs_by_loop"),
            models.Index(fields=["project", "status", "id", "loop"], name="runs_by_status"),  # also within one loop
            # Partial: their size follows the backlog, not history (performance: a million runs already stored).
            models.Index(fields=["ring_due_at"], condition=Q(ring_due_at__isnull=False), name="runs_to_ring"),
            models.Index(fields=["waits_for", "waits_since", "id"], condition=~Q(waits_for=""), name="waiting_runs"),
            models.Index(fields=["waits_at", "waits_since", "id"], condition=~Q(waits_at=""), name="queued_rows"),
            models.Index(
                fields=["loop", "queue_reason", "id"],
                condition=Q(governed=True, completed_at__isnull=True),
                name="governed_runs",
            ),
            models.Index(fields=["worker"], condition=~Q(worker=""), name="runs_of_workers"),
            models.Index(fields=["parent_run_id"], condition=~Q(parent_run_id=""), name="child_runs"),
            models.Index(fields=["source_event_id"], condition=~Q(source_event_id=""), name="runs_by_source_event"),
        ]
        permissions = [("cancel_run", "Can cancel runs"), ("retry_run", "Can retry runs")]

    def __str__(self) -> str:
        return self.id

    @property
    def has_ended(self) -> bool:
        return RunStatus(self.status).ended


class RunEvent(models.Model):
    """One line of a run's log (mobius-contract §8). Holds no secret."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events", db_index=False)
    sequence = models.PositiveIntegerField()
    event_type = models.CharField(max_length=40)
    step_key = models.CharField(max_length=100, blank=True)
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "sequence"], name="one_run_event_per_sequence")]

    def __str__(self) -> str:
        return f"{self.run_id}:evt:{self.sequence:06d}"
