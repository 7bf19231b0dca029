"""Where in a JSON text a place such as `steps[0].config.duration` stands, and the line to show of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from loops.expressions.tokens import place_text

_LONGEST_SIDE = 60  # characters of a line that are shown on either side of the mark
_WORD = re.compile(r'"(?:[^"\\\n]|\\.)*"|[^\s,:{}\[\]]+|.')
_BLANK = re.compile(r"[ \t\r\n]*")
_AT_LINE = re.compile(r"at line ([0-9]+), column ([0-9]+)")
_decoder = json.JSONDecoder()


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One word of a text, with the line around it."""

    line: int  # from 1
    column: int  # from 1, in characters
    before: str
    word: str
    after: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


def covers(place: str, inner: str) -> bool:
    """Is `inner` this place, or inside it?"""
    return inner == place or (inner.startswith(place) and inner[len(place)] in ".[") or place == ""


def mark_place(text: str, place: str) -> Mark:
    """The key or the entry at `place` in `text`, which is valid JSON; of one that is not there, what it would be in."""
    shown = position = _after_blank(text, 0)
    here = ""
    while inner := next((one for one in _members(text, position, here) if covers(one[0], place)), None):
        here, shown, position = inner
    return _mark(text, shown)


def mark_mistake(text: str, message: str) -> Mark | None:
    """What the parser's `message` points at, if it says where."""
    found = _AT_LINE.search(message)
    if found is None:
        return None
    lines = text.split("\n")
    line, column = int(found[1]), int(found[2])
    start = sum(len(one) + 1 for one in lines[: line - 1])
    return _mark(text, min(start + column - 1, len(text)))


def _members(text: str, position: int, here: str) -> Iterator[tuple[str, int, int]]:
    """The place of each member, where it begins (its key, if it has one), and where its value does."""
    opener, index = text[position : position + 1], 0
    if opener not in ("{", "["):
        return
    position = _after_blank(text, position + 1)
    while text[position] not in "}]":
        shown = position
        key: str | int = index
        if opener == "{":
            key, position = _decoder.raw_decode(text, position)
            position = _after_blank(text, _after_blank(text, position) + 1)
        yield place_text(here, key), shown, position
        position = _after_blank(text, _decoder.raw_decode(text, position)[1])
        index += 1
        if text[position] == ",":
            position = _after_blank(text, position + 1)


def _after_blank(text: str, position: int) -> int:
    found = _BLANK.match(text, position)
    return found.end() if found else position


def _mark(text: str, position: int) -> Mark:
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    end = len(text) if end < 0 else end
    found = _WORD.match(text, position, end)
    word_end = min(found.end() if found else position, position + _LONGEST_SIDE)
    before, after = text[start:position].lstrip(), text[word_end:end].rstrip()
    return Mark(
        line=text.count("\n", 0, position) + 1,
        column=position - start + 1,
        before=before if len(before) <= _LONGEST_SIDE else f"…{before[-_LONGEST_SIDE:]}",
        word=text[position:word_end],
        after=after if len(after) <= _LONGEST_SIDE else f"{after[:_LONGEST_SIDE]}…",
    )
