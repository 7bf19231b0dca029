"""What an address of `/v1` names, or a 404."""

from __future__ import annotations

from loops.models import Run, RunQuerySet
from mobius.errors import NotFound


def find_run(runs: RunQuerySet, run_id: str) -> Run:
    """The one of `runs` with this id. Raises NotFound."""
    run = runs.filter(pk=run_id).first()
    if run is None:
        raise NotFound("There is no such run.")
    return run
