"""In which projects anybody wants to hear of what happens to runs: asked at the end of every run, answered in memory.

A process asks the database once a second at most. What it does itself it knows at once; so whoever starts to listen in
another process hears of everything from a second later on.
"""

from __future__ import annotations

import time

from loops.trigger_models import Trigger

ASK_AGAIN_SECONDS = 1.0

_asked: tuple[frozenset[str], float] = (frozenset(), float("-inf"))


def anybody_listens(project_id: str) -> bool:
    """May there be somebody in this project who wants to know?"""
    global _asked
    projects, at = _asked
    if time.monotonic() - at > ASK_AGAIN_SECONDS:
        began = time.monotonic()
        projects = _ask()
        _asked = projects, began
    return project_id in projects


def forget_listeners() -> None:
    """Somebody began or ceased to listen: ask again next time."""
    global _asked
    _asked = frozenset(), float("-inf")


def _ask() -> frozenset[str]:
    return frozenset(Trigger.objects.listening().values_list("project_id", flat=True).distinct())
