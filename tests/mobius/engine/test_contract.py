"""What every engine promises. The suite runs once on SQLite and once on PostgreSQL; these tests do not know which."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import transaction

from integrations.models import Attempt, AttemptState
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops import playing
from loops.expressions import Names
from loops.models import Loop, Run, RunStatus
from loops.starting import Start, start_run
from loops.sweeping import sweep
from loops.turn import Turn
from mobius import clock
from mobius.engine.doorbell import ring
from tests.cast import wait_until
from tests.mobius.engine.conftest import Engine

ADA = Start(event={"email": "ada@example.com"}, meta={}, config={}, source={})


def completed() -> int:
    return Run.objects.filter(status=RunStatus.COMPLETED).count()


def test_a_ring_in_a_transaction_is_heard_when_it_commits(engine: Engine) -> None:
    with transaction.atomic():
        ring("run_1")
    assert engine.rung == ["run_1"]


def test_a_start_in_a_transaction_that_rolls_back_rings_nothing_and_sends_nothing(
    engine: Engine, push_leads: Loop, integration: object, clay: ClaySimulator
) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012
        start_run(loop=push_leads, start=ADA)
        raise RuntimeError
    assert engine.rung == []

    engine.start()
    after = start_run(loop=push_leads, start=ADA).run  # what came after it is done, so it would have been done
    wait_until(lambda: completed() == 1)
    assert [row.body["request_id"] for row in clay.rows] == [after.pk]
    assert list(Run.objects.all()) == [after]


def test_runs_are_taken_as_soon_as_they_are_started(
    engine: Engine, push_leads: Loop, integration: object, clay: ClaySimulator
) -> None:
    engine.start()
    runs = [start_run(loop=push_leads, start=ADA).run for _ in range(20)]
    wait_until(lambda: completed() == 20)
    assert sorted(row.body["request_id"] for row in clay.rows) == sorted(run.pk for run in runs)


def test_what_was_rung_before_there_was_a_worker_is_taken_by_the_first_one(
    engine: Engine, push_leads: Loop, integration: object, clay: ClaySimulator
) -> None:
    run = start_run(loop=push_leads, start=ADA).run
    engine.start()
    wait_until(lambda: completed() == 1)
    assert [row.body["request_id"] for row in clay.rows] == [run.pk]


def test_a_run_that_is_rung_many_times_at_once_makes_one_post(
    engine: Engine, push_leads: Loop, integration: object, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(slow=0.2))
    run = start_run(loop=push_leads, start=ADA).run
    for _ in range(30):
        ring(run.pk)
    engine.start()
    wait_until(lambda: completed() == 1)
    engine.stop()
    assert len(clay.rows) == 1
    assert Attempt.objects.get().state == AttemptState.ACCEPTED


def test_a_lost_ring_is_found_once(engine: Engine, push_leads: Loop) -> None:
    run = start_run(loop=push_leads, start=ADA).run
    engine.forget()
    assert engine.find_lost_rings() == [], "it was rung a moment ago"

    Run.objects.filter(pk=run.pk).update(ring_due_at=clock.now() - timedelta(seconds=1))
    assert engine.find_lost_rings() == [run.pk]
    assert engine.find_lost_rings() == [], "and then not again for a while"


def test_a_run_whose_ring_was_lost_is_done_all_the_same(
    engine: Engine, push_leads: Loop, integration: object, clay: ClaySimulator
) -> None:
    run = start_run(loop=push_leads, start=ADA).run
    engine.forget()
    Run.objects.filter(pk=run.pk).update(ring_due_at=clock.now())
    engine.start()
    if settings.MOBIUS_ENGINE == "embedded":
        sweep()  # its ticker does
    wait_until(lambda: completed() == 1)
    assert len(clay.rows) == 1


def test_while_workers_are_awake_a_crowd_of_starts_rings_less_often_than_it_starts(
    engine: Engine, push_leads: Loop, integration: object, clay: ClaySimulator
) -> None:
    if settings.MOBIUS_ENGINE == "embedded":
        pytest.skip("a ring costs nothing within one process")
    runs = [start_run(loop=push_leads, start=ADA).run for _ in range(10)]
    assert engine.rung[0] == runs[0].pk
    assert len(engine.rung) < len(runs)
    engine.start()
    wait_until(lambda: completed() == 10)
    assert len(clay.rows) == 10


def test_a_run_that_meets_a_fault_of_ours_holds_nobody_up_who_is_taken_with_it(
    engine: Engine, push_leads: Loop, integration: object, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [start_run(loop=push_leads, start=ADA).run for _ in range(4)]
    engine.forget()
    Run.objects.update(ring_due_at=clock.now())
    names_for = playing.names_for

    def explode(turn: Turn) -> Names:
        if turn.run.pk == runs[1].pk:
            raise ZeroDivisionError
        return names_for(turn)

    monkeypatch.setattr(playing, "names_for", explode)
    engine.start()
    if settings.MOBIUS_ENGINE == "embedded":
        sweep()
    wait_until(lambda: completed() == 3)
    wait_until(lambda: Run.objects.get(pk=runs[1].pk).error_type == "internal_error")
    assert sorted(row.body["request_id"] for row in clay.rows) == sorted({run.pk for run in runs} - {runs[1].pk})


def test_a_stop_takes_no_new_run_waits_for_the_sends_and_leaves_nothing_in_hand(
    engine: Engine, push_leads: Loop, integration: object, clay: ClaySimulator
) -> None:
    clay.next_answers(*[Behaviour(slow=0.4)] * 4)
    for _ in range(12):
        start_run(loop=push_leads, start=ADA)
    engine.start()
    wait_until(lambda: Attempt.objects.filter(state=AttemptState.SENDING).count() == 4)
    engine.stop()

    states = set(Attempt.objects.values_list("state", flat=True))
    assert states == {AttemptState.ACCEPTED}
    assert not Run.objects.filter(status=RunStatus.RUNNING).exists()
    assert Run.objects.filter(status=RunStatus.QUEUED).count() == 8
