"""Service principals: the machines that API keys act as (mobius-contract §3).

A principal may have a role: the most that its keys may do. Disabling it shuts all its keys until it is active again.
"""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from mobius import clock
from mobius.errors import AlreadyExists, Conflict, NotFound
from mobius.projects import auditing
from mobius.projects.auditing import Actor
from mobius.projects.key_models import PrincipalState, ServicePrincipal
from mobius.projects.models import Project
from mobius.projects.roles import Role

DEFAULT_PRINCIPAL = "api"


def default_principal(project: Project) -> ServicePrincipal:
    """The service principal that keys act as when nobody chose another."""
    present = ServicePrincipal.objects.present()
    return present.get_or_create(project=project, name=DEFAULT_PRINCIPAL, defaults={"role": Role.ADMIN})[0]


def create_principal(
    *,
    project: Project,
    name: str,
    description: str = "",
    role: Role | str = "",
    metadata: dict[str, Any] | None = None,
    tags: dict[str, str] | None = None,
    by: Actor,
) -> ServicePrincipal:
    """Raises AlreadyExists for a taken name."""
    principal = ServicePrincipal(
        project=project,
        name=name,
        description=description,
        role=role,
        metadata=metadata or {},
        tags=tags or {},
    )
    try:
        with transaction.atomic():
            principal.save(force_insert=True)
            _note(by, "create", principal)
    except IntegrityError:
        raise AlreadyExists(f"There is a service principal named “{name}” already; choose another name.") from None
    return principal


def update_principal(principal: ServicePrincipal, changes: dict[str, Any], *, by: Actor) -> ServicePrincipal:
    """Write description, state, role, metadata and tags, as far as they are given. The same again changes nothing.

    Raises NotFound for a deleted one, and Conflict when the role is less than what a live key of it may do.
    """
    with transaction.atomic():
        held = ServicePrincipal.objects.select_for_update().get(pk=principal.pk)
        if held.state == PrincipalState.DELETED:
            raise NotFound("This service principal is deleted.")
        changed = {name for name, value in changes.items() if getattr(held, name) != value}
        if not changed:
            return held
        for name in changed:
            setattr(held, name, changes[name])
        if "role" in changed and held.role:
            _demand_room(held)
        held.save(update_fields=[*changed, "updated_at"])
        if "state" in changed:
            held.api_keys.update(disabled=held.state != PrincipalState.ACTIVE, updated_at=clock.now())
        _note(by, "update", held, changed=changed)
    return held


def delete_principal(principal: ServicePrincipal, *, by: Actor) -> None:
    """Its record stays for the audit; its name is free again. Raises Conflict while it has a live key."""
    with transaction.atomic():
        held = ServicePrincipal.objects.select_for_update().get(pk=principal.pk)
        if names := list(held.api_keys.live(clock.now()).order_by("id").values_list("name", flat=True)[:10]):
            raise Conflict(f"It still has keys: {', '.join(names)}. Revoke them first, or disable the principal.")
        if held.state != PrincipalState.DELETED:
            held.state = PrincipalState.DELETED
            held.save(update_fields=["state", "updated_at"])
            _note(by, "delete", held)


def _demand_room(principal: ServicePrincipal) -> None:
    role = Role(principal.role)
    for key in principal.api_keys.live(clock.now()).order_by("id"):
        if not role.includes(Role(key.role)):
            raise Conflict(
                f"Its key “{key.name}” has the role {key.role}, which {role} does not include: revoke it first."
            )


def _note(by: Actor, deed: str, principal: ServicePrincipal, *, changed: set[str] | None = None) -> None:
    auditing.record(
        by,
        f"principal.{deed}",
        project_id=principal.project_id,
        kind="principal",
        id=principal.pk,
        name=principal.name,
        changed=changed or (),
    )
