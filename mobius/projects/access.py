"""Which project a person or a key may touch, and what it may do there. The one place that decides."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User

from mobius.errors import NotFound, PermissionDenied
from mobius.projects.models import Membership, Project
from mobius.projects.roles import Permission, Role


@dataclass(frozen=True, kw_only=True)
class Access:
    """A project as one person sees it."""

    project: Project
    role: Role

    def allows(self, permission: Permission) -> bool:
        return self.role.allows(permission)

    def demand(self, permission: Permission) -> None:
        """Raises PermissionDenied unless the role allows `permission`."""
        if not self.allows(permission):
            raise PermissionDenied(
                f"The role {self.role.value} does not allow this; it needs the permission “{permission.value}”.",
                details={"permission": permission.value},
            )


def access_for(user: User | AnonymousUser, handle: str) -> Access:
    """The project `handle` as `user` sees it. Raises NotFound alike for a project that is not there or not theirs."""
    project = Project.objects.visible_to(user).filter(handle=handle).first() if user.is_authenticated else None
    if project is None or isinstance(user, AnonymousUser):
        raise NotFound("There is no such project.")
    if user.is_superuser:
        return Access(project=project, role=Role.ADMIN)
    membership = Membership.objects.filter(project=project, user=user).first()
    if membership is None:  # taken out at this very moment
        raise NotFound("There is no such project.")
    return Access(project=project, role=Role(membership.role))
