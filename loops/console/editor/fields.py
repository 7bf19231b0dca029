"""Which places of a step the form knows: by the kind of the step, and by what its action declares that it takes."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integrations.providers.contract import CALLBACK_PLACEHOLDER, Action, Provider
from integrations.providers.registry import all_actions, all_providers
from loops.spec import StepKind

JsonObject = dict[str, Any]
Path = tuple[str | int, ...]
Choices = tuple[tuple[str, str], ...]

KIND_WORDS = {
    StepKind.ACTION: "Action",
    StepKind.SLEEP: "Sleep",
    StepKind.WAIT_FOR_EVENT: "Wait for an event",
    StepKind.LOOP: "Start another loop",
    StepKind.CHECK: "Check",
}


class Holds(enum.StrEnum):
    """What is written at a place."""

    TEXT = "text"
    TEMPLATE = "template"  # a text with ${{ … }} in it
    EXPRESSION = "expression"  # bare
    NUMBER = "number"
    CHOICE = "choice"
    ROWS = "rows"  # an object, a row for each of its keys
    CHECKS = "checks"  # a list of names and expressions
    JSON = "json"


class ValueType(enum.StrEnum):
    """What the value of a row is, where somebody may choose."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    NULL = "null"
    JSON = "json"

    @property
    def word(self) -> str:
        return _TYPE_WORDS[self]


_TYPE_WORDS = {
    ValueType.TEXT: "Text",
    ValueType.NUMBER: "Number",
    ValueType.BOOLEAN: "True/false",
    ValueType.NULL: "Null",
    ValueType.JSON: "JSON",
}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One place of a step."""

    path: Path  # below the step
    label: str
    holds: Holds
    hint: str = ""
    choices: Choices = ()
    each: Holds = Holds.TEMPLATE  # what the rows hold
    offer: str = ""  # what a box beside the text says that writes `${{ callback.url }}`


Connected = Mapping[str, Mapping[str, str]]
"""The names of a project's integrations by their ids, by provider."""

LOOP_FIELDS = (
    Field(path=("name",), label="Name", holds=Holds.TEXT),
    Field(path=("description",), label="Description", holds=Holds.TEXT),
)
_DURATION = "Such as 30s, 5m or 1h30m."


def fields_of(step: JsonObject, connected: Connected) -> list[Field]:
    """What the form shows of this step, in its order."""
    kind = step.get("kind")
    return [
        Field(path=("name",), label="Name", holds=Holds.TEXT, hint="For people to read."),
        Field(path=("id",), label="Id", holds=Holds.TEXT, hint="Later steps read steps.id.output."),
        *(_action(step, connected) if kind == StepKind.ACTION else _PLAIN.get(str(kind), ())),
        Field(
            path=("if",),
            label="Only if",
            holds=Holds.EXPRESSION,
            hint='An expression, such as event.score > 5 or event.lang == "en".',
        ),
        *(_RETRY if kind == StepKind.ACTION else ()),
        *(_TIMEOUT if kind in (StepKind.ACTION, StepKind.WAIT_FOR_EVENT) else ()),
    ]  # fmt: skip


def new_step(kind: str, keys: Sequence[str]) -> JsonObject:
    """A step to begin with, under an id that none of `keys` is."""
    number = next(one for one in range(len(keys) + 1, 2 * len(keys) + 3) if f"step-{one}" not in keys)
    return {"id": f"step-{number}", "kind": kind, "config": _new_config(kind)}


def _new_config(kind: str) -> JsonObject:
    if kind == StepKind.ACTION:
        name, (_, action) = next(iter(all_actions().items()))
        needed = action.input_schema.get("required", ())
        kinds = action.input_schema.get("properties", {})
        rows = {one: {} if kinds.get(one, {}).get("type") == "object" else "" for one in needed}
        return {"action_name": name, "parameters": rows}
    if kind == StepKind.WAIT_FOR_EVENT:
        caller = next((one.id for one in all_providers().values() if one.recipes), "")
        return {"event_type": f"{caller}.callback"}
    empty: dict[str, JsonObject] = {
        StepKind.SLEEP: {"duration": "1m"},
        StepKind.CHECK: {"checks": [{"name": "check-1", "expr": "true"}]},
    }
    return empty.get(kind, {"loop_id": ""})


