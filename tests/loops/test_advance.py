"""Runs taken as far as they go: every kind of step, every way in which one ends or waits. Rows go out for real."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.db import connection
from django.utils import timezone

from integrations import connecting, delivering, ledger
from integrations.models import Attempt, AttemptState, Integration, IntegrationStatus, Pacer, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from loops import advance as advancing
from loops import callbacks, playing
from loops.advance import advance
from loops.authoring import create_loop
from loops.due import take_due
from loops.models import (
    Callback,
    CallbackState,
    Loop,
    Run,
    RunEvent,
    RunStatus,
    Step,
    StepStatus,
    Wait,
    WaitState,
)
from loops.starting import Start, start_run
from loops.sweeping import recover, sweep
from mobius.errors import NotFound
from mobius.projects.models import Project
from tests.cast import work_off

JsonObject = dict[str, Any]

EVENT = {"email": "ada@example.com", "company": {"domain": "example.com"}, "tags": ["a", "b"], "n": 7}
NO_ANSWER = Behaviour(reset=True)  # the row arrives, the answer does not


def push(step_id: str = "push", /, *, parameters: JsonObject | None = None, **fields: Any) -> JsonObject:
    """A step that submits a row to Clay."""
    rendered = parameters or {"payload": {"email": "${{ event.email }}"}, "request_id": "${{ meta.run_id }}"}
    config = {"action_name": "clay.webhook.submit", "parameters": rendered}
    return {"id": step_id, "kind": "action", "config": config} | fields


def wait(step_id: str = "wait", /, *, config: JsonObject | None = None, **fields: Any) -> JsonObject:
    """A step that waits for Clay's callback."""
    return {
        "id": step_id,
        "kind": "wait_for_event",
        "config": {"event_type": "clay.callback"} | (config or {}),
    } | fields


ASK = push(parameters={"payload": {"email": "${{ event.email }}"}, "callback_url": "${{ callback.url }}"})


def loop_of(project: Project, *steps: JsonObject, **fields: Any) -> Loop:
    authored = {"name": f"loop {Loop.objects.count()}", "schema_version": "1", "steps": list(steps)}
    return create_loop(project=project, authored=authored | fields)


def begin(loop: Loop, event: JsonObject | None = None, **given: Any) -> Run:
    start = Start(event=EVENT if event is None else event, **({"meta": {}, "config": {}, "source": {}} | given))
    return start_run(loop=loop, start=start).run


def go(project: Project, *steps: JsonObject, event: JsonObject | None = None, **fields: Any) -> Run:
    """A run of a loop of these steps, taken as far as it goes."""
    run = begin(loop_of(project, *steps, **fields), event)
    work_off()
    return fresh(run)


