"""What a loop does with a start while an earlier run of it is active, and when it pauses itself."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integrations.models import Integration
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops.admitting import LoopBusy
from loops.advance import advance
from loops.authoring import update_loop
from loops.models import Loop, LoopStatus, Run, RunStatus
from loops.operating import cancel, signal
from loops.retrying import retry
from loops.starting import LoopPaused
from loops.sweeping import recover, sweep
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import AuditEvent, Project
from tests.cast import work_off
from tests.loops.flow import begin, fresh, go, loop_of
from tests.loops.runs import log_of, push, wait

pytestmark = pytest.mark.django_db
REFUSED = Behaviour(fail=401)


def statuses(*runs: Run) -> list[str]:
    return [fresh(run).status for run in runs]


def end(run: Run) -> None:
    """Let the run, which waits, end well."""
    signal(fresh(run), step_key="wait", result={}, by=SYSTEM)
    work_off()


# --- queue ---


def test_queued_runs_start_one_after_the_other_in_order(project: Project) -> None:
    loop = loop_of(project, wait(), concurrency="queue")
    runs = [begin(loop) for _ in range(3)]
    work_off()
    assert statuses(*runs) == ["suspended", "queued", "queued"]
    assert [fresh(run).queue_reason for run in runs] == ["", "loop_policy", "loop_policy"]

    end(runs[0])
    assert statuses(*runs) == ["completed", "suspended", "queued"]
    end(runs[1])
    assert statuses(*runs) == ["completed", "completed", "suspended"]
    end(runs[2])
    assert statuses(*runs) == ["completed"] * 3


def test_nobody_rings_a_run_that_waits_for_its_loop(project: Project) -> None:
    loop = loop_of(project, wait(), concurrency="queue")
    begin(loop)
    queued = begin(loop)
    work_off()

    with time_machine.travel(timezone.now() + timedelta(hours=1), tick=True):
        sweep()
        recover()
        advance(queued.pk)

    assert (fresh(queued).status, fresh(queued).ring_due_at, fresh(queued).rings) == ("queued", None, 0)


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_however_a_run_ends_the_next_one_goes(
    project: Project, integration: Integration, clay: ClaySimulator, how: str
) -> None:
    clay.next_answers(REFUSED)
    loop = loop_of(project, push(), concurrency="queue")
    first, second = begin(loop), begin(loop)

    if how == "is cancelled":
        cancel(first, by=SYSTEM)
        clay.next_answers()
    work_off()

    assert fresh(first).status == ("cancelled" if how == "is cancelled" else "failed")
    assert fresh(second).queue_reason == ""
    assert fresh(second).has_ended


def test_a_run_in_the_queue_can_be_cancelled(project: Project) -> None:
    loop = loop_of(project, wait(), concurrency="queue")
    first, second, third = begin(loop), begin(loop), begin(loop)
    work_off()

    cancel(second, by=SYSTEM)
    end(first)

    assert statuses(first, second, third) == ["completed", "cancelled", "suspended"]


def test_the_time_of_a_queued_run_begins_when_it_is_let_in(project: Project) -> None:
    loop = loop_of(project, wait(), concurrency="queue", limits={"wall_clock_timeout": "1h"})
    first, second = begin(loop), begin(loop)
    work_off()
    assert fresh(second).wall_clock_deadline_at is None

    with time_machine.travel(timezone.now() + timedelta(minutes=50), tick=True):
        end(first)
        deadline = fresh(second).wall_clock_deadline_at
        assert deadline is not None
        assert timedelta(minutes=59) < deadline - timezone.now() <= timedelta(hours=1)


def test_the_same_key_gives_the_queued_run_again(project: Project) -> None:
    loop = loop_of(project, wait(), concurrency="queue")
    begin(loop)
    queued = begin(loop, key="k")

    assert begin(loop, key="k").pk == queued.pk
    assert Run.objects.count() == 2


def test_a_trigger_s_own_policy_lets_several_run_side_by_side(project: Project) -> None:
    trigger = {"kind": "manual", "concurrency_policy": "queue", "max_concurrent_runs": 2}
    loop = loop_of(project, wait(), triggers=[trigger])
    runs = [begin(loop) for _ in range(4)]
    work_off()
    assert statuses(*runs) == ["suspended", "suspended", "queued", "queued"]
    assert fresh(runs[2]).queue_reason == "trigger_concurrency"

    end(runs[1])

    assert statuses(*runs) == ["suspended", "completed", "suspended", "queued"]


# --- skip ---


def test_skip_refuses_a_start_while_a_run_is_active(project: Project) -> None:
    loop = loop_of(project, wait(), concurrency="skip")
    first = begin(loop, key="k")
    work_off()

    with pytest.raises(LoopBusy, match="still active"):
        begin(loop)
    assert begin(loop, key="k").pk == first.pk, "a repeated start is no second run"
    assert Run.objects.count() == 1

    end(first)
    begin(loop)
    assert Run.objects.count() == 2


# --- replace ---


def test_replace_cancels_the_run_before(project: Project) -> None:
    loop = loop_of(project, wait(), concurrency="replace")
    first = begin(loop, key="k")
    work_off()
    assert begin(loop, key="k").pk == first.pk
    assert fresh(first).status == RunStatus.SUSPENDED, "a repeated start replaces nothing"

    second = begin(loop)
    work_off()

    replaced = fresh(first)
    assert (replaced.status, replaced.stop_reason) == (RunStatus.CANCELLED, "replaced")
    assert log_of(first)[-1] == "run.cancelled"
    assert fresh(second).status == RunStatus.SUSPENDED


# --- changes of the policy ---


def test_runs_from_before_the_policy_count_for_it(project: Project) -> None:
    loop = loop_of(project, wait())
    first, second = begin(loop), begin(loop)
    work_off()

    update_loop(loop, {"concurrency": "queue"})
    third = begin(loop)
    work_off()
    assert statuses(first, second, third) == ["suspended", "suspended", "queued"]
    end(first)
    assert fresh(third).status == "queued", "one is still active"
    end(second)

    assert fresh(third).status == "suspended"


def test_allow_lets_everybody_go(project: Project) -> None:
    loop = loop_of(project, wait(), concurrency="queue")
    runs = [begin(loop) for _ in range(3)]
    work_off()

    update_loop(loop, {"concurrency": "allow"})
    work_off()

    assert statuses(*runs) == ["suspended"] * 3


def test_a_change_to_replace_does_not_let_the_old_queue_in_beside_the_new_run(project: Project) -> None:
    loop = loop_of(project, wait(), concurrency="queue")
    first, queued = begin(loop), begin(loop)
    work_off()

    update_loop(loop, {"concurrency": "replace"})
    newest = begin(loop)
    work_off()

    assert statuses(first, queued, newest) == ["cancelled", "cancelled", "suspended"]


def test_a_retried_run_waits_for_its_turn_like_a_new_one(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(REFUSED)
    loop = loop_of(project, push(), wait(), concurrency="queue")
    failed = begin(loop)
    work_off()
    active = begin(loop)
    work_off()
    assert statuses(failed, active) == ["failed", "suspended"]

    retry(fresh(failed), by=SYSTEM)
    work_off()
    assert (fresh(failed).status, fresh(failed).queue_reason) == ("queued", "loop_policy")
    end(active)

    assert statuses(failed, active) == ["suspended", "completed"]


def test_a_retry_beside_an_active_run_is_skipped_where_starts_are(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(REFUSED)
    loop = loop_of(project, push(), wait(), concurrency="skip")
    failed = begin(loop)
    work_off()
    begin(loop)

    with pytest.raises(LoopBusy):
        retry(fresh(failed), by=SYSTEM)

    assert (fresh(failed).status, fresh(failed).attempt) == ("failed", 1)


def test_under_allow_a_start_and_a_run_cost_no_statement_more(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    allow, queue = loop_of(project, push()), loop_of(project, push(), concurrency="queue")

    def for_the_policy(loop: Loop) -> list[str]:
        begin(loop)
        work_off()  # once before, so that what is read once a process is read
        with CaptureQueriesContext(connection) as captured:
            advance(begin(loop).pk)
        return [one["sql"] for one in captured if re.search(r'WHERE.*"governed"|^UPDATE "loops_loop"', one["sql"])]

    assert for_the_policy(allow) == []
    assert for_the_policy(queue) != []


# --- pause after failures ---

THREE = {"limits": {"pause_after_consecutive_failures": 3}}


def test_a_loop_pauses_itself_after_so_many_failures_in_a_row(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    loop = loop_of(project, push(), **THREE)
    for fails in (True, True, False, True, True):
        if fails:
            clay.next_answers(Behaviour(fail=400))
        begin(loop)
        work_off()
        assert Loop.objects.get(pk=loop.pk).status == LoopStatus.ACTIVE
    cancel(begin(loop), by=SYSTEM)  # counts neither way
    clay.next_answers(Behaviour(fail=400))
    begin(loop)
    work_off()

    paused = Loop.objects.get(pk=loop.pk)
    assert paused.status == LoopStatus.PAUSED
    assert paused.paused_because.startswith("3 runs in a row failed, the last with: Clay answered 400")
    event = AuditEvent.objects.get(action="loop.pause")
    assert (event.actor_kind, event.object_id, event.reason) == ("system", loop.pk, paused.paused_because)
    with pytest.raises(LoopPaused):
        begin(loop)


def test_resuming_the_loop_sets_the_count_back(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    loop = loop_of(project, push(), limits={"pause_after_consecutive_failures": 1})
    clay.next_answers(REFUSED)
    begin(loop)
    work_off()
    assert Loop.objects.get(pk=loop.pk).status == LoopStatus.PAUSED

    resumed = update_loop(loop, {"status": "active"})

    assert (resumed.status, resumed.failures_in_a_row, resumed.paused_because) == (LoopStatus.ACTIVE, 0, "")
    assert begin(loop).status == RunStatus.QUEUED


def test_a_loop_without_the_limit_counts_nothing(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(REFUSED)
    run = go(project, push())

    assert (run.status, Loop.objects.get().failures_in_a_row) == (RunStatus.FAILED, 0)


def test_a_person_s_pause_is_not_explained_by_the_console(project: Project) -> None:
    loop = loop_of(project, push(), **THREE)

    assert update_loop(loop, {"status": "paused"}).paused_because == ""