def _action(step: JsonObject, connected: Connected) -> Iterator[Field]:
    config = step.get("config")
    config = config if isinstance(config, dict) else {}
    name = config.get("action_name")
    titles = tuple((one, f"{action.title} ({one})") for one, (_, action) in all_actions().items())
    yield Field(path=("config", "action_name"), label="Action", holds=Holds.CHOICE, choices=titles)
    if not isinstance(name, str) or name not in all_actions():
        return
    provider, action = all_actions()[name]
    choices = _integrations(config.get("parameters"), connected.get(provider.id, {}))
    yield Field(path=("config", "parameters", "integration"), label="Integration", holds=Holds.CHOICE, choices=choices)
    yield from _parameters(provider, action)


def _integrations(parameters: Any, names: Mapping[str, str]) -> Choices:
    chosen = parameters.get("integration") if isinstance(parameters, dict) else None
    by_id = [(chosen, f"{names[chosen]} (by its id)")] if isinstance(chosen, str) and chosen in names else []
    return (("", "The usual one"), *((name, name) for name in names.values()), *by_id)


def _parameters(provider: Provider, action: Action) -> Iterator[Field]:
    """What the action declares that it takes."""
    for name, declared in action.input_schema.get("properties", {}).items():
        holds = {"object": Holds.ROWS, "string": Holds.TEMPLATE}.get(declared.get("type", ""), Holds.JSON)
        answers = CALLBACK_PLACEHOLDER in declared.get("examples", ())
        yield Field(
            path=("config", "parameters", name),
            label=name,
            holds=holds,
            hint=declared.get("description", ""),
            offer=f"Let {provider.name} answer this row" if answers else "",
        )


_RETRY = (
    Field(path=("retry", "max_attempts"), label="Tries in all", holds=Holds.NUMBER, hint="1 when left empty."),
    Field(path=("retry", "delay"), label="Before the second try wait", holds=Holds.TEXT, hint=_DURATION),
)
_TIMEOUT = (Field(path=("timeout", "duration"), label="Fail after", holds=Holds.TEXT, hint=_DURATION),)
_PLAIN: dict[str, tuple[Field, ...]] = {
    StepKind.SLEEP: (
        Field(path=("config", "duration"), label="For", holds=Holds.TEXT, hint=_DURATION),
        Field(
            path=("config", "until"), label="Or until", holds=Holds.TEXT, hint="A time such as 2030-01-31T09:00:00Z."
        ),
    ),
    StepKind.WAIT_FOR_EVENT: (
        Field(
            path=("config", "event_type"),
            label="Event type",
            holds=Holds.TEXT,
            hint="Such as the callback of a provider.",
        ),
        Field(
            path=("config", "source_id"),
            label="Callback of the step",
            holds=Holds.TEXT,
            hint="Empty: the nearest that asks for one.",
        ),
        Field(
            path=("config", "match"),
            label="Only when it holds",
            holds=Holds.ROWS,
            hint="Each of these must be in what comes.",
        ),
        Field(
            path=("config", "payload_mapping"),
            label="Output",
            holds=Holds.ROWS,
            each=Holds.EXPRESSION,
            hint="What to keep of what comes, such as event.score. Empty: all of it.",
        ),
    ),
    StepKind.LOOP: (
        Field(path=("config", "loop_id"), label="Loop", holds=Holds.TEXT, hint="Its name, or its id."),
        Field(path=("config", "event"), label="Event", holds=Holds.ROWS, hint="Empty: the event of this run."),
        Field(path=("config", "config"), label="Config", holds=Holds.ROWS),
    ),
    StepKind.CHECK: (
        Field(path=("config", "checks"), label="Checks", holds=Holds.CHECKS),
        Field(
            path=("config", "on_fail"),
            label="When one does not hold",
            holds=Holds.CHOICE,
            choices=(("", "The run fails"), ("fail", "The run fails (fail)"), ("continue", "Go on (continue)")),
        ),
    ),
}
