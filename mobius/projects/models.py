"""Projects (the tenants), who belongs to them, and the API keys that act in them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Self

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from mobius.fields import id_field
from mobius.ids import ID_LENGTH
from mobius.projects.audit_models import ActorKind, AuditEvent  # noqa: F401  # Django looks for all of them here
from mobius.projects.roles import Role

HANDLE_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
"""How Mobius writes a project's handle (mobius-contract §1); our URLs contain it."""


class ProjectQuerySet(models.QuerySet["Project"]):
    def present(self) -> Self:
        return self.filter(deleted_at=None)

    def visible_to(self, user: object) -> Self:
        """The projects a signed-in person may open; a superuser sees every one."""
        if getattr(user, "is_superuser", False):
            return self.present()
        return self.present().filter(memberships__user=user)

    def within_reach_of(self, key: ApiKey) -> Self:
        """The key's own project, and for an admin's key those that were made with a key of it.

        Not once its own was deleted: nobody could revoke the key there any more.
        """
        own, made = Q(pk=key.project_id), Q(made_in=key.project_id, made_in__deleted_at=None)
        return self.present().filter(own | made if key.role == Role.ADMIN else own)

    def tagged(self, wanted: Iterable[str]) -> Self:
        """Those with every tag of `key` or `key:value`. Compared here: JSON paths read a key such as `1` as a place."""
        pairs = [tag.partition(":") for tag in wanted]
        found = [
            id
            for id, tags in self.values_list("pk", "tags")
            if all(key in tags and (not colon or tags[key] == value) for key, colon, value in pairs)
        ]
        return self.filter(pk__in=found)

    def mentioning(self, text: str) -> Self:
        """Those with `text` in their name, handle or description, whatever its case."""
        return self.filter(Q(name__icontains=text) | Q(handle__icontains=text) | Q(description__icontains=text))


class Project(models.Model):
    """A tenant: everything else belongs to exactly one project."""

    id = id_field("prj")
    handle = models.CharField(
        max_length=63,
        unique=True,
        validators=[RegexValidator(HANDLE_PATTERN, "Use lower-case letters, digits and single hyphens.")],
        help_text="In every address of the project; it never changes.",
    )
    name = models.CharField(max_length=200)
    description = models.CharField(max_length=1000, blank=True)
    tags = models.JSONField(default=dict, blank=True)
    # Over the API a project is made with the key of another one, whose admins' keys then act in it, too.
    made_in = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="projects_made")
    created_by = models.CharField(max_length=ID_LENGTH, blank=True, editable=False)  # the principal of that key
    external_ref = models.CharField(max_length=255, blank=True, help_text="What its maker calls it. It never changes.")
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)  # what runs goes on; nothing new begins
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["handle"]
        constraints = [
            models.UniqueConstraint(
                fields=["made_in", "external_ref"], condition=~Q(external_ref=""), name="one_project_per_external_ref"
            ),
        ]

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
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="principals")
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
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="api_keys")
    principal = models.ForeignKey(ServicePrincipal, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=200)
    role = models.CharField(max_length=16, choices=Role.choices)
    key_prefix = models.CharField(max_length=8)
    key_ending = models.CharField(max_length=4, blank=True)  # of its checksum, which holds nothing of its chance
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


class Throttle(models.Model):
    """How much somebody has asked for lately, where several processes share it (`mobius.projects.throttling`)."""

    id = models.CharField(primary_key=True, max_length=80)  # the limit's name and who: a key's id, an address
    tat = models.FloatField()  # theoretical arrival time of the next request, in seconds since 1970

    def __str__(self) -> str:
        return self.id
