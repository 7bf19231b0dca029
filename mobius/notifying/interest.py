"""A count of how often anybody in this process began or ceased to listen, for those who remember who does."""

from __future__ import annotations

from itertools import count

from django.db import transaction

_changes = count(1)
_present = [0]


def present_state() -> int:
    """Another number than before, once anything has changed."""
    return _present[0]


def note_change() -> None:
    """Somebody begins or ceases to listen: what is remembered is wrong in this transaction, and after it."""
    _present[0] = next(_changes)
    transaction.on_commit(lambda: _present.__setitem__(0, next(_changes)))
