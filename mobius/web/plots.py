"""Plots that the server draws as SVG: they need no script, and print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 700, 180
_LEFT, _BOTTOM, _TOP = 56, 24, 8  # the room for the scale, for the names, and above
_GAP = 0.28  # of a column's width
_MOST_STEPS = 5  # of the scale, from the floor to its top
_ROUND = (1, 2, 2.5, 5, 10)
_THINNEST = 2.0  # what is there is seen, beside thousands too


@dataclass(frozen=True, kw_only=True)
class Column:
    """`parts` are stacked from below: (tone, number)."""

    name: str
    title: str
    parts: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class Piece:
    tone: str
    y: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Bar:
    name: str
    title: str
    x: float
    middle: float
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the scale."""

    label: str
    y: float


@dataclass(frozen=True, kw_only=True)
class StackedBars:
    """What `partials/stacked_bars.html` draws; all lengths are in the units of its view box."""

    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    bar_width: float
    slot_width: float
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    floor: int = HEIGHT - _BOTTOM


def stacked_bars(columns: Sequence[Column]) -> StackedBars:
    """One bar for each of at least one column, on a scale that ends at the next round number above the highest."""
    step, steps = _scale(max(sum(number for _, number in column.parts) for column in columns))
    slot = (WIDTH - _LEFT) / len(columns)
    unit = (HEIGHT - _BOTTOM - _TOP) / (step * steps)
    return StackedBars(
        bars=tuple(_bar(column, _LEFT + slot * number, slot, unit) for number, column in enumerate(columns)),
        lines=tuple(
            Line(label=_label(step * number, step * steps), y=round(HEIGHT - _BOTTOM - step * number * unit, 2))
            for number in range(steps + 1)
        ),
        bar_width=round(slot * (1 - _GAP), 2),
        slot_width=round(slot, 2),
    )


def _bar(column: Column, x: float, slot: float, unit: float) -> Bar:
    pieces, y = [], float(HEIGHT - _BOTTOM)
    for tone, number in column.parts:
        if number:
            height = max(number * unit, _THINNEST)
            y -= height
            pieces.append(Piece(tone=tone, y=round(y, 2), height=round(height, 2)))
    return Bar(
        name=column.name,
        title=column.title,
        x=round(x + slot * _GAP / 2, 2),
        middle=round(x + slot / 2, 2),
        pieces=tuple(pieces),
    )


def _scale(most: int) -> tuple[int, int]:
    """The distance of two lines, a round number, and how many of them reach `most`."""
    power = 1
    while power * 10 * _MOST_STEPS < most:
        power *= 10
    whole = (int(power * factor) for factor in _ROUND if float(power * factor).is_integer())
    step = next(one for one in whole if one * _MOST_STEPS >= most)
    return step, max(math.ceil(most / step), 2)


def _label(number: int, highest: int) -> str:
    """Short, since the scale has little room beside a narrow plot."""
    for unit, sign in ((1_000_000, "M"), (1_000, "k")):
        if number and highest >= unit * 10:
            return f"{number / unit:g}{sign}"
    return f"{number:,}"
