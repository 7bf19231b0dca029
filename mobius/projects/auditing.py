"""Who did what: one line for everything that somebody does to a project, written with the deed itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import User

from mobius import clock
from mobius.projects.models import ActorKind, ApiKey, AuditEvent

LONGEST_REASON = 1000


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A person, an API key or this console, and the address it came from."""

    kind: ActorKind
    name: str
    id: str = ""  # a person's user name, a key's id
    principal_id: str = ""  # the service principal that a key acts as
    ip: str = ""


SYSTEM = Actor(kind=ActorKind.SYSTEM, name="Mobius console")
COMMAND_LINE = Actor(kind=ActorKind.SYSTEM, name="Command line")


def person(user: User, *, ip: str = "") -> Actor:
    username = user.get_username()
    return Actor(kind=ActorKind.USER, name=user.get_full_name() or username, id=username, ip=ip)


def key_holder(key: ApiKey, *, ip: str = "") -> Actor:
    return Actor(kind=ActorKind.API_KEY, name=key.name, id=key.pk, principal_id=key.principal_id, ip=ip)


def record(
    by: Actor,
    action: str,
    *,
    project_id: str,
    kind: str,
    id: str,
    name: str = "",
    reason: str = "",
    changed: Iterable[str] = (),
) -> None:
    """Write down that `by` did `action` to the object of this kind and id. Call it in the transaction of the deed.

    `changed` names fields; a value must never stand in it.
    """
    AuditEvent(
        project_id=project_id,
        actor_kind=by.kind,
        actor_id=by.id[:150],
        actor_name=by.name[:200],
        ip=by.ip[:45],
        action=action,
        object_kind=kind,
        object_id=id,
        object_name=name[:200],
        reason=reason[:LONGEST_REASON],
        changed=sorted(changed),
        created_at=clock.now(),
    ).save(force_insert=True)
