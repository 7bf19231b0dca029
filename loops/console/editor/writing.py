"""From what was posted back into the draft: only a text that differs from what was shown is written."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from itertools import count
from typing import Any

from loops.console.editor.fields import Holds, Path, ValueType, new_step
from loops.console.editor.laying_out import value_at
from loops.console.editor.layout import Entry, Group, Layout
from loops.expressions import CALLBACK_PLACEHOLDER
from loops.spec import StepKind
from mobius.api.parsing import parse_json
from mobius.errors import MobiusError

JsonObject = dict[str, Any]
Posted = Mapping[str, str]

_GONE = object()
_TYPES = frozenset(ValueType)
_CAN_VANISH = ("retry", "timeout")  # with the last thing in them


def take(layout: Layout, posted: Posted) -> None:
    """Keep what was typed on the form, so that it is shown again whatever becomes of it."""
    for entry in layout.entries:
        entry.typed = _changed(entry.text, _offered(entry, posted))
        if entry.key is not None:
            entry.typed_key = _changed(_one_line(entry.key), posted.get(f"{entry.name}-key"))
        if entry.type is not None:
            chosen = posted.get(f"{entry.name}-type")
            entry.typed_type = ValueType(chosen) if chosen in _TYPES and chosen != entry.type else None


def written(draft: JsonObject, layout: Layout) -> JsonObject:
    """The draft with what was typed. What cannot be written is told at its entry: look at `layout.has_errors`."""
    new = deepcopy(draft)
    for entry in layout.entries:
        if entry.was_changed:
            _write(new, entry)
    for group in layout.groups:
        _rename(new, group)
    return new


def add_step(draft: JsonObject, kind: str) -> None:
    steps = draft["steps"] if draft.get("steps") is not None else _put(draft, "steps", [])
    keys = [str(step.get("id", index)) for index, step in enumerate(steps)]
    steps.append(new_step(StepKind(kind) if kind in list(StepKind) else StepKind.ACTION, keys))


def remove_step(draft: JsonObject, index: int) -> None:
    del draft["steps"][index]


def move_step(draft: JsonObject, index: int, by: int) -> int:
    """Where it is then; at either end it stays."""
    steps = draft["steps"]
    place = min(max(index + by, 0), len(steps) - 1)
    steps.insert(place, steps.pop(index))
    return place


def add_row(draft: JsonObject, path: Path) -> None:
    held = value_at(draft, path)
    if isinstance(held, list):
        names = {str(one.get("name")) for one in held if isinstance(one, dict)}
        held.append({"name": _unused("check", names), "expr": "true"})
        return
    if not isinstance(held, dict):
        held = {}
        _set(draft, path, held)
    held[_unused("column", set(held))] = ""


def remove_row(draft: JsonObject, path: Path) -> None:
    """The row at `path` is gone, and so is an entry of a list."""
    if isinstance(path[-2], int):  # the name of a check: its whole check
        del value_at(draft, path[:-2])[path[-2]]
    else:
        _remove(draft, path)


def _offered(entry: Entry, posted: Posted) -> str | None:
    """What was typed; but a box that was ticked, or no longer is, decides over the text beside it."""
    typed = posted.get(entry.name)
    if not entry.offer or typed is None:
        return typed
    ticked, was = f"{entry.name}-offer" in posted, entry.text == CALLBACK_PLACEHOLDER
    if ticked == was:
        return typed
    if ticked:
        return CALLBACK_PLACEHOLDER
    return "" if typed == CALLBACK_PLACEHOLDER else typed


def _changed(shown: str, typed: str | None) -> str | None:
    """None when it is what was shown: browsers write the ends of lines in their own way."""
    if typed is None or _lines(typed) == _lines(shown):
        return None
    return _lines(typed)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _one_line(text: str) -> str:
    """As browsers give back the text of a single line."""
    return text.replace("\r", "").replace("\n", "")


def _write(draft: JsonObject, entry: Entry) -> None:
    value = _parsed(entry)
    if entry.errors:
        return
    if value is _GONE:
        _remove(draft, entry.path)
    else:
        _set(draft, entry.path, value)


def _parsed(entry: Entry) -> Any:
    """The value that was typed; `_GONE` where an empty text means that there is none. A row's text may be empty."""
    if entry.type_value is not None:
        return _of_type(entry, entry.type_value)
    typed = entry.typed or ""
    if typed == "" and (entry.key is None or entry.holds == Holds.JSON):
        return _GONE
    if entry.holds == Holds.NUMBER:
        if typed.strip().isascii() and typed.strip().isdigit() and len(typed.strip()) < 10:
            return int(typed)
        entry.errors.append("Write a whole number.")
    if entry.holds == Holds.JSON:
        return _json(entry, typed)
    return typed


def _of_type(entry: Entry, wanted: ValueType) -> Any:
    """The text of a row as what was chosen beside it."""
    text = _lines(entry.value)
    match wanted:
        case ValueType.TEXT:
            return text
        case ValueType.NULL:
            if text.strip():
                entry.errors.append("Null holds nothing: clear the text, or choose what it is.")
            return None
        case ValueType.JSON:
            return _json(entry, text) if text.strip() else _GONE
    value = _json(Entry(name="", path=(), label="", holds=Holds.JSON, text=""), text.strip().lower())
    is_one = isinstance(value, bool) if wanted == ValueType.BOOLEAN else type(value) in (int, float)
    if not is_one:
        entry.errors.append(_NOT_ONE[wanted])
    return value


_NOT_ONE = {ValueType.NUMBER: "Write a number, such as 5 or 0.5.", ValueType.BOOLEAN: "Write true or false."}


def _json(entry: Entry, typed: str) -> Any:
    try:
        # In a list, because alone an empty text would be an object.
        values = parse_json(f"[{typed}\n]".encode(errors="replace"))
    except MobiusError as error:
        entry.errors.append(error.message.replace("The body", "The text"))
        return None
    if len(values) != 1:
        entry.errors.append("Write one JSON value.")
        return None
    return values[0]


def _rename(draft: JsonObject, group: Group) -> None:
    renamed = {row[0].key: row[0].typed_key for row in group.rows if row[0].typed_key is not None}
    if not renamed:
        return
    held = value_at(draft, group.path)
    seen: set[str] = set()
    for row in group.rows:
        if row[0].key in held:
            if row[0].key_value in seen:
                row[0].errors.append(f"There is a row named “{row[0].key_value}” already.")
            seen.add(row[0].key_value)
    if not any(row[0].errors for row in group.rows):
        _set(draft, group.path, {renamed.get(key, key): value for key, value in held.items()})


def _set(draft: JsonObject, path: Path, value: Any) -> None:
    held: Any = draft
    for key in path[:-1]:
        inner = value_at(held, (key,))
        held = inner if isinstance(inner, dict | list) else _put(held, key, {})
    held[path[-1]] = value


def _remove(draft: JsonObject, path: Path) -> None:
    held = value_at(draft, path[:-1])
    if isinstance(held, dict):
        held.pop(path[-1], None)
        if not held and path[-2:-1] and path[-2] in _CAN_VANISH:
            _remove(draft, path[:-1])


def _put(held: Any, key: str | int, value: Any) -> Any:
    held[key] = value
    return value


def _unused(word: str, taken: set[str]) -> str:
    return next(name for name in (f"{word}-{number}" for number in count(len(taken) + 1)) if name not in taken)
