"""A commit whose answer never came, as when the database ends a connection: it may have happened, or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F

from integrations.models import Attempt, AttemptState, Integration, LedgerEntry, Webhook
from integrations.providers.clay.simulator import ClaySimulator
from loops.advance import advance, begin_all
from loops.models import Run, RunEvent, RunStatus
from mobius import clock
from mobius.engine import trouble
from mobius.projects.models import Project
from tests.loops.flow import NAP, begin, loop_of, push

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lose_the_answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Of so many commits from now on, of the last."""
    monkeypatch.setattr(trouble.time, "sleep", lambda _seconds: None)
    commit = BaseDatabaseWrapper._commit
    left, happens = [0], [True]

    def commits_and_fails(self: BaseDatabaseWrapper) -> None:
        left[0] -= 1
        if left[0] != 0 or happens[0]:
            commit(self)
        if left[0] == 0:
            raise OperationalError("the connection was closed")

    def lose(number: int, *, commits: bool = True) -> None:
        left[0], happens[0] = number, commits
        monkeypatch.setattr(BaseDatabaseWrapper, "_commit", commits_and_fails)

    yield lose
    assert left[0] <= 0, "so many commits there were"


def assert_each_was_sent_once(clay: ClaySimulator, rows: int) -> None:
    run = Run.objects.get()
    assert (run.status, run.stop_reason) == (RunStatus.COMPLETED, "completed")
    assert len(clay.rows) == rows
    assert list(Attempt.objects.values_list("state", flat=True)) == [AttemptState.ACCEPTED] * rows
    assert (LedgerEntry.objects.count(), Webhook.objects.get().used, Webhook.objects.get().in_flight) == (rows, rows, 0)
    log = list(RunEvent.objects.order_by("sequence").values_list("event_type", flat=True))
    assert (log.count("run.started"), log.count("step.completed"), log.count("run.completed")) == (1, rows, 1)


def two_rows(project: Project) -> list[str]:
    row = {"payload": {"email": "${{ event.email }}"}}
    loop = loop_of(project, *(push(key, row=row | {"request_id": f"{key}-1"}) for key in ("one", "two")))
    return [begin(loop).pk]


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.usefixtures("integration")
def test_the_run_goes_on_from_what_was_committed(
    project: Project, clay: ClaySimulator, lose_the_answer: Callable[[int], None], number: int
) -> None:
    (run_id,) = two_rows(project)
    lose_the_answer(number)
    advance(run_id)

    assert_each_was_sent_once(clay, rows=2)


@pytest.mark.usefixtures("integration")
def test_so_do_runs_that_were_begun_together(
    project: Project, clay: ClaySimulator, lose_the_answer: Callable[[int], None]
) -> None:
    runs = two_rows(project)
    lose_the_answer(1)
    for work in begin_all(runs, lambda: True).values():
        work(lambda: True)

    assert_each_was_sent_once(clay, rows=2)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="on SQLite what is due is rung")
def test_so_does_one_that_was_due_and_only_taken(project: Project, lose_the_answer: Callable[[int], None]) -> None:
    begin(loop_of(project, NAP, concurrency="queue"))
    Run.objects.update(ring_due_at=clock.now())
    lose_the_answer(1)
    for work in begin_all([], lambda: True, 10).values():
        work(lambda: True)

    assert Run.objects.get().status == RunStatus.COMPLETED


@pytest.mark.usefixtures("integration")
def test_a_run_that_was_taken_over_meanwhile_is_left_to_its_new_worker(
    project: Project, clay: ClaySimulator, lose_the_answer: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_id,) = two_rows(project)
    lose_the_answer(1)

    def is_given_up(_seconds: float) -> None:
        Attempt.objects.update(state=AttemptState.IN_DOUBT)
        Run.objects.update(claim=7, revision=7)

    monkeypatch.setattr(trouble.time, "sleep", is_given_up)
    advance(run_id)

    assert clay.rows == []
    assert Run.objects.get().claim == 7


def somebody_takes_it() -> None:
    """As another worker would, from the same state: the guards are what ours would have been."""
    Run.objects.update(status=RunStatus.RUNNING, claim=F("claim") + 1, revision=F("revision") + 1)


@pytest.mark.usefixtures("integration")
def test_a_run_that_another_took_after_a_commit_that_did_not_happen_is_not_taken_for_ours(
    project: Project, clay: ClaySimulator, lose_the_answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_id,) = two_rows(project)
    lose_the_answer(1, commits=False)
    monkeypatch.setattr(trouble.time, "sleep", lambda _seconds: somebody_takes_it())
    advance(run_id)

    assert (clay.rows, Attempt.objects.count()) == ([], 0)


@pytest.mark.usefixtures("integration")
def test_an_outcome_that_was_not_committed_is_written_although_a_callback_changed_the_run_meanwhile(
    project: Project, clay: ClaySimulator, lose_the_answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = loop_of(project, push(row={"payload": {"email": "${{ event.email }}"}, "request_id": "one-1"}))
    run_id = begin(loop).pk
    lose_the_answer(2, commits=False)
    monkeypatch.setattr(trouble.time, "sleep", lambda _seconds: Run.objects.update(revision=F("revision") + 1))
    advance(run_id)

    assert_each_was_sent_once(clay, rows=1)


@pytest.mark.usefixtures("integration")
def test_an_outcome_that_was_committed_is_not_played_again_although_somebody_changed_the_run_since(
    project: Project, clay: ClaySimulator, lose_the_answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"payload": {"email": "${{ event.email }}"}, "request_id": "one-1"}
    run_id = begin(loop_of(project, push(row=row), NAP)).pk
    lose_the_answer(2)
    monkeypatch.setattr(trouble.time, "sleep", lambda _seconds: Run.objects.update(revision=F("revision") + 1))
    advance(run_id)

    assert Attempt.objects.get().state == AttemptState.ACCEPTED
    assert Webhook.objects.get().in_flight == 0
    assert RunEvent.objects.filter(event_type="action.completed").count() == 1


def test_the_database_is_asked_only_after_such_trouble(
    project: Project, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loops.advance._is_written", lambda *_: pytest.fail("nothing was lost"))
    (run_id,) = two_rows(project)
    advance(run_id)

    assert_each_was_sent_once(clay, rows=2)
