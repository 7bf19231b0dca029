"""A call of an HTTP trigger's secret address (mobius-contract §6.1): one key, one run."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction

from loops.models import Loop, Run, SourceEvent, Trigger, TriggerSecret
from loops.starting import LONGEST_KEY, refuse_collapsed
from loops.triggers.firing import note_started, start_by
from mobius import clock
from mobius.engine.crowd import together
from mobius.engine.sqlite3.erasing import erase_after_commit
from mobius.errors import Conflict, InvalidFields, NotFound, Unauthorized
from mobius.projects import auditing
from mobius.projects.auditing import Actor

JsonObject = dict[str, Any]


class InvalidSignature(Unauthorized):
    """Calls of this trigger are signed: send `X-Mobius-Signature: sha256=<hex>`, the HMAC-SHA256 of the raw body."""

    code = "invalid_signature"


@dataclass(frozen=True, kw_only=True)
class Called:
    """What a call came to."""

    source_event: SourceEvent
    deduped: bool  # an earlier call with this key had started the run


@dataclass(frozen=True, kw_only=True)
class NewSecret:
    """A trigger's secret just made: the only moment at which it is shown."""

    trigger: Trigger
    text: str = field(repr=False)


def find_called(handle: str) -> Trigger:
    """The trigger at this address. Raises NotFound, and Conflict for one that is switched off."""
    trigger = Trigger.objects.at(handle).select_related("loop").first()
    if trigger is None:
        raise NotFound("There is no such trigger.")
    if not trigger.active and trigger.loop.status == "active":
        raise Conflict("This trigger is switched off.")
    return trigger


def check_signature(trigger: Trigger, body: bytes, signature: str) -> None:
    """Raises InvalidSignature unless the trigger takes unsigned calls or `signature` is that of `body`."""
    if not trigger.signed:
        return
    held = TriggerSecret.objects.filter(pk=trigger.pk).first()
    if held is None:  # erased, because no key could read it: until there is a new one nothing is taken
        raise InvalidSignature
    secret = held.secret
    expected = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
    if not hmac.compare_digest(expected.encode(), signature.strip().encode(errors="replace")):
        raise InvalidSignature


def call(trigger: Trigger, event: JsonObject, *, key: str = "") -> Called:
    """Start the run that this call asks for, unless an earlier one with the same key has.

    Raises what `start_run` raises; then nothing is kept, and the same key may come again.
    """
    if len(key) > LONGEST_KEY:
        raise InvalidFields({"idempotency_key": [f"Use at most {LONGEST_KEY} characters."]})
    return together(partial(_call, trigger, event, key))


def _call(trigger: Trigger, event: JsonObject, key: str) -> Called:
    if not Trigger.objects.filter(pk=trigger.pk).exists():  # deleted just now: a commit that others share would fail
        raise NotFound("There is no such trigger.")
    now = clock.now()
    source_event = SourceEvent(project_id=trigger.project_id, trigger=trigger, cause=key, created_at=now)
    try:
        with transaction.atomic():
            source_event.save(force_insert=True)
            note_started(source_event, start_by(trigger, source_event, event), now=now)
    except IntegrityError:
        earlier = SourceEvent.objects.get(trigger=trigger, cause=key)
        run = Run.objects.filter(pk=earlier.run_id).first()
        if run is not None:
            refuse_collapsed(key, run, event)
        return Called(source_event=earlier, deduped=True)
    return Called(source_event=source_event, deduped=False)


@transaction.atomic
def demand_signature(trigger: Trigger, *, by: Actor) -> NewSecret:
    """From now on calls must be signed with a secret, a new one each time that this is asked."""
    text = secrets.token_urlsafe(32)
    TriggerSecret.objects.update_or_create(trigger=trigger, defaults={"secret": text, "created_at": clock.now()})
    erase_after_commit()
    Trigger.objects.filter(pk=trigger.pk).update(signed=True)
    _note(by, "demand_signature", trigger)
    return NewSecret(trigger=trigger, text=text)


@transaction.atomic
def take_unsigned(trigger: Trigger, *, by: Actor) -> None:
    """Calls need no signature any more."""
    TriggerSecret.objects.filter(trigger=trigger).delete()
    erase_after_commit()
    Trigger.objects.filter(pk=trigger.pk).update(signed=False)
    _note(by, "take_unsigned", trigger)


def find_http_trigger(loop: Loop, key: str) -> Trigger:
    """The HTTP trigger of the loop with this key. Raises NotFound."""
    trigger = Trigger.objects.filter(loop=loop, key=key, kind="http").first()
    if trigger is None:
        raise NotFound("This loop has no HTTP trigger with this key.")
    return trigger


def _note(by: Actor, deed: str, trigger: Trigger) -> None:
    loop = trigger.loop
    auditing.record(
        by, f"trigger.{deed}", project_id=trigger.project_id, kind="trigger", id=trigger.pk, name=f"{loop}: {trigger}"
    )
