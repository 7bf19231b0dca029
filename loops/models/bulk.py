"""Bulk jobs: one deed done to everything that a list's filters found, and how far each has come."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import connection, models
from django.db.models import Q

from mobius.fields import id_field
from mobius.ids import ID_LENGTH
from mobius.projects.audit_models import ActorKind
from mobius.projects.models import Project


class BulkDeed(models.TextChoices):
    RETRY = "retry", "Retry failed runs"
    CANCEL = "cancel", "Cancel runs"
    ARRIVED = "arrived", "Settle deliveries: they arrived"
    SEND_AGAIN = "send_again", "Settle deliveries: they did not arrive, send again"
    GIVE_UP = "give_up", "Settle deliveries: they did not arrive, give up"

    @property
    def is_about_runs(self) -> bool:
        return self in (BulkDeed.RETRY, BulkDeed.CANCEL)


class BulkState(models.TextChoices):
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"  # it has come to the end of what it was started for
    CANCELLED = "cancelled", "Cancelled"  # what was done stays done


class BulkJobQuerySet(models.QuerySet["BulkJob"]):
    def of_project(self, project: Project) -> Self:
        return self.filter(project=project)

    def running(self) -> Self:
        return self.filter(state=BulkState.RUNNING)

    def to_purge(self, before: datetime) -> Self:
        """Jobs that were started before `before` and have ended."""
        return self.filter(created_at__lt=before).exclude(state=BulkState.RUNNING)

    def held(self, job_id: str) -> Self:
        """This job, its row held until the transaction ends."""
        return self.filter(pk=job_id).select_for_update(no_key=True, of=("self",))

    def held_if_free(self, job_id: str) -> Self:
        """As `held`, if it is still running and no other process works on it just now."""
        mine = self.running().filter(pk=job_id)
        skips = connection.features.has_select_for_update
        return mine.select_for_update(no_key=True, skip_locked=True, of=("self",)) if skips else mine


class BulkJob(models.Model):
    """Goes through what it was started for by ascending ids; `last_id` moves in the transaction of each deed."""

    id = id_field("bulk")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="bulk_jobs", db_index=False)
    deed = models.CharField(max_length=16, choices=BulkDeed.choices)
    selection = models.JSONField(default=dict)  # the filters of the list
    reason = models.CharField(max_length=1000, blank=True)
    state = models.CharField(max_length=16, choices=BulkState.choices, default=BulkState.RUNNING)
    total = models.PositiveIntegerField()  # as many as there were when it was started
    done = models.PositiveIntegerField(default=0)
    left_alone = models.PositiveIntegerField(default=0)  # the deed was not possible; `trouble` says why
    trouble = models.JSONField(default=list)  # of the first few, the id and the sentence
    last_id = models.CharField(max_length=ID_LENGTH, blank=True)  # what it looked at last
    asked_at = models.DateTimeField()  # when the question was shown; what came into the state later is left out
    # Who started it, as the audit names him.
    actor_kind = models.CharField(max_length=10, choices=ActorKind.choices)
    actor_id = models.CharField(max_length=150, blank=True)
    actor_name = models.CharField(max_length=200, blank=True)
    actor_ip = models.CharField(max_length=45, blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = BulkJobQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project"], condition=Q(state="running"), name="one_bulk_job_at_a_time"),
            # A form that is sent twice, by a double click or a reload, starts one job.
            models.UniqueConstraint(fields=["project", "actor_id", "asked_at"], name="one_bulk_job_per_question"),
        ]
        indexes = [models.Index(fields=["project", "id"], name="bulk_jobs_by_project")]
        permissions = [("cancel_bulkjob", "Can cancel bulk jobs")]

    def __str__(self) -> str:
        return self.id

    @property
    def is_running(self) -> bool:
        return self.state == BulkState.RUNNING

    @property
    def looked_at(self) -> int:
        return self.done + self.left_alone
