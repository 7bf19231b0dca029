"""What a loop reads of an event and of a callback: the fields that whoever starts it, or answers it, should send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from loops.expressions import ExpressionError, compile_predicate, compile_template, string_leaves, text_of
from loops.expressions.grammar import Expression
from loops.expressions.tokens import Key
from loops.spec import LoopSpec
from loops.spec.steps import ActionConfig, CheckConfig, LoopConfig, StepSpec, WaitConfig

MOST_FIELDS = 100
"""More of them nobody would set up by hand."""

Path = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ReadField:
    """One value that a loop reads of what is sent to it."""

    path: Path  # ("company", "domain")
    needed: bool  # the loop refuses to start, or to go on, without it
    is_text: bool = True  # else a number, true or false, an object or a list
    default: Any = None  # what stands in for it; None: nothing does
    wanted: str = ""  # the run goes on only when it is this

    @property
    def name(self) -> str:
        return ".".join(self.path)


def event_fields(spec: LoopSpec) -> list[ReadField]:
    """What the loop reads of its event: what it declares first, then what its expressions name, in their order."""
    paths = [_path(path[1:]) for expression in _expressions(spec) for path in expression.reads if path[0] == "event"]
    return [_field_of_event(spec, path) for path in _deepest([*((name,) for name in spec.event), *paths])]


def callback_fields(spec: LoopSpec, waiting: StepSpec) -> list[ReadField]:
    """What the loop reads of the callback that the step `waiting` waits for: by its match, its mapping, or later."""
    config = waiting.config
    assert isinstance(config, WaitConfig)
    matched = [(name,) for name in config.match]
    if config.payload_mapping is not None:
        mapping = _compiled(compile_predicate, config.payload_mapping.values())
        paths = [_path(path[1:]) for expression in mapping for path in expression.reads if path[0] == "event"]
    else:
        outputs = {("steps", waiting.key, "output"), ("steps", waiting.index, "output")}
        paths = [_path(path[3:]) for one in _expressions(spec) for path in one.reads if path[:3] in outputs]
    return [
        ReadField(
            path=path,
            needed=path[0] in config.match,
            is_text=path[0] not in config.match or isinstance(config.match[path[0]], str),
            wanted=_fixed(config.match.get(path[0])),
        )
        for path in _deepest([*matched, *paths])
    ]


def _field_of_event(spec: LoopSpec, path: Path) -> ReadField:
    declared = spec.event.get(path[0])
    if declared is None:
        return ReadField(path=path, needed=False)
    return ReadField(
        path=path,
        needed=declared.required and not declared.has_default,
        is_text=len(path) > 1 or declared.type in ("", "string"),
        default=declared.default if declared.has_default else None,
    )


def _path(keys: Iterable[Key]) -> Path:
    """As far as it names members of objects: of a list the whole is sent."""
    names = []
    for key in keys:
        if not isinstance(key, str):
            break
        names.append(key)
    return tuple(names)


def _deepest(paths: Iterable[Path]) -> list[Path]:
    """Each once, without those of which another names a part."""
    each = list(dict.fromkeys(path for path in paths if path))
    outer = {path[:length] for path in each for length in range(1, len(path))}
    return [path for path in each if path not in outer][:MOST_FIELDS]


def _expressions(spec: LoopSpec) -> Iterator[Expression]:
    for step in spec.steps:
        yield from _compiled(compile_predicate, [step.condition] if step.condition else [])
        yield from _of_config(step)
    yield from _templates([spec.run_name, spec.run_description, spec.output])


def _of_config(step: StepSpec) -> Iterator[Expression]:
    match step.config:
        case ActionConfig(parameters=parameters):
            yield from _templates(parameters)
        case WaitConfig(match=match):
            yield from _templates(match)
        case LoopConfig(event=event, config=config):
            yield from _templates([event, config])
        case CheckConfig(checks=checks):
            yield from _compiled(compile_predicate, (check.expression for check in checks))


def _templates(value: Any) -> Iterator[Expression]:
    for template in _compiled(compile_template, (text for _, text in string_leaves(value))):
        yield from template.expressions


def _compiled(compiler: Any, texts: Iterable[str]) -> Iterator[Any]:
    """A stored loop was valid when it was saved; what this version does not understand any more names no field."""
    for text in texts:
        try:
            yield compiler(text)
        except ExpressionError:
            continue


def _fixed(wanted: Any) -> str:
    """What a match demands, when it is the same for every row."""
    if wanted is None or (isinstance(wanted, str) and "${{" in wanted):
        return ""
    return text_of(wanted)
