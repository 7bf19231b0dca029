"""Starting a run: insert first, then look (design §4). The database says which start was the first."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, IntegrityError, connection, transaction

from loops.admitting import admit
from loops.advance import begin, pass_on
from loops.expressions import ExpressionError, Names, render
from loops.models import RING_AGAIN_AFTER, Loop, LoopStatus, LoopVersion, Run, RunStatus
from loops.placeholders import key_is_unfilled, unfilled
from loops.spec import KeyAfterEnd, LoopSpec
from loops.stopping import note
from loops.versions import spec_of, version_of
from mobius import clock
from mobius.engine import embedded
from mobius.engine.doorbell import is_heard, ring
from mobius.errors import Conflict, InvalidFields, MobiusError, NotFound
from mobius.ids import new_id
from mobius.prepared import Insert, New, Select
from mobius.projects.auditing import Actor
from mobius.projects.models import Project

logger = logging.getLogger(__name__)
LONGEST_KEY = 255
DEEPEST = 8
"""So many runs in a row may each start the next; loops that start each other in a circle end there."""


class LoopPaused(Conflict):
    """The loop is paused: set it active before you start runs of it."""

    code = "loop_paused"


class TooDeep(Conflict):
    """Too many runs in a row have each started the next one: see whether these loops start each other in a circle."""

    code = "chain_too_deep"


class IdempotencyKeyConflict(Conflict):
    """A run with this idempotency key has ended already."""

    code = "idempotency_key_conflict"


@dataclass(frozen=True, kw_only=True)
class StartedRun:
    run: Run
    created: bool  # False: this is the run that already held the idempotency key


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a run comes from that no person and no client started."""

    trigger_key: str = ""  # the trigger of its loop
    source_event_id: str = ""  # what fired that
    parent: Run | None = None  # the run whose step `step_key` starts it
    step_key: str = ""
    depth: int = 0  # how many runs in a row led to it
    warnings: tuple[str, ...] = ()  # sentences for a person


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a caller gives to a run."""

    event: dict[str, Any]
    meta: dict[str, Any]
    config: dict[str, Any]
    source: dict[str, Any]
    idempotency_key: str = ""
    origin: Origin | None = None  # None: a person or a client starts it


_by_id = Select(lambda project, id: Loop.objects.present().filter(project=project, pk=id))
_by_name = Select(lambda project, name: Loop.objects.present().filter(project=project, name=name))
_make_run = New(Run)
_insert_run = Insert(Run)


def find_loop(project: Project, id_or_name: str) -> Loop:
    """A loop by its id, else by its exact name. Raises NotFound, also for one that was deleted."""
    return find_loop_in(project.pk, id_or_name)


def find_loop_in(project_id: str, id_or_name: str) -> Loop:
    """As `find_loop`, by the project's id."""
    # Nearly every caller gives one that looks like what it is; a name may look like an id all the same.
    first, then = (_by_id, _by_name) if id_or_name.startswith("loop_") else (_by_name, _by_id)
    loop = first.first(project_id, id_or_name) or then.first(project_id, id_or_name)
    if loop is None:
        raise NotFound("There is no such loop.")
    return loop


def start_run(*, loop: Loop, start: Start, by: Actor | None = None) -> StartedRun:
    """Start a run of `loop`, or give back the active run that holds the same idempotency key.

    Raises LoopPaused, Conflict for a loop without steps, InvalidFields, LoopBusy (the policy skip), and
    IdempotencyKeyConflict once the key's run has ended (unless the loop's settings say `return` or `restart`).
    `by` is a person, whose start is audited; an API key's is not, for the run itself says where it came from.
    """
    version = version_of(loop.current_version_id) if loop.current_version_id else None
    if loop.status == LoopStatus.PAUSED:
        raise LoopPaused
    if version is None or loop.status == LoopStatus.DRAFT:
        raise Conflict("The loop has no steps yet: give it some before you start runs of it.")
    if start.origin is not None and start.origin.depth > DEEPEST:
        raise TooDeep
    spec = spec_of(version.pk)
    _check(spec, start)
    for _ in range(3):  # a holder may end, or give its key away, between our insert and our look
        run = _new_run(loop, version, spec, start)
        try:
            _insert_safely(run, spec, by)
            return StartedRun(run=run, created=True)
        except IntegrityError:
            holder = Run.objects.filter(project_id=loop.project_id).holding_key(start.idempotency_key).first()
        if holder is None or not start.idempotency_key:
            continue
        if (held := _answer_for(holder, spec, start)) is not None:
            return held
    raise Conflict("Other starts with the same idempotency key keep coming in between; try again.")


def _insert_safely(run: Run, spec: LoopSpec, by: Actor | None) -> None:
    """Raises LoopBusy, and IntegrityError when the run's idempotency key is taken."""
    try:
        _insert(run, spec, by)
    except (DatabaseError, MobiusError):
        raise
    except Exception:
        # A fault of ours in the first turn is not the caller's: a worker meets it again and fails the run for it.
        logger.exception("run %s could not be begun where it was started", run.pk)
        _insert(run, spec, by, begin_here=False)


