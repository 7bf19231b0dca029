"""What a loop's triggers need at run time follows its current version: addresses, next times, what they listen to."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.db import IntegrityError, transaction

from loops.models import Loop, LoopStatus, Trigger
from loops.models.triggers import TriggerQuerySet
from loops.schedules import read_schedule
from loops.spec import LoopSpec, TriggerKind, TriggerSpec
from mobius.engine.sqlite3.erasing import erase_after_commit
from mobius.errors import InvalidFields
from mobius.notifying.interest import note_change
from mobius.projects.models import Project

_AUTHORED = ["name", "config", "active", "http_handle", "next_fire_at", "event_type", "source_loop"]


def register(loop: Loop, spec: LoopSpec, *, now: datetime) -> None:
    """Make the loop's triggers what `spec` says and its status allows. In the caller's transaction, which holds the
    loop's row.

    A trigger is known by its key: it keeps its address, and its next time for as long as its schedule stays the same.
    Raises InvalidFields.
    """
    known = {trigger.key: trigger for trigger in Trigger.objects.filter(loop=loop)}
    for index, wanted in enumerate(spec.triggers):
        if wanted.kind == TriggerKind.MANUAL:
            continue
        trigger = known.pop(wanted.key, None)
        if trigger is None or trigger.kind != wanted.kind:
            if trigger is not None:
                _delete(Trigger.objects.filter(pk=trigger.pk))
            trigger = Trigger(project_id=loop.project_id, loop=loop, key=wanted.key, kind=wanted.kind, created_at=now)
        _set(trigger, wanted, loop, place=f"triggers[{index}].config", now=now)
    if known:
        _delete(Trigger.objects.filter(pk__in=[trigger.pk for trigger in known.values()]))
    note_change()


def disarm(loop_id: str) -> None:
    """The loop is paused: nothing fires, and what would have is not made up for."""
    Trigger.objects.filter(loop_id=loop_id).update(active=False, next_fire_at=None)
    note_change()


def forget(loop: Loop) -> None:
    """The loop is deleted, and so are its addresses."""
    _delete(Trigger.objects.filter(loop=loop))
    note_change()


def forget_all(project: Project) -> None:
    """The project is deleted, and so are all its addresses."""
    _delete(Trigger.objects.filter(project=project))
    note_change()


def _delete(triggers: TriggerQuerySet) -> None:
    """With the secrets that calls of them are signed with."""
    if triggers.exists():
        triggers.delete()
        erase_after_commit()


def _set(trigger: Trigger, wanted: TriggerSpec, loop: Loop, *, place: str, now: datetime) -> None:
    same_schedule = trigger.config == wanted.config and trigger.next_fire_at is not None
    trigger.name, trigger.config = wanted.name, wanted.config
    trigger.active = wanted.enabled and loop.status == LoopStatus.ACTIVE
    match wanted.kind:
        case TriggerKind.HTTP:
            trigger.http_handle = wanted.config.get("http_handle") or trigger.http_handle or secrets.token_urlsafe(24)
        case TriggerKind.SCHEDULE if not trigger.active:
            trigger.next_fire_at = None
        case TriggerKind.SCHEDULE if not same_schedule:
            trigger.next_fire_at = read_schedule(wanted.config).after(now)
        case TriggerKind.EVENT:
            trigger.event_type = wanted.config["event_type"]
            trigger.source_loop = _source_loop(wanted.config.get("source_id"), loop, place)
    try:
        with transaction.atomic():
            # What a trigger has done, and whether its calls are signed, is not for an author to overwrite.
            trigger.save(update_fields=None if trigger._state.adding else _AUTHORED)
    except IntegrityError:
        raise InvalidFields(
            {f"{place}.http_handle": ["This handle is taken; choose another, or leave it out."]}
        ) from None


def _source_loop(named: str | None, loop: Loop, place: str) -> str:
    """The id of the loop that is listened to; "" for every other loop."""
    if not named:
        return ""
    present = Loop.objects.present().filter(project_id=loop.project_id)
    found = present.filter(pk=named).first() or present.filter(name=named).first()
    if found is None:
        sentence = f"There is no loop `{named[:100]}` in this project: give the id or the name of one."
        raise InvalidFields({f"{place}.source_id": [sentence]})
    return found.pk
