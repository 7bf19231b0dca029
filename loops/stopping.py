"""What the verbs that people have for a run share."""

from __future__ import annotations

from datetime import datetime

from loops.models import Run
from loops.turn import Turn
from loops.versions import spec_of
from mobius.projects import auditing
from mobius.projects.auditing import Actor


def operators_turn(run: Run, *, now: datetime) -> Turn:
    """What somebody from outside does to the run, whose row is held: it is written like a worker's turn."""
    return Turn(run, spec_of(run.loop_version_id), {step.key: step for step in run.steps.all()}, now=now)


def stop(run: Run, *, stop_reason: str, reason: str, now: datetime) -> None:
    """Cancel the run, whose row is held and which has not ended. Its worker, if any, finds that it is not its any more.

    A POST that has begun is not interrupted: its attempt gets its outcome, and its unit and ledger entry stand.
    """
    turn = operators_turn(run, now=now)
    turn.cancel_run(stop_reason=stop_reason, reason=reason)
    turn.save()


def note(by: Actor, deed: str, run: Run, reason: str) -> None:
    """Write the deed down in the audit. Reads the run's loop."""
    auditing.record(
        by, f"run.{deed}", project_id=run.project_id, kind="run", id=run.pk, name=run.loop.name, reason=reason
    )
