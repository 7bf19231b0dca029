"""What people and clients do while workers are at it: real threads of the engine, rows over real sockets."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from integrations.models import Attempt, AttemptState, Integration, LedgerEntry, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.settling import Decision, NotInDoubt
from loops import callbacks
from loops.models import Run, RunStatus
from loops.operating import cancel
from loops.retrying import CannotGoOn, retry
from loops.settling import settle
from mobius.errors import NotFound
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import AuditEvent, Project
from mobius.working import Works
from tests.cast import wait_until
from tests.loops.flow import LOST, begin, fresh, loop_of
from tests.loops.runs import attempts_of, push, wait

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def engine(settings: Any) -> Iterator[None]:
    settings.MOBIUS_WORKERS = 8
    works = Works()
    works.start()
    yield
    assert works.stop()


def at_once(*deeds: Callable[[], object]) -> list[object]:
    """What each of them gave or raised, done by a thread each that all start at one moment."""
    outcomes: list[object] = [None] * len(deeds)
    start = threading.Barrier(len(deeds))

    def run(number: int, deed: Callable[[], object]) -> None:
        start.wait()
        try:
            outcomes[number] = deed()
        except Exception as error:
            outcomes[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number, deed)) for number, deed in enumerate(deeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return outcomes


def ended(*runs: Run) -> bool:
    return not Run.objects.filter(pk__in=[run.pk for run in runs]).active().exists()


def test_a_cancel_while_a_worker_sends_answers_at_once_and_the_row_keeps_its_outcome(
    project: Project, integration: Integration, clay: ClaySimulator, engine: None
) -> None:
    clay.next_answers(Behaviour(slow=0.5))
    run = begin(loop_of(project, push(), push("never")))
    wait_until(lambda: clay.rows)

    cancelled = cancel(run, by=SYSTEM)

    assert (cancelled.status, attempts_of(run)[0].state) == (RunStatus.CANCELLED, AttemptState.SENDING)
    wait_until(lambda: attempts_of(run)[0].state == AttemptState.ACCEPTED)
    assert len(clay.rows) == 1
    assert (fresh(run).status, fresh(run).revision >= 2) == (RunStatus.CANCELLED, True)
    assert (Webhook.objects.get().used, Webhook.objects.get().in_flight, LedgerEntry.objects.count()) == (1, 0, 1)


def test_cancels_at_any_moment_leave_every_run_ended_and_every_row_accounted_for(
    project: Project, integration: Integration, clay: ClaySimulator, engine: None
) -> None:
    clay.change(slow=0.05)
    loop = loop_of(project, push("one"), push("two"), push("three"))
    runs = [begin(loop) for _ in range(24)]
    wait_until(lambda: clay.rows)

    outcomes = at_once(*[lambda run=run: cancel(run, by=SYSTEM) for run in runs])  # type: ignore[misc]

    assert not [one for one in outcomes if isinstance(one, Exception)]
    wait_until(lambda: not Attempt.objects.sending().exists())
    assert ended(*runs)
    assert Attempt.objects.count() == len(clay.rows) == Webhook.objects.get().used
    assert Webhook.objects.get().in_flight == 0
    assert set(Attempt.objects.values_list("state", flat=True)) == {AttemptState.ACCEPTED}
    assert Run.objects.filter(status=RunStatus.CANCELLED).exists()


def test_of_a_settlement_and_a_callback_exactly_one_ends_the_doubt(
    project: Project, integration: Integration, clay: ClaySimulator, engine: None
) -> None:
    for _ in range(8):
        clay.next_answers(LOST)
        run = begin(loop_of(project, push()))
        wait_until(lambda run=run: [one.state for one in attempts_of(run)] == [AttemptState.IN_DOUBT])  # type: ignore[misc]
        attempt = attempts_of(run)[0]
        rows, used = len(clay.rows), Webhook.objects.get().used

        settled, called_back = at_once(
            lambda attempt=attempt: settle(attempt, Decision.GIVE_UP, reason="race", by=SYSTEM),  # type: ignore[misc]
            lambda run=run: callbacks.receive_by_request_id(project, {"request_id": f"push-{run.pk}"}),  # type: ignore[misc]
        )
        wait_until(lambda run=run: ended(run))  # type: ignore[misc]

        given_up = not isinstance(settled, Exception)
        assert given_up or isinstance(settled, NotInDoubt), settled
        assert fresh(run).status == (RunStatus.FAILED if given_up else RunStatus.COMPLETED)
        assert attempts_of(run)[0].state == (AttemptState.ABANDONED if given_up else AttemptState.ACCEPTED)
        assert Webhook.objects.get().used == used - given_up
        assert len(clay.rows) == rows
        if isinstance(called_back, Exception):
            assert (given_up, type(called_back)) == (True, NotFound), "a row that was given up is not called back for"


def test_of_ten_settlements_one_wins_and_the_row_is_sent_again_at_most_once(
    project: Project, integration: Integration, clay: ClaySimulator, engine: None
) -> None:
    clay.next_answers(LOST)
    run = begin(loop_of(project, push()))
    wait_until(lambda: [one.state for one in attempts_of(run)] == [AttemptState.IN_DOUBT])

    attempt = attempts_of(run)[0]
    outcomes = at_once(
        *[
            lambda: settle(Attempt.objects.get(pk=attempt.pk), Decision.SEND_AGAIN, reason="race", by=SYSTEM)
            for _ in range(10)
        ]
    )
    wait_until(lambda: ended(run))

    assert sum(isinstance(one, Attempt) for one in outcomes) == 1
    assert sum(isinstance(one, NotInDoubt) for one in outcomes) == 9
    assert (fresh(run).status, len(clay.rows)) == (RunStatus.COMPLETED, 1)
    assert AuditEvent.objects.filter(action="delivery.send_again").count() == 1


def test_of_ten_retries_one_wins_and_the_row_goes_out_once(
    project: Project, integration: Integration, clay: ClaySimulator, engine: None
) -> None:
    clay.next_answers(Behaviour(fail=401))
    run = begin(loop_of(project, push()))
    wait_until(lambda: ended(run))
    clay.next_answers(Behaviour(slow=0.3))

    outcomes = at_once(*[lambda: retry(run, by=SYSTEM) for _ in range(10)])
    wait_until(lambda: ended(run))

    assert sum(isinstance(one, Run) for one in outcomes) == 1
    assert sum(isinstance(one, CannotGoOn) for one in outcomes) == 9
    assert (fresh(run).attempt, len(clay.rows)) == (2, 1)


def test_fifty_starts_of_a_queue_loop_run_one_at_a_time_and_all_of_them(
    project: Project, integration: Integration, clay: ClaySimulator, engine: None
) -> None:
    loop = loop_of(project, push(), concurrency="queue")
    most: list[int] = []

    def watch() -> None:
        most.append(Run.objects.governed_by(loop.pk).let_in().count())

    started = at_once(*[lambda: begin(loop) for _ in range(50)])
    assert not [one for one in started if isinstance(one, Exception)]
    wait_until(lambda: watch() or ended(*started), seconds=30)  # type: ignore[func-returns-value, arg-type]

    assert set(Run.objects.values_list("status", flat=True)) == {RunStatus.COMPLETED}
    assert len(clay.rows) == 50
    assert max(most) <= 1
    times = list(Run.objects.order_by("started_at").values_list("started_at", "completed_at"))
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(times)), "two ran side by side"


def test_of_fifty_starts_of_a_replace_loop_one_is_left(project: Project, engine: None) -> None:
    loop = loop_of(project, wait(), concurrency="replace")

    started = at_once(*[lambda: begin(loop) for _ in range(50)])

    assert not [one for one in started if isinstance(one, Exception)]
    wait_until(lambda: Run.objects.filter(status=RunStatus.SUSPENDED, wake_at=None).count() == 1)
    assert Run.objects.filter(status=RunStatus.CANCELLED, stop_reason="replaced").count() == 49
    assert Run.objects.active().count() == 1


def test_of_fifty_starts_of_a_skip_loop_one_is_taken(project: Project, engine: None) -> None:
    loop = loop_of(project, wait(), concurrency="skip")

    started = at_once(*[lambda: begin(loop) for _ in range(50)])

    assert sum(isinstance(one, Run) for one in started) == 1
    assert Run.objects.count() == 1
