"""Cancel and signal: at every moment of a run, and what stays of a row that was on its way."""

from __future__ import annotations

from datetime import timedelta

import pytest

from integrations import connecting
from integrations.models import AttemptState, Integration, LedgerEntry, Pacer, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops import advance as advancing
from loops import callbacks
from loops.advance import advance
from loops.models import Run, RunStatus, StepStatus, Wait, WaitState
from loops.operating import NotWaiting, cancel, signal
from mobius import clock
from mobius.errors import NotFound
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import AuditEvent, Project
from tests.cast import work_off
from tests.loops.flow import NO_ANSWER, begin, fresh, go, loop_of, step_of
from tests.loops.runs import attempts_of, log_of, push, wait

pytestmark = pytest.mark.django_db


def test_a_queued_run_is_cancelled_before_anything_is_sent(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = begin(loop_of(project, push()))

    cancelled = cancel(run, by=SYSTEM, reason="not needed")
    work_off()

    assert (cancelled.status, cancelled.stop_reason) == (RunStatus.CANCELLED, "cancelled")
    assert fresh(run).status == RunStatus.CANCELLED
    assert fresh(run).ring_due_at is None
    assert clay.rows == []
    assert log_of(run) == ["run.cancelled"]


def test_a_cancel_is_audited_with_its_reason_and_only_once(project: Project) -> None:
    run = begin(loop_of(project, push()))

    cancel(run, by=SYSTEM, reason="not needed")
    cancel(run, by=SYSTEM, reason="again")

    event = AuditEvent.objects.get(action="run.cancel")
    assert (event.object_id, event.reason, event.project_id) == (run.pk, "not needed", project.pk)


@pytest.mark.parametrize("policy", ["allow", "queue"])
def test_a_cancel_bumps_the_revision_and_leaves_the_claim(project: Project, policy: str) -> None:
    run = begin(loop_of(project, push(), concurrency=policy))

    cancel(run, by=SYSTEM)

    assert (fresh(run).claim, fresh(run).revision) == (0, 1)


def test_a_run_that_waits_for_a_callback_is_cancelled_with_its_wait(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, push(), wait())

    cancel(run, by=SYSTEM)

    assert (step_of(run, "push").status, step_of(run, "wait").status) == (StepStatus.COMPLETED, StepStatus.CANCELLED)
    assert Wait.objects.get().state == WaitState.CANCELLED


def test_a_run_that_waits_for_pace_gives_its_place_away(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    Pacer.objects.update(rate_per_second=1, burst=1, tat=clock.now().timestamp() + 60)
    run = go(project, push())
    assert step_of(run).error_type == "paced"

    cancel(run, by=SYSTEM)

    assert (fresh(run).waits_for, fresh(run).wake_at, fresh(run).waits_since) == ("", None, None)
    assert step_of(run).status == StepStatus.CANCELLED


def test_a_run_of_a_paused_integration_is_cancelled_and_never_sent(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    connecting.pause(integration)
    run = go(project, push())

    cancel(run, by=SYSTEM)
    connecting.resume(integration)
    work_off()

    assert clay.rows == []


def test_a_run_that_sleeps_before_its_retry_does_not_try_again(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(fail=429))
    run = go(project, push(retry={"max_attempts": 3, "delay": "1ms"}))
    assert step_of(run).error_type == "retrying"

    cancel(run, by=SYSTEM)
    Run.objects.update(wake_at=clock.now() - timedelta(seconds=1))
    work_off()

    assert len(attempts_of(run)) == 1
    assert fresh(run).status == RunStatus.CANCELLED


def test_a_row_in_doubt_stays_in_doubt_and_keeps_its_unit_when_its_run_is_cancelled(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(NO_ANSWER)
    run = go(project, push())

    cancel(run, by=SYSTEM)

    assert fresh(run).status == RunStatus.CANCELLED
    assert [one.state for one in attempts_of(run)] == [AttemptState.IN_DOUBT]
    assert Webhook.objects.get().used == 1
    assert LedgerEntry.objects.count() == 1


@pytest.mark.parametrize("steps", [[push()], [push(), wait()]], ids=["its last step", "with more to come"])
def test_a_cancel_while_the_row_is_on_the_wire_leaves_the_row_its_outcome(
    project: Project,
    integration: Integration,
    clay: ClaySimulator,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[dict[str, object]],
) -> None:
    run = begin(loop_of(project, *steps))
    send = advancing.delivering.send

    def cancelled_meanwhile(sending, **options):  # type: ignore[no-untyped-def]
        answer = cancel(run, by=SYSTEM)
        assert (answer.status, attempts_of(run)[0].state) == (RunStatus.CANCELLED, AttemptState.SENDING)
        return send(sending, **options)

    monkeypatch.setattr(advancing.delivering, "send", cancelled_meanwhile)
    advance(run.pk)

    assert len(clay.rows) == 1
    assert [one.state for one in attempts_of(run)] == [AttemptState.ACCEPTED]
    assert (Webhook.objects.get().used, Webhook.objects.get().in_flight) == (1, 0)
    assert LedgerEntry.objects.count() == 1
    assert fresh(run).status == RunStatus.CANCELLED
    assert step_of(run).status == StepStatus.CANCELLED
    assert log_of(run)[-1] == "run.cancelled"


def test_a_run_that_has_ended_stays_as_it_is(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    run = go(project, push())

    cancelled = cancel(run, by=SYSTEM)

    assert cancelled.status == RunStatus.COMPLETED
    assert fresh(run).revision == run.revision


# --- signals ---


def test_a_signal_is_the_output_of_the_waiting_step_and_the_run_goes_on(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, push(), wait(), push("after"))

    answer = signal(run, step_key="wait", result={"score": 7}, by=SYSTEM)
    work_off()

    assert answer.pk == run.pk
    done = fresh(run)
    assert (done.status, done.result["wait"]) == (RunStatus.COMPLETED, {"score": 7})
    assert Wait.objects.get().state == WaitState.RESUMED
    assert len(clay.rows) == 2
    assert "wait.resumed" in log_of(run)


def test_a_callback_after_a_signal_is_kept_and_changes_nothing(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, push(), wait())
    signal(run, step_key="wait", result={"by": "hand"}, by=SYSTEM)
    callbacks.receive_by_request_id(project, {"request_id": f"push-{run.pk}"})
    work_off()

    assert fresh(run).result["wait"] == {"by": "hand"}


def test_what_does_not_wait_cannot_be_signalled(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, push(), wait())

    with pytest.raises(NotFound, match="no step named nap"):
        signal(run, step_key="nap", result={}, by=SYSTEM)
    with pytest.raises(NotWaiting, match="kind action"):
        signal(run, step_key="push", result={}, by=SYSTEM)
    with pytest.raises(NotWaiting, match="not come to this step"):
        signal(begin(loop_of(project, wait())), step_key="wait", result={}, by=SYSTEM)
    signal(run, step_key="wait", result={}, by=SYSTEM)
    with pytest.raises(NotWaiting, match="not wait any more"):
        signal(run, step_key="wait", result={}, by=SYSTEM)
    cancel(run, by=SYSTEM)
    with pytest.raises(NotWaiting, match="has ended: it is cancelled"):
        signal(run, step_key="wait", result={}, by=SYSTEM)
