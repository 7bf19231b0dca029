"""Who may do what: five roles, each a set of permissions."""

from __future__ import annotations

import enum

from django.db import models


class Permission(enum.StrEnum):
    """One thing that a role may allow."""

    READ = "read"  # see everything of the project but secrets
    START = "start"  # start runs
    OPERATE = "operate"  # cancel, retry, settle, test
    ADMINISTER = "administer"  # connect, keys, loops, members
    CALL_BACK = "call_back"  # post callbacks by request_id


class Role(models.TextChoices):
    """What a member or an API key is to a project (design §7)."""

    VIEWER = "viewer", "Viewer: sees everything but secrets"
    OPERATOR = "operator", "Operator: also starts, cancels, retries and settles"
    ADMIN = "admin", "Admin: also connects, edits loops and manages keys"
    RUN = "run", "Run: starts runs and nothing else (for keys stored in Clay)"
    CALLBACK = "callback", "Callback: posts callbacks and nothing else (for keys stored in Clay)"

    @classmethod
    def for_members(cls) -> tuple[Role, ...]:
        """The roles a person can have; the narrow two are for keys."""
        return cls.VIEWER, cls.OPERATOR, cls.ADMIN

    def allows(self, permission: Permission) -> bool:
        return permission in _ALLOWED[self]

    def includes(self, other: Role) -> bool:
        """Does it allow everything that `other` allows?"""
        return _ALLOWED[self] >= _ALLOWED[other]


_ALLOWED: dict[str, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.OPERATOR: frozenset({Permission.READ, Permission.START, Permission.OPERATE}),
    Role.ADMIN: frozenset(Permission),
    Role.RUN: frozenset({Permission.START}),
    Role.CALLBACK: frozenset({Permission.CALL_BACK}),
}
