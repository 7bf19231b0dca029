"""Pushes: files of rows that go to an integration, each row as a run, and what became of every row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Self

from django.db import connection, models
from django.db.models import Count, Q

from integrations.models import Integration
from loops.models.loops import Loop
from mobius.fields import id_field
from mobius.ids import ID_LENGTH
from mobius.projects.models import Project

LONGEST_REASON = 500
_CHANGE = "UPDATE loops_pushrow SET state = %s, reason = %s, run_id = %s WHERE id = %s"


class PushState(models.TextChoices):
    READING = "reading", "Reading"  # its rows are being stored
    DRAFT = "draft", "Draft"  # its rows are stored; nothing of them was checked yet
    CHECKED = "checked", "Checked"  # the dry run is done; somebody may start it
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"  # by a person, or by us: then `paused_because` says why
    COMPLETED = "completed", "Completed"  # every row has an outcome
    CANCELLED = "cancelled", "Cancelled"

    @classmethod
    def not_started(cls) -> tuple[PushState, ...]:
        return cls.READING, cls.DRAFT, cls.CHECKED

    @classmethod
    def seen(cls) -> tuple[PushState, ...]:
        """Those of the pushes that people find."""
        return tuple(state for state in cls if state != cls.READING)

    @property
    def has_ended(self) -> bool:
        return self in (PushState.COMPLETED, PushState.CANCELLED)

    @property
    def was_started(self) -> bool:
        return self not in PushState.not_started()


class RowState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    LEFT_OUT = "left_out", "Left out"  # it cannot go, and was never started; `reason` says why
    STARTED = "started", "On its way"  # its run has been started and has not ended
    SENT = "sent", "Sent"
    DUPLICATE = "duplicate", "Sent before"  # this very row was accepted earlier; nothing was sent
    IN_DOUBT = "in_doubt", "In doubt"  # it may have arrived; nobody sends it again by itself
    FAILED = "failed", "Failed"
    NOT_SENT = "not_sent", "Not sent"  # the push or the row's run was cancelled before

    @classmethod
    def unsettled(cls) -> tuple[RowState, ...]:
        """Whose run may still change what is known of the row."""
        return cls.STARTED, cls.IN_DOUBT

    @classmethod
    def did_not_arrive(cls) -> tuple[RowState, ...]:
        """What can be mended and pushed again: no such row is in the table."""
        return cls.LEFT_OUT, cls.FAILED, cls.NOT_SENT


class PushQuerySet(models.QuerySet["Push"]):
    def of_project(self, project: Project) -> Self:
        """Those that people find: one whose file is still being read is none yet, and may never be one."""
        return self.filter(project=project, state__in=PushState.seen())

    def in_state(self, state: str) -> Self:
        return self.filter(state=state)

    def due(self, now: datetime) -> Self:
        """Pushes that somebody should look after, the longest due first."""
        return self.filter(due_at__lte=now).order_by("due_at")

    def held(self, push_id: str) -> Self:
        """This push, its row held until the transaction ends."""
        return self.filter(pk=push_id).select_for_update(no_key=True, of=("self",))

    def held_if_free(self, push_id: str, now: datetime) -> Self:
        """As `held`, if it is still due and no other process looks after it just now."""
        mine = self.due(now).filter(pk=push_id)
        skips = connection.features.has_select_for_update
        return mine.select_for_update(no_key=True, skip_locked=True, of=("self",)) if skips else mine

    def to_purge(self, before: datetime) -> Self:
        """Pushes that ended, or were left lying, before `before` and still hold their rows."""
        lying = Q(ended_at=None, started_at=None, created_at__lt=before)
        return self.filter(Q(ended_at__lt=before) | lying, purged_at=None)


class Push(models.Model):
    """A file of rows on its way to an integration."""

    id = id_field("push")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="pushes", db_index=False)
    # Disconnecting deletes the integration; what was pushed stays readable.
    integration = models.ForeignKey(Integration, on_delete=models.SET_NULL, null=True, related_name="+")
    integration_name = models.CharField(max_length=100)
    loop = models.ForeignKey(Loop, on_delete=models.SET_NULL, null=True, related_name="+")  # its rows are runs of it
    name = models.CharField(max_length=200)  # of the file
    state = models.CharField(max_length=16, choices=PushState.choices, default=PushState.READING)
    format = models.CharField(max_length=8)  # csv or jsonl
    read_as = models.CharField(max_length=100, blank=True)  # what was taken for its encoding and its separator
    columns = models.JSONField(default=list)
    rows = models.PositiveIntegerField(default=0)
    mapping = models.JSONField(default=dict)
    report = models.JSONField(default=dict)  # of the dry run
    revision = models.PositiveIntegerField(default=0)  # a dry run that was overtaken by another writes nothing
    paused_because = models.CharField(max_length=LONGEST_REASON, blank=True)
    setbacks = models.PositiveIntegerField(default=0)  # rows in a row that failed or came into doubt
    created_by = models.CharField(max_length=200, blank=True)
    # The rate at which it goes is measured from its last start or resume on.
    going_since = models.DateTimeField(null=True, blank=True)
    settled_before = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True)  # the sweep looks after it then; empty: nothing to do
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    purged_at = models.DateTimeField(null=True, blank=True)  # what its rows held is forgotten

    objects = PushQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "pushes"
        indexes = [
            models.Index(fields=["project", "id"], name="pushes_by_project"),
            # Partial: a console in which nothing is pushed asks an empty index.
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="pushes_to_look_after"),
        ]
        permissions = [("pause_push", "Can pause pushes"), ("steer_push", "Can resume and cancel pushes")]

    def __str__(self) -> str:
        return self.name

    @property
    def has_ended(self) -> bool:
        return PushState(self.state).has_ended

    @property
    def was_started(self) -> bool:
        return PushState(self.state).was_started


class RowChange(NamedTuple):
    """What is known of a row from now on."""

    state: str
    reason: str
    run_id: str
    row_id: int


class PushRowQuerySet(models.QuerySet["PushRow"]):
    def of_push(self, push_id: str) -> Self:
        return self.filter(push_id=push_id)

    def in_states(self, *states: str) -> Self:
        return self.filter(state__in=states)

    def waiting(self) -> Self:
        return self.filter(state=RowState.WAITING).order_by("number")

    def readable(self) -> Self:
        """Rows that could be read as such; the dry run judges these."""
        return self.filter(unreadable=False)

    def change(self, changes: Sequence[RowChange]) -> None:
        """Write all of them down, in the caller's transaction. A tenth of what `bulk_update` takes."""
        if changes:
            with connection.cursor() as cursor:
                cursor.executemany(_CHANGE, changes)

    def counts(self) -> dict[str, int]:
        """How many rows are in each state that any is in."""
        return dict(self.order_by().values_list("state").annotate(Count("pk")))

    def counts_by_push(self, push_ids: Iterable[str]) -> dict[str, dict[str, int]]:
        """As `counts`, for each of these pushes."""
        found: dict[str, dict[str, int]] = {push_id: {} for push_id in push_ids}
        rows = self.filter(push_id__in=list(found)).order_by()
        for push_id, state, number in rows.values_list("push_id", "state").annotate(Count("pk")):
            found[push_id][state] = number
        return found


class PushRow(models.Model):
    """One row of the file. The database sees to it that it is started once: with its run, its state changes."""

    push = models.ForeignKey(Push, on_delete=models.CASCADE, related_name="+", db_index=False)
    number = models.PositiveIntegerField()  # 1 is the first row
    line = models.PositiveIntegerField()  # where it begins in the file
    # As text: what the file held, to the letter. A list of cells for CSV, an object for JSON Lines; a row that could
    # not be read is in a list of its own.
    content = models.TextField(blank=True)
    unreadable = models.BooleanField(default=False)
    state = models.CharField(max_length=16, choices=RowState.choices, default=RowState.WAITING)
    reason = models.CharField(max_length=LONGEST_REASON, blank=True)
    run_id = models.CharField(max_length=ID_LENGTH, blank=True)

    objects = PushRowQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["push", "number"], name="one_push_row_per_number")]
        indexes = [models.Index(fields=["push", "state", "number"], name="push_rows_by_state")]

    def __str__(self) -> str:
        return f"row {self.number} of {self.push_id}"
