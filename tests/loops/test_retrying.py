"""Retry and resume: a failed run goes on from its checkpoint, and no accepted row is sent again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from integrations import connecting
from integrations.models import Attempt, AttemptState, Integration
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from loops.authoring import delete_loop, update_loop
from loops.models import Run, RunEvent, RunStatus, StepStatus, Wait, WaitState
from loops.operating import cancel
from loops.retrying import CannotGoOn, DeliveryInDoubt, resume, retry
from loops.starting import Start, start_run
from mobius.errors import InvalidFields
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import AuditEvent, Project
from tests.cast import work_off
from tests.loops.flow import BROKEN, begin, fresh, go, loop_of, step_of
from tests.loops.runs import attempts_of, log_of, push, wait

pytestmark = pytest.mark.django_db
REFUSED = Behaviour(fail=401)


def test_a_retry_goes_on_from_the_step_that_failed(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(), REFUSED)
    run = go(project, push("one"), push("two"), push("three"))
    assert (run.status, len(clay.rows)) == (RunStatus.FAILED, 1)

    again = retry(run, by=SYSTEM, reason="token mended")

    assert (again.status, again.attempt, again.error_type, again.completed_at) == (RunStatus.QUEUED, 2, "", None)
    work_off()
    done = fresh(run)
    assert (done.status, done.stop_reason) == (RunStatus.COMPLETED, "completed")
    assert [row.body["request_id"].split("-")[0] for row in clay.rows] == ["one", "two", "three"]
    assert [(one.step_id.partition(":")[2], one.number, one.state) for one in attempts_of(run)] == [
        ("one", 1, AttemptState.ACCEPTED),
        ("two", 1, AttemptState.REFUSED),
        ("two", 2, AttemptState.ACCEPTED),
        ("three", 1, AttemptState.ACCEPTED),
    ]


@pytest.mark.parametrize("verb", [retry, resume])
def test_log_and_audit_say_which_of_the_two_it_was(
    project: Project, integration: Integration, clay: ClaySimulator, verb: Callable[..., Run]
) -> None:
    clay.next_answers(REFUSED)
    run = go(project, push())

    verb(run, by=SYSTEM, reason="mended")

    event = RunEvent.objects.get(run=run, event_type="run.resumed")
    assert event.payload == {"reason": "mended", "recovery_action": verb.__name__, "attempt": 2}
    assert event.step_key == "push"
    assert AuditEvent.objects.get(object_id=run.pk).action == f"run.{verb.__name__}"


def test_the_step_s_own_retries_count_anew(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    clay.next_answers(*[Behaviour(fail=429)] * 3)
    run = go(project, push(retry={"max_attempts": 2, "delay": "1ms"}))
    with time_machine.travel(timezone.now() + timedelta(hours=2), tick=True):
        work_off()
        assert fresh(run).status == RunStatus.FAILED
        retry(run, by=SYSTEM)
        work_off()
        assert step_of(run).error_type == "retrying"
    with time_machine.travel(timezone.now() + timedelta(hours=4), tick=True):
        work_off()

    assert fresh(run).status == RunStatus.COMPLETED
    assert [one.number for one in attempts_of(run)] == [1, 2, 3, 4]


def test_a_run_that_failed_for_want_of_a_connection_goes_on_when_there_is_one(
    project: Project, clay: ClaySimulator
) -> None:
    run = go(project, push())
    assert run.error_type == "not_connected"
    connecting.connect(project=project, provider=get_provider("clay"), connection=Connection(webhook_url=clay.url))

    retry(run, by=SYSTEM)
    work_off()

    assert fresh(run).status == RunStatus.COMPLETED
    assert [one.number for one in attempts_of(run)] == [1]


def test_a_wait_that_timed_out_waits_its_whole_time_again(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, push(), wait(timeout={"duration": "1h"}))
    with time_machine.travel(timezone.now() + timedelta(hours=2), tick=True):
        work_off()
        assert fresh(run).error_type == "wait_timed_out"
        retry(run, by=SYSTEM)
        work_off()
        later = fresh(run)
        assert (later.status, step_of(run, "wait").status) == (RunStatus.SUSPENDED, StepStatus.SUSPENDED)
        assert later.wake_at is not None
        assert later.wake_at > timezone.now() + timedelta(minutes=59)

    assert [one.state for one in Wait.objects.order_by("id")] == [WaitState.TIMED_OUT, WaitState.OPEN]
    assert len(clay.rows) == 1


def test_a_row_in_doubt_must_be_settled_first_and_the_refusal_names_it(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(BROKEN)
    run = go(project, push())
    assert run.status == RunStatus.FAILED
    attempt = Attempt.objects.get()
    assert attempt.state == AttemptState.IN_DOUBT

    with pytest.raises(DeliveryInDoubt, match=attempt.pk) as refusal:
        retry(run, by=SYSTEM)

    assert refusal.value.details == {"delivery_id": attempt.pk, "state": "in_doubt"}
    assert fresh(run).status == RunStatus.FAILED
    assert fresh(run).attempt == 1


def test_a_row_that_is_still_on_its_way_is_waited_for(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(REFUSED)
    run = go(project, push())
    Attempt.objects.update(state=AttemptState.SENDING)

    with pytest.raises(DeliveryInDoubt, match="still on its way"):
        retry(run, by=SYSTEM)


def test_an_accepted_row_of_a_failed_step_completes_the_step_without_another_post(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(BROKEN)
    run = go(project, push())
    Attempt.objects.update(state=AttemptState.ACCEPTED)

    retry(run, by=SYSTEM)
    work_off()

    assert fresh(run).status == RunStatus.COMPLETED
    assert fresh(run).result["push"]["request_id"] == f"push-{run.pk}"
    assert len(clay.rows) == 1


def test_only_a_failed_run_of_the_loop_s_present_version_can_go_on(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    completed = go(project, push())
    with pytest.raises(CannotGoOn, match="this one is completed"):
        retry(completed, by=SYSTEM)
    cancelled = cancel(begin(loop_of(project, push())), by=SYSTEM)
    with pytest.raises(CannotGoOn, match="this one is cancelled"):
        retry(cancelled, by=SYSTEM)
    clay.next_answers(REFUSED, REFUSED)
    older, deleted = go(project, push()), go(project, push())
    update_loop(older.loop, {"description": "changed"})
    with pytest.raises(CannotGoOn, match="newer version"):
        retry(older, by=SYSTEM)
    delete_loop(deleted.loop)
    with pytest.raises(CannotGoOn, match="deleted"):
        retry(deleted, by=SYSTEM)


def test_a_run_without_time_left_asks_for_more(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    run = go(project, wait(), limits={"wall_clock_timeout": "1m"})
    with time_machine.travel(timezone.now() + timedelta(minutes=2), tick=True):
        work_off()
        late = fresh(run)
        assert late.stop_reason == "wall_clock_exceeded"
        with pytest.raises(InvalidFields, match="wall_clock_extend_seconds"):
            resume(late, by=SYSTEM)

        # However late it was when it failed, it now has what it is given.
        deadline = resume(late, by=SYSTEM, extend=timedelta(minutes=10)).wall_clock_deadline_at
        work_off()

        assert fresh(run).status == RunStatus.SUSPENDED
        assert deadline is not None
        assert timedelta(minutes=9) < deadline - timezone.now() <= timedelta(minutes=10)


def test_the_run_s_clock_stands_still_while_it_has_failed(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(REFUSED)
    run = go(project, push(), limits={"wall_clock_timeout": "1m"})
    with time_machine.travel(timezone.now() + timedelta(days=1), tick=True):
        retry(run, by=SYSTEM)
        work_off()

    assert fresh(run).status == RunStatus.COMPLETED


def test_a_retried_run_is_active_again_and_holds_its_key(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(REFUSED)
    loop = loop_of(project, push())
    run = begin(loop, key="k")
    work_off()

    retry(fresh(run), by=SYSTEM)

    again = start_run(loop=loop, start=Start(event={}, meta={}, config={}, source={}, idempotency_key="k"))
    assert (again.run.pk, again.created) == (run.pk, False)


def test_a_run_whose_output_cannot_be_rendered_fails_again_and_sends_nothing(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, push(), output={"x": "${{ event.missing.path }}"})
    assert run.status == RunStatus.FAILED

    retry(run, by=SYSTEM)
    work_off()

    assert fresh(run).status == RunStatus.FAILED
    assert len(clay.rows) == 1
    assert log_of(run)[-1] == "run.failed"
