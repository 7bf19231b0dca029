"""What the end of a run means to its loop: the next one in the loop's queue may go, and failures are counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import connection
from django.db.models import F

from loops.models import RING_AGAIN_AFTER, Loop, LoopStatus, QueueReason, Run, RunQuerySet, RunStatus
from loops.spec import Concurrency, LoopSpec, Policy
from loops.triggers.registering import disarm
from loops.versions import spec_of
from mobius.engine.doorbell import ring
from mobius.projects import auditing
from mobius.projects.auditing import SYSTEM


def lock_loop(loop_id: str) -> None:
    """Hold the loop's row until the transaction ends: before any run's (design §4, lock order).

    SQLite has one writer, who holds everything already. `no_key`, here as everywhere: the row itself is held, and who
    only refers to it (a new run to its loop) does not wait.
    """
    if connection.features.has_select_for_update:
        Loop.objects.select_for_update(no_key=True).filter(pk=loop_id).values_list("pk").first()


def hold_run(run: Run) -> Run:
    """The run as it is now, its row held until the transaction ends, and before it that of a loop that counts it."""
    spec = spec_of(run.loop_version_id)
    counts_failures = spec.pause_after_consecutive_failures is not None
    if run.governed or counts_failures or spec.is_governed:
        lock_loop(run.loop_id)
    held = Run.objects.select_for_update(no_key=True, of=("self",)).select_related("loop", "loop_version")
    return held.get(pk=run.pk)


def tell_loop(run: Run, spec: LoopSpec, *, now: datetime) -> None:
    """`run` has ended, in this transaction, which holds the loop's row."""
    if run.governed:
        let_next_in(run.loop_id, now=now)
    if spec.pause_after_consecutive_failures is not None:
        _count_failures(run, spec.pause_after_consecutive_failures, now)


def let_next_in(loop_id: str, *, now: datetime) -> None:
    """Let as many runs go as the loop's present policies have room for, the oldest first."""
    spec = spec_of(Loop.objects.values_list("current_version_id", flat=True).get(pk=loop_id) or "")
    for policy in spec.own_policies:
        _let_in(Run.objects.governed_by(loop_id).started_by([policy.trigger_key]), policy, now)
    # Those that wait for a trigger's policy which is no more wait for the loop's.
    own = [policy.trigger_key for policy in spec.own_policies]
    _let_in(Run.objects.governed_by(loop_id), spec.policy_for(""), now, except_by=own)


def _let_in(runs: RunQuerySet, policy: Policy, now: datetime, *, except_by: Sequence[str] = ()) -> None:
    """Let as many of `runs`, which `policy` counts, go as it has room for. Those of `except_by` have policies of
    their own."""
    allows = policy.concurrency == Concurrency.ALLOW
    room = None if allows else max(policy.max_concurrent_runs - runs.let_in().count(), 0)
    queued = runs.exclude(trigger_key__in=except_by).only("loop_version_id", "wall_clock_deadline_at")
    waiting = [run for reason in QueueReason for run in queued.queued_for(reason)[:room]]
    for run in sorted(waiting, key=lambda one: one.pk)[:room]:
        limit = spec_of(run.loop_version_id).wall_clock_timeout
        Run.objects.filter(pk=run.pk).update(
            queue_reason="",
            ring_due_at=now + RING_AGAIN_AFTER,
            wall_clock_deadline_at=run.wall_clock_deadline_at or (now + limit if limit else None),
            revision=F("revision") + 1,
            updated_at=now,
        )
        ring(run.pk)


def _count_failures(run: Run, limit: int, now: datetime) -> None:
    """Completed runs reset the count, cancelled ones do not count (mobius-contract §6)."""
    loops = Loop.objects.filter(pk=run.loop_id)
    if run.status == RunStatus.COMPLETED:
        loops.filter(failures_in_a_row__gt=0).update(failures_in_a_row=0)
    if run.status != RunStatus.FAILED:
        return
    loops.update(failures_in_a_row=F("failures_in_a_row") + 1)
    loop = loops.get()
    if loop.failures_in_a_row < limit or loop.status != LoopStatus.ACTIVE:
        return
    count = "1 run" if loop.failures_in_a_row == 1 else f"{loop.failures_in_a_row} runs in a row"
    reason = f"{count} failed, the last with: {run.error_message}"[:300]
    loops.update(status=LoopStatus.PAUSED, paused_because=reason, updated_at=now)
    disarm(run.loop_id)
    auditing.record(
        SYSTEM, "loop.pause", project_id=loop.project_id, kind="loop", id=loop.pk, name=loop.name, reason=reason
    )
