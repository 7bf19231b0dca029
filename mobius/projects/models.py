"""Projects (the tenants), who belongs to them, and the API keys that act in them."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from mobius.ids import ID_LENGTH, new_id
from mobius.projects.roles import Role

HANDLE_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
"""How Mobius writes a project's handle (mobius-contract §1); our URLs contain it."""


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, user: object) -> Self:
        """The projects a signed-in person may open; a superuser sees every one."""
        if getattr(user, "is_superuser", False):
            return self
        return self.filter(memberships__user=user)


class Project(models.Model):
    """A tenant: everything else belongs to exactly one project."""

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=partial(new_id, "prj"), editable=False)
    handle = models.CharField(
        max_length=63,
        unique=True,
        validators=[RegexValidator(HANDLE_PATTERN, "Use lower-case letters, digits and single hyphens.")],
        help_text="In every address of the project; it never changes.",
    )
    name = models.CharField(max_length=200)
    description = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["handle"]

    def __str__(self) -> str:
        return self.handle


class Membership(models.Model):
    """A person's role in a project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=[(role.value, role.label) for role in Role.for_members()])
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_membership_per_user")]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.project}"


class ServicePrincipal(models.Model):
    """The machine that API keys act as (mobius-contract §3)."""

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=partial(new_id, "svc"), editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="principals")
    name = models.CharField(max_length=200)
    description = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_principal_per_name")]

    def __str__(self) -> str:
        return self.name


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def live(self, now: datetime) -> Self:
        """Keys that still open the door at `now`."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


class ApiKey(models.Model):
    """A bearer credential of one project. Only its SHA-256 is stored; the key itself is shown once."""

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=partial(new_id, "cred"), editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="api_keys")
    principal = models.ForeignKey(ServicePrincipal, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=200)
    role = models.CharField(max_length=16, choices=Role.choices)
    key_prefix = models.CharField(max_length=8)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
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

    def __str__(self) -> str:
        return f"{self.name} ({self.key_prefix}…)"

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)