def fresh(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


def step_of(run: Run, key: str = "push") -> Step:
    return Step.objects.get(run=run, key=key)


def log_of(run: Run) -> list[str]:
    return list(RunEvent.objects.filter(run=run).order_by("sequence").values_list("event_type", flat=True))


def address_of(clay: ClaySimulator, index: int = -1) -> str:
    """The token of the callback address that a row took to Clay."""
    return str(clay.rows[index].body["callback_url"]).rpartition("/")[2]


# --- actions ---


def test_a_row_goes_out_and_its_output_is_the_run_s_result(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, push())

    output = {"ok": True, "status_code": 200, "request_id": run.pk, "response": {"success": True}}
    assert (run.status, run.stop_reason) == (RunStatus.COMPLETED, "completed")
    assert run.result == {"push": output}
    assert run.started_at
    assert run.completed_at
    assert [row.body for row in clay.rows] == [{"email": "ada@example.com", "request_id": run.pk}]
    step = step_of(run)
    assert (step.status, step.result, step.attempt) == (StepStatus.COMPLETED, output, 1)
    assert step.inputs == {"payload": {"email": "ada@example.com"}, "request_id": run.pk}
    assert log_of(run) == [
        "run.started",
        "step.started",
        "action.called",
        "action.completed",
        "step.completed",
        "run.completed",
    ]


def test_the_attempt_belongs_to_the_run_and_the_step(project: Project, integration: Integration) -> None:
    run = go(project, push())

    attempt = Attempt.objects.get()
    assert (attempt.run_id, attempt.step_id) == (run.pk, f"{run.pk}:push")
    assert (attempt.kind, attempt.number, attempt.state) == ("run", 1, AttemptState.ACCEPTED)


def test_a_later_step_reads_an_earlier_one_s_output(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    second = push(
        "then",
        parameters={"payload": {"first": "${{ steps.push.output.status_code }}", "same": "${{ steps[0].output.ok }}"}},
    )

    run = go(project, push(), second)

    assert run.status == RunStatus.COMPLETED
    assert clay.rows[1].body == {"first": "200", "same": "true"}
    assert list(run.result or {}) == ["push", "then"]


def test_the_loop_s_output_shapes_the_result(project: Project, integration: Integration) -> None:
    run = go(project, push(), output={"code": "${{ steps.push.output.status_code }}", "fixed": 1})

    assert run.result == {"code": "200", "fixed": 1}


def test_an_output_that_cannot_be_rendered_fails_the_run(project: Project, integration: Integration) -> None:
    run = go(project, push(), output={"code": "${{ event.nothing }}"})

    assert (run.status, run.error_type) == (RunStatus.FAILED, "expression_error")
    assert "output" in run.error_message


def test_a_parameter_named_integration_chooses_and_is_not_sent(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    parameters = {"integration": "clay", "payload": {"a": "b"}}

    go(project, push(parameters=parameters))

    assert clay.rows[0].body == {"a": "b"}


@pytest.mark.parametrize(
    ("parameters", "event", "error_type", "words"),
    [
        ({"payload": {"e": "${{ event.emial }}"}}, EVENT, "expression_error", "email"),
        ({"payload": {"e": "${{ event.company.name }}"}}, EVENT, "expression_error", "company"),
        ({"payload": {"e": "${{ event.email + 1 }}"}}, EVENT, "expression_error", "payload.e"),
        ({"payload": {"e": "${{ event.big }}"}}, {"big": "x" * 110_000}, "bad_request", "102,400"),
        ({"payload": {}, "integration": "sales"}, EVENT, "not_connected", "sales"),
    ],
)
def test_a_row_that_cannot_be_made_fails_its_step_and_is_not_sent(
    project: Project,
    integration: Integration,
    clay: ClaySimulator,
    parameters: JsonObject,
    event: JsonObject,
    error_type: str,
    words: str,
) -> None:
    run = go(project, push(parameters=parameters), event=event)

    assert (run.status, run.stop_reason) == (RunStatus.FAILED, "step_failed")
    assert (run.error_type, step_of(run).error_type) == (error_type, error_type)
    assert words in run.error_message
    assert clay.rows == []
    assert not Attempt.objects.exists()


def test_a_missing_path_with_a_default_is_sent(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    go(project, push(parameters={"payload": {"name": "${{ event.name ?? 'nobody' }}"}}))

    assert clay.rows[0].body == {"name": "nobody"}


def test_declared_defaults_fill_the_event(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    declared = {"name": {"type": "string", "default": "nobody"}}

    run = begin(loop_of(project, push(parameters={"payload": {"name": "${{ event.name }}"}}), event=declared), {})
    work_off()

    assert fresh(run).status == RunStatus.COMPLETED
    assert clay.rows[-1].body == {"name": "nobody"}


def test_without_a_connection_the_step_fails_and_says_where_to_connect(project: Project) -> None:
    run = go(project, push())

    assert (run.status, run.error_type) == (RunStatus.FAILED, "not_connected")
    assert "Govern > Integrations" in run.error_message


def test_an_unreadable_secret_fails_the_step_and_asks_to_reconnect(project: Project, integration: Integration) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE integrations_webhooksecret SET url = 'gAAAAABnonsense'")

    run = go(project, push())

    assert (run.status, run.error_type) == (RunStatus.FAILED, "secret_unreadable")
    assert Integration.objects.get().status == IntegrationStatus.EXPIRED


def test_what_an_event_holds_is_never_evaluated(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    go(project, push(), event={"email": "${{ meta.run_id }}"})

    assert clay.rows[0].body["email"] == "${{ meta.run_id }}"


# --- conditions ---


def test_a_step_whose_condition_is_false_is_skipped(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, push("never", **{"if": "event.n > 10"}), push("always", **{"if": "event.n < 10"}))

    assert run.status == RunStatus.COMPLETED
    assert step_of(run, "never").status == StepStatus.SKIPPED
    assert list(run.result or {}) == ["always"]
    assert len(clay.rows) == 1


def test_a_condition_that_cannot_be_evaluated_fails_its_step(project: Project, integration: Integration) -> None:
    run = go(project, push(**{"if": "event.nothing.at.all"}))

    assert (run.status, run.error_type) == (RunStatus.FAILED, "expression_error")
    assert step_of(run).status == StepStatus.FAILED


# --- answers of Clay ---


def test_a_refusal_fails_the_run_at_once_with_cause_and_fix(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(fail=401))

    run = go(project, push(retry={"max_attempts": 3}), push("then"))

    assert (run.status, run.error_type) == (RunStatus.FAILED, "delivery_refused")
    assert "Clay answered 401. The token is missing or wrong." in run.error_message
    assert Attempt.objects.count() == 1
    assert not Step.objects.filter(key="then").exists()
    assert log_of(run)[-3:] == ["action.failed", "step.failed", "run.failed"]


def test_a_429_without_retry_fails_the_step(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    clay.next_answers(Behaviour(fail=429))

    run = go(project, push())

    assert (run.status, run.error_type) == (RunStatus.FAILED, "rate_limited")


def test_a_429_is_tried_again_after_what_it_asks_for(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(fail=429, headers=(("Retry-After", "30"),)))

    run = go(project, push(retry={"max_attempts": 2}))

    step = step_of(run)
    assert (run.status, step.status, step.error_type) == (RunStatus.SUSPENDED, StepStatus.SUSPENDED, "retrying")
    assert run.wake_at is not None
    assert run.wake_at - timezone.now() == pytest.approx(timedelta(seconds=30), abs=timedelta(seconds=5))
    with time_machine.travel(timezone.now() + timedelta(seconds=31)):
        work_off()
    run, step = fresh(run), step_of(run)
    assert run.status == RunStatus.COMPLETED
    assert (step.attempt, step.error_type) == (2, "")
    assert [attempt.number for attempt in Attempt.objects.order_by("id")] == [1, 2]
    assert "step.retried" in log_of(run)
    assert len(clay.rows) == 1


def test_max_attempts_counts_all_attempts(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    clay.change(fail=429)
    run = go(project, push(retry={"max_attempts": 3}))

    for hours in range(1, 5):
        with time_machine.travel(timezone.now() + timedelta(hours=hours)):
            work_off()

    assert fresh(run).status == RunStatus.FAILED
    assert Attempt.objects.count() == 3


@pytest.mark.parametrize("code", [500, 502, 503])
def test_a_5xx_fails_the_step_at_once_and_leaves_the_row_in_doubt(
    project: Project, integration: Integration, clay: ClaySimulator, code: int
) -> None:
    clay.next_answers(Behaviour(fail=code))

    run = go(project, push(retry={"max_attempts": 3}))

    assert (run.status, run.error_type) == (RunStatus.FAILED, "delivery_in_doubt")
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT
    assert Webhook.objects.get().used == 1


def test_without_an_answer_the_run_waits_in_doubt_and_sends_nothing_more(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(NO_ANSWER)

    run = go(project, push(retry={"max_attempts": 3}))

    step = step_of(run)
    assert (run.status, run.wake_at) == (RunStatus.SUSPENDED, None)
    assert (step.status, step.error_type) == (StepStatus.SUSPENDED, "delivery_in_doubt")
    with time_machine.travel(timezone.now() + timedelta(days=30)):
        sweep()
        work_off()
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT
    assert len(clay.rows) == 1


def test_a_timeout_that_passes_in_doubt_fails_the_step_and_keeps_the_doubt(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(NO_ANSWER)
    run = go(project, push(timeout={"duration": "10m"}))

    with time_machine.travel(timezone.now() + timedelta(minutes=11)):
        work_off()

    run = fresh(run)
    assert (run.status, run.error_type) == (RunStatus.FAILED, "step_timed_out")
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT
    assert len(clay.rows) == 1


def test_what_was_not_sent_is_tried_again(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    clay.stop()

    run = go(project, push(retry={"max_attempts": 2, "delay": "5s"}))

    assert step_of(run).error_type == "retrying"
    assert Attempt.objects.get().state == AttemptState.NOT_SENT


def test_the_wall_clock_ends_a_run(project: Project, integration: Integration) -> None:
    sleep = {"kind": "sleep", "id": "nap", "config": {"duration": "1h"}}
    run = go(project, sleep, limits={"wall_clock_timeout": "5m"})

    assert run.wake_at == run.wall_clock_deadline_at
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        work_off()

    run = fresh(run)
    assert (run.status, run.stop_reason) == (RunStatus.FAILED, "wall_clock_exceeded")
    assert step_of(run, "nap").status == StepStatus.FAILED


# --- rows that wait for others ---


def test_the_same_row_of_another_run_is_a_duplicate(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    row = {"payload": {"email": "${{ event.email }}"}, "request_id": "lead-1"}
    go(project, push(parameters=row))

    run = go(project, push(parameters=row))

    assert run.status == RunStatus.COMPLETED
    assert (run.result or {})["push"]["duplicate"] is True
    assert len(clay.rows) == 1


def test_another_body_under_the_same_request_id_is_sent_and_the_log_warns(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    go(project, push(parameters={"payload": {"email": "a"}, "request_id": "lead-1"}))

    run = go(project, push(parameters={"payload": {"email": "b"}, "request_id": "lead-1"}))

    warning = RunEvent.objects.get(run=run, event_type="warning")
    assert run.status == RunStatus.COMPLETED
    assert "lead-1" in warning.payload["message"]
    assert len(clay.rows) == 2


def test_at_the_limit_the_step_fails_before_any_post(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    Webhook.objects.update(submission_limit=1, used=1)

    run = go(project, push())

    assert (run.status, run.error_type) == (RunStatus.FAILED, "submission_limit_reached")
    assert clay.rows == []


def test_rows_of_a_paused_integration_wait_and_go_when_it_is_resumed(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    connecting.pause(integration)
    run = go(project, push())
    assert (run.status, step_of(run).error_type) == (RunStatus.SUSPENDED, "integration_paused")
    sweep()
    work_off()
    assert clay.rows == []

    connecting.resume(integration)
    sweep()
    work_off()

    assert fresh(run).status == RunStatus.COMPLETED
    assert len(clay.rows) == 1


def test_paced_runs_wait_in_the_order_in_which_they_asked(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    Pacer.objects.update(rate_per_second=2, burst=2)
    loop = loop_of(project, push())
    with time_machine.travel(timezone.now(), tick=False) as now:
        runs = [begin(loop, {"email": str(number)}) for number in range(5)]
        work_off()
        assert [row.body["email"] for row in clay.rows] == ["0", "1"]
        waiting = fresh(runs[2])
        assert (waiting.status, step_of(waiting).error_type) == (RunStatus.SUSPENDED, "paced")
        assert waiting.waits_for == Pacer.objects.get().pk
        late = begin(loop, {"email": "late"})

        for _ in range(8):
            now.shift(0.5)
            sweep()
            work_off()

    assert [row.body["email"] for row in clay.rows] == ["0", "1", "2", "3", "4", "late"]
    assert fresh(late).status == RunStatus.COMPLETED
    assert Webhook.objects.get().used == 6


def test_the_sweep_wakes_only_as_many_as_there_are_slots(project: Project, integration: Integration) -> None:
    Pacer.objects.update(rate_per_second=2, burst=1)
    loop = loop_of(project, push())
    with time_machine.travel(timezone.now(), tick=False) as now:
        for number in range(4):
            begin(loop, {"email": str(number)})
        work_off()
        now.shift(0.5)

        sweep()

        assert Run.objects.filter(status=RunStatus.SUSPENDED, wake_at__isnull=False).count() == 1


# --- sleeping ---


def test_a_sleep_suspends_the_run_until_its_time(project: Project) -> None:
    run = go(project, {"kind": "sleep", "id": "nap", "config": {"duration": "90s"}})

    assert run.status == RunStatus.SUSPENDED
    assert run.wake_at is not None
    assert run.wake_at - step_of(run, "nap").created_at == timedelta(seconds=90)
    with time_machine.travel(timezone.now() + timedelta(seconds=91)):
        work_off()
    assert fresh(run).status == RunStatus.COMPLETED


def test_a_sleep_until_a_time_that_has_passed_does_not_wait(project: Project) -> None:
    run = go(project, {"kind": "sleep", "config": {"until": "2020-01-01T00:00:00Z"}})

    assert run.status == RunStatus.COMPLETED


# --- callbacks ---


def test_a_callback_resumes_the_run_with_its_body(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, ASK, wait())
    assert (run.status, step_of(run, "wait").status) == (RunStatus.SUSPENDED, StepStatus.SUSPENDED)
    assert Wait.objects.get().state == WaitState.OPEN

    callbacks.receive_at_address(address_of(clay), {"score": 7})
    work_off()

    run = fresh(run)
    assert run.status == RunStatus.COMPLETED
    assert (run.result or {})["wait"] == {"score": 7}
    assert Wait.objects.get().state == WaitState.RESUMED
    assert Callback.objects.get().state == CallbackState.USED
    assert {"wait.opened", "wait.resumed"} <= set(log_of(run))


def test_the_address_is_nowhere_in_what_is_stored(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, ASK, wait())
    token = address_of(clay)

    stored = repr(
        [list(model.objects.values()) for model in (Run, Step, Wait, RunEvent, Attempt)]  # type: ignore[attr-defined]
    )

    assert re.fullmatch(r"http://console\.test/v1/callbacks/[\w-]{43}", str(clay.rows[0].body["callback_url"]))
    assert token not in stored
    assert (step_of(run).inputs or {})["callback_url"] == "${{ callback.url }}"


def test_a_callback_that_comes_before_the_wait_is_there_already(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    nap = {"kind": "sleep", "id": "nap", "config": {"duration": "1m"}}
    run = go(project, ASK, nap, wait())

    callbacks.receive_at_address(address_of(clay), {"score": 7})
    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        work_off()

    assert (fresh(run).result or {})["wait"] == {"score": 7}


def test_a_callback_that_overtakes_the_answer_is_kept(
    project: Project, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clay may call back inside our own request."""
    answer_early(monkeypatch, clay, {"score": 7})

    run = go(project, ASK, wait())

    assert run.status == RunStatus.COMPLETED
    assert (run.result or {})["wait"] == {"score": 7}


def answer_early(monkeypatch: pytest.MonkeyPatch, clay: ClaySimulator, body: JsonObject) -> None:
    """Let the callback arrive after the row and before its answer."""
    send = delivering.send

    def send_and_answer(sending: Any, **options: Any) -> Any:
        exchange = send(sending, **options)
        callbacks.receive_at_address(address_of(clay), body)
        return exchange

    monkeypatch.setattr(delivering, "send", send_and_answer)


def test_a_callback_proves_the_arrival_of_a_row_without_an_answer(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(NO_ANSWER)
    run = go(project, ASK, wait())
    assert step_of(run).error_type == "delivery_in_doubt"

    callbacks.receive_at_address(address_of(clay), {"score": 7})
    work_off()

    run = fresh(run)
    assert run.status == RunStatus.COMPLETED
    assert (run.result or {})["push"] == {"ok": True}
    assert (run.result or {})["wait"] == {"score": 7}
    assert Attempt.objects.get().state == AttemptState.ACCEPTED
    assert Webhook.objects.get().used == 1


def test_a_callback_that_overtakes_an_answer_that_never_comes_settles_the_doubt(
    project: Project, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    clay.next_answers(NO_ANSWER)
    answer_early(monkeypatch, clay, {"score": 7})

    run = go(project, ASK, wait())

    assert run.status == RunStatus.COMPLETED
    assert Attempt.objects.get().state == AttemptState.ACCEPTED
    assert Webhook.objects.get().used == 1


def test_an_early_callback_by_request_id_settles_the_doubt_too(
    project: Project, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    clay.next_answers(NO_ANSWER)
    send = delivering.send

    def send_and_answer(sending: Any, **options: Any) -> Any:
        exchange = send(sending, **options)
        callbacks.receive_by_request_id(project, {"request_id": clay.rows[-1].body["request_id"]})
        return exchange

    monkeypatch.setattr(delivering, "send", send_and_answer)

    run = go(project, push())

    assert run.status == RunStatus.COMPLETED
    assert Attempt.objects.get().state == AttemptState.ACCEPTED


def test_a_callback_in_other_bytes_afterwards_is_an_update_and_changes_nothing(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, ASK, wait(), {"kind": "sleep", "config": {"duration": "1h"}})
    callbacks.receive_at_address(address_of(clay), {"score": 7})
    work_off()

    received = callbacks.receive_at_address(address_of(clay), {"score": 8})
    work_off()

    assert received.callback.state == CallbackState.UPDATE
    assert step_of(run, "wait").result == {"score": 7}


def test_the_same_callback_again_is_a_duplicate(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    go(project, ASK, wait())
    callbacks.receive_at_address(address_of(clay), {"score": 7, "a": 1})

    again = callbacks.receive_at_address(address_of(clay), {"a": 1, "score": 7})

    assert again.duplicate
    assert Callback.objects.get().repeats == 1


def test_a_callback_after_the_end_is_kept_without_effect(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, ASK)

    received = callbacks.receive_at_address(address_of(clay), {"score": 7})
    work_off()

    assert received.callback.state == CallbackState.LATE
    assert fresh(run).revision == run.revision


def test_a_callback_must_match(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    run = go(project, ASK, wait(config={"match": {"kind": "final", "email": "${{ event.email }}"}}))

    for body in ({"kind": "draft"}, {"kind": "final"}):
        callbacks.receive_at_address(address_of(clay), body)
        work_off()
    assert fresh(run).status == RunStatus.SUSPENDED
    callbacks.receive_at_address(address_of(clay), {"kind": "final", "email": "ada@example.com"})
    work_off()

    assert (fresh(run).result or {})["wait"] == {"kind": "final", "email": "ada@example.com"}


def test_a_mapping_shapes_the_callback(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    run = go(project, ASK, wait(config={"payload_mapping": {"points": "event.score", "run": "meta.run_id"}}))

    callbacks.receive_at_address(address_of(clay), {"score": 7, "noise": True})
    work_off()

    assert (fresh(run).result or {})["wait"] == {"points": 7, "run": run.pk}


def test_a_mapping_that_does_not_fit_the_callback_fails_the_step(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, ASK, wait(config={"payload_mapping": {"points": "event.score"}}))

    callbacks.receive_at_address(address_of(clay), {"points": 7})
    work_off()

    run = fresh(run)
    assert (run.status, run.error_type) == (RunStatus.FAILED, "expression_error")


def test_a_wait_that_is_not_answered_in_time_fails(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, ASK, wait(timeout={"duration": "10m"}))
    assert run.wake_at == Wait.objects.get().expires_at

    with time_machine.travel(timezone.now() + timedelta(minutes=11)):
        work_off()

    run = fresh(run)
    assert (run.status, run.error_type) == (RunStatus.FAILED, "wait_timed_out")
    assert Wait.objects.get().state == WaitState.TIMED_OUT


def test_a_wait_names_the_step_whose_callback_it_means(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    asks = [
        push(key, parameters={"payload": {"key": key}, "callback_url": "${{ callback.url }}"}) for key in ("a", "b")
    ]
    run = go(project, *asks, wait(config={"source_id": "a"}))

    callbacks.receive_at_address(address_of(clay, 1), {"of": "b"})
    work_off()
    assert fresh(run).status == RunStatus.SUSPENDED
    callbacks.receive_at_address(address_of(clay, 0), {"of": "a"})
    work_off()

    assert (fresh(run).result or {})["wait"] == {"of": "a"}


def test_without_a_name_the_nearest_step_that_gave_its_address_is_meant(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, ASK, push("other", parameters={"payload": {}}), wait())

    callbacks.receive_at_address(address_of(clay, 0), {"score": 7})
    work_off()

    assert (fresh(run).result or {})["wait"] == {"score": 7}


def test_a_callback_is_found_by_its_request_id(project: Project, integration: Integration) -> None:
    run = go(project, push(), wait())

    received = callbacks.receive_by_request_id(project, {"request_id": run.pk, "score": 7})
    work_off()

    assert not received.ambiguous
    assert (fresh(run).result or {})["wait"] == {"request_id": run.pk, "score": 7}


def test_a_request_id_of_several_open_rows_resumes_nothing(project: Project, integration: Integration) -> None:
    loop = loop_of(project, push(parameters={"payload": {"email": "${{ event.email }}"}, "request_id": "r"}), wait())
    runs = [begin(loop, {"email": email}) for email in "ab"]
    work_off()

    received = callbacks.receive_by_request_id(project, {"request_id": "r"})
    work_off()

    assert received.ambiguous
    assert received.callback.state == CallbackState.AMBIGUOUS
    assert [fresh(run).status for run in runs] == [RunStatus.SUSPENDED] * 2


def test_a_request_id_whose_rows_are_all_answered_is_kept(project: Project, integration: Integration) -> None:
    run = go(project, push(), wait())
    callbacks.receive_by_request_id(project, {"request_id": run.pk, "score": 7})
    work_off()

    received = callbacks.receive_by_request_id(project, {"request_id": run.pk, "score": 8})

    assert received.callback.state == CallbackState.LATE


@pytest.mark.parametrize("body", [{"request_id": "unknown"}, {"request_id": ""}, {}, {"request_id": True}])
def test_an_unknown_request_id_is_not_found(project: Project, integration: Integration, body: JsonObject) -> None:
    go(project, push(parameters={"payload": {}}))

    with pytest.raises(NotFound):
        callbacks.receive_by_request_id(project, body)


def test_another_project_s_request_id_is_not_found(
    project: Project, other_project: Project, integration: Integration
) -> None:
    run = go(project, push(), wait())

    with pytest.raises(NotFound):
        callbacks.receive_by_request_id(other_project, {"request_id": run.pk})


@pytest.mark.parametrize("token", ["", "nonsense", "é" * 43, "\ud800"])
def test_an_unknown_address_is_not_found(project: Project, integration: Integration, token: str) -> None:
    go(project, push(), wait())  # its step gave no address away, so it has no hash

    with pytest.raises(NotFound):
        callbacks.receive_at_address(token, {})


def test_without_a_public_address_there_are_no_callbacks(
    project: Project, integration: Integration, clay: ClaySimulator, settings: Any
) -> None:
    settings.MOBIUS_PUBLIC_URL = ""

    run = go(project, ASK)

    assert (run.status, run.error_type) == (RunStatus.FAILED, "no_public_address")
    assert clay.rows == []


# --- workers ---


def test_a_run_that_is_not_ready_is_left_alone(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    run = go(project, push())

    advance(run.pk)
    advance("run_nonexistent")

    assert len(clay.rows) == 1
    assert fresh(run).revision == run.revision


def test_a_worker_that_closes_leaves_the_run_at_a_step_s_edge(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    steps = [push(key, parameters={"payload": {"key": key}}) for key in ("a", "b")]
    run = begin(loop_of(project, *steps))

    advance(run.pk, lambda: not clay.rows)

    assert fresh(run).status == RunStatus.SUSPENDED
    assert len(clay.rows) == 1
    work_off()
    assert fresh(run).status == RunStatus.COMPLETED
    assert len(clay.rows) == 2


def test_a_worker_that_was_overtaken_before_it_took_the_run_does_nothing(
    project: Project, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(loop_of(project, push()))
    ready = advancing._ready

    def ready_and_overtaken(run_id: str) -> Run | None:
        found = ready(run_id)
        Run.objects.filter(pk=run_id).update(claim=7, revision=7)
        return found

    monkeypatch.setattr(advancing, "_ready", ready_and_overtaken)

    advance(run.pk)

    assert clay.rows == []
    assert not Attempt.objects.exists()


def test_the_outcome_of_a_row_is_recorded_although_the_run_was_cancelled_meanwhile(
    project: Project, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = delivering.send

    def send_while_cancelled(sending: Any, **options: Any) -> Any:
        Run.objects.update(status=RunStatus.CANCELLED, revision=100)
        return send(sending, **options)

    monkeypatch.setattr(delivering, "send", send_while_cancelled)

    run = go(project, push())

    assert run.status == RunStatus.CANCELLED
    assert Attempt.objects.get().state == AttemptState.ACCEPTED
    assert Webhook.objects.get().used == 1


def test_a_fault_of_ours_fails_the_run_and_is_raised(
    project: Project, integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(playing, "names_for", explode)
    run = begin(loop_of(project, push()))

    with pytest.raises(ZeroDivisionError):
        advance(run.pk)

    run = fresh(run)
    assert (run.status, run.error_type) == (RunStatus.FAILED, "internal_error")
    assert "ZeroDivision" not in run.error_message


def test_what_a_dead_process_left_on_the_wire_waits_in_doubt(
    project: Project, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(loop_of(project, push()))
    die_while_sending(run, monkeypatch)

    recover()
    work_off()

    run = fresh(run)
    assert (run.status, step_of(run).error_type) == (RunStatus.SUSPENDED, "delivery_in_doubt")
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT
    assert clay.rows == []


def die_while_sending(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(delivering, "send", die)
        with pytest.raises(Killed):
            advance(run.pk)
    assert Attempt.objects.get().state == AttemptState.SENDING


def test_an_abandoned_row_is_sent_again(
    project: Project, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person decides who looked in Clay and found nothing."""
    run = begin(loop_of(project, push()))
    die_while_sending(run, monkeypatch)
    recover()
    Attempt.objects.update(state=AttemptState.ABANDONED)
    ledger.free(Attempt.objects.get().pk)
    Run.objects.update(wake_at=timezone.now())

    work_off()

    assert fresh(run).status == RunStatus.COMPLETED
    assert len(clay.rows) == 1


def test_a_run_that_nobody_rang_is_found_with_longer_and_longer_pauses(project: Project, push_leads: Loop) -> None:
    run = begin(push_leads)
    pauses = []
    with time_machine.travel(timezone.now(), tick=False) as now:
        for _ in range(3):
            due = fresh(run).ring_due_at
            assert due is not None
            now.move_to(due)
            sweep() if settings.MOBIUS_ENGINE == "embedded" else take_due(10)
            again = fresh(run).ring_due_at
            assert again is not None
            pauses.append((again - due).total_seconds())

    assert pauses == [60, 120, 240]


def test_a_reconnect_is_used_by_runs_that_wait(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    connecting.pause(integration)
    run = go(project, push())

    connecting.connect(
        project=project, provider=get_provider("clay"), connection=Connection(webhook_url=clay.url_for("new"))
    )
    sweep()
    work_off()

    assert fresh(run).status == RunStatus.COMPLETED
    assert [row.source for row in clay.rows] == ["new"]
