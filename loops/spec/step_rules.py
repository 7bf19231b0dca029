"""What makes the steps of a loop valid: their common shape, the config of each kind, and what they may read."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from loops.spec.fields import Fields, JsonObject, Problems, unknown
from loops.spec.scopes import INPUTS, LONGEST_PREDICATE, Scope
from loops.spec.steps import StepKind
from mobius.errors import MobiusError

MAX_STEPS = 100
MAX_ATTEMPTS = 10
STEP_ID = r"[A-Za-z0-9_.-]{1,64}"
_ID = re.compile(STEP_ID)
_KINDS = tuple(StepKind)
_LATER_KINDS = ("agent", "interaction")
MAX_CHECKS = 50
_CALLBACK_SUFFIX = ".callback"


def keys_of(steps: list[Any] | None) -> list[str]:
    """Every step's key in order: its id, or its index as text."""
    ids = [step.get("id") if isinstance(step, dict) else None for step in steps or []]
    return [one if isinstance(one, str) else str(index) for index, one in enumerate(ids)]


def check_steps(
    steps: list[Any],
    problems: Problems,
    *,
    actions: Collection[str],
    parameter_checks: Mapping[str, Callable[[JsonObject], object]],
) -> None:
    """Notes every fault of `steps`."""
    if len(steps) > MAX_STEPS:
        problems.add("steps", f"There are more than {MAX_STEPS} steps.")
        return
    keys = keys_of(steps)
    for index, data in enumerate(steps):
        place = f"steps[{index}]"
        if not isinstance(data, dict):
            problems.add(place, "This must be an object.")
            continue
        fields = Fields(data, place, problems)
        scope = Scope(roots=INPUTS | {"steps"}, keys=keys, before=index, problems=problems)
        _check_common(fields, scope)
        if keys[index] in keys[:index]:
            first = keys.index(keys[index])
            fields.fault("id", f"steps[{first}] has the key `{keys[index][:64]}` already.")
        kind = _kind_of(fields)
        config = fields.object("config")
        if config is None or kind is None:
            continue
        if kind == "action":
            _check_action(config, scope, actions, parameter_checks)
        elif kind == "sleep":
            _check_sleep(config)
        elif kind == "loop":
            _check_loop(config, scope)
        elif kind == "check":
            _check_check(config, scope)
        else:
            _check_wait(config, scope)


def _check_common(fields: Fields, scope: Scope) -> None:
    fields.only("id", "name", "if", "kind", "config", "retry", "timeout")
    fields.require("kind", "config")
    step_id = fields.text("id")
    if step_id is not None and not _ID.fullmatch(step_id):
        fields.fault("id", "An id has from 1 to 64 letters, digits, `_`, `-` and `.`.")
    fields.text("name", blank=True)
    condition = fields.text("if", longest=LONGEST_PREDICATE, blank=True)
    if condition and condition.strip():
        scope.check_predicate(condition, fields.at("if"))
    if retry := fields.object("retry"):
        retry.only("max_attempts", "delay")
        retry.integer("max_attempts", low=1, high=MAX_ATTEMPTS)
        retry.duration("delay")
    if timeout := fields.object("timeout"):
        timeout.only("duration", "on_timeout")
        timeout.duration("duration", zero=False)
        timeout.choice("on_timeout", ["fail"])


def _kind_of(fields: Fields) -> str | None:
    kind = fields.text("kind")
    if kind is None or kind in _KINDS:
        return kind
    if kind in _LATER_KINDS:
        fields.fault("kind", f"This console does not run steps of kind `{kind}` yet; it runs {', '.join(_KINDS)}.")
    elif kind == "cleanup":
        fields.fault("kind", "Steps of kind `cleanup` cannot be authored, and this console does not run them yet.")
    else:
        fields.fault("kind", unknown("kind", kind, _KINDS))
    return None


