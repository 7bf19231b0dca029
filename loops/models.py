"""What a project automates: loops, their frozen versions, and the runs of them with everything that happened."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Self

from django.db import connection, models
from django.db.models import OuterRef, Q, Subquery
from django.db.models.expressions import OrderBy

from mobius.ids import ID_LENGTH, new_id
from mobius.projects.models import Project

RING_AGAIN_AFTER = timedelta(seconds=60)
"""A run that was rung and is not taken by then is rung again by the sweep."""

STEP_ID_LENGTH = 160
"""A run's id, a colon and the step's own id."""


def _id_field(prefix: str) -> models.CharField[str, str]:
    return models.CharField(primary_key=True, max_length=ID_LENGTH, default=partial(new_id, prefix), editable=False)


class LoopStatus(models.TextChoices):
    DRAFT = "draft", "Draft"  # it has no steps yet
    ACTIVE = "active", "Active"
    PAUSED = "paused", "Paused"  # starts are refused
    DELETED = "deleted", "Deleted"  # its runs stay readable


class LoopQuerySet(models.QuerySet["Loop"]):
    def present(self) -> Self:
        return self.exclude(status=LoopStatus.DELETED)

    def of_project(self, project: Project) -> Self:
        return self.filter(project=project)

    def in_status(self, status: str) -> Self:
        return self.filter(status=status)

    def for_lists(self) -> Self:
        """With the number of the version and `last_run_at`, without the authored JSON."""
        latest = Run.objects.filter(loop=OuterRef("pk")).order_by("-id").values("created_at")[:1]
        return (
            self.select_related("current_version").defer("current_version__spec").annotate(last_run_at=Subquery(latest))
        )


class Loop(models.Model):
    """Authored steps under a name. What they are is in its versions; runs keep the version they started with."""

    id = _id_field("loop")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="loops")
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=16, choices=LoopStatus.choices, default=LoopStatus.DRAFT)
    current_version = models.ForeignKey("LoopVersion", on_delete=models.RESTRICT, null=True, related_name="+")
    failures_in_a_row = models.PositiveIntegerField(default=0)  # counted only where the loop's limits ask for it
    paused_because = models.CharField(max_length=300, blank=True)  # when the console paused it, not a person
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = LoopQuerySet.as_manager()

    class Meta:
        constraints = [
            # A run may be started by the loop's name, so among the present ones it must be unambiguous.
            models.UniqueConstraint(
                fields=["project", "name"], condition=~Q(status="deleted"), name="one_loop_per_name"
            ),
        ]
        indexes = [models.Index(fields=["project", "id"], name="loops_by_project")]

    def __str__(self) -> str:
        return self.name


class LoopVersionQuerySet(models.QuerySet["LoopVersion"]):
    def newest_first(self) -> Self:
        """Without the authored JSON, for a list."""
        return self.order_by("-number").defer("spec")


class LoopVersion(models.Model):
    """A loop's authored JSON, frozen. It was valid when it was saved."""

    id = _id_field("lver")
    loop = models.ForeignKey(Loop, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    spec = models.JSONField()
    created_at = models.DateTimeField()

    objects = LoopVersionQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["loop", "number"], name="one_loop_version_per_number")]

    def __str__(self) -> str:
        return f"version {self.number}"


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

    def for_lists(self) -> Self:
        """Without the JSON that a list does not show."""
        return self.select_related("loop", "loop_version").defer(
            "event", "meta", "config", "result", "loop_version__spec"
        )


class Run(models.Model):
    """One execution of a loop version."""

    id = _id_field("run")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs")
    loop = models.ForeignKey(Loop, on_delete=models.CASCADE, related_name="runs")
    loop_version = models.ForeignKey(LoopVersion, on_delete=models.RESTRICT, related_name="runs")
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
            models.Index(fields=["project", "status", "id"], name="runs_by_status"),
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
        permissions = [("operate_run", "Can cancel and retry runs")]

    def __str__(self) -> str:
        return self.id

    @property
    def has_ended(self) -> bool:
        return RunStatus(self.status).ended


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
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps")
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

    id = _id_field("wait")
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


class CallbackState(models.TextChoices):
    """What became of a body that came back (design §6)."""

    KEPT = "kept", "Kept"  # arrived before a step waits for it
    USED = "used", "Used"  # the result of the waiting step
    UNMATCHED = "unmatched", "Unmatched"  # did not satisfy the wait's `match`
    UPDATE = "update", "Update"  # other bytes after the first: kept, the result unchanged
    LATE = "late", "Late"  # after the end of the run
    AMBIGUOUS = "ambiguous", "Ambiguous"  # several rows could be meant; nothing resumed


