"""Writing loops: every write of what an author gives makes a new version; runs keep the one they started with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from integrations.providers.registry import all_actions
from loops.ending import let_next_in
from loops.models import Loop, LoopStatus, LoopVersion, Run
from loops.spec import LoopConfig, LoopSpec, parse_loop
from loops.triggers.registering import forget, register
from mobius import clock
from mobius.errors import AlreadyExists, Conflict, InvalidFields, NotFound
from mobius.projects import auditing
from mobius.projects.auditing import SYSTEM, Actor
from mobius.projects.models import Project

JsonObject = dict[str, Any]


class NewerVersion(Conflict):
    """Somebody has saved another version since the author began."""


def create_loop(*, project: Project, authored: JsonObject, by: Actor = SYSTEM) -> Loop:
    """A new loop: active when it has steps, else a draft. Raises InvalidFields, and AlreadyExists for a taken name."""
    spec = _parse(authored)
    now = clock.now()
    loop = Loop(project=project, name=spec.name, status=_status(spec), created_at=now, updated_at=now)
    with _unique_name(loop), transaction.atomic():
        loop.save(force_insert=True)
        _save_version(loop, spec)
        _demand_loops(loop, spec)
        register(loop, spec, now=now)
        _note(by, "create", loop, changed=authored)
    return loop


def rewrite_loop(loop: Loop, authored: JsonObject, *, edited: int | None = None, by: Actor = SYSTEM) -> Loop:
    """Make the loop exactly what is `authored`: a field that it had and that is left out now is cleared.

    `edited` is the number of the version that the author had before them. Raises as `update_loop` does.
    """
    current = loop.current_version
    cleared = {name: None for name in (current.spec if current else {}) if name not in authored}
    before_them = edited if edited is not None or current is None else current.number
    return update_loop(loop, cleared | authored, edited=before_them, by=by)


def update_loop(loop: Loop, changes: JsonObject, *, edited: int | None = None, by: Actor = SYSTEM) -> Loop:
    """Write the fields that are present; absent ones stay. `status` may be `active` or `paused`.

    What is as it was changes nothing, and makes no version. Setting it active forgets the failures that were counted.
    Raises InvalidFields, AlreadyExists for a taken name, NotFound when somebody has deleted the loop meanwhile, and
    NewerVersion when the current version is not the one that was `edited` (None: whichever it is).
    """
    authored = {name: value for name, value in changes.items() if name != "status"}
    status = changes.get("status")
    if status is not None and status not in (LoopStatus.ACTIVE, LoopStatus.PAUSED):
        raise InvalidFields({"status": ["Write active or paused."]})
    with _unique_name(loop), transaction.atomic():
        loop.refresh_from_db(from_queryset=Loop.objects.select_for_update(no_key=True))
        if loop.status == LoopStatus.DELETED or not Project.objects.present().filter(pk=loop.project_id).exists():
            raise NotFound("There is no such loop.")
        _demand_edited(loop, edited)
        before = loop.current_version.spec if loop.current_version else {}
        spec = _parse(before | authored)
        changed = [name for name in authored if authored[name] != before.get(name)]
        if status is not None and (status != loop.status or loop.failures_in_a_row):
            changed.append("status")
        if not changed:
            return loop
        if status == LoopStatus.ACTIVE and not spec.steps:
            raise InvalidFields({"status": ["The loop has no steps yet, so it cannot be active."]})
        if status is not None:
            loop.status, loop.paused_because, loop.failures_in_a_row = status, "", 0
        elif loop.status == LoopStatus.DRAFT:
            loop.status = _status(spec)
        loop.name, loop.updated_at = spec.name, clock.now()
        if authored:
            _save_version(loop, spec)
            _demand_loops(loop, spec)
            _apply_policy(loop, spec)
        register(loop, spec, now=loop.updated_at)
        loop.save(update_fields=["name", "status", "paused_because", "failures_in_a_row", "updated_at"])
        _note(by, "update", loop, changed=changed)
    return loop


def delete_loop(loop: Loop, *, by: Actor = SYSTEM) -> None:
    """No new run can start; those that there are go on and stay readable."""
    with transaction.atomic():
        loop.status, loop.updated_at = LoopStatus.DELETED, clock.now()
        loop.save(update_fields=["status", "updated_at"])
        forget(loop)
        _note(by, "delete", loop)


def _demand_edited(loop: Loop, edited: int | None) -> None:
    current = loop.current_version
    if edited is not None and current is not None and current.number != edited:
        raise NewerVersion(
            f"Somebody saved version {current.number} while you were editing. What you typed is still here, and not "
            "saved: put your change into the new version."
        )


def _apply_policy(loop: Loop, spec: LoopSpec) -> None:
    """The loop's row is held. Runs that are active already count for a new policy; a wider one lets more of them go."""
    if spec.is_governed:
        ungoverned = Run.objects.of_loop(loop.pk).active().filter(governed=False)
        # Their workers read them again, and see that the loop wants to know of their end.
        ungoverned.update(governed=True, revision=F("revision") + 1)
    let_next_in(loop.pk, now=loop.updated_at)


def _demand_loops(loop: Loop, spec: LoopSpec) -> None:
    """Raises InvalidFields for steps that start runs of loops which are not there."""
    present = Loop.objects.present().filter(project_id=loop.project_id)
    problems = {
        f"steps[{step.index}].config.loop_id": [f"There is no loop `{step.config.loop_id[:100]}` in this project."]
        for step in spec.steps
        if isinstance(step.config, LoopConfig)
        and not present.filter(Q(pk=step.config.loop_id) | Q(name=step.config.loop_id)).exists()
    }
    if problems:
        raise InvalidFields(problems)


def _parse(authored: JsonObject) -> LoopSpec:
    spec = parse_loop(authored, actions=all_actions().keys())
    if "/" in spec.name:
        raise InvalidFields({"name": ["Leave out the slash: the name stands in addresses."]})
    return spec


def _status(spec: LoopSpec) -> LoopStatus:
    return LoopStatus.ACTIVE if spec.steps else LoopStatus.DRAFT


@contextmanager
def _unique_name(loop: Loop) -> Iterator[None]:
    """The database says whether the name is taken."""
    try:
        yield
    except IntegrityError:
        raise AlreadyExists(f"There is a loop named “{loop.name}” already; choose another name.") from None


def _save_version(loop: Loop, spec: LoopSpec) -> None:
    last = LoopVersion.objects.filter(loop=loop).order_by("-number").first()
    loop.current_version = LoopVersion.objects.create(
        loop=loop, number=last.number + 1 if last else 1, spec=spec.authored, created_at=loop.updated_at
    )
    loop.save(update_fields=["current_version"])


def _note(by: Actor, deed: str, loop: Loop, *, changed: Iterable[str] = ()) -> None:
    auditing.record(
        by, f"loop.{deed}", project_id=loop.project_id, kind="loop", id=loop.pk, name=loop.name, changed=changed
    )