def _check_action(
    config: Fields,
    scope: Scope,
    actions: Collection[str],
    parameter_checks: Mapping[str, Callable[[JsonObject], object]],
) -> None:
    config.only("action_name", "parameters", "execution_location", "environment_id")
    config.require("action_name")
    name = config.text("action_name")
    if name is not None and name not in actions:
        config.fault("action_name", f"There is no action `{name}`; known: {', '.join(sorted(actions)) or 'none'}.")
    if config.choice("execution_location", ["managed", "worker", "environment"]) not in (None, "managed"):
        config.fault("execution_location", "This console runs actions itself: only `managed` is supported.")
    if config.text("environment_id", blank=True):
        config.fault("environment_id", "This console has no environments: leave this out.")
    parameters = config.object("parameters")
    if parameters is None:
        return
    replace(scope, roots=scope.roots | {"callback"}).check_templates(parameters.data, parameters.place)
    parameters.text("integration")
    if isinstance(parameters.data.get("payload"), list):
        parameters.fault("payload", "This must be an object, not an array: one POST makes one row.")
    elif name is not None and name in parameter_checks:
        try:
            parameter_checks[name](parameters.data)
        except MobiusError as error:
            scope.problems.add(parameters.place, error.message)


def _check_sleep(config: Fields) -> None:
    config.only("duration", "until")
    config.duration("duration")
    until = config.text("until")
    if until is not None and not _is_moment(until):
        config.fault("until", "This must be a time with its offset, such as `2026-11-24T09:00:00Z`.")
    given = [name for name in ("duration", "until") if config.data.get(name) is not None]
    if len(given) != 1:
        config.fault("duration", "Give either `duration` or `until`.")


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _check_wait(config: Fields, scope: Scope) -> None:
    config.only("event_type", "source_id", "match", "payload_mapping")
    config.require("event_type")
    event_type, source_id = config.text("event_type"), config.text("source_id")
    # Other events come from outside, and so do the ids of their sources; a callback comes from a step.
    if source_id is not None and event_type is not None and event_type.endswith(_CALLBACK_SUFFIX):
        fault = scope.fault_of(source_id)
        if fault:
            config.fault("source_id", fault)
    if match := config.object("match"):
        scope.check_templates(match.data, match.place)
    if mapping := config.object("payload_mapping"):
        inner = Scope(roots=frozenset({"event", "meta"}), problems=scope.problems)
        for name in mapping.data:
            expression = mapping.text(name, longest=LONGEST_PREDICATE)
            if expression is not None:
                inner.check_predicate(expression, mapping.at(name))
            elif mapping.data[name] is None:
                mapping.fault(name, "This must be an expression.")


def _check_loop(config: Fields, scope: Scope) -> None:
    config.only("loop_id", "event", "config", "condition")
    config.require("loop_id")
    config.text("loop_id")
    if config.data.get("condition") is not None:
        config.fault("condition", "This condition is not evaluated: use the step's own `if`.")
    for name in ("event", "config"):
        if inputs := config.object(name):
            scope.check_templates(inputs.data, inputs.place)


def _check_check(config: Fields, scope: Scope) -> None:
    config.only("checks", "on_fail", "gate")
    config.require("checks")
    if config.data.get("on_fail") == "gate" or config.data.get("gate") is not None:
        config.fault("on_fail", "This console has no gates: write `fail` or `continue`.")
    else:
        config.choice("on_fail", ["fail", "continue"])
    checks = config.array("checks") or []
    if config.data.get("checks") == [] or len(checks) > MAX_CHECKS:
        config.fault("checks", f"Give from 1 to {MAX_CHECKS} checks.")
        return
    names: set[str] = set()
    for index, data in enumerate(checks):
        place = f"{config.at('checks')}[{index}]"
        if not isinstance(data, dict):
            scope.problems.add(place, "This must be an object.")
            continue
        _check_assertion(Fields(data, place, scope.problems), scope, names)


def _check_assertion(one: Fields, scope: Scope, names: set[str]) -> None:
    one.only("name", "kind", "expr")
    one.require("name", "expr")
    if one.choice("kind", ["expr", "agent"]) == "agent":
        one.fault("kind", "This console has no agents: only checks of kind `expr` are run.")
    name = one.text("name")
    if name is not None and name in names:
        one.fault("name", f"There is a check named `{name[:100]}` already.")
    names.add(name or "")
    expression = one.text("expr", longest=LONGEST_PREDICATE)
    if expression is not None:
        scope.check_predicate(expression, one.at("expr"))
