"""A loop's JSON as the engine reads it: `parse_loop` for what an author sends, `LoopSpec.from_stored` for a version."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from loops.durations import parse_duration
from loops.spec.loop_rules import problems_of
from mobius.errors import InvalidFields

JsonObject = dict[str, Any]


class StepKind(enum.StrEnum):
    """What a step does."""

    ACTION = "action"
    SLEEP = "sleep"
    WAIT_FOR_EVENT = "wait_for_event"


class Concurrency(enum.StrEnum):
    """What happens to a start while an earlier run of the loop is active."""

    ALLOW = "allow"
    QUEUE = "queue"
    SKIP = "skip"
    REPLACE = "replace"


class KeyAfterEnd(enum.StrEnum):
    """What a start answers whose idempotency key is held by a run that has ended."""

    CONFLICT = "conflict"
    RETURN = "return"
    RESTART = "restart"


@dataclass(frozen=True, kw_only=True)
class ActionConfig:
    """One call of an action; `parameters` are unrendered."""

    action_name: str
    parameters: JsonObject


@dataclass(frozen=True, kw_only=True)
class SleepConfig:
    """A pause: exactly one of the two is set."""

    duration: timedelta | None
    until: datetime | None


@dataclass(frozen=True, kw_only=True)
class WaitConfig:
    """A pause until an event or a callback comes."""

    event_type: str
    source_id: str  # the key of the step whose callback is awaited; "": the rule of `loops.callbacks` decides
    match: JsonObject  # unrendered; every member must equal that of the body
    payload_mapping: dict[str, str] | None  # member of the output -> bare expression over `event` and `meta`


StepConfig = ActionConfig | SleepConfig | WaitConfig


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often a step's action is tried in all, and how long to wait before the second try."""

    max_attempts: int = 1
    delay: timedelta = timedelta()


@dataclass(frozen=True, kw_only=True)
class StepSpec:
    """One authored step. Its config's type follows from its kind."""

    key: str  # its id, or its index as text
    index: int
    name: str
    kind: StepKind
    condition: str  # a bare expression; "": the step always runs
    config: StepConfig
    retry: Retry
    timeout: timedelta | None  # after which the step fails


@dataclass(frozen=True, kw_only=True)
class DeclaredInput:
    """One member of `event` or `config` that the author tells of."""

    type: str  # as the author put it: "string", "number", …; "" when not said
    description: str
    required: bool
    has_default: bool
    default: Any = None


@dataclass(frozen=True, kw_only=True)
class LoopSpec:
    """A valid loop. Fields that the author left out have their default; `authored` echoes what was sent."""

    name: str
    description: str
    steps: tuple[StepSpec, ...]
    concurrency: Concurrency  # the manual trigger's policy, else the loop's
    max_concurrent_runs: int  # means nothing with allow
    by_trigger: bool  # the policy is the trigger's
    event: dict[str, DeclaredInput]
    config: dict[str, DeclaredInput]
    default_config: JsonObject
    output: JsonObject | None  # None: the result is the outputs of all steps by key
    wall_clock_timeout: timedelta | None
    pause_after_consecutive_failures: int | None
    run_name: str  # a template; "": runs have no name of their own
    run_description: str
    key_after_end: KeyAfterEnd
    callback_requires_key: bool
    tags: dict[str, str]
    authored: JsonObject = field(repr=False)

    @property
    def step_keys(self) -> tuple[str, ...]:
        return tuple(step.key for step in self.steps)

    def filled_event(self, event: JsonObject) -> JsonObject:
        """`event` with the declared defaults for what it leaves out."""
        return _defaults(self.event) | event

    def filled_config(self, config: JsonObject) -> JsonObject:
        """`config` over `default_config` over the declared defaults."""
        return _defaults(self.config) | self.default_config | config

    @classmethod
    def from_stored(cls, data: JsonObject) -> LoopSpec:
        """The spec of a loop that was validated when it was stored; nothing is checked again."""
        limits, run_name, settings = (_member(data, name, {}) for name in ("limits", "run_name", "settings"))
        wall_clock = parse_duration(_member(limits, "wall_clock_timeout", "0"))
        policy = _policy(data)
        return cls(
            name=_member(data, "name", ""),
            description=_member(data, "description", ""),
            steps=tuple(_step(index, step) for index, step in enumerate(_member(data, "steps", []))),
            concurrency=Concurrency(policy.get("concurrency_policy") or _member(data, "concurrency", "allow")),
            max_concurrent_runs=_member(policy, "max_concurrent_runs", 1),
            by_trigger=bool(policy),
            event=_declared(data, "event"),
            config=_declared(data, "config"),
            default_config=_member(data, "default_config", {}),
            output=data.get("output"),
            wall_clock_timeout=wall_clock or None,
            pause_after_consecutive_failures=limits.get("pause_after_consecutive_failures"),
            run_name=_member(run_name, "template", ""),
            run_description=_member(run_name, "description_template", ""),
            key_after_end=KeyAfterEnd(_member(settings, "idempotency_key_after_end", KeyAfterEnd.CONFLICT)),
            callback_requires_key=_member(settings, "callback_requires_key", False),
            tags=_member(data, "tags", {}),
            authored=data,
        )


