"""The steps of a valid loop, as the engine reads them."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from loops.durations import parse_duration

JsonObject = dict[str, Any]


class StepKind(enum.StrEnum):
    """What a step does."""

    ACTION = "action"
    SLEEP = "sleep"
    WAIT_FOR_EVENT = "wait_for_event"
    LOOP = "loop"
    CHECK = "check"


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


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """A run of another loop, which goes its own way from then on."""

    loop_id: str  # its id, or its name
    event: JsonObject | None  # unrendered; None: the event of this run
    config: JsonObject | None  # unrendered


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that must hold."""

    name: str
    expression: str  # bare


@dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """A verdict on what is known so far."""

    checks: tuple[Check, ...]
    goes_on: bool  # although a check did not pass


StepConfig = ActionConfig | SleepConfig | WaitConfig | LoopConfig | CheckConfig


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


def member(data: JsonObject, name: str, default: Any) -> Any:
    """The field, or `default` when it is absent or null."""
    value = data.get(name)
    return default if value is None else value


def read_step(index: int, data: JsonObject) -> StepSpec:
    kind = StepKind(data["kind"])
    retry, timeout = member(data, "retry", {}), member(data, "timeout", {}).get("duration")
    return StepSpec(
        key=member(data, "id", str(index)),
        index=index,
        name=member(data, "name", ""),
        kind=kind,
        condition=member(data, "if", "").strip(),
        config=_CONFIGS[kind](data["config"]),
        retry=Retry(max_attempts=member(retry, "max_attempts", 1), delay=parse_duration(member(retry, "delay", "0"))),
        timeout=None if timeout is None else parse_duration(timeout),
    )


def _action(config: JsonObject) -> ActionConfig:
    return ActionConfig(action_name=config["action_name"], parameters=member(config, "parameters", {}))


def _sleep(config: JsonObject) -> SleepConfig:
    duration, until = config.get("duration"), config.get("until")
    return SleepConfig(
        duration=None if duration is None else parse_duration(duration),
        until=None if until is None else datetime.fromisoformat(until),
    )


def _wait(config: JsonObject) -> WaitConfig:
    return WaitConfig(
        event_type=config["event_type"],
        source_id=member(config, "source_id", ""),
        match=member(config, "match", {}),
        payload_mapping=config.get("payload_mapping"),
    )


def _loop(config: JsonObject) -> LoopConfig:
    return LoopConfig(loop_id=config["loop_id"], event=config.get("event"), config=config.get("config"))


def _check(config: JsonObject) -> CheckConfig:
    return CheckConfig(
        checks=tuple(
            Check(name=member(check, "name", str(number)), expression=check["expr"])
            for number, check in enumerate(config["checks"], start=1)
        ),
        goes_on=member(config, "on_fail", "fail") == "continue",
    )


_CONFIGS: dict[StepKind, Callable[[JsonObject], StepConfig]] = {
    StepKind.ACTION: _action,
    StepKind.SLEEP: _sleep,
    StepKind.WAIT_FOR_EVENT: _wait,
    StepKind.LOOP: _loop,
    StepKind.CHECK: _check,
}
