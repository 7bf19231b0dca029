"""What Clay posted back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q

from integrations.models import Attempt
from loops.models.fields import STEP_ID_LENGTH
from loops.models.runs import Run
from mobius.fields import id_field
from mobius.indexes import one_of
from mobius.projects.models import Project


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

    def to_attempt(self, attempt: Attempt) -> Self:
        """What answers its row. A test has no step: there the attempt stands for it."""
        return self.to_step(attempt.step_id or attempt.pk)

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

    def without_run(self) -> Self:
        """What could mean several rows, and what answers a test."""
        return self.filter(run=None)

    def of_runs(self, run_ids: Iterable[str]) -> Self:
        """The latest first."""
        return self.filter(run_id__in=list(run_ids)).order_by("-id")

    def unplaced(self, project: Project) -> Self:
        """What could mean several rows of the project, and nobody has said which; the latest first."""
        return self.filter(project=project, step_id="").order_by("-id")

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

    id = id_field("cbk")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="callbacks", db_index=False)
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
            # By state without the one that most callbacks come to, which the newest ones show.
            models.Index(
                fields=["state", "project", "id"],
                condition=one_of("state", [state for state in CallbackState if state != CallbackState.USED]),
                name="callbacks_not_used",
            ),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def is_of_test(self) -> bool:
        """Does it answer the row of a test, which no run sent? Then `step_id` is the id of that attempt."""
        return self.run_id is None and self.step_id != ""