def _insert(run: Run, spec: LoopSpec, by: Actor | None, *, begin_here: bool = True) -> None:
    """Insert the run and begin it, ring for a worker, or let it wait for its loop's policy."""
    here = begin_here and run.parent_run_id == ""  # what a worker starts in its turn is another worker's
    if not spec.is_governed and by is None and _insert_alone(run, here=here):
        return
    with transaction.atomic():
        if spec.is_governed:
            admit(run, spec)
        if by is not None:
            note(by, "start", run, "")
        waits = bool(run.queue_reason)
        if here and not waits and begin(run):
            return
        heard = not waits and is_heard()  # then a worker that is awake anyway finds it, without a ring
        if heard:
            run.ring_due_at = run.created_at
        _insert_run(run)
        if not waits and not heard:
            _hand_over(run, here=here)


def _insert_alone(run: Run, *, here: bool) -> bool:
    """Insert the run where that takes one statement: it is a transaction, or on SQLite fails by itself within one.

    False: it takes more than that.
    """
    if connection.vendor == "sqlite":
        if not connection.in_atomic_block or (here and embedded.has_place()):
            return False
        _insert_run(run)
        _hand_over(run, here=here)
        return True
    if connection.in_atomic_block or not is_heard():
        return False
    run.ring_due_at = run.created_at
    _insert_run(run)
    return True


def _hand_over(run: Run, *, here: bool) -> None:
    if not (here and pass_on(run)):
        ring(run.pk)


def _answer_for(holder: Run, spec: LoopSpec, start: Start) -> StartedRun | None:
    """What a repeated key gets. None: the key is free now, so insert again."""
    refuse_collapsed(start.idempotency_key, holder, start.event)
    if not holder.has_ended or spec.key_after_end == KeyAfterEnd.RETURN:
        return StartedRun(run=holder, created=False)
    if spec.key_after_end == KeyAfterEnd.RESTART:
        Run.objects.filter(pk=holder.pk, idempotency_key=start.idempotency_key).update(idempotency_key="")
        return None
    raise IdempotencyKeyConflict(
        f"The run {holder.pk} with this idempotency key has {_ENDED[holder.status]} already; use another key.",
        details={"run_id": holder.pk, "status": holder.status},
    )


def refuse_collapsed(key: str, holder: Run, event: dict[str, Any]) -> None:
    """Raises InvalidFields when the key holds a placeholder that Clay did not fill in, and the run that holds it has
    another event: all rows would be one run."""
    if key_is_unfilled(key) and holder.event != event:
        raise InvalidFields({"idempotency_key": [_COLLAPSED.format(key=key)]})


_ENDED: dict[str, str] = {
    RunStatus.COMPLETED: "completed",
    RunStatus.FAILED: "failed",
    RunStatus.CANCELLED: "been cancelled",
}
_COLLAPSED = (
    "The key {key} holds a placeholder that Clay did not fill in, so every row would be one and the same run. "
    "In Clay, delete the typed text, type / and pick the column."
)


def _check(spec: LoopSpec, start: Start) -> None:
    problems: dict[str, list[str]] = {}
    for part, declared, given in (("event", spec.event, start.event), ("config", spec.config, start.config)):
        for name, one in declared.items():
            if one.required and not one.has_default and name not in given:
                problems[f"{part}.{name}"] = ["This loop needs it."]
    if len(start.idempotency_key) > LONGEST_KEY:
        problems["idempotency_key"] = [f"Use at most {LONGEST_KEY} characters."]
    if problems:
        raise InvalidFields(problems)


def _new_run(loop: Loop, version: LoopVersion, spec: LoopSpec, start: Start) -> Run:
    now = clock.now()
    run = _make_run(
        id=new_id("run"),
        project_id=loop.project_id,
        loop_id=loop.pk,
        loop_version_id=version.pk,
        event=start.event,
        meta=start.meta,
        config=start.config,
        source=start.source,
        idempotency_key=start.idempotency_key,
        warnings=_warnings(start),
        ring_due_at=now + RING_AGAIN_AFTER,
        wall_clock_deadline_at=now + spec.wall_clock_timeout if spec.wall_clock_timeout else None,
        created_at=now,
        updated_at=now,
        **_origin(start.origin, spec),
    )
    run._state.fields_cache.update(loop=loop, loop_version=version)
    _name(run, spec)
    return run


def _origin(origin: Origin | None, spec: LoopSpec) -> dict[str, Any]:
    if origin is None:
        return {"trigger_key": spec.manual_key}
    found: dict[str, Any] = {
        "trigger_key": origin.trigger_key,
        "source_event_id": origin.source_event_id,
        "depth": origin.depth,
    }
    if origin.parent is not None:
        found |= {"parent_run_id": origin.parent.pk, "parent_loop_id": origin.parent.loop_id}
        found["parent_step_key"] = origin.step_key
    return found


def _warnings(start: Start) -> list[str]:
    """What a person should know of this run: cells that look as if Clay had not filled them in."""
    paths = [f"event.{path}" for path in unfilled(start.event)]
    if start.idempotency_key and key_is_unfilled(start.idempotency_key):
        paths.append("idempotency_key")
    sentences = [f"{path} holds a placeholder that Clay did not fill in." for path in paths]
    return [*start.origin.warnings, *sentences] if start.origin else sentences


def _name(run: Run, spec: LoopSpec) -> None:
    """The run's name and description by the loop's templates. One that cannot be rendered is left empty."""
    if not spec.run_name and not spec.run_description:
        return
    names = Names(event=spec.filled_event(run.event), meta=run.meta, config=spec.filled_config(run.config))
    for field, template, longest in (("name", spec.run_name, 160), ("description", spec.run_description, 320)):
        try:
            setattr(run, field, render(template, names)[:longest])
        except (ExpressionError, MobiusError):
            run.warnings.append(f"The loop's template for the {field} of runs cannot be rendered for this event.")
