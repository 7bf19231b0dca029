"""Projects (the tenants), who belongs to them, the API keys that act in them, and what was done there by whom."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Self

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
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


class MembershipQuerySet(models.QuerySet["Membership"]):
    def of_project(self, project: Project) -> Self:
        return self.filter(project=project)

    def admins(self) -> Self:
        """Those who can sign in and administer."""
        return self.filter(role=Role.ADMIN, user__is_active=True)


class Membership(models.Model):
    """A person's role in a project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=[(role.value, role.label) for role in Role.for_members()])
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_membership_per_user")]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.project}"


class Session(AbstractBaseSession):
    """A browser that somebody signed in with. It knows whose it is, so that it can be ended from elsewhere."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="sessions")

    class Meta(AbstractBaseSession.Meta):
        abstract = False
        default_permissions = ()  # nobody may look at it


class OneTimePassword(models.Model):
    """The person's password was chosen by somebody else: it opens nothing but the page that replaces it."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="one_time_password")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"of {self.user}"


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

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=partial(new_id, "aud"), editable=False)
    # Without a constraint: what was done stays known, also in a project that is gone. None: done to the whole console,
    # such as to a person's account.
    project = models.ForeignKey(
        Project,
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
        indexes = [models.Index(fields=["project", "id"], name="audit_by_project")]

    def __str__(self) -> str:
        return self.id


class Throttle(models.Model):
    """How much somebody has asked for lately, where several processes share it (`mobius.projects.throttling`)."""

    id = models.CharField(primary_key=True, max_length=80)  # the limit's name and who: a key's id, an address
    tat = models.FloatField()  # theoretical arrival time of the next request, in seconds since 1970

    def __str__(self) -> str:
        return self.id
