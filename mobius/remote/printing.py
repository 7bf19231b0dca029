"""What people read: tables, facts, moments. Nothing that came from outside moves the cursor or colours a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import click

JsonObject = dict[str, Any]

_LONGEST_CELL = 60
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_COLOURS = {
    "green": ("active", "completed", "accepted", "ready", "ok"),
    "red": ("failed", "refused", "abandoned", "inactive", "expired"),
    "yellow": ("suspended", "in_doubt", "paused", "needs_setup", "sending"),
    "cyan": ("running", "queued"),
}
_COLOUR_OF = {word: colour for colour, words in _COLOURS.items() for word in words}


def plain(text: str) -> str:
    """`text` without anything that a terminal would obey."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def worded(value: Any) -> str:
    """A JSON value as a person reads it; nothing for null."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return plain(value)
        case int():
            return f"{value:,}"
    return plain(json.dumps(value, ensure_ascii=False))


def moment(text: str | None) -> str:
    """A timestamp of the API, to the second: `2026-11-28 09:30:05` (UTC)."""
    return plain(text or "")[:19].replace("T", " ")


def print_facts(facts: Sequence[tuple[str, Any]]) -> None:
    """A line for each fact that there is."""
    told = [(name, worded(value)) for name, value in facts if value not in (None, "", {}, [])]
    width = max((len(name) for name, _ in told), default=0)
    for name, text in told:
        indented = text.replace("\n", "\n" + " " * (width + 2))
        click.echo(f"{name:<{width}}  {coloured(indented)}")


def print_table(heads: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """Aligned columns; `empty` is said, on standard error, when there is no row."""
    if not rows:
        click.echo(empty, err=True)
        return
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    click.echo(click.style(_line([head.ljust(width) for head, width in zip(heads, widths, strict=True)]), bold=True))
    for row in cells:
        click.echo(_line([coloured(cell, width) for cell, width in zip(row, widths, strict=True)]))


def coloured(text: str, width: int = 0) -> str:
    """A status in its colour; any other text as it is. click leaves colours out where there is no terminal."""
    colour = _COLOUR_OF.get(text.partition(" ")[0])
    return click.style(text.ljust(width), fg=colour) if colour else text.ljust(width)


def _cell(value: Any) -> str:
    text = " ".join(worded(value).split())
    return text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cells).rstrip()
