"""Who waits for whom where several processes write: two transactions at once, held open where it hurts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from integrations.models import Integration, IntegrationStatus
from integrations.providers.clay.simulator import ClaySimulator
from loops import queue
from loops.advance import advance, begin_all
from loops.authoring import delete_loop, update_loop
from loops.models import Loop, LoopStatus, Run, RunStatus, Trigger
from loops.operating import signal
from loops.triggers.calling import demand_signature, find_http_trigger
from mobius import clock
from mobius.errors import NotFound
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from tests.cast import work_off
from tests.loops.flow import NAP, begin, fresh, loop_of
from tests.loops.runs import wait

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def uncommitted(deed: Callable[[], object]) -> Iterator[None]:
    """`deed` is done in another transaction, which commits only when somebody has waited for it for a while."""
    done = threading.Event()

    def run() -> None:
        try:
            with transaction.atomic():
                deed()
                done.set()
                threading.Event().wait(0.4)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert done.wait(10)
    yield
    thread.join(10)


def test_a_start_beside_the_end_of_a_run_is_not_left_in_the_queue(project: Project) -> None:
    loop = loop_of(project, wait(), concurrency="queue")
    first = begin(loop)
    work_off()
    signal(fresh(first), step_key="wait", result={}, by=SYSTEM)

    started: list[Run] = []
    with uncommitted(lambda: started.append(begin(loop))):
        advance(first.pk)  # ends the run

    assert fresh(first).status == RunStatus.COMPLETED
    assert fresh(started[0]).queue_reason == ""


def test_a_row_that_a_worker_takes_just_now_is_not_discarded(
    integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    Integration.objects.update(status=IntegrationStatus.INACTIVE)
    run = begin(push_leads)
    work_off()

    with uncommitted(lambda: Run.objects.filter(pk=run.pk).update(status=RunStatus.RUNNING)):
        discarded = queue.discard(integration, by=SYSTEM)

    assert (discarded, fresh(run).status) == (0, RunStatus.RUNNING)


def test_discarding_beside_a_new_policy_does_not_leave_the_next_run_in_the_queue(
    integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    Integration.objects.update(status=IntegrationStatus.INACTIVE)
    first = begin(push_leads)
    work_off()

    started: list[Run] = []

    def govern() -> None:
        update_loop(Loop.objects.get(pk=push_leads.pk), {"concurrency": "queue"})
        started.append(begin(push_leads))

    with uncommitted(govern):
        assert queue.discard(integration, by=SYSTEM) == 1

    assert fresh(first).status == RunStatus.CANCELLED
    assert fresh(started[0]).queue_reason == ""


def test_saving_a_loop_keeps_the_signature_that_somebody_demands_meanwhile(project: Project) -> None:
    loop = loop_of(project, wait(), triggers=[{"kind": "http", "key": "form"}])

    with uncommitted(lambda: demand_signature(find_http_trigger(loop, "form"), by=SYSTEM)):
        update_loop(Loop.objects.get(pk=loop.pk), {"description": "new"})

    assert Trigger.objects.get().signed


def test_setting_a_loop_active_does_not_bring_it_back_while_somebody_deletes_it(project: Project) -> None:
    loop = loop_of(project, wait(), triggers=[{"kind": "http", "key": "form"}])

    with uncommitted(lambda: delete_loop(Loop.objects.get(pk=loop.pk))), pytest.raises(NotFound):
        update_loop(loop, {"status": "active"})

    assert Loop.objects.get().status == LoopStatus.DELETED
    assert not Trigger.objects.exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_runs_that_are_begun_together_do_not_wait_for_one_that_another_process_holds(project: Project) -> None:
    loop = loop_of(project, wait())
    first, held = begin(loop), begin(loop)
    holding, begun = threading.Event(), threading.Event()
    waited_for_us: list[bool] = []

    def hold() -> None:
        try:
            with transaction.atomic():
                Run.objects.select_for_update().get(pk=held.pk)
                holding.set()
                waited_for_us.append(begun.wait(5))
        finally:
            connection.close()

    other = threading.Thread(target=hold)
    other.start()
    assert holding.wait(10)
    works = begin_all([first.pk, held.pk], lambda: True)
    begun.set()
    other.join(10)

    assert waited_for_us == [True], "it may need what we hold before it lets go"
    for work in works.values():
        work(lambda: True)
    assert [fresh(run).status for run in (first, held)] == [RunStatus.SUSPENDED] * 2


@pytest.mark.skipif(connection.vendor != "postgresql", reason="on SQLite what is due is rung")
def test_a_run_that_is_due_is_not_held_while_a_start_of_its_loop_holds_that_and_may_want_it(project: Project) -> None:
    loop = loop_of(project, NAP, concurrency="replace")
    run, alone = begin(loop), begin(loop_of(project, NAP, name="free"))
    Run.objects.update(ring_due_at=clock.now())

    works = begin_all([], lambda: True, 10)

    assert set(works) == {run.pk}, "what ended in the common transaction leaves no work"
    assert [fresh(one).status for one in (run, alone)] == [RunStatus.QUEUED, RunStatus.COMPLETED]
    assert fresh(run).ring_due_at > clock.now(), "it is this worker's"
    works[run.pk](lambda: True)
    assert fresh(run).status == RunStatus.COMPLETED
