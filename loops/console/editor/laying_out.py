"""A draft laid out as a form: its texts, each under a number that stays the same from the page to what is posted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import count
from typing import Any

from loops.console.editor.fields import KIND_WORDS, LOOP_FIELDS, Connected, Field, Holds, Path, ValueType, fields_of
from loops.console.editor.layout import Card, Entry, Group, Layout
from loops.console.showing import editable, is_plain
from loops.spec import StepKind

JsonObject = dict[str, Any]
_ABSENT = object()


def lay_out(draft: JsonObject, connected: Connected) -> Layout:
    """The form of `draft`, whose `steps` are objects."""
    numbers = count(1)
    head = [_entry(one, (), draft, numbers) for one in LOOP_FIELDS]
    steps = draft.get("steps") or []
    return Layout(
        head=head,
        cards=[_card(index, step, connected, numbers) for index, step in enumerate(steps)],
        rest=_rest(draft, [*(one.path for one in head), ("steps",)]),
    )


def value_at(data: Any, path: Path) -> Any:
    """What lies there; `None` for what is absent as well as for null."""
    found = _look(data, path)
    return None if found is _ABSENT else found


def _card(index: int, step: JsonObject, connected: Connected, numbers: Iterator[int]) -> Card:
    parts: list[Entry | Group] = []
    for one in fields_of(step, connected):
        found = _look(step, one.path)
        if one.holds == Holds.ROWS and _has_rows(found):
            parts.append(_rows(one, index, found if isinstance(found, dict) else {}, numbers))
        elif one.holds == Holds.CHECKS and _are_checks(found):
            parts.append(_checks(one, index, found, numbers))
        else:
            parts.append(_entry(one, ("steps", index), step, numbers))
    kind = str(step.get("kind", ""))
    shown = [part.path[2:] for part in parts]
    shown = [path for path in shown if not (isinstance(value_at(step, path), list) and _extra_in_checks(step, path))]
    name = step.get("name") or step.get("id")
    return Card(
        index=index,
        kind=KIND_WORDS[StepKind(kind)] if kind in list(StepKind) else kind,
        title=name if isinstance(name, str) else f"Step {index + 1}",
        parts=parts,
        rest=_rest(step, [*shown, ("kind",)]),
    )


def _has_rows(found: Any) -> bool:
    return found is _ABSENT or isinstance(found, dict)


def _are_checks(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(one, dict) for one in found)


def _extra_in_checks(step: JsonObject, path: Path) -> bool:
    """Has a check more than the form shows of it?"""
    return any(isinstance(one, dict) and set(one) - {"name", "expr"} for one in value_at(step, path))


def _rows(one: Field, index: int, found: JsonObject, numbers: Iterator[int]) -> Group:
    path: Path = ("steps", index, *one.path)
    name = f"f{next(numbers)}"
    rows = []
    for key, value in found.items():
        holds, text = _text(value, one.each)
        rows.append(
            [
                Entry(
                    name=f"f{next(numbers)}",
                    path=(*path, key),
                    label=f"Value of {key}",
                    holds=holds,
                    text="" if one.each == Holds.TEMPLATE and value is None else text,
                    key=key,
                    type=_type(value, holds) if one.each == Holds.TEMPLATE else None,
                )
            ]
        )
    return Group(name=name, path=path, label=one.label, hint=one.hint, rows=rows)


def _checks(one: Field, index: int, found: list[JsonObject], numbers: Iterator[int]) -> Group:
    path: Path = ("steps", index, *one.path)
    name = f"f{next(numbers)}"
    shown = (("name", "Name", Holds.TEXT), ("expr", "Expression", Holds.EXPRESSION))
    rows = []
    for place, check in enumerate(found):
        row = []
        for key, label, usual in shown:
            holds, text = _text(check.get(key, _ABSENT), usual)
            row.append(
                Entry(
                    name=f"f{next(numbers)}",
                    path=(*path, place, key),
                    label=f"{label} of check {place + 1}",
                    holds=holds,
                    text=text,
                )
            )
        rows.append(row)
    return Group(name=name, path=path, label=one.label, hint=one.hint, rows=rows)


def _entry(one: Field, base: Path, data: JsonObject, numbers: Iterator[int]) -> Entry:
    holds, text = _text(_look(data, one.path), Holds.JSON if one.holds in (Holds.ROWS, Holds.CHECKS) else one.holds)
    choices = one.choices
    if holds == Holds.CHOICE and text not in dict(choices):
        choices = (*choices, (text, f"{text} (not known)" if text else "None"))
    return Entry(
        name=f"f{next(numbers)}",
        path=(*base, *one.path),
        label=one.label,
        holds=holds,
        text=text,
        hint=one.hint,
        choices=choices if holds == Holds.CHOICE else (),
        offer=one.offer if holds == Holds.TEMPLATE else "",
    )


def _text(value: Any, usual: Holds) -> tuple[Holds, str]:
    """How a value is written: as what it usually is, or as JSON where it is something else."""
    if value is _ABSENT:
        return usual, ""
    if usual == Holds.NUMBER and type(value) is int:
        return usual, str(value)
    if isinstance(value, str) and usual not in (Holds.NUMBER, Holds.JSON) and is_plain(value):
        return usual, value
    return Holds.JSON, editable(value)


def _type(value: Any, holds: Holds) -> ValueType:
    if value is None:
        return ValueType.NULL
    if isinstance(value, bool):
        return ValueType.BOOLEAN
    if isinstance(value, int | float):
        return ValueType.NUMBER
    return ValueType.TEXT if holds == Holds.TEMPLATE else ValueType.JSON


def _look(data: Any, path: Path) -> Any:
    for key in path:
        in_object = isinstance(data, dict) and key in data
        if in_object or (isinstance(data, list) and isinstance(key, int) and key < len(data)):
            data = data[key]
        else:
            return _ABSENT
    return data


def _rest(data: JsonObject, shown: Sequence[Path]) -> str:
    """`data` without what is shown, as JSON."""
    left = deepcopy(data)
    for path in shown:
        _drop(left, path)
    return editable(left) if left else ""


def _drop(data: Any, path: Path) -> None:
    if not isinstance(data, dict) or path[0] not in data:
        return
    if len(path) > 1:
        held = bool(data[path[0]])
        _drop(data[path[0]], path[1:])
        if held and data[path[0]] == {}:
            del data[path[0]]
    else:
        del data[path[0]]
