"""Threads that answer the doorbell, each with one run at a time."""

from __future__ import annotations

import logging
import queue
import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from django.db import close_old_connections, connection, connections

if TYPE_CHECKING:  # the doorbell imports the backend, which imports this
    from mobius.engine.doorbell import Answer, Work

logger = logging.getLogger(__name__)
_MOST_IN_MEMORY = 100  # runs, whose events may have 100 KB each


class Place:
    """A thread that is kept free for work being begun. It is given back by forgetting it."""

    __slots__ = ("__weakref__",)


class _Call(NamedTuple):
    """Something for a thread to do."""

    run_id: str
    work: Work
    begun: bool  # its row may be as good as on the wire: it is done even when we are closing


class Pool:
    """A number of threads that take rung runs in the order of their rings.

    A run that is rung again while it still waits in the queue is queued once.
    """

    def __init__(self, answer: Answer, *, threads: int) -> None:
        self._answer = answer
        self._rung: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._waiting: set[str] = set()
        self._busy = [False] * threads
        self._kept: weakref.WeakSet[Place] = weakref.WeakSet()
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=[number], name=f"worker-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def put(self, run_id: str, work: Work | None = None) -> None:
        """Take `run_id` when a thread is free, with `work` for which somebody has prepared, else by its answer."""
        if run_id not in self._waiting:
            self._waiting.add(run_id)
            self._rung.put(_Call(run_id, work or partial(self._answer.advance, run_id), begun=False))

    @property
    def has_place(self) -> bool:
        taken = sum(self._busy) + self._rung.qsize() + len(self._kept)
        return self._may_go_on() and taken < len(self._threads)

    def keep_place(self) -> Place | None:
        """A thread that has nothing to do, kept until `hand_over`, or until the caller forgets it. None: all are busy.

        So nothing that was begun elsewhere waits here: what waits is not begun, and a crash leaves no doubt about it.
        """
        if not self.has_place:
            return None
        place = Place()
        self._kept.add(place)
        return place

    def hand_over(self, place: Place, run_id: str, work: Work) -> None:
        """Let the thread that was kept go on with a run that was begun elsewhere."""
        self._kept.discard(place)
        self._rung.put(_Call(run_id, work, begun=True))

    @property
    def has_room(self) -> bool:
        """Is the queue so short that what waits in it may be kept in memory?"""
        return self._may_go_on() and self._rung.qsize() < _MOST_IN_MEMORY

    @property
    def is_behind(self) -> bool:
        """Do more runs wait than there are threads?"""
        return self._rung.qsize() > len(self._threads)

    @property
    def is_alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    def stop(self, *, patience_seconds: float) -> bool:
        """Claim nothing more and wait for the sends in flight. False when some had not ended in time."""
        self._closing.set()
        for _ in self._threads:
            self._rung.put(None)
        deadline = time.monotonic() + patience_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _may_go_on(self) -> bool:
        return not self._closing.is_set()

    def _work(self, number: int) -> None:
        while (call := self._rung.get()) is not None:
            if not call.begun and not self._may_go_on():
                continue
            self._busy[number] = True
            self._waiting.discard(call.run_id)  # before the answer: a ring from now on means something new
            try:
                call.work(self._may_go_on)
            except Exception:
                # The one border where anything may arrive: the run stays as it was committed, the sweep rings it again.
                logger.exception("run %s could not be advanced", call.run_id)
            if self._rung.empty() or connection.errors_occurred:  # it asks the database whether it is still there
                close_old_connections()
            self._busy[number] = False
        connections.close_all()
