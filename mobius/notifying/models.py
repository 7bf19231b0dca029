"""Who wants to be told of what, what was told them, and what it was signed with."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q

from integrations.secrets import SecretTextField
from mobius.fields import id_field
from mobius.ids import ID_LENGTH
from mobius.projects.models import Project


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    def of_project(self, project: Project) -> Self:
        return self.filter(project=project)

    def listening(self) -> Self:
        return self.filter(enabled=True)


class WithoutAddresses(models.Manager["Endpoint"]):
    def get_queryset(self) -> models.QuerySet[Endpoint]:
        """The address is read where something is sent: one that is unreadable stops only its own."""
        return super().get_queryset().defer("url")


EndpointManager = WithoutAddresses.from_queryset(EndpointQuerySet)


class Endpoint(models.Model):
    """An address that a project's events are posted to; the contract's Webhook (mobius-contract §9)."""

    id = id_field("wbh")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="endpoints")
    name = models.CharField(max_length=200)
    url = SecretTextField(default="")  # whoever knows it can post there; "": nothing is sent
    url_shown = models.CharField(max_length=300, blank=True)  # its host and last characters
    events = models.JSONField(default=list)  # types, or `run.*`; empty: all
    enabled = models.BooleanField(default=True)
    disabled_because = models.CharField(max_length=300, blank=True)  # when the console switched it off, not a person
    secret_version = models.PositiveIntegerField(default=1)  # the one that signs
    failing_since = models.DateTimeField(null=True, blank=True)  # no delivery has succeeded since
    failures_in_a_row = models.PositiveIntegerField(default=0)
    tags = models.JSONField(default=dict, blank=True)
    created_by = models.CharField(max_length=200, blank=True)
    updated_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = EndpointManager()

    class Meta:
        verbose_name = "webhook"
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_endpoint_per_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def secret_ref(self) -> str:
        """How the receiver tells which secret is meant."""
        return f"mobius/webhook/{self.pk}"

    def wants(self, event_type: str) -> bool:
        prefix = event_type.partition(".")[0]
        return bool(self.url_shown) and (not self.events or event_type in self.events or f"{prefix}.*" in self.events)


class SigningSecretQuerySet(models.QuerySet["SigningSecret"]):
    def valid(self, endpoint_id: str, now: datetime) -> Self:
        """Those that sign at `now`, the newest first."""
        live = Q(expires_at=None) | Q(expires_at__gt=now)
        return self.filter(live, endpoint_id=endpoint_id).order_by("-version")


class SigningSecret(models.Model):
    """What notifications of an endpoint are signed with. After a rotation the former one signs on for a while."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="secrets")
    version = models.PositiveIntegerField()
    secret = SecretTextField()
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    objects = SigningSecretQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["endpoint", "version"], name="one_secret_per_version")]

    def __str__(self) -> str:
        return f"secret {self.version} of {self.endpoint_id}"

    @property
    def owner(self) -> Endpoint:
        """Without its address, which may be unreadable."""
        return Endpoint.objects.get(pk=self.endpoint_id)


class NotificationState(models.TextChoices):
    """What became of a notification (mobius-contract §9)."""

    PENDING = "pending", "Pending"  # waits for its next attempt
    PROCESSING = "processing", "Sending"  # an attempt is under way, or its process died
    DELIVERED = "delivered", "Delivered"  # answered with a 2xx
    FAILED = "failed", "Failed"  # refused for good, or ten attempts were in vain


class NotificationQuerySet(models.QuerySet["Notification"]):
    def due_for(self, endpoint_id: str, now: datetime) -> Self:
        """What is to be sent to this endpoint, the longest due first."""
        return self.filter(endpoint_id=endpoint_id, due_at__lte=now).order_by("due_at")

    def unfinished(self, endpoint_id: str) -> Self:
        return self.filter(endpoint_id=endpoint_id, due_at__isnull=False)

    def of_run(self, run_id: str) -> Self:
        """What was told of this run. That it is not empty lets the partial index answer."""
        return self.filter(run_id=run_id).exclude(run_id="")

    def with_endpoint(self) -> Self:
        """And with no address, as above."""
        return self.select_related("endpoint").defer("endpoint__url")

    def without_bodies(self) -> Self:
        return self.defer("body", "response", "tries")

    def to_purge(self, before: datetime) -> Self:
        """Those that are done with and still have a body."""
        return self.filter(created_at__lt=before, due_at=None).exclude(body="", response="")


class Notification(models.Model):
    """One event for one endpoint. Sent at least once, always under the same id."""

    id = id_field("whd")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+", db_index=False)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="notifications", db_index=False)
    event_type = models.CharField(max_length=40)
    run_id = models.CharField(max_length=ID_LENGTH, blank=True)
    body = models.TextField(blank=True)  # as it is sent; kept as it was when the event happened
    state = models.CharField(max_length=16, choices=NotificationState.choices, default=NotificationState.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)  # counted before each leaves
    due_at = models.DateTimeField(null=True, blank=True)  # of the next attempt; empty: it is done with
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)  # of the last attempt, as the next three
    response = models.TextField(blank=True)
    last_error = models.CharField(max_length=500, blank=True)
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    tries = models.JSONField(default=list)  # one object an attempt: when, and what came of it
    created_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True, blank=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["endpoint", "id"], name="notifications_by_endpoint"),
            # Partial: it holds what is still to be sent, however much was sent already.
            models.Index(fields=["endpoint", "due_at"], condition=Q(due_at__isnull=False), name="notifications_due"),
            models.Index(fields=["run_id"], condition=~Q(run_id=""), name="notifications_by_run"),
        ]
        permissions = [("redeliver_notification", "Can send notifications again")]

    def __str__(self) -> str:
        return self.id
