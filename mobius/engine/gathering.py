"""Rows that many pieces of one transaction write, gathered, and written at its end by one statement a table; and what
many of them read, read once.

For rows that nobody reads before the commit, and whose writing cannot fail for a reason that a piece would answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import OperationalError

T = TypeVar("T")
Write = Callable[[list[Any]], None]


class Missed(OperationalError):
    """A row was not as the one believed who changed it `later`; whose row it was is not known any more."""


class _Gathered:
    def __init__(self) -> None:
        self._rows: dict[Write, list[Any]] = {}
        self.read: dict[tuple[Any, ...], Any] = {}

    def add(self, write: Write, row: Any) -> None:
        self._rows.setdefault(write, []).append(row)

    def write(self) -> None:
        """In the order in which the tables were met first. Raises Missed."""
        rows, self._rows = self._rows, {}
        for write, of_one in rows.items():
            write(of_one)


class _Thread(threading.local):
    gathered: _Gathered | None = None


_thread = _Thread()


@contextmanager
def gathering() -> Iterator[None]:
    """What this thread writes `later` is written when the block ends; within another such block, when that one does."""
    if _thread.gathered is not None:
        yield
        return
    _thread.gathered = _Gathered()
    try:
        yield
        _thread.gathered.write()
    finally:
        _thread.gathered = None


def write_later(write: Write, row: Any) -> bool:
    """Have `row` written by `write`, with the others of this transaction; False when nobody gathers just now."""
    if _thread.gathered is None:
        return False
    _thread.gathered.add(write, row)
    return True


def write_now() -> None:
    """Write what has been gathered so far, for somebody who reads it. Raises Missed."""
    if _thread.gathered is not None:
        _thread.gathered.write()


def once(read: Callable[..., T], *arguments: Any) -> T:
    """What `read` returns; asked only once for all that gather in this transaction."""
    if _thread.gathered is None:
        return read(*arguments)
    key = (read, *arguments)
    if key not in _thread.gathered.read:
        _thread.gathered.read[key] = read(*arguments)
    found: T = _thread.gathered.read[key]
    return found


def read_again() -> None:
    """What was read `once` has been changed by one of those who gather."""
    if _thread.gathered is not None:
        _thread.gathered.read.clear()