class CallbackQuerySet(models.QuerySet["Callback"]):
    def to_step(self, step_id: str) -> Self:
        return self.to_steps([step_id])

    def to_steps(self, step_ids: Iterable[str]) -> Self:
        """What was posted to these steps. Not empty: that lets the partial index answer."""
        return self.filter(step_id__in=step_ids).exclude(step_id="")

    def with_body(self, body_digest: str) -> Self:
        return self.filter(body_digest=body_digest)

    def used(self) -> Self:
        """Those that are a step's result."""
        return self.exclude(used_by="")

    def unclear(self, project_id: str, request_id: str) -> Self:
        """What came under this request_id and could have meant several rows."""
        return self.filter(project_id=project_id, step_id="").known_as(request_id)

    def of_project(self, project: Project) -> Self:
        return self.filter(project=project)

    def of_run(self, run_id: str) -> Self:
        return self.filter(run_id=run_id).order_by("id")

    def in_state(self, state: str) -> Self:
        return self.filter(state=state)

    def known_as(self, request_id: str) -> Self:
        """That it is not empty lets the partial index answer."""
        return self.filter(request_id=request_id).exclude(request_id="")

    def without_bodies(self) -> Self:
        return self.defer("body")

    def to_purge(self, before: datetime) -> Self:
        """Bodies that came before `before`, but for those that an unfinished run may still use."""
        nobody_s = Q(run=None) | Q(run__completed_at__isnull=False)
        return self.filter(nobody_s, received_at__lt=before, purged_at=None)


class Callback(models.Model):
    """One body that Clay posted back. Stored before anything is made of it."""

    id = _id_field("cbk")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="callbacks")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, null=True, blank=True, related_name="callbacks")
    step_id = models.CharField(max_length=STEP_ID_LENGTH, blank=True)  # the step whose address, or row, it answers
    state = models.CharField(max_length=16, choices=CallbackState.choices, default=CallbackState.KEPT)
    request_id = models.CharField(max_length=255, blank=True)
    body = models.JSONField()
    body_digest = models.CharField(max_length=64)
    used_by = models.CharField(max_length=STEP_ID_LENGTH, blank=True)  # the waiting step whose result it is
    repeats = models.PositiveIntegerField(default=0)  # the same bytes came again this often
    remark = models.CharField(max_length=700, blank=True)  # a sentence for a person about what is odd with it
    received_at = models.DateTimeField()
    purged_at = models.DateTimeField(null=True, blank=True)  # its body is forgotten

    objects = CallbackQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["step_id", "body_digest"], condition=~Q(step_id=""), name="one_callback_per_step_and_body"
            ),
            models.UniqueConstraint(
                fields=["project", "request_id", "body_digest"],
                condition=Q(step_id=""),
                name="one_unclear_callback_per_body",
            ),
            models.UniqueConstraint(fields=["used_by"], condition=~Q(used_by=""), name="one_used_callback_per_wait"),
        ]
        indexes = [
            models.Index(fields=["project", "id"], name="callbacks_by_project"),
            models.Index(fields=["project", "request_id"], condition=~Q(request_id=""), name="callbacks_by_request_id"),
        ]

    def __str__(self) -> str:
        return self.id


class RunEvent(models.Model):
    """One line of a run's log (mobius-contract §8). Holds no secret."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    sequence = models.PositiveIntegerField()
    event_type = models.CharField(max_length=40)
    step_key = models.CharField(max_length=100, blank=True)
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "sequence"], name="one_run_event_per_sequence")]

    def __str__(self) -> str:
        return f"{self.run_id}:evt:{self.sequence:06d}"


class Chore(models.Model):
    """Something that is done every so often, by one of all the processes."""

    name = models.CharField(primary_key=True, max_length=40)
    due_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class WorkerQuerySet(models.QuerySet["Worker"]):
    def alive(self, *, since: datetime) -> Self:
        return self.filter(beaten_at__gt=since)


class Worker(models.Model):
    """A process that carries runs on, beside others. The embedded engine is one process and has none."""

    id = _id_field("wrk")
    beaten_at = models.DateTimeField()  # when it was heard of last, in database time

    objects = WorkerQuerySet.as_manager()

    def __str__(self) -> str:
        return self.id


import loops.trigger_models  # noqa: E402, F401  # the rest of this app's models, which name those above
