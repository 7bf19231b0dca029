"""May this run be active beside the others of its loop? The policies queue, skip and replace (mobius-contract §6)."""

from __future__ import annotations

from loops.ending import lock_loop
from loops.models import QueueReason, Run
from loops.spec import Concurrency, LoopSpec
from loops.stopping import stop
from mobius import clock
from mobius.engine.gathering import write_now
from mobius.errors import Conflict


class LoopBusy(Conflict):
    """An earlier run of this loop is still active, and the loop skips starts meanwhile."""


def admit(run: Run, spec: LoopSpec) -> None:
    """Put `run`, which the caller is about to write, under the loop's policy. In the caller's transaction.

    It may be told to wait (`queue_reason`), or others may be cancelled for it. Raises LoopBusy.
    """
    lock_loop(run.loop_id)
    run.governed = True
    if _key_is_taken(run):
        return  # the insert will find who does, and this run will never be
    policy = spec.policy_for(run.trigger_key)
    if policy.concurrency == Concurrency.ALLOW:
        return  # it counts for others
    others = Run.objects.governed_by(run.loop_id).exclude(pk=run.pk)
    if policy.trigger_key:
        others = others.started_by([policy.trigger_key])
    active = others.let_in()
    too_many = active.count() + 1 - policy.max_concurrent_runs
    if too_many <= 0:
        return
    match policy.concurrency:
        case Concurrency.SKIP:
            raise LoopBusy
        case Concurrency.QUEUE:
            reason = QueueReason.TRIGGER_CONCURRENCY if policy.trigger_key else QueueReason.LOOP_POLICY
            run.queue_reason = reason
            run.ring_due_at = run.wall_clock_deadline_at = None  # its time begins when it is let in
        case Concurrency.REPLACE:
            # Those of an earlier policy's queue first: nobody is to take the place that becomes free.
            for other in [*others.exclude(queue_reason=""), *active[:too_many]]:
                _replace(other, by=run)


def _key_is_taken(run: Run) -> bool:
    if not run.idempotency_key:
        return False
    holders = Run.objects.filter(project_id=run.project_id).holding_key(run.idempotency_key)
    return holders.exclude(pk=run.pk).exists()


def _replace(other: Run, *, by: Run) -> None:
    held = Run.objects.select_for_update(no_key=True).get(pk=other.pk)
    if not held.has_ended:
        write_now()  # its steps may have been begun in this very transaction
        stop(held, stop_reason="replaced", reason=f"Replaced by {by.pk}, which was started later.", now=clock.now())
