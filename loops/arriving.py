"""What arrived last for a loop by its recipe, at either door, and what is wrong with it: field by field."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from integrations import delivering
from integrations.providers.contract import Provider
from loops.models import Callback, CallbackState, Loop, Run
from loops.placeholders import key_is_unfilled, unfilled
from loops.recipes import CallbackRecipe, StartRecipe
from loops.spec.reads import ReadField
from mobius import clock
from mobius.projects.key_models import ApiKey
from mobius.projects.roles import Role

LATEST = 50
"""Runs of the loop among which the last call is looked for."""
MOST_OTHERS = 20
"""Of the fields that nobody reads."""
KEY_TAG = "recipe"
"""Of a key that was made for a loop's recipe: the tag that holds the loop's id."""
_MISSING = object()


class Found(enum.StrEnum):
    """How a field arrived. The words for people are in `mobius.web.states`."""

    ARRIVED = "arrived"
    MISSING = "missing"  # and the loop needs it
    LEFT_OUT = "left_out"  # and the loop may do without it
    EMPTY = "empty"
    UNFILLED = "unfilled"  # the placeholder itself came, not the row's value
    UNEXPECTED = "unexpected"  # another value than it should have

    @property
    def is_fault(self) -> bool:
        return self in (Found.MISSING, Found.UNFILLED)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One field of what arrived."""

    name: str
    found: Found
    value: str = ""  # as it came, as text
    sentence: str = ""


@dataclass(frozen=True, kw_only=True)
class ArrivedCall:
    """The last start over the API, checked against the recipe."""

    run: Run
    checks: list[Check]
    others: list[str]  # fields that came beside those that the loop reads
    is_from_provider: bool  # its source says so

    @property
    def is_good(self) -> bool:
        return not any(check.found.is_fault for check in self.checks)

    @property
    def holds_its_row(self) -> bool:
        """Would a mended call for the same row get this run again, or be refused, instead of starting another?"""
        return self.run.idempotency_key != ""


@dataclass(frozen=True, kw_only=True)
class ArrivedCallback:
    """The last callback to a row of the loop, checked against the recipe."""

    callback: Callback
    checks: list[Check]

    @property
    def is_good(self) -> bool:
        astray = self.callback.state in (CallbackState.UNMATCHED, CallbackState.AMBIGUOUS)
        return not astray and not any(check.found.is_fault for check in self.checks)


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    call: ArrivedCall | None
    callback: ArrivedCallback | None
    awaits_callback: bool  # the loop has a step that waits for one
    used_in_vain: ApiKey | None  # a key of this recipe that opened the door after that call, for no new run

    @property
    def are_good(self) -> bool:
        """Has everything come that is awaited, and is nothing wrong with it?"""
        called_back = not self.awaits_callback or (self.callback is not None and self.callback.is_good)
        return self.call is not None and self.call.is_good and called_back


def keys_for(loop: Loop) -> list[ApiKey]:
    """The live keys that were made for the loop's recipe, the latest first."""
    keys = ApiKey.objects.filter(project_id=loop.project_id).live(clock.now()).tagged(KEY_TAG, loop.pk)
    return list(keys.order_by("-pk"))


def arrivals(loop: Loop, start: StartRecipe, callbacks: Sequence[CallbackRecipe], keys: Sequence[ApiKey]) -> Arrivals:
    """What came last, in a fixed number of queries. `keys` are those of `keys_for`."""
    runs = list(Run.objects.latest_of(loop.pk)[:LATEST])
    run = next((run for run in runs if _came_over_api(run)), None)
    return Arrivals(
        call=_checked_call(run, start) if run else None,
        callback=_last_callback(loop, runs, callbacks) if callbacks else None,
        awaits_callback=bool(callbacks),
        used_in_vain=_used_after(run.created_at if run else None, keys),
    )


def _came_over_api(run: Run) -> bool:
    by_itself = run.parent_run_id or run.source_event_id
    return not by_itself and run.purged_at is None and run.source.get("type", "api") == "api"


