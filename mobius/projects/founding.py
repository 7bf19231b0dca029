"""Making projects."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from mobius.errors import AlreadyExists, InvalidFields
from mobius.projects import auditing
from mobius.projects.auditing import Actor
from mobius.projects.models import Project


def create_project(*, handle: str, name: str, by: Actor) -> Project:
    """A project without members. Raises InvalidFields, and AlreadyExists for a taken handle."""
    project = Project(handle=handle, name=name)
    try:
        project.full_clean(validate_unique=False)
    except ValidationError as error:
        raise InvalidFields({field: list(found) for field, found in error.message_dict.items()}) from None
    try:
        with transaction.atomic():
            project.save(force_insert=True)
            auditing.record(by, "project.create", project_id=project.pk, kind="project", id=project.pk, name=handle)
    except IntegrityError:
        raise AlreadyExists(f"There is a project {handle} already.") from None
    return project
