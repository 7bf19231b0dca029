"""One turn of a run: what a worker decides from one reading of it, and writes in one transaction.

Everything is changed in memory first. `save` writes it (`loops.changes`) with a compare-and-set on the run's two
guards, so a turn that was decided on an old reading writes nothing at all.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection

from integrations.delivering import NotNow
from loops import ending
from loops.announcing import announce
from loops.changes import Changes, Overtaken
from loops.models import (
    Callback,
    CallbackState,
    Run,
    RunStatus,
    Step,
    StepStatus,
    SuspendedFor,
    Wait,
    WaitState,
)
from loops.spec import LoopSpec, StepKind, StepSpec
from mobius.engine import liveness
from mobius.prepared import New, Select

_open_waits = Select(lambda step: Wait.objects.filter(step=step, state=WaitState.OPEN))
_make_step = New(Step)


class Turn:
    def __init__(self, run: Run, spec: LoopSpec, steps: dict[str, Step], *, now: datetime, new: bool = False) -> None:
        self.run = run
        self.spec = spec
        self.steps = steps
        self.now = now
        self._changes = Changes(run, now=now, new=new)
        self._announced: list[str] = []

    # --- the run ---------------------------------------------------------------------------------------------------

    def take(self) -> None:
        """Take the run for this worker: from now on an earlier holder's writes are refused."""
        run = self.run
        if run.started_at is None:
            run.started_at = self.now
            self.log("run.started")
        run.claim += 1
        run.status = RunStatus.RUNNING
        self._rest(wake_at=None)
        run.worker = liveness.worker()

    def complete_run(self, result: dict[str, Any]) -> None:
        self.run.result = result
        self._end(RunStatus.COMPLETED, "completed")
        self.log("run.completed")

    def fail_run(self, *, stop_reason: str, error_type: str, error_message: str, step: Step | None = None) -> None:
        self.run.error_type, self.run.error_message = error_type, error_message[:1000]
        self._end(RunStatus.FAILED, stop_reason)
        self.log("run.failed", step)

    def run_out_of_time(self) -> None:
        """The run's wall clock has passed: whatever it was doing fails. An attempt in doubt stays in doubt."""
        message = "The run took longer than its wall_clock_timeout allows."
        self.fail_as_a_whole(stop_reason="wall_clock_exceeded", error_type="wall_clock_exceeded", error_message=message)

    def fail_as_a_whole(self, *, stop_reason: str, error_type: str, error_message: str) -> None:
        """Fail the run, and whatever step it was at."""
        for step in self._unfinished():
            step.error_type, step.error_message = error_type, error_message
            self._end_step(step, StepStatus.FAILED)
        self.fail_run(stop_reason=stop_reason, error_type=error_type, error_message=error_message)

    def cancel_run(self, *, stop_reason: str, reason: str) -> None:
        """End the run where it is. A row on the wire goes on; its attempt gets its outcome all the same."""
        for step in self._unfinished():
            step.error_type = step.error_message = ""
            self._end_step(step, StepStatus.CANCELLED)
        self._end(RunStatus.CANCELLED, stop_reason)
        self.log("run.cancelled", reason=reason)

    def revive_run(self) -> None:
        """Undo the run's end: it is ready for a worker, who goes on with the first step that is not done."""
        run = self.run
        run.status, run.result, run.completed_at = RunStatus.QUEUED, None, None
        run.stop_reason = run.error_type = run.error_message = ""
        self._rest(wake_at=None)

    def suspend_run(self, *, wake_at: datetime | None, waits_for: str = "", waits_at: str = "") -> None:
        run = self.run
        run.status = RunStatus.SUSPENDED
        if run.wall_clock_deadline_at and (wake_at is None or run.wall_clock_deadline_at < wake_at):
            wake_at = run.wall_clock_deadline_at
        # A place is kept for as long as one waits, whatever for: a pause must not change the order.
        run.waits_since = (run.waits_since or self.now) if waits_for or waits_at else None
        run.waits_for, run.waits_at = waits_for, waits_at
        self._rest(wake_at=wake_at)

    def leave_queue(self) -> None:
        """The run has got what it waited for; the next wait begins at the end."""
        self.run.waits_for, self.run.waits_since, self.run.waits_at = "", None, ""

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs of the steps that have completed, by key."""
        return {key: step.result for key, step in self.steps.items() if step.status == StepStatus.COMPLETED}

    @property
    def goes_on(self) -> bool:
        """Is there anything left to decide in this turn?"""
        return self.run.status == RunStatus.RUNNING

    # --- its steps -------------------------------------------------------------------------------------------------

    def begin_step(self, spec: StepSpec) -> Step:
        """The step's row; made when it is met for the first time."""
        step = self.steps.get(spec.key)
        if step is None:
            step = self._make_step(spec)
            self.log("step.started", step)
        elif step.status in (StepStatus.SUSPENDED, StepStatus.PENDING):
            if step.status == StepStatus.PENDING:
                self.log("step.started", step)
            step.status = StepStatus.RUNNING
            self._change(step)
        return step

    def reopen_step(self, step: Step) -> None:
        """The step has failed and is to be done once more."""
        step.status, step.result, step.completed_at = StepStatus.PENDING, None, None
        step.error_type = step.error_message = ""
        self._change(step)

    def skip_step(self, spec: StepSpec) -> None:
        step = self.steps.get(spec.key) or self._make_step(spec)
        self._end_step(step, StepStatus.SKIPPED)
        self.log("step.skipped", step)

    def complete_step(self, step: Step, result: Any) -> None:
        step.result = result
        step.error_type = step.error_message = ""
        self._end_step(step, StepStatus.COMPLETED)
        self.leave_queue()
        self.log("step.completed", step)

    def fail_step(self, step: Step, *, error_type: str, error_message: str, stop_reason: str = "step_failed") -> None:
        step.error_type, step.error_message = error_type, error_message[:1000]
        self._end_step(step, StepStatus.FAILED)
        self.leave_queue()
        self.log("step.failed", step)
        self.fail_run(stop_reason=stop_reason, error_type=error_type, error_message=error_message, step=step)

    def suspend_step(
        self,
        step: Step,
        reason: SuspendedFor,
        *,
        message: str = "",
        wake_at: datetime | None,
        waits_for: str = "",
        waits_at: str = "",
    ) -> None:
        """Rest until `wake_at` (or the step's own deadline), or until there is room at `waits_for`.

        `waits_at` is the integration whose queue the row stands in meanwhile.
        """
        if reason != step.error_type and reason != SuspendedFor.SLEEPING:
            self.log("step.suspended", step, reason=reason.value)
        step.status = StepStatus.SUSPENDED
        step.error_type, step.error_message = reason, message[:1000]
        self._change(step)
        if step.deadline_at and (wake_at is None or step.deadline_at < wake_at):
            wake_at = step.deadline_at
        self.suspend_run(wake_at=wake_at, waits_for=waits_for, waits_at=waits_at)

    def put_off(self, step: Step, answer: NotNow, *, waits_at: str) -> None:
        """Nothing could be reserved; the step waits as the answer says, in the queue of that integration."""
        self.suspend_step(
            step,
            SuspendedFor(answer.reason),
            message=answer.message,
            wake_at=answer.wake_at,
            waits_for=answer.waits_for,
            waits_at=waits_at,
        )

    def is_out_of_time(self, step: Step) -> bool:
        """Has the step's `timeout` passed?"""
        return step.deadline_at is not None and step.deadline_at <= self.now

    def time_out_step(self, step: Step) -> None:
        """Fail the step for its `timeout`; what it was waiting for is said with it."""
        message = f"The step's timeout has passed. {step.error_message}".strip()
        self.fail_step(step, error_type="step_timed_out", error_message=message)

    def step(self, step_id: str) -> Step:
        """The step of this id, which has begun."""
        return self.steps[step_id.partition(":")[2]]

    def touch_step(self, step: Step) -> None:
        """Write `step` although only its data changed."""
        self._change(step)

    # --- waits and the log -----------------------------------------------------------------------------------------

    def is_waiting(self, step: Step) -> bool:
        """Does `step` have an open wait, from an earlier turn?"""
        return step not in self._changes.new_steps and bool(_open_waits(step.pk))

    def use_callback(self, callback: Callback, step: Step) -> None:
        """`callback` is the result of `step`; no other may become it."""
        self._changes.used.append((callback, step))
        if self.is_waiting(step):
            self.close_wait(step, WaitState.RESUMED)

    @property
    def taken_callbacks(self) -> set[str]:
        """The ids of the callbacks that steps have used in this turn."""
        return {callback.pk for callback, _ in self._changes.used}

    def sort_callbacks(self, callbacks: list[Callback], state: CallbackState) -> None:
        """Say of callbacks that nobody used what they are instead."""
        self._changes.sorted += [(callback, state) for callback in callbacks]

    def open_wait(self, step: Step, wait: Wait) -> None:
        self._changes.waits.append(wait)
        self.log("wait.opened", step, event_type=wait.event_type, wait_id=wait.pk)

    def close_wait(self, step: Step, state: WaitState) -> None:
        self._changes.closed_waits[step.pk] = state
        self.log("wait.timed_out" if state == WaitState.TIMED_OUT else "wait.resumed", step)

    def log(self, event_type: str, step: Step | None = None, /, **payload: Any) -> None:
        """Append to the run's log. What the run and its steps say themselves is not written twice (loops/events.py)."""
        self.run.last_sequence += 1
        if event_type.startswith("run."):
            self._announced.append(event_type)
        self._changes.events.append(
            {
                "run_id": self.run.pk,
                "sequence": self.run.last_sequence,
                "event_type": event_type,
                "step_key": step.key if step else "",
                "payload": payload,
                "created_at": self.now,
            }
        )

    # --- writing ---------------------------------------------------------------------------------------------------

    def lock_loop(self) -> None:
        """Hold the row of a loop that wants to know when the run ends; `save` tells it."""
        if self.is_counted:
            ending.lock_loop(self.run.loop_id)

    def lock(self) -> None:
        """Hold the rows of such a loop, and of the run, where the database has row locks. Raises Overtaken."""
        self.lock_loop()
        if self._changes.run_is_new or not connection.features.has_select_for_update:
            return
        if not self._changes.unwritten().select_for_update(no_key=True).exists():
            raise Overtaken

    def save(self) -> None:
        """Write the turn. Raises Overtaken when the run was written by somebody else, and nothing may be committed.

        Raises IntegrityError when the run is new and its idempotency key is taken.
        """
        # Others look at who waits before them, and at how many runs of a loop are active.
        self._changes.write(is_watched=self.is_counted or bool(self.run.waits_for or self.run.waits_at))
        if self.is_counted and self.run.has_ended:
            ending.tell_loop(self.run, self.spec, now=self.now)
        if self._announced:
            announce(self.run, self._announced, now=self.now)

    @property
    def is_counted(self) -> bool:
        """Does the loop want to know when the run ends?"""
        return self.run.governed or self.spec.pause_after_consecutive_failures is not None

    def _unfinished(self) -> list[Step]:
        at_work = (StepStatus.PENDING, StepStatus.RUNNING, StepStatus.SUSPENDED)
        return [step for step in self.steps.values() if step.status in at_work]

    def _make_step(self, spec: StepSpec) -> Step:
        step = _make_step(
            id=f"{self.run.pk}:{spec.key}",
            run_id=self.run.pk,
            key=spec.key,
            seq=spec.index,
            name=spec.name,
            kind=spec.kind,
            status=StepStatus.RUNNING,
            deadline_at=self.now + spec.timeout if spec.timeout else None,
            started_at=self.now,
            created_at=self.now,
            updated_at=self.now,
        )
        self.steps[spec.key] = step
        self._changes.new_steps.append(step)
        return step

    def _change(self, step: Step) -> None:
        step.updated_at = self.now
        if step not in self._changes.new_steps:
            self._changes.changed_steps[step.key] = step

    def _end_step(self, step: Step, status: StepStatus) -> None:
        if step.kind == StepKind.WAIT_FOR_EVENT and status != StepStatus.COMPLETED:
            # Nobody waits any more: it must not be listed as overdue.
            self._changes.closed_waits.setdefault(step.pk, WaitState.CANCELLED)
        step.status = status
        step.completed_at = self.now
        self._change(step)

    def _end(self, status: RunStatus, stop_reason: str) -> None:
        self.run.status, self.run.stop_reason = status, stop_reason
        self.run.completed_at = self.now
        self.leave_queue()
        self._rest(wake_at=None)

    def _rest(self, *, wake_at: datetime | None) -> None:
        self.run.wake_at = self.run.ring_due_at = wake_at
        self.run.rings = 0
        self.run.worker = ""
