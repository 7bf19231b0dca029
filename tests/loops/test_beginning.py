"""A run whose first turn is played where it is started, because a worker is free to carry it on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.db import transaction

from integrations.models import Attempt, AttemptState, Integration, IntegrationStatus, LedgerEntry, Webhook
from integrations.providers.clay.simulator import ClaySimulator
from loops import playing
from loops.models import Loop, Run, RunStatus, Step
from loops.operating import cancel
from loops.starting import Start, start_run
from mobius.engine import embedded
from mobius.engine.doorbell import Answer, current_answer
from mobius.engine.pool import Pool
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from tests.cast import wait_until
from tests.loops import flow
from tests.loops.flow import loop_of

if settings.MOBIUS_ENGINE != "embedded":
    pytest.skip("only the embedded engine starts and works in one process", allow_module_level=True)
pytestmark = pytest.mark.django_db(transaction=True)


def start_with(key: str = "") -> Start:
    return Start(event={"email": "ada@example.com"}, meta={}, config={}, source={}, idempotency_key=key)


@pytest.fixture
def pool() -> Iterator[Pool]:
    """A pool of two threads that have not begun to work, so that a test sees what is handed to them."""
    pool = Pool(current_answer(), threads=2)
    embedded.use_pool(pool)
    yield pool
    embedded.use_pool(None)
    if all(thread.ident is None for thread in pool._threads):
        pool.start()
    assert pool.stop(patience_seconds=10)


@pytest.mark.usefixtures("integration")
def test_the_run_its_step_and_its_attempt_are_committed_together_before_anything_is_sent(
    push_leads: Loop, clay: ClaySimulator, pool: Pool
) -> None:
    with transaction.atomic():
        started = start_run(loop=push_leads, start=start_with())
        assert pool._rung.qsize() == 0, "nothing is handed over before the commit"
    assert started.run.status == RunStatus.QUEUED, "the caller is told what he began with"
    assert Run.objects.get().status == RunStatus.RUNNING
    assert Attempt.objects.get().state == AttemptState.SENDING
    assert clay.rows == []
    pool.start()
    wait_until(lambda: Run.objects.get().status == RunStatus.COMPLETED)
    assert len(clay.rows) == 1
    assert list(Step.objects.values_list("status", flat=True)) == ["completed"]


@pytest.mark.usefixtures("integration")
def test_a_start_that_is_rolled_back_leaves_nothing_and_gives_the_worker_back(
    push_leads: Loop, clay: ClaySimulator, pool: Pool
) -> None:
    for _ in range(3):
        with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012
            start_run(loop=push_leads, start=start_with())
            raise RuntimeError
    assert not Run.objects.exists()
    assert not Attempt.objects.exists()
    assert Webhook.objects.get().in_flight == 0
    places = [pool.keep_place(), pool.keep_place()]
    assert all(places), "both threads are free"
    assert pool.keep_place() is None


@pytest.mark.usefixtures("integration")
def test_no_more_is_begun_than_there_are_free_workers(push_leads: Loop, clay: ClaySimulator, pool: Pool) -> None:
    for _ in range(5):
        start_run(loop=push_leads, start=start_with())
    statuses = sorted(Run.objects.values_list("status", flat=True))
    assert statuses == ["queued", "queued", "queued", "running", "running"]
    pool.start()
    wait_until(lambda: Run.objects.filter(status=RunStatus.COMPLETED).count() == 5)
    assert len(clay.rows) == 5


@pytest.mark.usefixtures("integration")
def test_a_repeated_key_gets_the_run_that_was_begun_and_takes_nothing(
    push_leads: Loop, clay: ClaySimulator, pool: Pool
) -> None:
    first = start_run(loop=push_leads, start=start_with("lead:1"))
    second = start_run(loop=push_leads, start=start_with("lead:1"))
    assert (second.run.pk, second.created) == (first.run.pk, False)
    assert (Attempt.objects.count(), LedgerEntry.objects.count(), Webhook.objects.get().in_flight) == (1, 1, 1)
    pool.start()
    wait_until(lambda: Run.objects.get().status == RunStatus.COMPLETED)
    assert len(clay.rows) == 1


def test_a_run_that_fails_in_its_first_turn_is_accepted_and_has_failed(push_leads: Loop, pool: Pool) -> None:
    start_run(loop=push_leads, start=start_with())  # nothing is connected
    run = Run.objects.get()
    assert (run.status, run.error_type) == (RunStatus.FAILED, "not_connected")
    assert pool.keep_place() is not None


def test_rows_of_a_paused_integration_wait_without_a_worker(
    push_leads: Loop, integration: Integration, pool: Pool
) -> None:
    Integration.objects.update(status=IntegrationStatus.INACTIVE)
    start_run(loop=push_leads, start=start_with())
    assert Run.objects.get().waits_for == integration.pk
    assert pool._rung.qsize() == 0


@pytest.mark.usefixtures("integration")
def test_a_run_that_waits_for_a_worker_and_is_cancelled_meanwhile_sends_nothing(
    push_leads: Loop, clay: ClaySimulator, pool: Pool
) -> None:
    places = [pool.keep_place(), pool.keep_place()]  # so that nothing is begun
    run = start_run(loop=push_leads, start=start_with()).run
    assert (run.status, pool._rung.qsize()) == (RunStatus.QUEUED, 1)
    cancel(Run.objects.get(), reason="changed my mind", by=SYSTEM)
    places.clear()
    pool.start()
    assert pool.stop(patience_seconds=10)
    assert (Run.objects.get().status, clay.rows) == (RunStatus.CANCELLED, [])


@pytest.mark.usefixtures("integration")
def test_of_the_same_row_brought_by_many_at_once_one_is_sent(project: Project, clay: ClaySimulator, pool: Pool) -> None:
    row = {"payload": {"email": "${{ event.email }}"}, "request_id": "the same"}
    loop = loop_of(project, flow.push(row=row))
    places = [pool.keep_place(), pool.keep_place()]
    for _ in range(6):
        start_run(loop=loop, start=start_with())
    places.clear()
    pool.start()
    wait_until(lambda: not Run.objects.active().exclude(status=RunStatus.SUSPENDED).exists())
    for _ in range(20):
        current_answer().sweep()
        if not Run.objects.active().exists():
            break
        time.sleep(0.1)
    assert Run.objects.filter(status=RunStatus.COMPLETED).count() == 6
    assert len(clay.rows) == 1
    assert (LedgerEntry.objects.count(), Webhook.objects.get().used, Webhook.objects.get().in_flight) == (1, 1, 0)


@pytest.mark.usefixtures("integration")
def test_a_fault_of_ours_in_the_first_turn_does_not_cost_the_caller_his_start(
    push_leads: Loop, pool: Pool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(playing, "reserve_row", fault)
    with caplog.at_level(logging.CRITICAL):
        assert start_run(loop=push_leads, start=start_with()).created
        assert Run.objects.get().status == RunStatus.QUEUED
        pool.start()
        wait_until(lambda: Run.objects.get().status == RunStatus.FAILED)
    assert Run.objects.get().error_type == "internal_error"


@pytest.mark.usefixtures("integration")
def test_what_was_begun_is_carried_on_although_the_pool_is_closing(
    push_leads: Loop, clay: ClaySimulator, pool: Pool
) -> None:
    start_run(loop=push_leads, start=start_with())
    pool._closing.set()
    start_run(loop=push_leads, start=start_with())  # rung only
    pool.start()
    assert pool.stop(patience_seconds=10)
    assert len(clay.rows) == 1
    assert Attempt.objects.get().state == AttemptState.ACCEPTED
    assert Run.objects.filter(status=RunStatus.QUEUED).count() == 1


def test_a_pool_hands_out_each_free_thread_once_and_none_while_it_works() -> None:
    going, done = threading.Event(), threading.Event()

    def advance(run_id: str, go_on: Callable[[], bool]) -> None:
        going.set()
        done.wait(10)

    pool = Pool(Answer(advance=advance, recover=lambda: None, sweep=lambda: 1.0), threads=1)
    pool.start()
    pool.put("run_1")
    assert going.wait(10)
    assert pool.keep_place() is None
    done.set()
    wait_until(lambda: pool.keep_place() is not None)
    assert pool.stop(patience_seconds=10)
