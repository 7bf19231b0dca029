"""What a form is made of: a card for each step, with its texts and the groups of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loops.console.editor.fields import Choices, Holds, Path, ValueType
from loops.console.places import covers
from loops.expressions import CALLBACK_PLACEHOLDER
from loops.expressions.tokens import place_text

JsonObject = dict[str, Any]
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
    type: ValueType | None = None  # of a row whose type can be chosen
    typed: str | None = None  # what was posted, while it has not found its way into the draft
    typed_key: str | None = None
    typed_type: ValueType | None = None
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
    def type_value(self) -> ValueType | None:
        return self.typed_type or self.type

    @property
    def types(self) -> list[ValueType]:
        """Those to choose from."""
        return list(ValueType) if self.type else []

    @property
    def is_json(self) -> bool:
        return self.holds == Holds.JSON and self.type_value in (None, ValueType.JSON)

    @property
    def was_changed(self) -> bool:
        return self.typed is not None or self.typed_type is not None

    @property
    def is_long(self) -> bool:
        return self.is_json or len(self.value) > _LONG or "\n" in self.value or "\r" in self.value

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


def place_of(path: Path) -> str:
    place = ""
    for key in path:
        place = place_text(place, key)
    return place
