"""The rows that wait at an integration: in order through every pause, resumed or discarded all together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from integrations import connecting, probing, succession
from integrations.forms import UNLIMITED, Options
from integrations.models import Attempt, Integration, IntegrationStatus, Pacer, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from loops import queue
from loops.authoring import create_loop
from loops.models import Loop, Run, RunEvent, RunStatus
from loops.sweeping import sweep
from mobius.projects.auditing import Actor
from mobius.projects.models import ActorKind, AuditEvent, Project
from tests.cast import PUSH_LEADS, work_off
from tests.loops.flow import begin, fresh, step_of

ALICE = Actor(kind=ActorKind.USER, name="alice", id="alice")


def start_many(loop: Loop, *emails: str) -> list[Run]:
    runs = [begin(loop, email=email) for email in emails]
    work_off()
    return runs


def emails(clay: ClaySimulator) -> list[str]:
    return [row.body["email"] for row in clay.rows]


@pytest.fixture
def now() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(timezone.now(), tick=False) as moment:
        yield moment


def go_on(now: time_machine.Traveller, seconds: int) -> None:
    """Let so many half seconds pass, with the sweep and the workers awake."""
    for _ in range(seconds * 2):
        now.shift(0.5)
        sweep()
        work_off()


def loop_for(project: Project, integration: str, **step: Any) -> Loop:
    config = PUSH_LEADS["steps"][0]["config"]
    parameters = config["parameters"] | {"integration": integration}
    steps = [PUSH_LEADS["steps"][0] | {"config": config | {"parameters": parameters}} | step]
    return create_loop(project=project, authored=PUSH_LEADS | {"name": f"to {integration} {len(step)}", "steps": steps})


# --- order ---


def test_a_paused_integration_keeps_its_rows_in_order(
    integration: Integration, push_leads: Loop, clay: ClaySimulator, now: time_machine.Traveller
) -> None:
    Pacer.objects.update(rate_per_second=2, burst=1)
    start_many(push_leads, "0", "1", "2")
    connecting.pause(integration)
    start_many(push_leads, "3", "4")
    go_on(now, 3)
    assert emails(clay) == ["0"]

    connecting.resume(integration)
    start_many(push_leads, "5")
    go_on(now, 5)

    assert emails(clay) == ["0", "1", "2", "3", "4", "5"]


def test_a_resumed_row_says_that_it_waits_for_its_turn(
    integration: Integration, push_leads: Loop, now: time_machine.Traveller
) -> None:
    Pacer.objects.update(rate_per_second=1, burst=1)
    connecting.pause(integration)
    first, second = start_many(push_leads, "0", "1")
    assert step_of(second).error_type == "integration_paused"
    connecting.resume(integration)

    sweep()
    work_off()

    assert fresh(first).status == RunStatus.COMPLETED
    assert step_of(second).error_type == "paced"
    assert fresh(second).waits_for == integration.pacer_id


def test_the_rows_of_a_paused_integration_are_not_in_the_way_of_its_workspace(
    project: Project, integration: Integration, push_leads: Loop, clay: ClaySimulator, now: time_machine.Traveller
) -> None:
    sales = connecting.connect(
        project=project,
        provider=get_provider("clay"),
        connection=Connection(webhook_url=clay.url_for("sales")),
        options=Options(name="sales"),
    )
    assert sales.pacer_id == integration.pacer_id, "one label, one pacer"
    Pacer.objects.update(rate_per_second=2, burst=1)
    waiting = start_many(push_leads, *map(str, range(5)))[1:]
    other = start_many(loop_for(project, "sales"), "sales")[0]
    connecting.pause(integration)

    go_on(now, 1)

    assert emails(clay) == ["0", "sales"]
    assert fresh(other).status == RunStatus.COMPLETED
    assert {step_of(run).error_type for run in waiting} == {"integration_paused"}


def test_rows_of_one_workspace_leave_in_the_order_in_which_they_asked(
    project: Project, integration: Integration, push_leads: Loop, clay: ClaySimulator, now: time_machine.Traveller
) -> None:
    connecting.connect(
        project=project,
        provider=get_provider("clay"),
        connection=Connection(webhook_url=clay.url_for("sales")),
        options=Options(name="sales"),
    )
    Pacer.objects.update(rate_per_second=2, burst=1)
    to_sales = loop_for(project, "sales")
    for number in range(6):
        start_many(to_sales if number % 2 else push_leads, str(number))

    go_on(now, 4)

    assert emails(clay) == ["0", "1", "2", "3", "4", "5"]


def test_a_429_holds_everybody_and_keeps_their_order(
    project: Project, integration: Integration, clay: ClaySimulator, now: time_machine.Traveller
) -> None:
    Pacer.objects.update(rate_per_second=2, burst=1)
    loop = loop_for(project, "clay", retry={"max_attempts": 2, "delay": "1s"})
    runs = start_many(loop, *map(str, range(4)))
    clay.next_answers(Behaviour(fail=429, headers=(("Retry-After", "5"),)))
    go_on(now, 1)
    assert emails(clay) == ["0"], "the next one was refused"
    go_on(now, 4)
    assert emails(clay) == ["0"], "nobody of the group sends before Retry-After is over"

    go_on(now, 3)

    assert emails(clay) == ["0", "2", "3", "1"]
    assert {fresh(run).status for run in runs} == {RunStatus.COMPLETED}


def test_a_step_s_timeout_does_not_keep_its_row_from_being_woken(
    project: Project, integration: Integration, clay: ClaySimulator, now: time_machine.Traveller
) -> None:
    Pacer.objects.update(rate_per_second=2, burst=1)
    loop = loop_for(project, "clay", timeout={"duration": "1h", "on_timeout": "fail"})
    start_many(loop, "0", "1")

    go_on(now, 1)

    assert emails(clay) == ["0", "1"]


def test_a_step_s_timeout_ends_its_waiting(
    project: Project, integration: Integration, clay: ClaySimulator, now: time_machine.Traveller
) -> None:
    connecting.pause(integration)
    loop = loop_for(project, "clay", timeout={"duration": "2s", "on_timeout": "fail"})
    run = start_many(loop, "0")[0]

    go_on(now, 3)

    assert (fresh(run).status, fresh(run).error_type) == (RunStatus.FAILED, "step_timed_out")
    assert queue.queue_of(integration).rows == 0


# --- pausing by the rule ---


@pytest.mark.usefixtures("now")
def test_the_third_401_in_a_row_pauses_and_the_other_rows_wait(
    integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    clay.change(token="other")

    runs = start_many(push_leads, *map(str, range(5)))

    integration.refresh_from_db()
    assert integration.status == IntegrationStatus.INACTIVE
    assert [fresh(run).status for run in runs] == ["failed"] * 3 + ["suspended"] * 2
    assert queue.queue_of(integration).rows == 2


@pytest.mark.parametrize("mend", ["test", "reconnect", "resume", "rotate"])
def test_what_resumes_sends_the_rows_that_waited(
    project: Project, integration: Integration, push_leads: Loop, clay: ClaySimulator, mend: str
) -> None:
    connecting.pause(integration)
    start_many(push_leads, "0", "1")

    match mend:
        case "test":
            probing.probe(integration)
        case "reconnect":
            connection = Connection(webhook_url=clay.url)
            connecting.connect(project=project, provider=get_provider("clay"), connection=connection)
        case "resume":
            connecting.resume(integration)
        case "rotate":
            connecting.rotate(integration, auth_header_name="", auth_header_value="")
    sweep()
    work_off()

    assert emails(clay)[-2:] == ["0", "1"]


# --- what it would take ---


def test_a_queue_says_its_number_its_budget_and_how_long_it_takes(integration: Integration, push_leads: Loop) -> None:
    Pacer.objects.update(rate_per_second=9.9, burst=18)
    Webhook.objects.update(submission_limit=100, used=70)
    connecting.pause(integration)
    start_many(push_leads, *map(str, range(40)))
    integration.pacer.refresh_from_db()

    found = queue.queue_of(integration)

    assert (found.rows, found.missing) == (40, 10)
    assert found.takes == timedelta(seconds=22 / 9.9)


def test_nothing_paces_the_queue_of_an_unpaced_integration(integration: Integration) -> None:
    found = queue.queue_of(integration)

    assert (found.rows, found.missing, found.takes) == (0, 0, None)


# --- discarding ---


def test_discarding_cancels_the_waiting_runs_and_says_who_did_it(
    integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    connecting.pause(integration)
    runs = start_many(push_leads, "0", "1")

    assert queue.discard(integration, by=ALICE) == 2

    for run in map(fresh, runs):
        assert (run.status, run.stop_reason, run.error_type) == (RunStatus.CANCELLED, "cancelled", "discarded")
        assert run.error_message == "alice discarded the rows that waited at clay; this row was not sent."
        assert (step_of(run).status, step_of(run).error_message) == ("cancelled", run.error_message)
        last = RunEvent.objects.filter(run=run).latest("sequence")
        assert (last.event_type, last.sequence) == ("run.cancelled", run.last_sequence)
    connecting.resume(integration)
    sweep()
    work_off()
    assert clay.rows == []
    assert not Attempt.objects.exists()
    assert queue.queue_of(integration).rows == 0
    event = AuditEvent.objects.get(action="integration.discard_queue")
    assert (event.actor_id, event.reason) == ("alice", "Rows that waited and were discarded: 2.")


def test_discarding_lets_the_next_run_of_a_queueing_loop_go(integration: Integration, project: Project) -> None:
    loop = create_loop(project=project, authored={**PUSH_LEADS, "name": "one by one", "concurrency": "queue"})
    connecting.pause(integration)
    first, second = start_many(loop, "0", "1")
    assert (fresh(first).status, fresh(second).queue_reason) == (RunStatus.SUSPENDED, "loop_policy")

    assert queue.discard(integration, by=ALICE) == 1

    assert (fresh(first).status, fresh(second).queue_reason) == (RunStatus.CANCELLED, "")


def test_discarding_goes_on_until_the_last_of_many(
    integration: Integration, push_leads: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "BATCH", 3)
    connecting.pause(integration)
    start_many(push_leads, *map(str, range(8)))

    assert queue.discard(integration, by=ALICE) == 8
    assert queue.discard(integration, by=ALICE) == 0


def test_discarding_leaves_other_integrations_and_other_waits_alone(
    project: Project, integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    sales = connecting.connect(
        project=project,
        provider=get_provider("clay"),
        connection=Connection(webhook_url=clay.url_for("sales")),
        options=Options(name="sales", rate_per_second=UNLIMITED),
    )
    clay.next_answers(Behaviour(reset=True))
    in_doubt = start_many(push_leads, "doubt")[0]
    connecting.pause(integration)
    connecting.pause(sales)
    own, other = start_many(push_leads, "own")[0], start_many(loop_for(project, "sales"), "other")[0]

    assert queue.discard(integration, by=ALICE) == 1

    assert [fresh(run).status for run in (own, other, in_doubt)] == ["cancelled", "suspended", "suspended"]


def test_a_worker_that_has_just_taken_a_row_wins_over_discarding(
    integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    connecting.pause(integration)
    run = start_many(push_leads, "0")[0]
    Run.objects.update(status=RunStatus.RUNNING)

    assert queue.discard(integration, by=ALICE) == 0
    assert fresh(run).status == RunStatus.RUNNING


def test_rows_that_wait_for_their_turn_can_be_discarded_while_the_integration_is_active(
    integration: Integration, push_leads: Loop, clay: ClaySimulator, now: time_machine.Traveller
) -> None:
    Pacer.objects.update(rate_per_second=2, burst=1)
    start_many(push_leads, *map(str, range(4)))

    assert queue.discard(integration, by=ALICE) == 3

    go_on(now, 3)
    assert emails(clay) == ["0"]


# --- the limit ---


def full(integration: Integration, *, wait: bool = False) -> None:
    Webhook.objects.filter(state="current").update(submission_limit=10, used=10)
    Integration.objects.update(wait_at_limit=wait)


def ready_successor(integration: Integration, clay: ClaySimulator) -> Webhook:
    staged = succession.stage(integration, Connection(webhook_url=clay.url_for("next")), Options())
    assert probing.probe(integration, webhook=staged).ok
    return staged


def test_rows_that_wait_at_the_limit_go_to_a_successor_in_order(
    integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    full(integration, wait=True)
    runs = start_many(push_leads, "0", "1", "2")
    assert {step_of(run).error_type for run in runs} == {"at_limit"}
    assert queue.queue_of(integration).rows == 3
    sweep()
    work_off()
    assert clay.rows == []

    ready_successor(integration, clay)
    sweep()
    work_off()

    assert emails(clay)[1:] == ["0", "1", "2"]
    assert {fresh(run).status for run in runs} == {RunStatus.COMPLETED}


def test_rows_that_wait_at_the_limit_go_when_it_is_raised(
    integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    full(integration, wait=True)
    start_many(push_leads, "0", "1", "2")

    Webhook.objects.update(submission_limit=12)
    sweep()
    work_off()

    assert emails(clay) == ["0", "1"]
    assert queue.queue_of(integration).rows == 1


def test_rows_that_wait_at_the_limit_fail_once_they_are_not_to_wait(
    integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    full(integration, wait=True)
    run = start_many(push_leads, "0")[0]

    Integration.objects.update(wait_at_limit=False)
    sweep()
    work_off()

    assert (fresh(run).status, fresh(run).error_type) == (RunStatus.FAILED, "submission_limit_reached")
    assert clay.rows == []


def test_a_run_passes_from_a_full_webhook_to_its_successor_without_noticing(
    integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    Webhook.objects.update(submission_limit=2)
    ready_successor(integration, clay)

    runs = start_many(push_leads, *map(str, range(4)))

    assert {fresh(run).status for run in runs} == {RunStatus.COMPLETED}
    assert [row.source == "next" for row in clay.rows] == [True, False, False, True, True]


def test_a_row_refused_with_the_limit_text_is_sent_once_more_to_the_successor(
    integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    ready_successor(integration, clay)
    clay.next_answers(Behaviour(fail=403, body=b"Record limit reached for webhook"))

    run = start_many(push_leads, "0")[0]

    integration.refresh_from_db()
    attempts = Attempt.objects.of_run(run.pk)
    assert fresh(run).status == RunStatus.COMPLETED
    assert [(one.state, one.number, one.status_code) for one in attempts] == [("refused", 1, 403), ("accepted", 2, 200)]
    assert clay.rows[-1].source == "next"
    assert integration.usable


def test_a_successor_that_is_full_as_well_fails_the_row_and_pauses(
    integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    ready_successor(integration, clay)
    limit = Behaviour(fail=403, body=b"Record limit reached for webhook")
    clay.next_answers(limit, limit)

    run = start_many(push_leads, "0")[0]

    integration.refresh_from_db()
    assert (fresh(run).status, fresh(run).error_type) == (RunStatus.FAILED, "delivery_refused")
    assert Attempt.objects.of_run(run.pk).count() == 2
    assert integration.status == IntegrationStatus.INACTIVE
