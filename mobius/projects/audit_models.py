"""What was done in the projects, and by whom. (A part of `mobius.projects.models`.)"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import Q

from mobius.fields import id_field

if TYPE_CHECKING:
    from mobius.projects.models import Project


class ActorKind(models.TextChoices):
    USER = "user", "Person"
    API_KEY = "api_key", "API key"
    SYSTEM = "system", "The console itself"


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def of_project(self, project: Project) -> Self:
        return self.filter(project=project)

    def by(self, actor: str) -> Self:
        """What somebody did, by a user's name, a key's id or name, or the console's own."""
        return self.filter(Q(actor_id=actor) | Q(actor_name=actor))

    def doing(self, action: str) -> Self:
        """What was done, such as `run.cancel`; `run` alone is everything that was done to runs."""
        return self.filter(action=action) if "." in action else self.filter(action__startswith=f"{action}.")

    def to(self, thing: str) -> Self:
        """What was done to a thing, by its id or its name of then."""
        return self.filter(Q(object_id=thing) | Q(object_name=thing))

    def of_object(self, object_id: str) -> Self:
        """What was done to the very thing with this id."""
        return self.filter(object_id=object_id)

    def between(self, first: datetime | None, end: datetime | None) -> Self:
        """From `first` on and before `end`; None leaves that side open."""
        found = self if first is None else self.filter(created_at__gte=first)
        return found if end is None else found.filter(created_at__lt=end)

    def as_of_now(self) -> Self:
        """Without what is written from now on, so that somebody who reads all of it comes to an end."""
        newest = self.order_by("-id").values_list("id", flat=True).first()
        return self.filter(id__lte=newest) if newest else self.none()


class AuditEvent(models.Model):
    """Something that somebody did, and cannot be undone here: the database refuses to change or delete it.

    Holds names of fields, never their values, so that no secret can get in (safety §6).
    """

    id = id_field("aud")
    # Without a constraint: what was done stays known, also in a project that is gone. None: done to the whole console,
    # such as to a person's account.
    project = models.ForeignKey(
        "projects.Project",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="audit_events",
    )
    actor_kind = models.CharField(max_length=8, choices=ActorKind.choices)
    actor_id = models.CharField(max_length=150, blank=True)  # a user's name, a key's id
    actor_name = models.CharField(max_length=200)
    ip = models.CharField(max_length=45, blank=True)
    action = models.CharField(max_length=60)  # such as `run.cancel`
    object_kind = models.CharField(max_length=40)
    object_id = models.CharField(max_length=150)  # an id of ours, or a user's name
    object_name = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=1000, blank=True)
    changed = models.JSONField(default=list)
    created_at = models.DateTimeField()

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "id"], name="audit_by_project"),
            models.Index(fields=["object_id", "id"], name="audit_by_object"),
        ]

    def __str__(self) -> str:
        return self.id
