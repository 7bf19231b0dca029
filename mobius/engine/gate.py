"""One at a time: the threads of the embedded engine pass a gate before they use Python and the database.

Side by side they gain nothing, for one interpreter and one writer of SQLite serve them all, and they lose much: every
statement lets go of the interpreter's lock and another thread takes it. One after the other, the same runs cost a
seventh less CPU. Nobody may wait for the network inside.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

_WORK_FIRST = 2
"""A run passes twice with a worker for the one time with the start that brought it. So whoever starts runs as fast as
starts are answered is slowed to the pace at which they are worked off, and a backlog cannot keep starts out."""


class Gate:
    """A lock that is handed over in order: to two workers, then to one of everybody else, while both wait."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._workers: deque[threading.Lock] = deque()
        self._others: deque[threading.Lock] = deque()
        self._worked = 0  # workers let in since the last one of the others

    @contextmanager
    def passing(self, *, working: bool) -> Iterator[None]:
        self._enter(self._workers if working else self._others)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, queue: deque[threading.Lock]) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            ticket = threading.Lock()
            ticket.acquire()
            queue.append(ticket)
        ticket.acquire()  # until whoever leaves hands it over

    def _leave(self) -> None:
        with self._guard:
            if self._workers and (self._worked < _WORK_FIRST or not self._others):
                self._worked += 1
                self._workers.popleft().release()
            elif self._others:
                self._worked = 0
                self._others.popleft().release()
            else:
                self._taken = False


_gate = Gate()


@contextmanager
def one_at_a_time(*, working: bool = False) -> Iterator[None]:
    """Pass the gate; `working` for the pool's threads. Only the embedded engine, all in one process, has one."""
    if settings.MOBIUS_ENGINE != "embedded":
        yield
        return
    with _gate.passing(working=working):
        yield
