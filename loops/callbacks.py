"""What comes back from Clay: received, stored, correlated, rung. Nothing is worked on here.

Two doors (design §6): an unguessable address made for one step, and a project's door where the body's `request_id`
tells which row is meant. Clay retries a callback at most once, and only for 408, 413 and 429: whatever can be stored
is stored and answered with 200.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from integrations import delivering
from integrations.models import Attempt, AttemptState
from loops import round_trips
from loops.callback_addresses import hash_of, without_addresses
from loops.models import RING_AGAIN_AFTER, Callback, CallbackState, Run, RunStatus, Step
from loops.triggers.hearing import hear_callback
from loops.versions import spec_of
from mobius import clock
from mobius.engine.crowd import together
from mobius.engine.doorbell import ring
from mobius.errors import Conflict, NotFound, Unauthorized
from mobius.prepared import Insert, Select, Update
from mobius.projects import auditing
from mobius.projects.auditing import Actor
from mobius.projects.key_models import ApiKey
from mobius.projects.models import Project
from mobius.projects.roles import Permission, Role

JsonObject = dict[str, Any]

MOST_AFTERWARDS = 100
"""So many bodies are kept for one row after the one that was used, or after the end of its run: whoever has the address
could fill the disk."""
MOST_BEFORE = 1_000
"""And so many before it, which nobody waits for yet or which do not match what is awaited."""

# Prepared: a hundred callbacks may come in a second.
_step_at = Select(lambda address: Step.objects.select_related("run").with_address(address))
_locked_run = Select(lambda run: Run.objects.select_for_update(no_key=True).filter(pk=run))
_same_body = Select(lambda step, digest: Callback.objects.to_step(step).with_body(digest))
_used_for = Select(lambda step: Callback.objects.to_step(step).used())
_suspended_in = Select(lambda run: Step.objects.suspended_in(run))
_insert = Insert(Callback)
_note = Update(Run, writes=["revision", "updated_at"], where=["id"])
_wake = Update(Run, writes=["revision", "updated_at", "wake_at", "ring_due_at"], where=["id"])


@dataclass(frozen=True, kw_only=True)
class Received:
    """What became of a body that was posted to us."""

    callback: Callback
    duplicate: bool = False
    ambiguous: bool = False


def receive_at_address(token: str, body: JsonObject, *, key: ApiKey | None = None) -> Received:
    """Store what was posted to a step's address.

    Raises NotFound for a token that we never gave out. A loop may demand an API key beside it
    (`settings.callback_requires_key`): Unauthorized without a key of the project that may call back.
    """
    return together(partial(_receive_at_address, token, body, key), working=True)


def receive_by_request_id(project: Project, body: JsonObject) -> Received:
    """Store a callback that names its row by `request_id`. Raises NotFound when no row of the project has it."""
    return together(partial(_receive_by_request_id, project, body), working=True)


def candidates_for(callback: Callback) -> list[Attempt]:
    """The rows that an ambiguous callback may answer, oldest first: one for each step that sent it."""
    rows = delivering.rows_sent_as(callback.project_id, callback.request_id) if callback.request_id else []
    return list({row.step_id: row for row in rows}.values())


def assign(callback: Callback, *, step_id: str, by: Actor) -> Callback:
    """Give an ambiguous callback to the row that a person named; its run goes on as if it had come for that row alone.

    Raises NotFound when no such row was sent under its request_id, and Conflict when it is not ambiguous (any more).
    """
    row = next((one for one in candidates_for(callback) if one.step_id == step_id), None)
    if row is None:
        raise NotFound("This row was not sent under the callback's request_id.")
    with transaction.atomic():
        run = Run.objects.select_for_update(no_key=True).get(pk=row.run_id)
        unclear = (
            Callback.objects.select_for_update(no_key=True)
            .filter(pk=callback.pk, state=CallbackState.AMBIGUOUS)
            .first()
        )
        if unclear is None:
            raise Conflict("Somebody has said already which row this callback answers.")
        if Callback.objects.to_step(step_id).with_body(unclear.body_digest).exists():
            raise Conflict("This row has had the very same callback already.")
        unclear.remark = f"{by.name} said which row it answers."[:700]
        _attach(unclear, run, step_id)
        unclear.save(update_fields=["run", "step_id", "state", "remark"])
        hear_callback(unclear, run, now=clock.now())
        _tell(run, step_id)
        auditing.record(
            by,
            "callback.assign",
            project_id=unclear.project_id,
            kind="callback",
            id=unclear.pk,
            name=unclear.request_id,
            reason=f"It answers the row of the step {step_id}.",
            changed=["step_id"],
        )
    return unclear


def has_come_for(step_id: str) -> bool:
    """Has anything been posted to this step, at either door? Then its row has arrived."""
    return Callback.objects.to_step(step_id).exists()


def _receive_at_address(token: str, body: JsonObject, key: ApiKey | None) -> Received:
    step = _step_at.first(hash_of(token)) if token else None
    if step is None:
        test = round_trips.tested_at(token)
        if test is None:
            raise NotFound("There is no such callback address.")
        return _store_for_test(_new(test.project_id, body, token=token), test)
    if spec_of(step.run.loop_version_id).callback_requires_key and not _may_call_back(key, step.run):
        raise Unauthorized("This loop takes callbacks only with an API key of role callback or admin.")
    callback = _new(step.run.project_id, body, token=token, remark=_contradiction(step, body))
    return _store(callback, step.run_id, step.pk)


def _receive_by_request_id(project: Project, body: JsonObject) -> Received:
    callback = _new(project.pk, body)
    rows = delivering.rows_sent_as(project.pk, callback.request_id) if callback.request_id else []
    if not rows:
        test = round_trips.tested_as(project.pk, callback.request_id)
        if test is None:
            raise NotFound("No row was sent with this request_id.")
        return _store_for_test(callback, test)
    still_open = _open_rows(rows)
    if len(still_open) > 1 or (still_open and _may_be_anothers(still_open[0], rows)):
        return _store_unclear(callback)
    if still_open:
        return _store(callback, still_open[0].run_id, still_open[0].step_id)
    came = Callback.objects.to_steps({row.step_id for row in rows}).with_body(callback.body_digest).first()
    return _again(came) if came is not None else _store(callback, rows[-1].run_id, rows[-1].step_id)


def _may_be_anothers(row: Attempt, rows: Sequence[Attempt]) -> bool:
    """Clay's columns run again: the callback may be one more for another row of the same request_id, which is there.

    It must not prove the arrival of a row of which nobody knows whether it is.
    """
    return row.state != AttemptState.ACCEPTED and any(other.step_id != row.step_id for other in rows)


def _may_call_back(key: ApiKey | None, run: Run) -> bool:
    return key is not None and key.project_id == run.project_id and Role(key.role).allows(Permission.CALL_BACK)


def _new(project_id: str, body: JsonObject, *, token: str = "", remark: str = "") -> Callback:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    if (kept := without_addresses(text, token)) != text:
        text, body = kept, json.loads(kept)
    return Callback(
        project_id=project_id,
        body=body,
        body_digest=hashlib.sha256(text.encode()).hexdigest(),
        request_id=_request_id_of(body),
        remark=remark,
        received_at=clock.now(),
    )


def _request_id_of(body: JsonObject) -> str:
    """Clay's columns may hold it as text or as a whole number; nothing else can name a row."""
    value = body.get("request_id")
    named = isinstance(value, str | int) and not isinstance(value, bool)
    text = str(value) if named else ""
    return text if len(text) <= delivering.LONGEST_REQUEST_ID else ""


