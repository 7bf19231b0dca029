"""Loops and their frozen versions."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import OuterRef, Q, Subquery

from loops.models.runs import Run
from mobius.fields import id_field
from mobius.projects.models import Project

_LARGEST_NUMBER = 2**31 - 1  # that every database can look for


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

    def paused_by_the_console(self) -> Self:
        """Of projects that are there, without the authored JSON."""
        paused = self.filter(status=LoopStatus.PAUSED, project__deleted_at=None)
        return paused.exclude(paused_because="")

    def for_lists(self) -> Self:
        """With the number of the version and `last_run_at`, without the authored JSON."""
        latest = Run.objects.filter(loop=OuterRef("pk")).order_by("-id").values("created_at")[:1]
        return (
            self.select_related("current_version").defer("current_version__spec").annotate(last_run_at=Subquery(latest))
        )


class Loop(models.Model):
    """Authored steps under a name. What they are is in its versions; runs keep the version they started with."""

    id = id_field("loop")
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
    def of_loop(self, loop: Loop) -> Self:
        return self.filter(loop=loop)

    def newest_first(self) -> Self:
        """Without the authored JSON, for a list."""
        return self.order_by("-number").defer("spec")

    def numbered(self, number: int) -> LoopVersion | None:
        return self.filter(number=number).first() if number <= _LARGEST_NUMBER else None

    def before(self, number: int) -> LoopVersion | None:
        """The last one that is older."""
        return self.filter(number__lt=number).order_by("-number").first()


class LoopVersion(models.Model):
    """A loop's authored JSON, frozen. It was valid when it was saved."""

    id = id_field("lver")
    loop = models.ForeignKey(Loop, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    spec = models.JSONField()
    created_at = models.DateTimeField()

    objects = LoopVersionQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["loop", "number"], name="one_loop_version_per_number")]

    def __str__(self) -> str:
        return f"version {self.number}"
