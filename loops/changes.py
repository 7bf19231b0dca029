"""What a turn has changed in memory, and the statements that write it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from loops.models import Callback, CallbackState, Run, RunEvent, Step, Wait, WaitState
from mobius.prepared import Insert, Update


class Overtaken(Exception):
    """Somebody else has written the run since it was read: read it again and decide again."""


_save_run = Update(
    Run,
    writes=[
        *("claim", "worker", "revision", "status", "result", "stop_reason"),
        *("error_type", "error_message", "last_sequence"),
        *("wake_at", "waits_for", "waits_since", "waits_at", "ring_due_at", "rings"),
        *("started_at", "completed_at", "updated_at"),
    ],
    where=["id", "claim", "revision"],
)
_save_step = Update(
    Step,
    writes=[
        *("status", "attempt", "inputs", "result", "error_type", "error_message"),
        *("callback_hash", "callback_key", "completed_at", "updated_at"),
    ],
    where=["id"],
)
_insert_run = Insert(Run)
_insert_steps = Insert(Step)
_insert_events = Insert(RunEvent)


class Changes:
    """What is to be written beside the run itself, and the two guards as the run was read."""

    def __init__(self, run: Run, *, now: datetime, new: bool) -> None:
        self.run = run
        self.now = now
        self.run_is_new = new  # it is yet to be inserted
        self._read_claim, self._read_revision = run.claim, run.revision
        self.new_steps: list[Step] = []
        self.changed_steps: dict[str, Step] = {}
        self.events: list[dict[str, Any]] = []
        self.waits: list[Wait] = []
        self.closed_waits: dict[str, WaitState] = {}
        self.used: list[tuple[Callback, Step]] = []
        self.sorted: list[tuple[Callback, CallbackState]] = []

    def unwritten(self) -> Any:
        """The run's row, as long as nobody has written it since it was read."""
        return Run.objects.filter(pk=self.run.pk, claim=self._read_claim, revision=self._read_revision)

    def write(self, *, is_watched: bool) -> None:
        """Raises Overtaken when the run was written by somebody else, and nothing may be committed.

        `is_watched`: others in this transaction ask what the run does, so that it is not written with theirs.

        Raises IntegrityError when the run is new and its idempotency key is taken.
        """
        run = self.run
        run.updated_at, run.revision = self.now, self._read_revision + 1
        if self.run_is_new:
            _insert_run(run)
        else:
            as_read = {"id": run.pk, "claim": self._read_claim, "revision": self._read_revision}
            if not (_save_run if is_watched else _save_run.later)(run, as_read):
                raise Overtaken
        _insert_steps.later(*self.new_steps)
        for step in self.changed_steps.values():
            _save_step.later(step, {"id": step.pk})
        for wait in self.waits:
            wait.save(force_insert=True)
        for step_id, state in self.closed_waits.items():
            Wait.objects.filter(step_id=step_id, state=WaitState.OPEN).update(state=state, closed_at=self.now)
        for callback, sorted_as in self.sorted:  # before those that are used: what one wait left, the next may take
            Callback.objects.filter(pk=callback.pk).update(state=sorted_as)
        for callback, step in self.used:
            Callback.objects.filter(pk=callback.pk).update(state=CallbackState.USED, used_by=step.pk)
        _insert_events.later(*self.events)
