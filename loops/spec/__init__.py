"""A loop's JSON as the engine reads it: `parse_loop` for what an author sends, `LoopSpec.from_stored` for a version."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

from loops.durations import parse_duration
from loops.spec.loop_rules import problems_of
from loops.spec.steps import (
    ActionConfig,
    Check,
    CheckConfig,
    LoopConfig,
    Retry,
    SleepConfig,
    StepKind,
    StepSpec,
    WaitConfig,
    member,
    read_step,
)
from loops.spec.triggers import Concurrency, Policy, TriggerKind, TriggerSpec, read_triggers
from mobius.errors import InvalidFields

JsonObject = dict[str, Any]

__all__ = [
    "ActionConfig",
    "Check",
    "CheckConfig",
    "Concurrency",
    "DeclaredInput",
    "KeyAfterEnd",
    "LoopConfig",
    "LoopSpec",
    "Policy",
    "Retry",
    "SleepConfig",
    "StepKind",
    "StepSpec",
    "TriggerKind",
    "TriggerSpec",
    "WaitConfig",
    "parse_loop",
]


class KeyAfterEnd(enum.StrEnum):
    """What a start answers whose idempotency key is held by a run that has ended."""

    CONFLICT = "conflict"
    RETURN = "return"
    RESTART = "restart"


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
    triggers: tuple[TriggerSpec, ...]
    concurrency: Concurrency  # of starts whose trigger has no policy of its own
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

    @cached_property
    def manual_key(self) -> str:
        """The trigger by which people and clients start runs; "" when the author names none."""
        manual = [one.key for one in self.triggers if one.kind == TriggerKind.MANUAL and one.enabled]
        return manual[0] if manual else ""

    def policy_for(self, trigger_key: str) -> Policy:
        """What governs a start by this trigger: the trigger's own policy, else the loop's."""
        own = [one.policy for one in self.triggers if one.key == trigger_key and one.policy]
        return own[0] if own else Policy(concurrency=self.concurrency)

    @cached_property
    def own_policies(self) -> tuple[Policy, ...]:
        """The policies of those triggers that have one."""
        return tuple(one.policy for one in self.triggers if one.policy)

    @cached_property
    def is_governed(self) -> bool:
        """Does the number of active runs matter to any start?"""
        policies = (*self.own_policies, Policy(concurrency=self.concurrency))
        return any(policy.concurrency != Concurrency.ALLOW for policy in policies)

    def filled_event(self, event: JsonObject) -> JsonObject:
        """`event` with the declared defaults for what it leaves out."""
        return _defaults(self.event) | event

    def filled_config(self, config: JsonObject) -> JsonObject:
        """`config` over `default_config` over the declared defaults."""
        return _defaults(self.config) | self.default_config | config

    @classmethod
    def from_stored(cls, data: JsonObject) -> LoopSpec:
        """The spec of a loop that was validated when it was stored; nothing is checked again."""
        limits, run_name, settings = (member(data, name, {}) for name in ("limits", "run_name", "settings"))
        wall_clock = parse_duration(member(limits, "wall_clock_timeout", "0"))
        return cls(
            name=member(data, "name", ""),
            description=member(data, "description", ""),
            steps=tuple(read_step(index, step) for index, step in enumerate(member(data, "steps", []))),
            triggers=read_triggers(data),
            concurrency=Concurrency(member(data, "concurrency", "allow")),
            event=_declared(data, "event"),
            config=_declared(data, "config"),
            default_config=member(data, "default_config", {}),
            output=data.get("output"),
            wall_clock_timeout=wall_clock or None,
            pause_after_consecutive_failures=limits.get("pause_after_consecutive_failures"),
            run_name=member(run_name, "template", ""),
            run_description=member(run_name, "description_template", ""),
            key_after_end=KeyAfterEnd(member(settings, "idempotency_key_after_end", KeyAfterEnd.CONFLICT)),
            callback_requires_key=member(settings, "callback_requires_key", False),
            tags=member(data, "tags", {}),
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


def _declared(data: JsonObject, name: str) -> dict[str, DeclaredInput]:
    return {
        key: DeclaredInput(
            type=member(declared, "type", ""),
            description=member(declared, "description", ""),
            required=member(declared, "required", False),
            has_default="default" in declared,
            default=declared.get("default"),
        )
        for key, declared in member(data, name, {}).items()
    }


def _defaults(declared: Mapping[str, DeclaredInput]) -> JsonObject:
    return {key: one.default for key, one in declared.items() if one.has_default}
