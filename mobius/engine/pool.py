"""Threads that answer the doorbell, each with one run at a time."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING

from django.db import close_old_connections, connections

if TYPE_CHECKING:  # the doorbell asks for a backend, and the embedded one has a pool
    from mobius.engine.doorbell import Answer

logger = logging.getLogger(__name__)


class Pool:
    """A number of threads that take rung runs in the order of their rings.

    A run that is rung again while it still waits in the queue is queued once.
    """

    def __init__(self, answer: Answer, *, threads: int) -> None:
        self._answer = answer
        self._rung: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._waiting: set[str] = set()
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True) for number in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def put(self, run_id: str) -> None:
        if run_id not in self._waiting:
            self._waiting.add(run_id)
            self._rung.put(run_id)

    @property
    def is_behind(self) -> bool:
        """Do more runs wait than there are threads?"""
        return self._rung.qsize() > len(self._threads)

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

    def _work(self) -> None:
        while (run_id := self._rung.get()) is not None and self._may_go_on():
            self._waiting.discard(run_id)  # before the answer: a ring from now on means something new
            try:
                self._answer.advance(run_id, self._may_go_on)
            except Exception:
                # The one border where anything may arrive: the run stays as it was committed, the sweep rings it again.
                logger.exception("run %s could not be advanced", run_id)
            close_old_connections()
        connections.close_all()
