"""Steps that rest: `sleep` and `wait_for_event`, at the edges of their times and over restarts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from integrations.models import Integration
from integrations.providers.clay.simulator import ClaySimulator
from loops import callbacks
from loops.models import Run, RunStatus, StepStatus, Wait, WaitState
from loops.sweeping import recover, sweep
from mobius.errors import InvalidFields
from mobius.projects.models import Project
from tests.cast import work_off
from tests.loops.flow import JsonObject, asking, fresh, go, loop_of, push, sleeping, step_of, token_of, waiting

pytestmark = pytest.mark.django_db


def after(**distance: float) -> time_machine.travel:
    return time_machine.travel(timezone.now() + timedelta(**distance))


def pass_by(run: Run) -> Run:
    """What the engine does at this moment: sweep and work."""
    sweep()
    work_off()
    return fresh(run)


# --- sleep ---


@pytest.mark.parametrize(
    "times",
    [
        {"duration": "0"},
        {"duration": "0s"},
        {"until": "2020-01-01T00:00:00Z"},
        {"until": "2020-01-01T00:00:00.5+05:30"},
        {"until": "0001-01-01T00:00:00Z"},
    ],
)
def test_a_sleep_that_is_over_already_does_not_rest(project: Project, times: JsonObject) -> None:
    run = go(project, sleeping(**times))

    assert run.status == RunStatus.COMPLETED
    assert step_of(run, "nap").result == {}


@pytest.mark.parametrize(
    ("times", "seconds"),
    [({"duration": "90s"}, 90), ({"duration": "1h30m"}, 5400), ({"until": "2030-05-01T12:00:00+02:00"}, None)],
)
def test_a_sleep_rests_until_its_time_and_not_longer(project: Project, times: JsonObject, seconds: int | None) -> None:
    run = go(project, sleeping(**times))
    until = datetime(2030, 5, 1, 10, tzinfo=UTC) if seconds is None else run.created_at + timedelta(seconds=seconds)
    assert run.wake_at == pytest.approx(until, abs=timedelta(seconds=2))
    assert run.wake_at is not None

    with time_machine.travel(run.wake_at - timedelta(seconds=1)):
        assert pass_by(run).status == RunStatus.SUSPENDED
    with time_machine.travel(run.wake_at + timedelta(seconds=1)):
        assert pass_by(run).status == RunStatus.COMPLETED


@pytest.mark.parametrize(
    ("times", "place"),
    [
        ({"duration": "-1s"}, "duration"),
        ({"duration": "soon"}, "duration"),
        ({"until": "2030-05-01T12:00:00"}, "until"),
        ({"until": "tomorrow"}, "until"),
        ({"duration": "1s", "until": "2030-05-01T12:00:00Z"}, "duration"),
        ({}, "duration"),
    ],
)
def test_a_sleep_without_one_clear_time_is_refused_when_it_is_saved(
    project: Project, times: JsonObject, place: str
) -> None:
    with pytest.raises(InvalidFields) as refused:
        loop_of(project, sleeping(**times))

    assert f"steps[0].config.{place}" in refused.value.fields


def test_a_sleep_that_lasts_for_centuries_is_kept(project: Project) -> None:
    run = go(project, sleeping(until="9999-12-31T23:59:59Z"))

    assert run.wake_at == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert pass_by(run).status == RunStatus.SUSPENDED


def test_a_restart_neither_ends_nor_prolongs_a_sleep(project: Project) -> None:
    run = go(project, sleeping(duration="1h"))

    with after(minutes=30):
        recover()
        assert pass_by(run).wake_at == run.wake_at
    with after(minutes=61):
        recover()
        assert pass_by(run).status == RunStatus.COMPLETED


def test_two_sleeps_one_after_the_other_take_the_time_of_both(project: Project) -> None:
    run = go(project, sleeping("one", duration="1h"), sleeping("two", duration="1h"))

    with after(minutes=61):
        assert pass_by(run).status == RunStatus.SUSPENDED
    with after(minutes=130):
        assert pass_by(run).status == RunStatus.COMPLETED


def test_a_wall_clock_limit_that_is_shorter_than_the_sleep_ends_the_run(project: Project) -> None:
    run = go(project, sleeping(duration="1h"), limits={"wall_clock_timeout": "10m"})
    assert run.wake_at == run.wall_clock_deadline_at

    with after(minutes=11):
        ended = pass_by(run)

    assert (ended.status, ended.stop_reason) == (RunStatus.FAILED, "wall_clock_exceeded")
    assert step_of(run, "nap").status == StepStatus.FAILED


def test_a_timeout_that_is_shorter_than_the_sleep_fails_it(project: Project) -> None:
    run = go(project, sleeping(duration="1h", timeout={"duration": "10m"}))

    with after(minutes=11):
        ended = pass_by(run)

    assert (ended.status, ended.error_type) == (RunStatus.FAILED, "step_timed_out")


@pytest.mark.parametrize("timeout", ["1h", "2h"])
def test_a_sleep_that_ends_within_its_timeout_completes_however_late_anybody_looks(
    project: Project, timeout: str
) -> None:
    """The console was switched off over both times."""
    run = go(project, sleeping(duration="1h", timeout={"duration": timeout}))

    with after(days=3):
        recover()
        ended = pass_by(run)

    assert ended.status == RunStatus.COMPLETED


# --- wait_for_event ---


def test_a_restart_neither_ends_nor_prolongs_a_wait(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, asking(), waiting(timeout={"duration": "1h"}))

    with after(minutes=30):
        recover()
        assert pass_by(run).wake_at == run.wake_at
        callbacks.receive_at_address(token_of(clay), {"score": 7})
        recover()
        assert pass_by(run).status == RunStatus.COMPLETED
    assert Wait.objects.count() == 1


def test_a_callback_that_came_in_time_counts_although_the_run_is_looked_at_too_late(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, asking(), waiting(timeout={"duration": "1h"}))
    callbacks.receive_at_address(token_of(clay), {"score": 7})

    with after(days=1):
        recover()
        ended = pass_by(run)

    assert ended.status == RunStatus.COMPLETED


def test_after_the_timeout_a_callback_is_late_and_changes_nothing(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, asking(), waiting(timeout={"duration": "1h"}))
    with after(hours=2):
        pass_by(run)
        received = callbacks.receive_at_address(token_of(clay), {"score": 7})
        ended = pass_by(run)

    assert received.callback.state == "late"
    assert (ended.status, ended.error_type) == (RunStatus.FAILED, "wait_timed_out")


def test_a_wall_clock_limit_that_is_shorter_than_the_timeout_ends_the_run(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, asking(), waiting(timeout={"duration": "1h"}), limits={"wall_clock_timeout": "10m"})
    assert run.wake_at == run.wall_clock_deadline_at

    with after(minutes=11):
        assert pass_by(run).stop_reason == "wall_clock_exceeded"


def test_without_a_timeout_a_wait_lasts_until_it_is_answered(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, asking(), waiting())
    assert (run.wake_at, run.ring_due_at) == (None, None)

    with after(days=400):
        assert pass_by(run).status == RunStatus.SUSPENDED
        callbacks.receive_at_address(token_of(clay), {"score": 7})
        assert pass_by(run).status == RunStatus.COMPLETED


def test_a_wait_for_an_event_that_is_no_callback_takes_none(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, asking(), waiting(config={"event_type": "approval"}))

    callbacks.receive_at_address(token_of(clay), {"approved": True})

    assert pass_by(run).status == RunStatus.SUSPENDED


def test_a_match_is_rendered_from_the_run_s_own_event(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    match = {"n": "${{ event.n }}", "run": "${{ meta.run_id }}"}
    run = go(project, asking(), waiting(config={"match": match}), event={"n": 7})

    callbacks.receive_at_address(token_of(clay), {"n": 7, "run": "another"})
    assert pass_by(run).status == RunStatus.SUSPENDED
    callbacks.receive_at_address(token_of(clay), {"n": 7, "run": run.pk})

    assert pass_by(run).status == RunStatus.COMPLETED


def test_a_match_that_cannot_be_rendered_fails_the_step_with_the_place(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, asking(), waiting(config={"match": {"n": "${{ event.missing }}"}}))

    assert (run.status, run.error_type) == (RunStatus.FAILED, "expression_error")
    assert "missing" in run.error_message


def test_a_mapping_that_does_not_fit_fails_the_step_and_the_callback_is_used(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, asking(), waiting(config={"payload_mapping": {"points": "event.score"}}))

    received = callbacks.receive_at_address(token_of(clay), {"nothing": 1})
    ended = pass_by(run)

    received.callback.refresh_from_db()
    assert (ended.status, ended.error_type) == (RunStatus.FAILED, "expression_error")
    assert received.callback.state == "used"
    assert Wait.objects.get().state == WaitState.RESUMED


@pytest.mark.parametrize("source", ["nowhere", "answer", "later"])
def test_a_source_must_be_an_earlier_step(project: Project, integration: Integration, source: str) -> None:
    with pytest.raises(InvalidFields) as refused:
        loop_of(project, asking(), waiting(config={"source_id": source}), push("later"))

    assert "steps[1].config.source_id" in refused.value.fields