def _contradiction(step: Step, body: JsonObject) -> str:
    """What a person should know when the body names another row than its address does."""
    claimed = _request_id_of(body)
    sent = delivering.request_id_of(step.run_id, step.pk) if claimed else ""
    if not sent or sent == claimed:
        return ""
    return (
        f"Its request_id is {claimed}, but its address belongs to the row {sent}. The address decides. "
        "See in Clay whether the column posts the request_id and the callback_url of one and the same row."
    )


def _open_rows(rows: Sequence[Attempt]) -> list[Attempt]:
    """The rows whose answer is still awaited: no callback has come for them, or none that their step could use."""
    came = Callback.objects.to_steps({row.step_id for row in rows}).exclude(state=CallbackState.UNMATCHED)
    answered = set(came.values_list("step_id", flat=True))
    active = set(Run.objects.active().filter(pk__in={row.run_id for row in rows}).values_list("pk", flat=True))
    wanted = {
        row.step_id: row
        for row in rows
        if row.step_id not in answered and (row.run_id in active or row.state == AttemptState.IN_DOUBT)
    }
    return list(wanted.values())


def _store(callback: Callback, run_id: str, step_id: str) -> Received:
    with transaction.atomic():
        # The row lock makes this and a worker that is about to suspend the run see each other (design §4).
        run = _locked_run.first(run_id)
        if run is None:
            raise NotFound("The run that sent this row has been deleted.")
        earlier = _same_body.first(step_id, callback.body_digest)
        if earlier is not None:
            return _again(earlier)
        _attach(callback, run, step_id)
        if remark := _too_many(callback, step_id):
            callback.remark = remark
            return Received(callback=callback)
        _insert(callback)
        hear_callback(callback, run, now=callback.received_at)
        _tell(run, step_id)
    return Received(callback=callback)


def _store_for_test(callback: Callback, test: Attempt) -> Received:
    """The first one is what whoever tests waits for: it proves the way there and back. No run goes on."""
    with transaction.atomic():
        Attempt.objects.select_for_update(no_key=True).only("pk").get(pk=test.pk)  # one of two is the first
        earlier = _same_body.first(test.pk, callback.body_digest)
        if earlier is not None:
            return _again(earlier)
        callback.step_id = test.pk
        answered = bool(_used_for(test.pk))
        callback.state = CallbackState.UPDATE if answered else CallbackState.USED
        callback.used_by = "" if answered else test.pk
        if remark := _too_many(callback, test.pk):
            callback.remark = remark
            return Received(callback=callback)
        _insert(callback)
        round_trips.prove_arrival(test)
    return Received(callback=callback)


_AFTERWARDS = (CallbackState.UPDATE, CallbackState.LATE)
_BEFORE = (CallbackState.KEPT, CallbackState.UNMATCHED)


def _too_many(callback: Callback, step_id: str) -> str:
    """Why this one is not kept; "" when it is."""
    if callback.state in _AFTERWARDS and _has(MOST_AFTERWARDS, step_id, _AFTERWARDS):
        return f"{MOST_AFTERWARDS} callbacks have come for this row since: this one is not kept."
    if callback.state in _BEFORE and _has(MOST_BEFORE, step_id, _BEFORE):
        return f"{MOST_BEFORE:,} callbacks have come for this row that nobody waited for: this one is not kept."
    return ""


def _has(most: int, step_id: str, states: Sequence[CallbackState]) -> bool:
    kept = Callback.objects.to_step(step_id).filter(state__in=states)
    return len(kept.order_by().values_list("pk")[:most]) == most


def _store_unclear(callback: Callback) -> Received:
    """Several rows could be meant: it is kept for a person, and nothing goes on."""
    callback.state = CallbackState.AMBIGUOUS
    try:
        with transaction.atomic():
            callback.save(force_insert=True)
    except IntegrityError:
        unclear = Callback.objects.unclear(callback.project_id, callback.request_id)
        return _again(unclear.with_body(callback.body_digest).get())
    return Received(callback=callback, ambiguous=True)


def _again(earlier: Callback) -> Received:
    Callback.objects.filter(pk=earlier.pk).update(repeats=F("repeats") + 1)
    return Received(callback=earlier, duplicate=True, ambiguous=earlier.state == CallbackState.AMBIGUOUS)


def _attach(callback: Callback, run: Run, step_id: str) -> None:
    """Say what the callback is to its step, under the run's lock."""
    used = bool(_used_for(step_id))
    callback.run, callback.step_id = run, step_id
    callback.state = CallbackState.LATE if run.has_ended else CallbackState.UPDATE if used else CallbackState.KEPT


def _tell(run: Run, step_id: str) -> None:
    """A callback was written for this step: a doubt about its row ends, and whoever works on the run reads it again.

    A step that waits for time, pace or a person is not woken: the callback of another step says nothing about it.
    """
    now = clock.now()
    proven = delivering.prove_arrival(run.pk, step_id, now=now)
    if run.has_ended:
        return
    # The row is locked, so nobody else counts on.
    told = {"revision": run.revision + 1, "updated_at": now, "wake_at": now, "ring_due_at": now + RING_AGAIN_AFTER}
    queued = bool(run.queue_reason)  # it waits for another run of its loop, whose end lets it go
    if queued or (
        run.status == RunStatus.SUSPENDED
        and not any(step.awaits_callback or (proven and step.pk == step_id) for step in _suspended_in(run.pk))
    ):
        _note(told, {"id": run.pk})
        return
    _wake(told, {"id": run.pk})
    ring(run.pk)