def _checked_call(run: Run, start: StartRecipe) -> ArrivedCall:
    fields = start.fields
    read = {field.path[0] for field in fields} | {start.row_field}
    checks = [_check(run.event, field, start.provider) for field in fields if field.path != (start.row_field,)]
    return ArrivedCall(
        run=run,
        checks=[*checks, _check_row(run, start), _check_key(run, start)],
        others=[name for name in run.event if name not in read][:MOST_OTHERS],
        is_from_provider=run.source.get("id") == start.provider.id,
    )


def _check_row(run: Run, start: StartRecipe) -> Check:
    check = _check(run.event, ReadField(path=(start.row_field,), needed=False), start.provider)
    return replace(check, sentence="") if check.found == Found.LEFT_OUT else check


def _check_key(run: Run, start: StartRecipe) -> Check:
    key, row = run.idempotency_key, run.event.get(start.row_field)
    name = start.provider.name
    if not key:
        found, sentence = Found.EMPTY, f"Without it {name} starts another run each time its column runs again."
    elif key_is_unfilled(key):
        found, sentence = Found.UNFILLED, "It is the same for every row, so all rows would be one and the same run."
    elif key == f"{start.key_prefix}{row}" and row not in (None, ""):
        found, sentence = Found.ARRIVED, ""
    else:
        found, sentence = Found.UNEXPECTED, "It is not the recipe's. See that it differs from row to row."
    return Check(name="idempotency_key", found=found, value=key, sentence=sentence)


def _check(body: dict[str, Any], field: ReadField, provider: Provider) -> Check:
    value = _value_at(body, field.path)
    if value is _MISSING:
        return _absent(field)
    text = _text(value)
    if unfilled({"value": value}):
        how = provider.recipes.how_to_insert if provider.recipes else ""
        sentence = f"The column's name came instead of its value: delete the text, {how} the column."
        return Check(name=field.name, found=Found.UNFILLED, value=text, sentence=sentence)
    if value in (None, ""):
        return Check(name=field.name, found=Found.EMPTY)
    if field.wanted and text != field.wanted:
        sentence = f"The run goes on only when it is {field.wanted}."
        return Check(name=field.name, found=Found.UNEXPECTED, value=text, sentence=sentence)
    return Check(name=field.name, found=Found.ARRIVED, value=text)


def _text(value: Any) -> str:
    """As an expression would write it, of whatever length it came."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _absent(field: ReadField) -> Check:
    if field.needed:
        return Check(name=field.name, found=Found.MISSING, sentence="The loop needs it.")
    if field.default is not None:
        return Check(name=field.name, found=Found.LEFT_OUT, sentence="The loop's own default stands in for it.")
    return Check(
        name=field.name, found=Found.LEFT_OUT, sentence="Unless the loop says what stands in for it, the run fails."
    )


def _value_at(body: Any, path: Sequence[str]) -> Any:
    for name in path:
        if not isinstance(body, dict) or name not in body:
            return _MISSING
        body = body[name]
    return body


def _last_callback(loop: Loop, runs: Sequence[Run], recipes: Sequence[CallbackRecipe]) -> ArrivedCallback | None:
    placed = Callback.objects.of_runs(run.pk for run in runs).filter(purged_at=None).first()
    unclear = Callback.objects.unplaced(loop.project).filter(purged_at=None).first()
    if unclear is not None and (placed is None or unclear.pk > placed.pk) and _may_mean(loop, unclear):
        placed = unclear
    if placed is None:
        return None
    source = placed.step_id.partition(":")[2]
    recipe = next((one for one in recipes if one.source_key == source), recipes[0])
    checks = [_check(placed.body, field, recipe.provider) for field in recipe.fields]
    return ArrivedCallback(callback=placed, checks=checks)


def _may_mean(loop: Loop, unclear: Callback) -> bool:
    rows = delivering.rows_sent_as(loop.project_id, unclear.request_id)
    return Run.objects.of_loop(loop.pk).filter(pk__in={row.run_id for row in rows}).exists()


def _used_after(moment: datetime | None, keys: Sequence[ApiKey]) -> ApiKey | None:
    """A refused start is written down nowhere; that its key opened the door is."""
    used = [key for key in keys if key.role == Role.RUN and key.last_used_at is not None]
    latest = max(used, key=lambda key: key.last_used_at or key.created_at, default=None)
    if latest is None or latest.last_used_at is None or (moment is not None and latest.last_used_at <= moment):
        return None
    return latest
