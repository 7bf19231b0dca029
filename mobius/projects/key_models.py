"""The API keys of a project, the machines they act as, and what they did. (A part of `mobius.projects.models`.)"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from mobius.fields import id_field
from mobius.projects.roles import Role


class PrincipalState(models.TextChoices):
    """Mobius's words (mobius-contract §3)."""

    ACTIVE = "active", "Active"
    DISABLED = "disabled", "Disabled"  # its keys open nothing until it is active again
    DELETED = "deleted", "Deleted"  # kept for the audit


class ServicePrincipalQuerySet(models.QuerySet["ServicePrincipal"]):
    def present(self) -> Self:
        return self.exclude(state=PrincipalState.DELETED)

    def active(self) -> Self:
        return self.filter(state=PrincipalState.ACTIVE)


class ServicePrincipal(models.Model):
    """The machine that API keys act as (mobius-contract §3)."""

    id = id_field("svc")
    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="principals")
    name = models.CharField(max_length=200)
    description = models.CharField(max_length=1000, blank=True)
    state = models.CharField(max_length=8, choices=PrincipalState.choices, default=PrincipalState.ACTIVE)
    # The most that its keys may do, and what those may that name no role of their own. Empty: each key has its own.
    role = models.CharField(max_length=16, choices=Role.choices, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    tags = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ServicePrincipalQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"], condition=~Q(state="deleted"), name="one_principal_per_name"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def live(self, now: datetime) -> Self:
        """Keys that open the door at `now`, or would if their principal were active."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)

    def tagged(self, name: str, value: str) -> Self:
        return self.filter(**{f"tags__{name}": value})

    def holding_names(self, beginning: str) -> Self:
        """Keys whose names begin so, and may not be given again while they are not revoked."""
        return self.filter(revoked_at=None, name__startswith=beginning)


class ApiKey(models.Model):
    """A bearer credential of one project. Only its SHA-256 is stored; the key itself is shown once."""

    id = id_field("cred")
    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="api_keys")
    principal = models.ForeignKey(ServicePrincipal, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=200)
    role = models.CharField(max_length=16, choices=Role.choices)
    key_prefix = models.CharField(max_length=8)
    key_ending = models.CharField(max_length=4, blank=True)  # of its checksum: whoever sees it guesses no better
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    tags = models.JSONField(default=dict, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    disabled = models.BooleanField(default=False, editable=False)  # for as long as its principal is
    last_used_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        constraints = [
            # A revoked key keeps its record for the audit; its name is free again.
            models.UniqueConstraint(
                fields=["project", "name"], condition=Q(revoked_at=None), name="one_live_api_key_per_name"
            ),
        ]
        permissions = [("revoke_apikey", "Can revoke API keys")]

    def __str__(self) -> str:
        return f"{self.name} ({self.key_prefix}…)"

    @property
    def masked(self) -> str:
        """By what somebody who holds the key recognises it."""
        return f"{self.key_prefix}…{self.key_ending}"

    def is_live(self, now: datetime) -> bool:
        in_time = self.expires_at is None or self.expires_at > now
        return self.revoked_at is None and not self.disabled and in_time


class KeyUseQuerySet(models.QuerySet["KeyUse"]):
    def of_key(self, key: ApiKey) -> Self:
        return self.filter(key=key)

    def since(self, day: date) -> Self:
        return self.filter(day__gte=day)

    def before(self, day: date) -> Self:
        return self.filter(day__lt=day)


class KeyUse(models.Model):
    """That an API key opened the door on a day, for one program at one address."""

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="uses", db_index=False)
    day = models.DateField()  # in UTC
    network = models.CharField(max_length=60)  # an IPv4 address or an IPv6 network
    client = models.CharField(max_length=200, blank=True)  # as the program calls itself
    last_at = models.DateTimeField()

    objects = KeyUseQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key", "day", "network", "client"], name="one_use_of_a_key_per_day"),
        ]

    def __str__(self) -> str:
        return f"{self.client or 'somebody'} at {self.network} on {self.day}"


class RefusedCallQuerySet(models.QuerySet["RefusedCall"]):
    def of_key(self, key: ApiKey) -> Self:
        """The latest first."""
        return self.filter(key=key).order_by("-pk")

    def of_keys(self, keys: Iterable[ApiKey]) -> Self:
        """The latest first."""
        return self.filter(key__in=list(keys)).order_by("-pk")


class RefusedCall(models.Model):
    """A call with a live key that `/v1` refused: when, where and why, and nothing of what was sent."""

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="refused_calls", db_index=False)
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=200)
    status = models.PositiveSmallIntegerField()
    code = models.CharField(max_length=60)
    fields = models.CharField(max_length=200, blank=True)  # the names of those that were wrong
    called_at = models.DateTimeField()

    objects = RefusedCallQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["key", "id"], name="refused_calls_by_key")]

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.status} {self.code}"
