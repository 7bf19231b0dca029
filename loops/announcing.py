"""What happened to a run is told to those who want to know: loops that listen, and other systems (webhooks)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from loops.describing import run_json
from loops.listeners import anybody_listens
from loops.models import Run
from loops.triggers.hearing import hear_end
from mobius.notifying.telling import tell


def announce(run: Run, event_types: Iterable[str], *, now: datetime) -> None:
    """Write down what those who listen are to hear of the run, in the transaction in which it happened.

    Where nobody listens this asks the database nothing.
    """
    if not anybody_listens(run.project_id):
        return
    for event_type in event_types:
        tell(project_id=run.project_id, event_type=event_type, run_id=run.pk, data=run_json(run), now=now)
    if run.has_ended:
        hear_end(run, now=now)
