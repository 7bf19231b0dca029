"""`mobius project create`, `key create`, `user create`."""

from __future__ import annotations

import click
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from mobius.errors import MobiusError
from mobius.projects.auditing import COMMAND_LINE
from mobius.projects.keys import create_key
from mobius.projects.models import Membership, Project
from mobius.projects.roles import Role
from mobius.projects.tenancy import NewProject, create_project

SUPPORT_GROUP = "Support"


def make_project(*, handle: str, name: str) -> str:
    try:
        create_project(NewProject(handle=handle, name=name), by=COMMAND_LINE)
    except MobiusError as error:
        raise click.ClickException(error.message) from None
    return f"project {handle} is there"


def make_key(*, handle: str, name: str, role: str) -> str:
    """The key's text."""
    try:
        return create_key(project=_project(handle), name=name, role=Role(role), by=COMMAND_LINE).text
    except MobiusError as error:
        raise click.ClickException(error.message) from None


@transaction.atomic
def make_user(*, name: str, password: str, handle: str | None, role: str | None, support: bool, superuser: bool) -> str:
    users = get_user_model()
    if users.objects.filter(username=name).exists():
        raise click.ClickException(f"There is a user named {name} already.")
    user = users(username=name, is_superuser=superuser, is_staff=support or superuser)
    try:
        user.full_clean(exclude=["password"])
        validate_password(password, user)
    except ValidationError as error:
        raise click.ClickException(" ".join(error.messages)) from None
    user.set_password(password)
    user.save()
    if support:
        user.groups.add(Group.objects.get(name=SUPPORT_GROUP))
    if handle and role:
        Membership.objects.create(project=_project(handle), user=user, role=role)
    return f"user {name} is there"


def _project(handle: str) -> Project:
    project = Project.objects.present().filter(handle=handle).first()
    if project is None:
        raise click.ClickException(f"There is no project {handle}. Make it: mobius project create {handle}")
    return project
