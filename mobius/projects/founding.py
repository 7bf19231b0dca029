"""Making, changing and deleting projects.

A project that is made over the API remembers the project whose key made it: the admins' keys of that one act in it too,
so that one key can set up a project for each of its customers. `external_ref` is the maker's own name for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from mobius import clock
from mobius.errors import AlreadyExists, Conflict, InvalidFields, NotFound, RateLimitExceeded
from mobius.projects import auditing
from mobius.projects.auditing import Actor
from mobius.projects.key_models import ApiKey
from mobius.projects.models import Membership, Project
from mobius.projects.roles import Role

MOST_PROJECTS = 1000
"""How many projects the keys of one project may make."""


class ExternalIdentityConflict(Conflict):
    """The external_ref belongs to a project that differs from the one asked for."""

    code = "external_identity_conflict"


class ProjectArchived(Conflict):
    """The project with this external_ref was deleted; use another external_ref."""

    code = "project_archived"


class ProjectCapacityReached(RateLimitExceeded):
    """This project's keys have made as many projects as they may: delete some that are not needed."""

    code = "project_capacity_reached"


@dataclass(frozen=True, kw_only=True)
class Founded:
    project: Project
    created: bool
    """False: it had this external_ref already."""


def create_project(
    *,
    name: str,
    handle: str = "",
    description: str = "",
    external_ref: str = "",
    tags: dict[str, str] | None = None,
    by: Actor,
    maker: ApiKey | None = None,
) -> Project:
    """A new project; without a handle it gets one of its name.

    `maker` is the key that makes it, and the person behind that becomes an admin; else it has no members. Raises
    InvalidFields, AlreadyExists for a taken handle or external_ref, and ProjectCapacityReached.
    """
    project = Project(
        handle=handle or _handle_for(name),
        name=name,
        description=description,
        external_ref=external_ref,
        tags=tags or {},
        made_in=maker.project if maker else None,
        created_by=by.principal_id,
    )
    _demand_valid(project)
    if maker is not None and Project.objects.present().filter(made_in=maker.project).count() >= MOST_PROJECTS:
        raise ProjectCapacityReached
    try:
        with transaction.atomic():
            project.save(force_insert=True)
            if maker is not None and maker.created_by is not None:
                Membership.objects.create(project=project, user=maker.created_by, role=Role.ADMIN)
            _note(by, "create", project)
    except IntegrityError:
        raise _taken(project) from None
    return project


def adopt_or_create_project(*, external_ref: str, handle: str = "", maker: ApiKey, by: Actor, **more: Any) -> Founded:
    """The project that keys of the maker's project have made under this external_ref, as it is; else a new one.

    Raises ExternalIdentityConflict for another handle, ProjectArchived when it was deleted, and what `create_project`
    raises.
    """
    found = _made_before(external_ref, handle, maker)
    if found is None:
        try:
            made = create_project(external_ref=external_ref, handle=handle, maker=maker, by=by, **more)
            return Founded(project=made, created=True)
        except AlreadyExists:
            found = _made_before(external_ref, handle, maker)  # by somebody who asked for the same just now
            if found is None:
                raise
    return Founded(project=found, created=False)


def _made_before(external_ref: str, handle: str, maker: ApiKey) -> Project | None:
    found = Project.objects.filter(made_in=maker.project, external_ref=external_ref).first()
    if found is None:
        return None
    if found.deleted_at is not None:
        raise ProjectArchived
    if handle and handle != found.handle:
        sentence = f"The project with this external_ref has the handle {found.handle}, not {handle}."
        raise ExternalIdentityConflict(sentence, details={"handle": found.handle})
    return found


def update_project(project: Project, changes: dict[str, Any], *, by: Actor) -> Project:
    """Write name, description, tags and external_ref, as far as they are given. The same again changes nothing.

    Raises InvalidFields, Conflict for another external_ref than it has, and AlreadyExists for a taken one.
    """
    try:
        with transaction.atomic():
            held = Project.objects.select_for_update().get(pk=project.pk)
            if held.external_ref and changes.get("external_ref", held.external_ref) != held.external_ref:
                raise Conflict("This project has an external_ref already, and it never changes.")
            changed = {name for name, value in changes.items() if getattr(held, name) != value}
            if not changed:
                return held
            for name in changed:
                setattr(held, name, changes[name])
            _demand_valid(held)
            held.save(update_fields=[*changed, "updated_at"])
            _note(by, "update", held, changed=changed)
    except IntegrityError:
        raise AlreadyExists(f"Another project has the external_ref “{changes['external_ref']}”.") from None
    return held


Closer = Callable[[Project], None]
_closers: list[Closer] = []


def closed_by(closer: Closer) -> None:
    """From now on `closer` is told of each project that is deleted, in the transaction that deletes it: for whoever
    has something there that would begin by itself."""
    if closer not in _closers:
        _closers.append(closer)


def delete_project(project: Project, *, by: Actor) -> None:
    """Nothing new begins in the project, and nobody finds it; what runs goes on, and callbacks are still taken."""
    with transaction.atomic():
        if Project.objects.present().filter(pk=project.pk).update(deleted_at=clock.now()):
            for close in _closers:
                close(project)
            _note(by, "delete", project)


def project_for(key: ApiKey, handle: str) -> Project:
    """The project `handle`, which is not the key's own, if the key acts in it too. Raises NotFound.

    The same words as for a project that does not exist: nobody learns what others have.
    """
    made = Project.objects.within_reach_of(key).filter(handle=handle).exclude(pk=key.project_id).first()
    if made is None:
        raise NotFound("There is no such project.")
    return made


def _handle_for(name: str) -> str:
    handle = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-")
    if not handle:
        raise InvalidFields({"handle": ["No handle can be made of this name; give one, such as product-ops."]})
    return handle


def _demand_valid(project: Project) -> None:
    try:
        project.clean_fields(exclude=["made_in"])
    except ValidationError as error:
        raise InvalidFields({name: list(sentences) for name, sentences in error.message_dict.items()}) from None


def _taken(project: Project) -> AlreadyExists:
    if Project.objects.filter(handle=project.handle).exists():
        return AlreadyExists(f"There is a project {project.handle} already. Choose another handle.")
    return AlreadyExists(f"There is a project with the external_ref “{project.external_ref}” already.")


def _note(by: Actor, deed: str, project: Project, *, changed: set[str] | None = None) -> None:
    auditing.record(
        by,
        f"project.{deed}",
        project_id=project.pk,
        kind="project",
        id=project.pk,
        name=project.handle,
        changed=changed or (),
    )
