"""CSV that a spreadsheet shows and does not calculate, and how to get the text back that somebody meant."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a spreadsheet calculate a cell instead of showing it (OWASP, CSV injection)."""


def harmless(text: str) -> str:
    """The text for a cell, with an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def guarded(text: str) -> str:
    """As `harmless`, in a file that we read again ourselves: `meant` gives the very text back."""
    return f"'{text}" if text.lstrip(" '").startswith(_FORMULA) else text


def meant(cell: str) -> str:
    """The text that `guarded` made the cell of."""
    return cell[1:] if cell.startswith("'") and cell.lstrip(" '").startswith(_FORMULA) else cell


class _Echo:
    """What csv writes into: gives each line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def line_writer() -> Callable[[Iterable[str]], str]:
    """Makes one line of CSV out of the cells that it is given."""
    writer: Any = csv.writer(_Echo())
    return lambda cells: str(writer.writerow(list(cells)))
