"""Who did what: one line for everything that somebody does to a project or the console, written with the deed itself.

Runs that start and callbacks that come are no deeds in this sense: they are records themselves, and say where they came
from; there may be a hundred a second.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import User

from mobius import clock
from mobius.projects.audit_models import ActorKind, AuditEvent
from mobius.projects.key_models import ApiKey

LONGEST_REASON = 1000


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A person, an API key or this console, and the address it came from."""

    kind: ActorKind
    name: str
    id: str = ""  # a person's user name, a key's id, the system's user at the command line
    principal_id: str = ""  # the service principal that a key acts as
    ip: str = ""


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return ""


SYSTEM = Actor(kind=ActorKind.SYSTEM, name="Mobius console")
COMMAND_LINE = Actor(kind=ActorKind.SYSTEM, name="Command line", id=_system_user())


def person(user: User, *, ip: str = "") -> Actor:
    username = user.get_username()
    return Actor(kind=ActorKind.USER, name=user.get_full_name() or username, id=username, ip=ip)


def key_holder(key: ApiKey, *, ip: str = "") -> Actor:
    return Actor(kind=ActorKind.API_KEY, name=key.name, id=key.pk, principal_id=key.principal_id, ip=ip)


def record(
    by: Actor,
    action: str,
    *,
    project_id: str | None,
    kind: str,
    id: str,
    name: str = "",
    reason: str = "",
    changed: Iterable[str] = (),
) -> None:
    """Write down that `by` did `action` to the object of this kind and id. Call it in the transaction of the deed.

    `project_id` is None for what concerns the whole console, such as a person's account. `changed` names fields; a
    value must never stand in it.
    """
    AuditEvent(
        project_id=project_id,
        actor_kind=by.kind,
        actor_id=by.id[:150],
        actor_name=by.name[:200],
        ip=by.ip[:45],
        action=action,
        object_kind=kind,
        object_id=id[:150],
        object_name=name[:200],
        reason=reason[:LONGEST_REASON],
        changed=sorted(changed),
        created_at=clock.now(),
    ).save(force_insert=True)
