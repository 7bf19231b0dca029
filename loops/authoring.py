"""Writing loops: every write of what an author gives makes a new version; runs keep the one they started with."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from integrations.providers.registry import all_actions
from loops.models import Loop, LoopStatus, LoopVersion
from loops.spec import Concurrency, LoopSpec, parse_loop
from mobius import clock
from mobius.errors import AlreadyExists, InvalidFields
from mobius.projects.models import Project

JsonObject = dict[str, Any]


def create_loop(*, project: Project, authored: JsonObject) -> Loop:
    """A new loop: active when it has steps, else a draft. Raises InvalidFields, and AlreadyExists for a taken name."""
    spec = _parse(authored)
    now = clock.now()
    loop = Loop(project=project, name=spec.name, status=_status(spec), created_at=now, updated_at=now)
    _save(loop, spec, first=True)
    return loop


def update_loop(loop: Loop, changes: JsonObject) -> Loop:
    """Write the fields that are present; absent ones stay. `status` may be `active` or `paused`.

    Raises InvalidFields, and AlreadyExists for a taken name.
    """
    changes = dict(changes)
    status = changes.pop("status", None)
    if status is not None and status not in (LoopStatus.ACTIVE, LoopStatus.PAUSED):
        raise InvalidFields({"status": ["Write active or paused."]})
    before = loop.current_version.spec if loop.current_version else {}
    spec = _parse(before | changes)
    if status == LoopStatus.ACTIVE and not spec.steps:
        raise InvalidFields({"status": ["The loop has no steps yet, so it cannot be active."]})
    if status is not None:
        loop.status = status
    elif loop.status == LoopStatus.DRAFT:
        loop.status = _status(spec)
    loop.name, loop.updated_at = spec.name, clock.now()
    _save(loop, spec if changes else None, first=False)
    return loop


def delete_loop(loop: Loop) -> None:
    """No new run can start; those that there are go on and stay readable."""
    loop.status, loop.updated_at = LoopStatus.DELETED, clock.now()
    loop.save(update_fields=["status", "updated_at"])


def _parse(authored: JsonObject) -> LoopSpec:
    spec = parse_loop(authored, actions=all_actions().keys())
    if problems := _not_yet(spec):
        raise InvalidFields(problems)
    return spec


def _not_yet(spec: LoopSpec) -> dict[str, list[str]]:
    """What the contract knows and this release does not do: refused, because to accept it would be a promise."""
    problems: dict[str, list[str]] = {}
    if spec.concurrency != Concurrency.ALLOW:
        problems["concurrency"] = ["This release runs loops with allow only; leave it out or write allow."]
    if spec.pause_after_consecutive_failures is not None:
        problems["limits.pause_after_consecutive_failures"] = ["This release does not pause loops; leave it out."]
    if "/" in spec.name:
        problems["name"] = ["Leave out the slash: the name stands in addresses."]
    return problems


def _status(spec: LoopSpec) -> LoopStatus:
    return LoopStatus.ACTIVE if spec.steps else LoopStatus.DRAFT


def _save(loop: Loop, spec: LoopSpec | None, *, first: bool) -> None:
    try:
        with transaction.atomic():
            if first:
                loop.save(force_insert=True)
            if spec is not None:
                last = LoopVersion.objects.filter(loop=loop).order_by("-number").first()
                loop.current_version = LoopVersion.objects.create(
                    loop=loop, number=last.number + 1 if last else 1, spec=spec.authored, created_at=loop.updated_at
                )
            loop.save()
    except IntegrityError:
        raise AlreadyExists(f"There is a loop named “{loop.name}” already; choose another name.") from None
