"""Reading a JSON object field by field, and noting every fault at its place instead of stopping at the first."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from loops.durations import parse_duration
from loops.expressions.tokens import nearest, place_text
from mobius.errors import BadRequest

JsonObject = dict[str, Any]
MAX_NAME_LENGTH = 200  # characters
_MAX_SENTENCES = 100


class Problems(dict[str, list[str]]):
    """Sentences about what is wrong, by place; no more of them than anybody would read."""

    left = _MAX_SENTENCES

    def add(self, place: str, sentence: str) -> None:
        if self.left:
            self.left -= 1
            self.setdefault(place, []).append(sentence)


def unknown(what: str, word: str, known: Collection[str]) -> str:
    """The sentence for a `word` that is none of `known`."""
    guess = nearest(word, sorted(known))
    hint = f"did you mean `{guess}`?" if guess else f"known: {', '.join(sorted(known)) or 'none'}."
    return f"There is no {what} `{word[:100]}`; {hint}"


class Fields:
    """One object at one place. Each reader gives the value, or None when it is absent, null or wrong (and noted)."""

    def __init__(self, data: JsonObject, place: str, problems: Problems) -> None:
        self.data, self.place, self.problems = data, place, problems

    def at(self, name: str) -> str:
        return place_text(self.place, name)

    def fault(self, name: str, sentence: str) -> None:
        self.problems.add(self.at(name), sentence)

    def only(self, *known: str) -> None:
        """Notes every field that is none of `known`."""
        for name in self.data:
            if name not in known and self.problems.left:  # guessing what was meant takes long
                self.fault(name, unknown("field", name, known))

    def require(self, *names: str) -> None:
        for name in names:
            if self.data.get(name) is None:
                self.fault(name, "This field is required.")

    def text(self, name: str, *, longest: int = MAX_NAME_LENGTH, blank: bool = False) -> str | None:
        value: str | None = self._typed(name, str, "text")
        if value is not None and len(value) > longest:
            self.fault(name, f"This is longer than {longest} characters.")
        elif value is not None and not blank and not value.strip():
            self.fault(name, "This must not be empty.")
        else:
            return value
        return None

    def object(self, name: str) -> Fields | None:
        value = self._typed(name, dict, "an object")
        return None if value is None else Fields(value, self.at(name), self.problems)

    def array(self, name: str) -> list[Any] | None:
        value: list[Any] | None = self._typed(name, list, "an array")
        return value

    def boolean(self, name: str) -> None:
        self._typed(name, bool, "true or false")

    def integer(self, name: str, *, low: int, high: int) -> None:
        value = self._typed(name, int, "a whole number")
        if value is not None and not low <= value <= high:
            self.fault(name, f"This must be from {low} to {high}.")

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        value = self.text(name)
        if value is not None and value not in choices:
            self.fault(name, f"This must be one of: {', '.join(choices)}.")
            return None
        return value

    def duration(self, name: str, *, zero: bool = True) -> None:
        value = self.text(name)
        if value is None:
            return
        try:
            if parse_duration(value) == timedelta() and not zero:
                self.fault(name, "This must be longer than 0.")
        except BadRequest as error:
            self.fault(name, error.message)

    def _typed(self, name: str, kind: type, words: str) -> Any:
        value = self.data.get(name)
        # `type`, not `isinstance`: to Python true is a whole number.
        if value is None or type(value) is kind:
            return value
        self.fault(name, f"This must be {words}.")
        return None
