"""Starts make way for workers that are behind, so that a backlog does not grow for as long as starts keep coming.

Whoever starts runs as fast as answers come is slowed down to what the workers do, and nobody is kept out.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_LOOKS_AT_EVERY = 8
"""So many starts cost one question; a process that takes few asks seldom."""
_LOOKS_AGAIN_SECONDS = 0.05
"""What was many may be few by now."""
_FEW = 32
"""So many runs are due at any moment when workers keep up."""
_MANY = 1024
_SECONDS_FOR_EACH = 0.001
_LONGEST_SECONDS = 0.1
"""A thread that waits is missed by callbacks and pages, too."""


class Brake:
    """`count_due` says how many runs wait for a worker, `_MANY` at most."""

    def __init__(self, count_due: Callable[[int], int], *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._count_due = count_due
        self._sleep = sleep
        self._starts = 0
        self._due = 0
        self._looked_at = 0.0

    def wait(self) -> None:
        """Returns at once while workers keep up. Raises what the question raises."""
        self._starts += 1
        was_long_ago = time.monotonic() - self._looked_at > _LOOKS_AGAIN_SECONDS
        if self._starts % _LOOKS_AT_EVERY == 0 or (self._due > _FEW and was_long_ago):
            self._looked_at = time.monotonic()
            self._due = self._count_due(_MANY)
        seconds = min((self._due - _FEW) * _SECONDS_FOR_EACH, _LONGEST_SECONDS)
        if seconds > 0:
            self._sleep(seconds)
