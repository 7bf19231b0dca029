"""What comes back from Clay: received, stored, correlated, rung. Nothing is worked on here.

Two doors (design §6): an unguessable address made for one step, and a project's door where the body's `request_id`
tells which row is meant. Clay retries a callback at most once, and only for 408, 413 and 429: whatever can be stored
is stored and answered with 200.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from integrations import delivering
from loops.models import RING_AGAIN_AFTER, Callback, CallbackState, Run, RunStatus, Step
from loops.versions import spec_of
from mobius import clock
from mobius.engine.doorbell import ring
from mobius.errors import MobiusError, NotFound, Unauthorized
from mobius.projects.models import ApiKey, Project
from mobius.projects.roles import Permission, Role


class NoPublicAddress(MobiusError):
    """`${{ callback.url }}` needs the address under which Clay reaches this console. Set MOBIUS_PUBLIC_URL."""

    code = "no_public_address"
    http_status = 409


@dataclass(frozen=True, kw_only=True)
class Received:
    """What became of a body that was posted to us."""

    callback: Callback
    duplicate: bool = False
    ambiguous: bool = False


def give_address(step: Step) -> str:
    """The callback address of `step`; the same at every call. Notes the token's hash on the step, unsaved."""
    if not settings.MOBIUS_PUBLIC_URL:
        raise NoPublicAddress
    key = settings.FIELD_ENCRYPTION_KEY[0]
    token = _token(step.pk, key)
    step.callback_hash, step.callback_key = _hash(token), key_number(key)
    return f"{settings.MOBIUS_PUBLIC_URL}/v1/callbacks/{token}"


def key_number(key: str) -> str:
    """What tells encryption keys apart without showing them."""
    return hashlib.sha256(f"mobius key number {key}".encode()).hexdigest()[:16]


def receive_at_address(token: str, body: dict[str, Any], *, key: ApiKey | None = None) -> Received:
    """Store what was posted to a step's address.

    Raises NotFound for a token that we never gave out. A loop may demand an API key beside it
    (`settings.callback_requires_key`): Unauthorized without a key of the project that may call back.
    """
    step = Step.objects.select_related("run").with_address(_hash(token)).first() if token else None
    if step is None:
        raise NotFound("There is no such callback address.")
    if spec_of(step.run.loop_version_id).callback_requires_key and not _may_call_back(key, step.run):
        raise Unauthorized("This loop takes callbacks only with an API key of role callback or admin.")
    return _store(step.run, step.pk, body)


def receive_by_request_id(project: Project, body: dict[str, Any]) -> Received:
    """Store a callback that names its row by `request_id`. Raises NotFound when no row of the project has it."""
    request_id = body.get("request_id")
    text = str(request_id) if isinstance(request_id, str | int) and not isinstance(request_id, bool) else ""
    rows = delivering.rows_sent_as(project.pk, text) if text else []
    if not rows:
        raise NotFound("No row was sent with this request_id.")
    answered = set(Callback.objects.to_steps({row.step_id for row in rows}).values_list("step_id", flat=True))
    awaiting = {row.step_id: row for row in rows if row.step_id not in answered}
    if len(awaiting) > 1:
        callback = _insert(Callback(project=project, body=body, request_id=text, state=CallbackState.AMBIGUOUS))
        return Received(callback=callback, ambiguous=True)
    row = next(iter(awaiting.values()), rows[-1])
    return _store(Run.objects.get(pk=row.run_id), row.step_id, body)


def take(source_step_id: str, wanted: dict[str, Any], *, waiting: Step) -> Callback | None:
    """The first callback to `source_step_id` that has every member of `wanted`, for the step that waits for it."""
    for callback in Callback.objects.to_step(source_step_id).filter(used_by__in=["", waiting.pk]).order_by("id"):
        if all(key in callback.body and callback.body[key] == value for key, value in wanted.items()):
            return callback
    return None


def has_come_for(step_id: str) -> bool:
    """Has anything been posted to this step, at either door? Then its row has arrived."""
    return Callback.objects.to_step(step_id).exists()


def _may_call_back(key: ApiKey | None, run: Run) -> bool:
    return key is not None and key.project_id == run.project_id and Role(key.role).allows(Permission.CALL_BACK)


def _store(run: Run, step_id: str, body: dict[str, Any]) -> Received:
    with transaction.atomic():
        # The row lock makes this and a worker that is about to suspend the run see each other (design §4).
        run = Run.objects.select_for_update().get(pk=run.pk)
        earlier = Callback.objects.to_step(step_id).filter(body_digest=_digest(body)).first()
        if earlier is not None:
            Callback.objects.filter(pk=earlier.pk).update(repeats=F("repeats") + 1)
            return Received(callback=earlier, duplicate=True)
        used = Callback.objects.to_step(step_id).exclude(used_by="").exists()
        state = CallbackState.LATE if run.has_ended else CallbackState.UPDATE if used else CallbackState.KEPT
        callback = _insert(
            Callback(
                project_id=run.project_id,
                run=run,
                step_id=step_id,
                body=body,
                request_id=str(body.get("request_id") or "")[:255],
                state=state,
            )
        )
        delivering.prove_arrival(run.pk, step_id, now=callback.received_at)
        if not run.has_ended:
            _wake(run)
    return Received(callback=callback)


def _insert(callback: Callback) -> Callback:
    callback.body_digest = _digest(callback.body)
    callback.received_at = clock.now()
    try:
        with transaction.atomic():
            callback.save(force_insert=True)
    except IntegrityError:  # the same bytes at the same moment, on a database with several writers
        return Callback.objects.get(step_id=callback.step_id, body_digest=callback.body_digest)
    return callback


def _wake(run: Run) -> None:
    """A fact was written for this run: whoever works on it reads again, and a step that waits for it goes on.

    A step that waits for time, pace or a person is not woken: the callback of another step says nothing about it.
    """
    now = clock.now()
    Run.objects.filter(pk=run.pk).update(revision=F("revision") + 1, updated_at=now)
    if run.status == RunStatus.SUSPENDED and not run.steps.awaiting_callback().exists():
        return
    if run.queue_reason:  # it waits for another run of its loop, whose end lets it go
        return
    Run.objects.filter(pk=run.pk).update(wake_at=now, ring_due_at=now + RING_AGAIN_AFTER)
    ring(run.pk)


def _token(step_id: str, key: str) -> str:
    """256 bits that only the holder of the encryption key can make, and makes the same each time."""
    derived = hmac.new(key.encode(), b"mobius: callback addresses", hashlib.sha256).digest()
    return base64.urlsafe_b64encode(hmac.new(derived, step_id.encode(), hashlib.sha256).digest()).decode().rstrip("=")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
