"""What the triggers of loops need at run time, and what made them fire."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q

from integrations.secrets import SecretTextField
from loops.models.loops import Loop
from mobius.fields import id_field
from mobius.ids import ID_LENGTH
from mobius.projects.models import Project


class TriggerQuerySet(models.QuerySet["Trigger"]):
    def at(self, handle: str) -> Self:
        """The trigger whose secret address this is. That it is not empty lets the partial index answer."""
        return self.filter(http_handle=handle).exclude(http_handle="")

    def due(self, now: datetime) -> Self:
        """Schedules whose time has come, the longest due first."""
        return self.filter(next_fire_at__lte=now).order_by("next_fire_at")

    def listening(self) -> Self:
        """Those that wait for something to happen in the console. Never empty: that lets the partial index answer."""
        return self.filter(active=True).exclude(event_type="")

    def hearing(self, event_type: str, *, project_id: str, loop_id: str) -> Self:
        """Those that something of this type in a run of this loop sets off. A loop hears its own runs only by name."""
        unnamed = Q(source_loop="") & ~Q(loop_id=loop_id)
        heard = self.listening().filter(project_id=project_id, event_type=event_type)
        return heard.filter(unnamed | Q(source_loop=loop_id)).order_by("pk")


class Trigger(models.Model):
    """A trigger of a loop's current version; what it is, is in the version. Manual triggers need no row."""

    id = id_field("trg")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+", db_index=False)
    loop = models.ForeignKey(Loop, on_delete=models.CASCADE, related_name="triggers", db_index=False)
    key = models.CharField(max_length=100)
    kind = models.CharField(max_length=16)
    name = models.CharField(max_length=200, blank=True)
    config = models.JSONField(default=dict)
    active = models.BooleanField(default=True)  # it is enabled, and so is its loop
    http_handle = models.CharField(max_length=64, blank=True)  # the secret part of its address
    signed = models.BooleanField(default=False)  # calls must be signed with its TriggerSecret
    next_fire_at = models.DateTimeField(null=True, blank=True)  # of a schedule that is active
    event_type = models.CharField(max_length=40, blank=True)
    source_loop = models.CharField(max_length=ID_LENGTH, blank=True)  # whose events it hears; "": of every other loop
    last_fired_at = models.DateTimeField(null=True, blank=True)
    last_run = models.CharField(max_length=ID_LENGTH, blank=True)  # what it started then
    last_remark = models.CharField(max_length=700, blank=True)  # or why it started nothing
    created_at = models.DateTimeField()

    objects = TriggerQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["loop", "key"], name="one_trigger_per_key"),
            models.UniqueConstraint(
                fields=["http_handle"], condition=~Q(http_handle=""), name="one_trigger_per_http_handle"
            ),
        ]
        indexes = [
            # Partial: a console without schedules asks an empty index.
            models.Index(
                fields=["next_fire_at"], condition=Q(next_fire_at__isnull=False), name="triggers_by_next_fire"
            ),
            models.Index(
                fields=["project", "event_type"], condition=Q(active=True) & ~Q(event_type=""), name="event_triggers"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.key


class TriggerSecret(models.Model):
    """What calls of an HTTP trigger are signed with. In a table of its own, so that no list ever loads it."""

    trigger = models.OneToOneField(Trigger, on_delete=models.CASCADE, primary_key=True, related_name="secret")
    secret = SecretTextField()
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"secret of {self.trigger_id}"

    @property
    def owner(self) -> Trigger:
        return self.trigger


class SourceEventState(models.TextChoices):
    """What became of something that fired a trigger."""

    PENDING = "pending", "Pending"  # written down; its run is about to be started
    STARTED = "started", "Started"
    REFUSED = "refused", "Refused"  # no run was started, and `remark` says why


class SourceEventQuerySet(models.QuerySet["SourceEvent"]):
    def due(self, now: datetime) -> Self:
        return self.filter(due_at__lte=now).order_by("due_at")


class SourceEvent(models.Model):
    """One firing of one trigger. The database sees to it that the same cause fires it once."""

    id = id_field("sevt")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+", db_index=False)
    trigger = models.ForeignKey(Trigger, on_delete=models.CASCADE, related_name="source_events")
    cause = models.CharField(max_length=255, blank=True)  # a caller's key, a scheduled time, a run's end; "": none
    state = models.CharField(max_length=16, choices=SourceEventState.choices, default=SourceEventState.STARTED)
    event = models.JSONField(default=dict)  # of the run to be started, while it is pending
    depth = models.PositiveSmallIntegerField(default=0)  # how many runs in a row led to this one
    run_id = models.CharField(max_length=ID_LENGTH, blank=True)
    remark = models.CharField(max_length=700, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)  # when a pending one is to be looked at
    created_at = models.DateTimeField()

    objects = SourceEventQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["trigger", "cause"], condition=~Q(cause=""), name="one_source_event_per_cause"
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="source_events_to_fire"),
        ]

    def __str__(self) -> str:
        return self.id
