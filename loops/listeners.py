"""In which projects anybody wants to hear of what happens to runs: asked at the end of every run, answered in memory.

A process asks the database once a second at most. What it changes itself it knows at once; so whoever starts to listen
in another process hears of everything from a second later on.
"""

from __future__ import annotations

import time

from loops.models import Trigger
from mobius.notifying.interest import present_state
from mobius.notifying.models import Endpoint

ASK_AGAIN_SECONDS = 1.0

_asked: tuple[frozenset[str], int, float] = (frozenset(), -1, 0.0)


def anybody_listens(project_id: str) -> bool:
    """May there be somebody in this project who wants to know?"""
    global _asked
    projects, state, at = _asked
    if state != present_state() or time.monotonic() - at > ASK_AGAIN_SECONDS:
        began = present_state(), time.monotonic()
        projects = _ask()
        _asked = projects, *began
    return project_id in projects


def _ask() -> frozenset[str]:
    triggers = Trigger.objects.listening().values_list("project_id")
    endpoints = Endpoint.objects.listening().values_list("project_id")
    return frozenset(project_id for (project_id,) in triggers.union(endpoints))
