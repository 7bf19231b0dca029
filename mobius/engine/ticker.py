"""The clockwork beside the pool: sweeps when the last sweep asked for it, and at once when another process rings."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from django.db import close_old_connections, connections

from mobius.engine.doorbell import Answer

logger = logging.getLogger(__name__)
_LOOKS_EVERY_SECONDS = 0.1
_SWEEPS_END_WITHIN_SECONDS = 60.0


class Ticker:
    """One thread that sweeps."""

    def __init__(self, answer: Answer, *, ring_file: Path) -> None:
        self._answer = answer
        self._ring_file = ring_file
        self._last_ring = self._ring_time()
        self._closing = threading.Event()
        self._looked_at = time.monotonic()
        self._thread = threading.Thread(target=self._tick, name="ticker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Does it tick? A sweep may wait for a busy database meanwhile, but not for ever."""
        return self._thread.is_alive() and time.monotonic() - self._looked_at < _SWEEPS_END_WITHIN_SECONDS

    def stop(self) -> None:
        self._closing.set()
        self._thread.join(5)

    def _tick(self) -> None:
        due = 0.0
        while not self._closing.is_set():
            self._looked_at = time.monotonic()
            if self._was_rung() or time.monotonic() >= due:
                due = time.monotonic() + self._sweep()
            self._closing.wait(min(_LOOKS_EVERY_SECONDS, max(0.001, due - time.monotonic())))
        connections.close_all()

    def _sweep(self) -> float:
        try:
            return self._answer.sweep()
        except Exception:
            # As in the pool: a sweep that fails, perhaps on a full disk, must not be the last one.
            logger.exception("the sweep failed; trying again in a second")
            return 1.0
        finally:
            close_old_connections()

    def _was_rung(self) -> bool:
        ring = self._ring_time()
        changed, self._last_ring = ring != self._last_ring, ring
        return changed

    def _ring_time(self) -> int:
        try:
            return self._ring_file.stat().st_mtime_ns
        except OSError:
            return 0
