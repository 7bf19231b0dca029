"""Bulk jobs: one deed for all that the filters find, each thing once, whatever happens in between."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from integrations.models import Attempt, AttemptState, Integration, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops import bulk, sweeping
from loops.models import BulkDeed, BulkJob, BulkState, Run, RunStatus
from loops.operating import cancel as cancel_run
from loops.retrying import retry
from loops.selecting import Selection
from mobius import clock
from mobius.errors import InvalidFields
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import AuditEvent, Project
from tests.cast import work_off
from tests.loops.flow import LOST, begin, fresh, loop_of
from tests.loops.runs import push, wait

pytestmark = pytest.mark.django_db
REFUSED = Behaviour(fail=401)
YESTERDAY = datetime(2026, 3, 2, tzinfo=UTC)


def runs_of(project: Project, clay: ClaySimulator, number: int, answer: Behaviour) -> list[Run]:
    """Runs of one loop whose rows are answered so."""
    loop = loop_of(project, push())
    clay.next_answers(*[answer] * number)
    started = [begin(loop) for _ in range(number)]
    work_off()
    Integration.objects.update(status="active", attention="")  # a row of refusals pauses it
    return [fresh(run) for run in started]


def start(project: Project, deed: BulkDeed, selection: Selection | None = None, **given: Any) -> BulkJob:
    given = {"asked_at": clock.now(), "reason": "looked into the table", "by": SYSTEM} | given
    return bulk.start(project, deed, selection or Selection(), **given)


def to_the_end(job: BulkJob) -> BulkJob:
    for _ in range(50):
        if not bulk.work_off():
            break
    return BulkJob.objects.get(pk=job.pk)


def test_all_failed_runs_are_retried_and_each_row_goes_out_once(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    runs = runs_of(project, clay, 3, REFUSED)

    job = to_the_end(start(project, BulkDeed.RETRY))
    work_off()

    assert (job.state, job.total, job.done, job.left_alone) == (BulkState.COMPLETED, 3, 3, 0)
    assert {fresh(run).status for run in runs} == {RunStatus.COMPLETED}
    assert len(clay.rows) == 3


def test_a_run_that_fails_again_is_not_retried_again(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    (run,) = runs_of(project, clay, 1, REFUSED)
    clay.next_answers(REFUSED, REFUSED)
    job = start(project, BulkDeed.RETRY)
    bulk._do_next(job.pk)
    work_off()

    job = to_the_end(job)

    assert (job.state, job.done) == (BulkState.COMPLETED, 1)
    assert (fresh(run).status, fresh(run).attempt) == (RunStatus.FAILED, 2)


def test_what_failed_after_the_question_was_shown_is_left_out(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    (before,) = runs_of(project, clay, 1, REFUSED)
    asked_at = clock.now()
    (after,) = runs_of(project, clay, 1, REFUSED)

    job = to_the_end(start(project, BulkDeed.RETRY, asked_at=asked_at))

    assert job.total == job.done == 1
    assert fresh(before).attempt == 2
    assert fresh(after).attempt == 1


def test_the_filters_say_which_runs(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    (one,) = runs_of(project, clay, 1, REFUSED)
    (other,) = runs_of(project, clay, 1, REFUSED)

    to_the_end(start(project, BulkDeed.RETRY, Selection(of=one.loop_id)))

    assert (fresh(one).attempt, fresh(other).attempt) == (2, 1)


def test_what_cannot_be_done_is_left_alone_with_the_reason(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    doubtful, refused = *runs_of(project, clay, 1, Behaviour(fail=500)), *runs_of(project, clay, 1, REFUSED)

    job = to_the_end(start(project, BulkDeed.RETRY))

    assert (job.done, job.left_alone) == (1, 1)
    (trouble,) = job.trouble
    assert trouble["id"] == doubtful.pk
    assert "Settle that delivery first" in trouble["reason"]
    assert fresh(refused).attempt == 2


def test_runs_are_cancelled_with_one_line_each_and_one_for_the_job(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    loop = loop_of(project, wait())
    runs = [begin(loop) for _ in range(2)]
    work_off()

    job = to_the_end(start(project, BulkDeed.CANCEL, reason="wrong file"))

    assert {fresh(run).status for run in runs} == {RunStatus.CANCELLED}
    lines = AuditEvent.objects.filter(action="run.cancel")
    assert {line.object_id for line in lines} == {run.pk for run in runs}
    assert {line.reason for line in lines} == {f"wrong file (bulk job {job.pk})"}
    assert AuditEvent.objects.get(action="bulk_job.start").object_id == job.pk


@pytest.mark.parametrize(
    ("deed", "state", "used"),
    [
        (BulkDeed.ARRIVED, AttemptState.ACCEPTED, 2),
        (BulkDeed.GIVE_UP, AttemptState.ABANDONED, 0),
        (BulkDeed.SEND_AGAIN, AttemptState.ABANDONED, 0),
    ],
)
def test_deliveries_in_doubt_are_settled(
    project: Project, integration: Integration, clay: ClaySimulator, deed: BulkDeed, state: AttemptState, used: int
) -> None:
    runs_of(project, clay, 2, LOST)

    job = to_the_end(start(project, deed))

    assert job.done == 2
    assert set(Attempt.objects.values_list("state", flat=True)) == {state}
    assert Webhook.objects.get().used == used
    work_off()
    assert len(clay.rows) == (2 if deed == BulkDeed.SEND_AGAIN else 0)


def test_settling_needs_to_know_how(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    runs_of(project, clay, 1, LOST)

    with pytest.raises(InvalidFields, match="reason"):
        start(project, BulkDeed.ARRIVED, reason=" ")

    assert not BulkJob.objects.exists()


def test_nothing_to_do_starts_nothing(project: Project) -> None:
    with pytest.raises(bulk.NothingToDo):
        start(project, BulkDeed.RETRY)

    assert not BulkJob.objects.exists()


@pytest.fixture
def two_failed(project: Project, integration: Integration, clay: ClaySimulator) -> list[Run]:
    return runs_of(project, clay, 2, REFUSED)


def test_the_same_answer_twice_starts_one_job_also_when_it_has_ended(project: Project, two_failed: list[Run]) -> None:
    asked_at = clock.now()
    job = start(project, BulkDeed.RETRY, asked_at=asked_at)

    assert start(project, BulkDeed.RETRY, asked_at=asked_at) == job
    to_the_end(job)
    assert start(project, BulkDeed.RETRY, asked_at=asked_at) == job
    assert BulkJob.objects.count() == AuditEvent.objects.filter(action="bulk_job.start").count() == 1


def test_a_second_job_waits_until_the_first_has_ended(project: Project, two_failed: list[Run]) -> None:
    start(project, BulkDeed.RETRY)

    with pytest.raises(bulk.AnotherBulkJob):
        start(project, BulkDeed.RETRY)


@pytest.mark.parametrize("change", [{"asked_at": YESTERDAY}, {"state": BulkState.COMPLETED}])
def test_the_database_keeps_them_apart(project: Project, two_failed: list[Run], change: dict[str, Any]) -> None:
    """Whoever forgets to ask: a second one that is running, or a second answer to one question."""
    job = start(project, BulkDeed.RETRY)
    values = {field.attname: getattr(job, field.attname) for field in BulkJob._meta.fields} | {"id": "bulk_2"}

    with pytest.raises(IntegrityError), transaction.atomic():
        BulkJob.objects.create(**values | change)


def test_a_job_that_is_stopped_does_no_more(project: Project, two_failed: list[Run]) -> None:
    job = start(project, BulkDeed.RETRY)
    bulk._do_next(job.pk)

    job = bulk.cancel(job, by=SYSTEM)
    bulk.work_off()

    assert (job.state, job.done) == (BulkState.CANCELLED, 1)
    assert sorted(fresh(run).attempt for run in two_failed) == [1, 2]
    assert AuditEvent.objects.get(action="bulk_job.cancel").reason == "After 1 of 2."


class Crash(Exception):
    """The process ends here."""


@pytest.mark.parametrize("at", ["after the deed", "before the progress is written"])
def test_a_crash_leaves_the_deed_and_the_progress_or_neither(project: Project, two_failed: list[Run], at: str) -> None:
    """The connection breaks at the statement that writes the progress: the deed of before it is undone with it."""
    job = start(project, BulkDeed.RETRY)

    def break_off(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith('UPDATE "loops_bulkjob"'):
            if at == "after the deed":
                raise Crash
            execute(sql, *rest)
            raise Crash
        return execute(sql, *rest)

    with connection.execute_wrapper(break_off), pytest.raises(Crash):
        bulk._do_next(job.pk)
    assert [fresh(run).attempt for run in two_failed] == [1, 1]
    assert BulkJob.objects.get().looked_at == 0

    job = to_the_end(job)

    assert (job.state, job.done) == (BulkState.COMPLETED, 2)
    assert [fresh(run).attempt for run in two_failed] == [2, 2]


def test_a_job_goes_on_past_what_others_did_meanwhile(project: Project, two_failed: list[Run]) -> None:
    job = start(project, BulkDeed.RETRY)
    retry(two_failed[0], by=SYSTEM)
    cancel_run(two_failed[0], by=SYSTEM)

    job = to_the_end(job)

    assert (job.state, job.total, job.done) == (BulkState.COMPLETED, 2, 1)
    assert fresh(two_failed[0]).status == RunStatus.CANCELLED


def test_the_sweep_works_it_off(project: Project, two_failed: list[Run]) -> None:
    start(project, BulkDeed.RETRY)

    sweeping.sweep()

    assert BulkJob.objects.get().done == 2
    assert BulkJob.objects.get().state == BulkState.COMPLETED


def test_indexes_say_that_a_sweep_has_nothing_to_do(project: Project) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plan")
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sweeping._TO_DO}", [clock.now()] * 3)
        plan = [str(row[3]) for row in cursor.fetchall()]

    assert any("one_bulk_job_at_a_time" in line for line in plan)
    assert not [line for line in plan if line.startswith("SCAN") and "INDEX" not in line and "CONSTANT" not in line]
