"""How much of one thing this process does at once: whoever comes when it is full is asked to come back.

A stream, a call that waits for an answer, or a large file holds one of the server's 24 threads for long; with 8, 8 and
4 of them at most, 4 threads are always free for the rest (design §7).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mobius.errors import RateLimitExceeded


class AtOnce:
    """At most `most` of what `what` names, such as "event streams"."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._free = threading.BoundedSemaphore(most)

    def enter(self) -> Callable[[], None]:
        """Begin one. Returns how to end it; ending it twice changes nothing. Raises RateLimitExceeded when full."""
        if not self._free.acquire(blocking=False):
            raise RateLimitExceeded(f"{self._most} {self._what} are under way already; try again in a moment.")
        ended = threading.Lock()

        def leave() -> None:
            if ended.acquire(blocking=False):
                self._free.release()

        return leave

    @contextmanager
    def one(self) -> Iterator[None]:
        """As `enter`, for a block."""
        leave = self.enter()
        try:
            yield
        finally:
            leave()


EVENT_STREAMS = AtOnce(8, "event streams")
DOWNLOADS = AtOnce(4, "downloads")
WAITING_CALLS = AtOnce(8, "calls that wait for a row's answer")
