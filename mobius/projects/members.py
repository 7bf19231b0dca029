"""Who belongs to a project, and as what. A project that has an admin keeps one."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from mobius.errors import AlreadyExists, Conflict, InvalidFields
from mobius.projects import auditing
from mobius.projects.auditing import Actor
from mobius.projects.models import Membership, Project
from mobius.projects.roles import Role
from mobius.projects.sessions import end_sessions_of


class LastAdmin(Conflict):
    """This is the project's last admin: make somebody else an admin first."""


def add_member(*, project: Project, name: str, role: Role, by: Actor) -> Membership:
    """Let the user `name` into the project. Raises InvalidFields for an unknown name or a key's role, AlreadyExists."""
    user = User.objects.filter(username=name, is_active=True).first()
    if user is None:
        raise InvalidFields({"name": [f"There is no user named {name}. Names are written exactly as at the sign-in."]})
    _demand_members_role(role)
    try:
        with transaction.atomic():
            membership = Membership.objects.create(project=project, user=user, role=role)
            _note(by, "add", membership, changed=["role"])
    except IntegrityError:
        raise AlreadyExists(f"{name} is a member already; change the role instead.") from None
    return membership


def change_role(membership: Membership, role: Role, *, by: Actor) -> Membership:
    """Give another role, and sign the person out everywhere. The same role again changes nothing. Raises LastAdmin."""
    _demand_members_role(role)
    with transaction.atomic():
        held = _held(membership)
        if held.role == role:
            return held
        if role != Role.ADMIN:
            _demand_another_admin(held)
        held.role = role
        held.save(update_fields=["role"])
        end_sessions_of(held.user)
        _note(by, "change_role", held, changed=["role"])
    return held


def remove_member(membership: Membership, *, by: Actor) -> None:
    """Take the person out of the project, and sign them out everywhere. The account stays. Raises LastAdmin."""
    with transaction.atomic():
        held = _held(membership)
        _demand_another_admin(held)
        end_sessions_of(held.user)
        _note(by, "remove", held)
        held.delete()


def _held(membership: Membership) -> Membership:
    """The membership as it is now. The project's row is held: two admins who remove each other do so one by one."""
    Project.objects.select_for_update(no_key=True).get(pk=membership.project_id)
    held = Membership.objects.select_related("user", "project").filter(pk=membership.pk).first()
    if held is None:
        raise Conflict("This person is no member any more.")
    return held


def _demand_another_admin(membership: Membership) -> None:
    admins = Membership.objects.of_project(membership.project).admins()
    if admins.filter(pk=membership.pk).exists() and not admins.exclude(pk=membership.pk).exists():
        raise LastAdmin


def _demand_members_role(role: Role) -> None:
    if role not in Role.for_members():
        raise InvalidFields({"role": ["This role is for API keys only."]})


def _note(by: Actor, deed: str, membership: Membership, *, changed: Iterable[str] = ()) -> None:
    name = membership.user.get_username()
    auditing.record(
        by, f"member.{deed}", project_id=membership.project_id, kind="member", id=name, name=name, changed=changed
    )