def parse_loop(
    data: JsonObject,
    *,
    actions: Collection[str],
    partial: bool = False,
    parameter_checks: Mapping[str, Callable[[JsonObject], object]] | None = None,
) -> LoopSpec:
    """The loop that an author wrote, or InvalidFields with every fault by its place (`steps[0].config.duration`).

    `actions` are the names of the actions that exist; `parameter_checks` may judge an action's unrendered parameters
    by raising a MobiusError. A field that is `null` counts as left out. With `partial` no field is required, and
    what the fields left out hold is not known: merge a change into the stored loop and parse the whole as well.
    """
    try:
        problems = problems_of(data, actions=actions, partial=partial, parameter_checks=parameter_checks or {})
    except RecursionError:
        raise InvalidFields({"steps": ["The loop is nested too deeply."]}) from None
    if problems:
        raise InvalidFields(problems)
    return LoopSpec.from_stored({name: value for name, value in data.items() if value is not None})


def _member(data: JsonObject, name: str, default: Any) -> Any:
    value = data.get(name)
    return default if value is None else value


def _policy(data: JsonObject) -> JsonObject:
    """The manual trigger with a concurrency policy of its own; every start is by that trigger. {}: there is none."""
    for trigger in _member(data, "triggers", []):
        if trigger.get("concurrency_policy") and _member(trigger, "enabled", True):
            return dict(trigger)
    return {}


def _declared(data: JsonObject, name: str) -> dict[str, DeclaredInput]:
    return {
        key: DeclaredInput(
            type=_member(declared, "type", ""),
            description=_member(declared, "description", ""),
            required=_member(declared, "required", False),
            has_default="default" in declared,
            default=declared.get("default"),
        )
        for key, declared in _member(data, name, {}).items()
    }


def _defaults(declared: Mapping[str, DeclaredInput]) -> JsonObject:
    return {key: one.default for key, one in declared.items() if one.has_default}


def _step(index: int, data: JsonObject) -> StepSpec:
    kind = StepKind(data["kind"])
    retry, timeout = _member(data, "retry", {}), _member(data, "timeout", {}).get("duration")
    return StepSpec(
        key=_member(data, "id", str(index)),
        index=index,
        name=_member(data, "name", ""),
        kind=kind,
        condition=_member(data, "if", "").strip(),
        config=_CONFIGS[kind](data["config"]),
        retry=Retry(max_attempts=_member(retry, "max_attempts", 1), delay=parse_duration(_member(retry, "delay", "0"))),
        timeout=None if timeout is None else parse_duration(timeout),
    )


def _action(config: JsonObject) -> ActionConfig:
    return ActionConfig(action_name=config["action_name"], parameters=_member(config, "parameters", {}))


def _sleep(config: JsonObject) -> SleepConfig:
    duration, until = config.get("duration"), config.get("until")
    return SleepConfig(
        duration=None if duration is None else parse_duration(duration),
        until=None if until is None else datetime.fromisoformat(until),
    )


def _wait(config: JsonObject) -> WaitConfig:
    return WaitConfig(
        event_type=config["event_type"],
        source_id=_member(config, "source_id", ""),
        match=_member(config, "match", {}),
        payload_mapping=config.get("payload_mapping"),
    )


_CONFIGS: dict[StepKind, Callable[[JsonObject], StepConfig]] = {
    StepKind.ACTION: _action,
    StepKind.SLEEP: _sleep,
    StepKind.WAIT_FOR_EVENT: _wait,
}
