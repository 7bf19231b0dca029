"""How much of one thing this process does at once: whoever comes when it is full is asked to come back.

A stream or a call that waits for an answer holds one of the server's threads, and the rest must stay free for the
others (design §7).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

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
            raise RateLimitExceeded(f"{self._most} {self._what} are open already; try again in a moment.")
        ended = threading.Lock()

        def leave() -> None:
            if ended.acquire(blocking=False):
                self._free.release()

        return leave
