"""What changed between two texts, line by line, as a page shows it."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

MOST_LINES = 2_000
"""More than that nobody reads on a page."""

_LONGEST_LINE = 1_000  # characters
_AROUND = 3  # unchanged lines that are shown on either side of a change


class Change(enum.StrEnum):
    """What became of a line."""

    SAME = "same"
    REMOVED = "removed"
    ADDED = "added"
    GAP = "gap"  # unchanged lines that are left out

    @property
    def sign(self) -> str:
        return {"removed": "−", "added": "+", "gap": "⋯"}.get(self.value, "")

    @property
    def word(self) -> str:
        return {"removed": "Removed", "added": "Added"}.get(self.value, "")


@dataclass(frozen=True, kw_only=True)
class Line:
    change: Change
    text: str = ""
    before: int | None = None  # its number in the earlier text, from 1
    after: int | None = None  # its number in the later text, from 1


@dataclass(frozen=True, kw_only=True)
class Differences:
    """The lines that differ, and a few around them; empty when the texts are the same."""

    lines: tuple[Line, ...]
    added: int
    removed: int

    @property
    def shown(self) -> tuple[Line, ...]:
        return self.lines[:MOST_LINES]

    @property
    def left_out(self) -> int:
        return len(self.lines[MOST_LINES:])

    @property
    def words(self) -> str:
        return f"{_lines(self.added)} added, {_lines(self.removed)} removed"

    def __bool__(self) -> bool:
        return bool(self.lines)


def differences(before: str, after: str) -> Differences:
    """What has to be done to `before` to get `after`."""
    found = tuple(_compared(before.split("\n"), after.split("\n")))
    return Differences(
        lines=found,
        added=sum(line.change == Change.ADDED for line in found),
        removed=sum(line.change == Change.REMOVED for line in found),
    )


def _compared(before: list[str], after: list[str]) -> Iterator[Line]:
    end = 0
    for group in SequenceMatcher(None, before, after).get_grouped_opcodes(_AROUND):
        if group[0][1] > end:
            yield Line(change=Change.GAP)
        for tag, old, old_end, new, new_end in group:
            if tag == "equal":
                for offset, text in enumerate(before[old:old_end], start=1):
                    yield Line(change=Change.SAME, text=_cut(text), before=old + offset, after=new + offset)
                continue
            for number, text in enumerate(before[old:old_end], start=old + 1):
                yield Line(change=Change.REMOVED, text=_cut(text), before=number)
            for number, text in enumerate(after[new:new_end], start=new + 1):
                yield Line(change=Change.ADDED, text=_cut(text), after=number)
        end = group[-1][2]
    if 0 < end < len(before):
        yield Line(change=Change.GAP)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}…"


def _lines(count: int) -> str:
    return f"{count:,} line" if count == 1 else f"{count:,} lines"
