"""Projects (the tenants), and who belongs to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from mobius.fields import id_field
from mobius.ids import ID_LENGTH
from mobius.projects.audit_models import ActorKind, AuditEvent  # noqa: F401  # Django looks for all of them here
from mobius.projects.key_models import ApiKey, KeyUse, RefusedCall, ServicePrincipal  # noqa: F401  # here, too
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


class Throttle(models.Model):
    """How much somebody has asked for lately, where several processes share it (`mobius.projects.throttling`)."""

    id = models.CharField(primary_key=True, max_length=80)  # the limit's name and who: a key's id, an address
    tat = models.FloatField()  # theoretical arrival time of the next request, in seconds since 1970

    def __str__(self) -> str:
        return self.id
