"""What makes a loop valid as a whole: its own fields. Those of its steps are judged by `step_rules`."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from loops.spec.fields import Fields, JsonObject, Problems
from loops.spec.scopes import INPUTS, Scope
from loops.spec.step_rules import check_steps, keys_of
from loops.spec.trigger_rules import CONCURRENCY, check_triggers
from mobius.tags import LONGEST_TAG_KEY, LONGEST_TAG_VALUE, MOST_TAGS, RESERVED_TAGS

MAX_SPEC_BYTES = 256 * 1024
MAX_TEXT_LENGTH = 10_000  # characters of a description

_FIELDS = (
    *("name", "description", "schema_version", "steps", "triggers", "concurrency", "event", "config"),
    *("default_config", "output", "limits", "run_name", "settings", "tags", "cleanup"),
    *("agent_id", "repositories", "defaults"),
)
_UNENFORCED_LIMITS = (
    *("budget_usd", "credit_budget", "daily_budget_usd", "daily_credit_budget"),
    *("max_agent_turns", "max_duplicate_tool_calls"),
)


def problems_of(
    data: Any,
    *,
    actions: Collection[str],
    partial: bool,
    parameter_checks: Mapping[str, Callable[[JsonObject], object]],
) -> Problems:
    """Every fault of the loop `data`, by place; empty when it is valid."""
    problems = Problems()
    if not isinstance(data, dict):
        problems.add("steps", "A loop is a JSON object.")
        return problems
    fields = Fields(data, "", problems)
    if not _fits(data):
        problems.add("steps", f"The loop is not JSON of at most {MAX_SPEC_BYTES // 1024} KiB.")
        return problems
    fields.only(*_FIELDS)
    if not partial:
        fields.require("name")
    keys = keys_of(fields.array("steps")) if data.get("steps") is not None or not partial else None
    _check_plain_fields(fields)
    _check_inputs(fields)
    _check_limits(fields)
    check_triggers(fields)
    _check_tags(fields)
    _check_texts(fields, keys)
    if isinstance(data.get("steps"), list):
        check_steps(data["steps"], problems, actions=actions, parameter_checks=parameter_checks)
    return problems


def _fits(data: JsonObject) -> bool:
    try:
        return len(json.dumps(data, ensure_ascii=False, allow_nan=False).encode()) <= MAX_SPEC_BYTES
    except (TypeError, ValueError):
        return False


def _check_plain_fields(fields: Fields) -> None:
    name = fields.text("name")
    if name is not None and name != name.strip():
        fields.fault("name", "This must not begin or end with a space.")
    fields.text("description", longest=MAX_TEXT_LENGTH, blank=True)
    fields.choice("schema_version", ["1"])
    fields.choice("concurrency", CONCURRENCY)
    fields.text("agent_id", blank=True)
    fields.array("repositories")
    fields.object("defaults")
    fields.object("default_config")
    if fields.array("cleanup"):
        fields.fault("cleanup", "This console does not run cleanup steps yet.")
    if settings := fields.object("settings"):
        settings.only("idempotency_key_after_end", "callback_requires_key")
        settings.choice("idempotency_key_after_end", ["conflict", "return", "restart"])
        settings.boolean("callback_requires_key")


def _check_inputs(fields: Fields) -> None:
    for place in ("event", "config"):
        declared = fields.object(place)
        for name in declared.data if declared else ():
            if declared and (one := declared.object(name)):
                one.only("type", "description", "required", "default")
                one.text("type")
                one.text("description", longest=MAX_TEXT_LENGTH, blank=True)
                one.boolean("required")
            elif declared and declared.data[name] is None:
                declared.fault(name, "This must be an object.")


def _check_limits(fields: Fields) -> None:
    if limits := fields.object("limits"):
        limits.only("wall_clock_timeout", "pause_after_consecutive_failures", *_UNENFORCED_LIMITS)
        limits.duration("wall_clock_timeout")
        limits.integer("pause_after_consecutive_failures", low=1, high=1_000_000)
        for name in _UNENFORCED_LIMITS:
            # A limit that nobody keeps is worse than none.
            if limits.data.get(name) is not None:
                limits.fault(name, "This console does not enforce this limit: leave it out.")


def _check_tags(fields: Fields) -> None:
    tags = fields.object("tags")
    if tags is None:
        return
    if len(tags.data) > MOST_TAGS:
        fields.fault("tags", f"There are more than {MOST_TAGS} tags.")
    for name, value in tags.data.items():
        if not 1 <= len(name) <= LONGEST_TAG_KEY:
            tags.fault(name, f"A tag's key has from 1 to {LONGEST_TAG_KEY} characters.")
        if name.startswith(RESERVED_TAGS):
            tags.fault(name, f"Keys that begin with `{RESERVED_TAGS}` are reserved.")
        if not isinstance(value, str) or len(value) > LONGEST_TAG_VALUE:
            tags.fault(name, f"A tag's value is text of at most {LONGEST_TAG_VALUE} characters.")


def _check_texts(fields: Fields, keys: list[str] | None) -> None:
    """The loop's own templates: the run's name, made when it starts, and its result, made when it has ended."""
    if run_name := fields.object("run_name"):
        run_name.only("template", "description_template")
        run_name.require("template")
        scope = Scope(problems=fields.problems)
        for name in ("template", "description_template"):
            text = run_name.text(name, longest=MAX_TEXT_LENGTH, blank=True)
            scope.check_templates(text, run_name.at(name))
    if output := fields.object("output"):
        scope = Scope(roots=INPUTS | {"steps"}, keys=keys, before=len(keys or ()), problems=fields.problems)
        scope.check_templates(output.data, output.place)
