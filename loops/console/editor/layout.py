"""A draft laid out as a form: its texts, each under a number that stays the same from the page to what is posted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from loops.console.editor.fields import KIND_WORDS, LOOP_FIELDS, Choices, Connected, Field, Holds, Path, fields_of
from loops.console.places import covers
from loops.console.showing import editable, is_plain
from loops.expressions import CALLBACK_PLACEHOLDER
from loops.expressions.tokens import place_text
from loops.spec import StepKind

JsonObject = dict[str, Any]
_ABSENT = object()
_LONG = 70  # characters that a line takes


@dataclass(kw_only=True)
class Entry:
    """One text of the form."""

    name: str  # in the form: `f12`
    path: Path
    label: str
    holds: Holds
    text: str
    hint: str = ""
    choices: Choices = ()
    offer: str = ""
    key: str | None = None  # of a row: the key of its object, which can be typed over
    typed: str | None = None  # what was posted, while it has not found its way into the draft
    typed_key: str | None = None
    errors: list[str] = field(default_factory=list)
    preview: Any = None

    @property
    def place(self) -> str:
        return place_of(self.path)

    @property
    def value(self) -> str:
        return self.text if self.typed is None else self.typed

    @property
    def key_value(self) -> str:
        return (self.key or "") if self.typed_key is None else self.typed_key

    @property
    def is_long(self) -> bool:
        return self.holds == Holds.JSON or len(self.value) > _LONG or "\n" in self.value or "\r" in self.value

    @property
    def lines(self) -> int:
        return min(self.value.count("\n") + 1 + len(self.value) // _LONG, 8)

    @property
    def is_code(self) -> bool:
        return self.holds in (Holds.TEMPLATE, Holds.EXPRESSION, Holds.JSON)

    @property
    def is_offered(self) -> bool:
        return self.offer != "" and self.value == CALLBACK_PLACEHOLDER

    @property
    def placeholder(self) -> str:
        return CALLBACK_PLACEHOLDER


@dataclass(kw_only=True)
class Group:
    """The rows of one object, or the checks of a step."""

    name: str
    path: Path
    label: str
    hint: str
    rows: list[list[Entry]]  # a row of an object has one entry, a check has two
    is_group: bool = True  # for the template

    @property
    def last(self) -> str:
        """What names its last row, when that is new."""
        return f"{self.name}-last"

    @property
    def add(self) -> str:
        """What names its button for another row."""
        return f"{self.name}-add"

    @property
    def place(self) -> str:
        return place_of(self.path)


@dataclass(kw_only=True)
class Card:
    """One step."""

    index: int
    kind: str
    title: str
    parts: list[Entry | Group]
    rest: str  # what the form does not show of it, as JSON; "" when it shows all
    errors: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        return place_of(("steps", self.index))

    @property
    def number(self) -> int:
        return self.index + 1

    @property
    def anchor(self) -> str:
        return f"step-{self.number}"


@dataclass(kw_only=True)
class Layout:
    """The whole form."""

    head: list[Entry]
    cards: list[Card]
    rest: str
    errors: list[str] = field(default_factory=list)

    @property
    def groups(self) -> Iterator[Group]:
        yield from (part for card in self.cards for part in card.parts if isinstance(part, Group))

    @property
    def entries(self) -> Iterator[Entry]:
        yield from self.head
        for card in self.cards:
            for part in card.parts:
                yield from [part] if isinstance(part, Entry) else [entry for row in part.rows for entry in row]

    def tell(self, problems: Mapping[str, Sequence[str]]) -> None:
        """Put each problem at the nearest thing that the form shows of its place."""
        things: list[Entry | Card] = [*self.entries, *self.cards]
        for place, sentences in problems.items():
            owners = [one for one in things if covers(one.place, place)]
            owner = max(owners, key=lambda one: len(one.place), default=None)
            said = list(sentences) if owner and owner.place == place else [f"{place}: {one}" for one in sentences]
            (owner or self).errors.extend(said)

    @property
    def has_errors(self) -> bool:
        in_parts = any(one.errors for one in self.entries) or any(one.errors for one in self.cards)
        return bool(self.errors) or in_parts


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


def place_of(path: Path) -> str:
    place = ""
    for key in path:
        place = place_text(place, key)
    return place


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
        label = f"Value of {key}"
        rows.append([Entry(name=f"f{next(numbers)}", path=(*path, key), label=label, holds=holds, text=text, key=key)])
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
