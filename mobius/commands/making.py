"""`mobius project create`, `key create`, `user create`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
from django.db import transaction

from mobius.errors import InvalidFields, MobiusError
from mobius.projects import people
from mobius.projects.auditing import COMMAND_LINE
from mobius.projects.founding import create_project
from mobius.projects.keys import create_key
from mobius.projects.members import add_member
from mobius.projects.models import Project
from mobius.projects.roles import Role


def make_project(*, handle: str, name: str) -> str:
    with _refusals_in_words():
        create_project(handle=handle, name=name, by=COMMAND_LINE)
    return f"project {handle} is there"


def make_key(*, handle: str, name: str, role: str) -> str:
    """The key's text."""
    with _refusals_in_words():
        return create_key(project=_project(handle), name=name, role=Role(role), by=COMMAND_LINE).text


def make_user(
    *, name: str, password: str, handle: str | None, role: str | None, support: str | None, superuser: bool
) -> str:
    """`support` is a group of Django admin."""
    with _refusals_in_words(), transaction.atomic():
        people.create_user(name=name, password=password, support=support or "", superuser=superuser, by=COMMAND_LINE)
        if handle and role:
            add_member(project=_project(handle), name=name, role=Role(role), by=COMMAND_LINE)
    return f"user {name} is there"


@contextmanager
def _refusals_in_words() -> Iterator[None]:
    try:
        yield
    except InvalidFields as error:
        sentences = [sentence for found in error.fields.values() for sentence in found]
        raise click.ClickException(" ".join(sentences)) from None
    except MobiusError as error:
        raise click.ClickException(error.message) from None


def _project(handle: str) -> Project:
    project = Project.objects.present().filter(handle=handle).first()
    if project is None:
        raise click.ClickException(f"There is no project {handle}. Make it: python3 -m mobius project create {handle}")
    return project
