"""Workers that say they are alive, and what becomes of the runs of one that does not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from integrations import delivering
from integrations.models import Attempt, AttemptKind, AttemptState, Integration, Webhook
from integrations.providers.clay.simulator import ClaySimulator
from loops import workers
from loops.advance import advance
from loops.models import Loop, Run, RunStatus, Worker
from loops.starting import Start, start_run
from mobius import clock
from mobius.engine import liveness
from tests.cast import work_off

pytestmark = pytest.mark.django_db
ADA = Start(event={"email": "ada@example.com"}, meta={}, config={}, source={})


def silent(name: str, seconds: float = 16) -> None:
    Worker.objects.filter(pk=name).update(beaten_at=clock.now() - timedelta(seconds=seconds))


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> str:
    """This process, known and alive."""
    name = workers.beat("")
    monkeypatch.setattr(liveness, "_last", (name, liveness.time.monotonic()))
    return name


def dies_on_the_wire(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as died, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        died.setattr(delivering, "send", die)
        advance(run.pk)


def test_who_says_so_in_time_keeps_its_name_and_who_was_silent_for_too_long_gets_another() -> None:
    name = workers.beat("")
    silent(name, seconds=14)
    assert workers.beat(name) == name
    silent(name, seconds=16)
    assert workers.beat(name) != name


def test_a_run_bears_its_worker_s_name_only_while_it_is_worked_on(
    push_leads: Loop, integration: Integration, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, hanging = (start_run(loop=push_leads, start=ADA).run for _ in range(2))
    advance(ended.pk)
    dies_on_the_wire(hanging, monkeypatch)
    assert [Run.objects.get(pk=run.pk).worker for run in (ended, hanging)] == ["", worker]


def test_a_living_worker_s_row_is_never_put_in_doubt(
    push_leads: Loop, integration: Integration, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies_on_the_wire(start_run(loop=push_leads, start=ADA).run, monkeypatch)
    silent(worker, seconds=14)
    workers.give_up_silent(now=clock.now())
    assert Attempt.objects.get().state == AttemptState.SENDING


@pytest.mark.parametrize("known", [True, False], ids=["silent", "unknown"])
def test_what_a_silent_worker_had_on_the_wire_is_in_doubt(
    push_leads: Loop, integration: Integration, worker: str, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    run = start_run(loop=push_leads, start=ADA).run
    dies_on_the_wire(run, monkeypatch)
    silent(worker)
    if not known:
        Worker.objects.all().delete()
    workers.give_up_silent(now=clock.now())

    run.refresh_from_db()
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT
    assert (run.status, run.worker, run.steps.get().error_type) == (RunStatus.SUSPENDED, "", "delivery_in_doubt")
    assert (Webhook.objects.get().in_flight, Webhook.objects.get().used) == (0, 1)


def test_what_a_silent_worker_had_not_sent_goes_on_with_another(
    push_leads: Loop, integration: Integration, clay: ClaySimulator
) -> None:
    run = start_run(loop=push_leads, start=ADA).run
    Run.objects.filter(pk=run.pk).update(status=RunStatus.RUNNING, worker="wrk_gone", claim=1)
    workers.give_up_silent(now=clock.now())
    work_off()
    assert Run.objects.get().status == RunStatus.COMPLETED
    assert len(clay.rows) == 1


def test_what_a_silent_worker_had_taken_and_not_begun_is_due_at_once(push_leads: Loop) -> None:
    run = start_run(loop=push_leads, start=ADA).run
    later = clock.now() + timedelta(seconds=60)
    Run.objects.filter(pk=run.pk).update(worker="wrk_gone", rings=1, ring_due_at=later)
    workers.give_up_silent(now=clock.now())
    found = Run.objects.to_ring(clock.now()).get()
    assert (found.pk, found.worker, found.status) == (run.pk, "", RunStatus.QUEUED)


def test_a_worker_that_leaves_gives_up_at_once_what_it_could_not_end(
    push_leads: Loop, integration: Integration, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies_on_the_wire(start_run(loop=push_leads, start=ADA).run, monkeypatch)
    workers.leave(worker)
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT
    assert not Worker.objects.exists()


def test_a_worker_that_may_not_send_any_more_sends_nothing_and_the_run_goes_on(
    push_leads: Loop, integration: Integration, clay: ClaySimulator, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start_run(loop=push_leads, start=ADA).run
    may = iter([False])
    monkeypatch.setattr(liveness, "may_send", lambda taken_by: next(may, True))
    advance(run.pk)
    assert (Run.objects.get().status, clay.rows) == (RunStatus.SUSPENDED, []), "it is left to others"
    work_off()

    assert [attempt.state for attempt in Attempt.objects.order_by("id")] == ["not_sent", "accepted"]
    assert Run.objects.get().status == RunStatus.COMPLETED
    assert len(clay.rows) == 1
    assert (Webhook.objects.get().in_flight, Webhook.objects.get().used) == (0, 1)


def test_a_test_that_nobody_recorded_for_a_minute_is_in_doubt(
    push_leads: Loop, integration: Integration, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies_on_the_wire(start_run(loop=push_leads, start=ADA).run, monkeypatch)
    Attempt.objects.update(kind=AttemptKind.TEST, run_id="", created_at=clock.now() - timedelta(seconds=61))
    workers.give_up_silent(now=clock.now())
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT
