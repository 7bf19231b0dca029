"""Rows that many pieces of one transaction write, gathered, and written at its end by one statement a table.

For rows that nobody reads before the commit, and whose writing cannot fail for a reason that a piece would answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Write = Callable[[list[Any]], None]


class Gathered:
    def __init__(self) -> None:
        self._rows: dict[Write, list[Any]] = {}

    def add(self, write: Write, row: Any) -> None:
        self._rows.setdefault(write, []).append(row)

    def write(self) -> None:
        """In the order in which the tables were met first."""
        for write, rows in self._rows.items():
            write(rows)


class _Thread(threading.local):
    gathers_in: Gathered | None = None


_thread = _Thread()


@contextmanager
def gathering(gathered: Gathered | None) -> Iterator[None]:
    """Let what this thread writes `later` come into `gathered`; None: it is written at once."""
    outside, _thread.gathers_in = _thread.gathers_in, gathered
    try:
        yield
    finally:
        _thread.gathers_in = outside


def write_later(write: Write, row: Any) -> None:
    """Have `row` written by `write`, with the others of this transaction if they are gathered."""
    if _thread.gathers_in is None:
        write([row])
    else:
        _thread.gathers_in.add(write, row)
