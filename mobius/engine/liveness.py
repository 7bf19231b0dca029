"""Is this process still taken for alive? Many processes share the database, so each says every other second that it is.

Whoever is silent for MOBIUS_SILENCE_SECONDS is given up: its runs go to others, and what it had on the wire is in
doubt. It may not be dead, only stopped, swapped out or cut off. So it asks here, immediately before the first byte of
a row, whether its last word is young enough that nobody can have given it up (design §4). The embedded engine is one
process behind a lock, is never given up, and always may.
"""

from __future__ import annotations

import logging
import threading
import time

from django.conf import settings
from django.db import close_old_connections, connections

from mobius.engine.doorbell import Answer

logger = logging.getLogger(__name__)
BEATS = 2 / 15  # of the silence that is the limit: two seconds of fifteen
_MAY_SEND = 8 / 15

_last: tuple[str, float] = ("", 0.0)
"""The name under which this process is known, and when (monotonic seconds) it began to say so for the last time."""


def worker() -> str:
    """This process's name among the workers; "" in the embedded engine and where there is no pool."""
    return _last[0]


def may_send(taken_by: str) -> bool:
    """May a run that was taken under this name send a row now?"""
    if not taken_by:
        return True
    name, beaten_at = _last
    return name == taken_by and time.monotonic() - beaten_at < settings.MOBIUS_SILENCE_SECONDS * _MAY_SEND


class Permit:
    """One row's leave to go out: asked once, just before its first byte. Remembers a refusal."""

    def __init__(self, taken_by: str) -> None:
        self._taken_by = taken_by
        self.refused = False

    def __call__(self) -> bool:
        self.refused = not may_send(self._taken_by)
        return not self.refused


class Heart:
    """The thread that says that this process is alive. A process that was given up goes on under another name."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heart", daemon=True)

    def start(self) -> None:
        """Returns once the database knows us. Raises DatabaseError."""
        self._beat()
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Say that we are gone: what is still ours is given up at once."""
        global _last
        self._closing.set()
        self._thread.join(5)
        gone, _last = _last[0], ("", 0.0)
        self._answer.leave(gone)

    def _beat(self) -> None:
        global _last
        began = time.monotonic()  # before the question: the database's answer may take its time
        _last = (self._answer.beat(_last[0]), began)

    def _beat_on(self) -> None:
        while not self._closing.wait(settings.MOBIUS_SILENCE_SECONDS * BEATS):
            try:
                self._beat()
            except Exception:
                # As in the ticker: the next beat may succeed, and until then nothing is sent.
                logger.exception("this worker could not say that it is alive")
            close_old_connections()
        connections.close_all()
