"""Pages that look by themselves for what comes from outside: for a while after they were opened, and no longer."""

from __future__ import annotations

from datetime import timedelta

from mobius import clock
from mobius.web.access import ProjectRequest

WATCHES_FOR = timedelta(minutes=30)


def opened_now() -> str:
    """What the page's own address for looking says of when it was opened."""
    return f"since={int(clock.now().timestamp())}"


def is_watched(request: ProjectRequest) -> bool:
    """Was the page opened so lately that somebody may still look at it?"""
    since = request.GET.get("since", "")
    if not (since.isascii() and since.isdigit() and len(since) < 12):
        return False
    return abs(clock.now().timestamp() - int(since)) < WATCHES_FOR.total_seconds()
