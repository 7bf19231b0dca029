"""The embedded engine: rings, the pool, the queue of writers. What both engines promise is in test_contract.py."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.db.utils import OperationalError

from integrations.models import Attempt, AttemptState
from loops.models import Loop, Run
from loops.starting import Start, start_run
from loops.sweeping import recover, sweep
from mobius import clock
from mobius.engine import embedded
from mobius.engine.doorbell import Answer, ring
from mobius.engine.pool import Pool
from mobius.engine.sqlite3 import base as sqlite
from mobius.engine.ticker import Ticker
from mobius.projects.models import Project
from tests.cast import wait_until

if settings.MOBIUS_ENGINE != "embedded":
    pytest.skip("the engine of SQLite", allow_module_level=True)

EMPTY = Start(event={"email": "ada@example.com"}, meta={}, config={}, source={})


class Rung:
    """A pool that only remembers."""

    is_behind = False

    def __init__(self) -> None:
        self.runs: list[str] = []

    def put(self, run_id: str) -> None:
        self.runs.append(run_id)

    def keep_place(self) -> None:
        return None


@pytest.fixture
def rung() -> Iterator[Rung]:
    pool = Rung()
    embedded.use_pool(pool)  # type: ignore[arg-type]
    yield pool
    embedded.use_pool(None)


@pytest.mark.django_db(transaction=True)
def test_a_ring_in_a_transaction_is_heard_when_it_commits(rung: Rung) -> None:
    with transaction.atomic():
        ring("run_1")
        assert rung.runs == []
    assert rung.runs == ["run_1"]


@pytest.mark.django_db(transaction=True)
def test_a_start_in_a_transaction_that_rolls_back_rings_nothing_and_leaves_no_run(rung: Rung, push_leads: Loop) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012
        start_run(loop=push_leads, start=EMPTY)
        raise RuntimeError
    assert rung.runs == []
    assert not Run.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_process_without_a_pool_touches_the_ring_file(settings: object, tmp_path: Path) -> None:
    settings.MOBIUS_DATA_DIR = tmp_path  # type: ignore[attr-defined]
    ring("run_1")
    assert (tmp_path / "ring").exists()


@pytest.mark.django_db(transaction=True)
def test_a_lost_ring_is_found_by_the_sweep(rung: Rung, push_leads: Loop) -> None:
    run = start_run(loop=push_leads, start=EMPTY).run
    rung.runs.clear()
    sweep()
    assert rung.runs == [], "it was rung a moment ago"

    Run.objects.filter(pk=run.pk).update(ring_due_at=clock.now() - timedelta(seconds=1))
    sweep()
    sweep()
    assert rung.runs == [run.pk], "once, and then not again for a while"


@pytest.mark.django_db(transaction=True)
def test_what_was_on_the_wire_when_the_process_died_is_in_doubt_and_everything_else_goes_on(
    rung: Rung, push_leads: Loop, integration: object
) -> None:
    from integrations import delivering
    from loops import advance

    sent, queued = (start_run(loop=push_leads, start=EMPTY).run for _ in range(2))
    died = pytest.MonkeyPatch()
    died.setattr(delivering, "send", lambda sending, **_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        advance.advance(sent.pk)
    died.undo()
    assert Attempt.objects.get(run_id=sent.pk).state == AttemptState.SENDING
    rung.runs.clear()

    recover()
    sweep()

    attempt = Attempt.objects.get(run_id=sent.pk)
    assert (attempt.state, attempt.failure) == (AttemptState.IN_DOUBT, "crashed")
    assert (attempt.webhook.in_flight, attempt.webhook.used) == (0, 1)
    assert Run.objects.get(pk=sent.pk).steps.get().error_type == "delivery_in_doubt"
    assert rung.runs == [queued.pk]


def test_the_pool_survives_a_fault_and_hands_nothing_out_once_it_stops() -> None:
    taken: list[str] = []

    def advance(run_id: str, go_on: Callable[[], bool]) -> None:
        taken.append(run_id)
        if run_id == "bad":
            raise ValueError

    pool = Pool(Answer(advance=advance, recover=lambda: None, sweep=lambda: 1.0), threads=1)
    pool.start()
    pool.put("bad")
    pool.put("good")
    wait_until(lambda: taken == ["bad", "good"])
    assert pool.stop(patience_seconds=5)
    pool.put("late")
    assert taken == ["bad", "good"]


def test_the_ticker_sweeps_at_once_when_another_process_rings(tmp_path: Path) -> None:
    swept = threading.Semaphore(0)

    def sweep_slowly() -> float:
        swept.release()
        return 3600.0

    answer = Answer(advance=lambda run_id, go_on: None, recover=lambda: None, sweep=sweep_slowly)
    ticker = Ticker(answer, ring_file=tmp_path / "ring")
    ticker.start()
    assert swept.acquire(timeout=5)
    assert not swept.acquire(timeout=0.3), "the sweep asked to be left alone for an hour"
    (tmp_path / "ring").touch()
    assert swept.acquire(timeout=5)
    ticker.stop()


@pytest.mark.django_db(transaction=True)
def test_writers_queue_on_one_lock_and_give_it_back_however_the_transaction_ends() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has one writer")
    for outcome in (None, ValueError):
        try:
            with transaction.atomic():
                assert sqlite._turn.locked()
                if outcome:
                    raise outcome
        except ValueError:
            pass
        assert not sqlite._turn.locked()


@pytest.mark.django_db(transaction=True)
def test_a_writer_that_waits_too_long_is_told_that_the_database_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has one writer")
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.05)
    with sqlite._turn, pytest.raises(OperationalError, match="database is locked"), transaction.atomic():
        pass


@pytest.mark.django_db(transaction=True)
def test_a_write_outside_of_a_transaction_waits_for_its_turn_and_a_look_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has one writer")
    project = Project.objects.create(handle="platform", name="Platform")
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.05)
    with sqlite._turn:
        assert Project.objects.get() == project
        with pytest.raises(OperationalError, match="other writers of this process"):
            Project.objects.update(name="Another")

    assert Project.objects.update(name="Another") == 1
    assert not sqlite._turn.locked()
