"""Prefixed ids that sort by the time they were made: `run_01k9x3m5tq8d2v7w4hnc`.

Ten characters of time (milliseconds since 1970) and ten of chance, in Crockford's base 32 in lower case.
Ids made by one process within one millisecond count upwards, so "newest first" is `ORDER BY id DESC`.
"""

from __future__ import annotations

import secrets
import threading
import time
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_CHANCE_BITS = 50
_SHIFTS = range(90, -1, -10)
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]

ID_LENGTH = 32
"""What a column that holds an id must take: the longest prefix, the underscore and 20 characters, with room."""


class _Sequence:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        fresh = (time.time_ns() // 1_000_000) << _CHANCE_BITS | secrets.randbits(_CHANCE_BITS - 1)
        with self._lock:
            # In the same millisecond, or after the clock stepped back, count on from the last one.
            later = self._last + 1
            self._last = fresh if fresh >> _CHANCE_BITS > self._last >> _CHANCE_BITS else later
            return self._last


_sequence = _Sequence()


def first_id(prefix: str, moment: datetime) -> str:
    """The least id that can have been made at `moment` or later: what is greater or equal is as young."""
    return _spelled(prefix, max(int(moment.timestamp() * 1000), 0) << _CHANCE_BITS)


def new_id(prefix: str) -> str:
    """A new id such as `run_…`; unique, and greater than every id this process made before."""
    return _spelled(prefix, _sequence.next())


def _spelled(prefix: str, number: int) -> str:
    return f"{prefix}_{''.join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])}"
