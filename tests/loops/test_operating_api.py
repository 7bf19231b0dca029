"""`/v1`: cancel, retry, resume, signal and settle, exactly as the contract has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from integrations.models import Attempt, Integration
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops.models import Loop, Run
from mobius.projects.models import AuditEvent, Project
from mobius.projects.roles import Role
from tests.cast import Api, work_off
from tests.loops.flow import BROKEN, LOST, begin, fresh, go, loop_of
from tests.loops.runs import push, wait

pytestmark = pytest.mark.django_db
REFUSED = Behaviour(fail=401)


def error(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    told: dict[str, Any] = answer.json()["error"]
    return told


@pytest.fixture
def waiting(project: Project, integration: Integration, clay: ClaySimulator) -> Run:
    return go(project, push(), wait())


@pytest.fixture
def failed(project: Project, integration: Integration, clay: ClaySimulator) -> Run:
    clay.next_answers(REFUSED)
    return go(project, push())


@pytest.fixture
def doubt(project: Project, integration: Integration, clay: ClaySimulator) -> Attempt:
    clay.next_answers(LOST)
    go(project, push())
    return Attempt.objects.get()


# --- cancel ---


def test_cancel_is_200_with_the_run(api: Api, waiting: Run) -> None:
    answer = api.post(f"{api.root}/runs/{waiting.pk}/cancel", {"reason": "enough"})

    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["status"], answer.json()["stop_reason"]) == (
        *(waiting.pk, "cancelled", "cancelled"),
    )
    assert api.get(f"{api.root}/runs/{waiting.pk}").json() == answer.json()
    assert AuditEvent.objects.get(action="run.cancel").actor_id == api.key.record.pk


def test_cancel_needs_no_body_and_changes_nothing_the_second_time(api: Api, waiting: Run) -> None:
    address = f"{api.root}/runs/{waiting.pk}/cancel"
    first = api.generic("POST", address)
    second = api.generic("POST", address)

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()


@pytest.mark.parametrize("body", [{"reason": {}}, {"why": "x"}, {"reason": "x" * 1001}])
def test_cancel_refuses_what_it_does_not_know(api: Api, waiting: Run, body: dict[str, Any]) -> None:
    assert error(api.post(f"{api.root}/runs/{waiting.pk}/cancel", body), 400)["code"] == "bad_request"
    assert fresh(waiting).status == "suspended"


# --- retry and resume ---


@pytest.mark.parametrize("verb", ["retry", "resume"])
def test_retry_and_resume_are_202_with_the_active_run(api: Api, failed: Run, verb: str) -> None:
    answer = api.post(f"{api.root}/runs/{failed.pk}/{verb}", {"reason": "mended", "budget_usd": 1})

    shown = answer.json()
    assert (answer.status_code, shown["status"], shown["attempt"]) == (202, "queued", 2)
    assert {"error_type", "error_message", "stop_reason", "completed_at"}.isdisjoint(shown)
    work_off()
    assert fresh(failed).status == "completed"


def test_a_run_that_has_not_failed_is_409(api: Api, waiting: Run) -> None:
    told = error(api.post(f"{api.root}/runs/{waiting.pk}/retry"), 409)

    assert told == {"code": "conflict", "message": "Only a run that has failed can go on; this one is suspended."}


def test_an_older_version_is_409(api: Api, failed: Run) -> None:
    api.patch(f"{api.root}/loops/{failed.loop_id}", {"description": "new"})

    assert "newer version" in error(api.post(f"{api.root}/runs/{failed.pk}/resume"), 409)["message"]


def test_a_doubt_is_409_naming_the_delivery(
    api: Api, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(BROKEN)
    run = go(project, push())

    told = error(api.post(f"{api.root}/runs/{run.pk}/retry"), 409)

    assert told["code"] == "delivery_in_doubt"
    assert told["details"]["delivery_id"] == Attempt.objects.get().pk


@pytest.mark.parametrize("seconds", [0, -1, "soon", 1.5, 10**12])
def test_an_extension_is_a_number_of_seconds(api: Api, failed: Run, seconds: Any) -> None:
    told = error(api.post(f"{api.root}/runs/{failed.pk}/resume", {"wall_clock_extend_seconds": seconds}), 400)

    assert list(told["details"]["fields"]) == ["wall_clock_extend_seconds"]


# --- signals ---


def test_a_signal_is_200_and_the_step_has_its_result(api: Api, waiting: Run) -> None:
    answer = api.post(f"{api.root}/runs/{waiting.pk}/signals", {"step_key": "wait", "result": {"score": 7}})

    assert (answer.status_code, answer.json()["id"]) == (200, waiting.pk)
    steps = api.get(f"{api.root}/runs/{waiting.pk}/steps").json()["items"]
    assert (steps[1]["status"], steps[1]["result"]) == ("completed", {"score": 7})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"step_key": "wait", "result": [1]}, 400),
        ({"step_key": "wait", "colour": 1}, 400),
        ({"step_key": "push"}, 400),
        ({"step_key": "nap"}, 404),
    ],
)
def test_a_signal_that_fits_no_waiting_step_is_refused(
    api: Api, waiting: Run, body: dict[str, Any], status: int
) -> None:
    error(api.post(f"{api.root}/runs/{waiting.pk}/signals", body), status)

    assert fresh(waiting).revision == waiting.revision


# --- settle ---


@pytest.mark.parametrize(
    ("decision", "state"), [("arrived", "accepted"), ("send_again", "abandoned"), ("give_up", "abandoned")]
)
def test_settle_is_200_with_the_delivery(api: Api, doubt: Attempt, decision: str, state: str) -> None:
    body = {"decision": decision, "reason": "looked"}
    answer = api.post(f"{api.root}/deliveries/{doubt.pk}/settle", body)

    assert (answer.status_code, answer.json()["id"], answer.json()["state"]) == (200, doubt.pk, state)
    told = error(api.post(f"{api.root}/deliveries/{doubt.pk}/settle", body), 409)
    assert "Settled by admin" in told["message"]
    assert told["details"] == {"delivery_id": doubt.pk, "state": state}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"decision": "arrived"}, "reason"),
        ({"decision": "arrived", "reason": " "}, "reason"),
        ({"decision": "perhaps", "reason": "x"}, "decision"),
        ({"reason": "x"}, "decision"),
        ({"decision": "arrived", "reason": "x", "force": True}, "force"),
    ],
)
def test_settle_demands_a_decision_and_a_reason(api: Api, doubt: Attempt, body: dict[str, Any], field: str) -> None:
    told = error(api.post(f"{api.root}/deliveries/{doubt.pk}/settle", body), 400)

    assert list(told["details"]["fields"]) == [field]
    assert Attempt.objects.get().state == "in_doubt"


# --- who may ---


def addresses(run: Run, attempt: Attempt) -> list[tuple[str, dict[str, Any]]]:
    return [
        *((f"runs/{run.pk}/{verb}", {}) for verb in ("cancel", "retry", "resume")),
        (f"runs/{run.pk}/signals", {"step_key": "push"}),
        (f"deliveries/{attempt.pk}/settle", {"decision": "arrived", "reason": "x"}),
    ]


def test_only_operators_of_the_project_may(
    api_as: Callable[[Role], Api], stranger_api: Api, client: Client, doubt: Attempt
) -> None:
    run = Run.objects.get()
    for path, body in addresses(run, doubt):
        for role in (Role.VIEWER, Role.RUN, Role.CALLBACK):
            error(api_as(role).post(f"/v1/projects/platform/{path}", body), 403)
        error(stranger_api.post(f"/v1/projects/platform/{path}", body), 404)
        error(stranger_api.post(f"/v1/projects/elsewhere/{path}", body), 404)
        error(client.post(f"/v1/projects/platform/{path}", body, content_type="application/json"), 401)

    assert fresh(run).revision == run.revision
    assert Attempt.objects.get().state == "in_doubt"
    assert api_as(Role.OPERATOR).post(f"/v1/projects/platform/runs/{run.pk}/cancel").status_code == 200


# --- concurrency ---


def test_a_queued_run_says_why_and_a_skipped_start_is_409(api: Api, project: Project) -> None:
    queue, skip = loop_of(project, wait(), concurrency="queue"), loop_of(project, wait(), concurrency="skip")
    for loop in (queue, skip):
        begin(loop)

    queued = api.post(f"{api.root}/loops/{queue.pk}/runs").json()
    assert (queued["status"], queued["queue_reason"]) == ("queued", "loop_policy")
    assert error(api.post(f"{api.root}/loops/{skip.pk}/runs"), 409)["code"] == "conflict"
    cancelled = api.post(f"{api.root}/runs/{queued['id']}/cancel").json()
    assert "queue_reason" not in cancelled


def test_a_most_without_a_policy_is_refused(api: Api) -> None:
    trigger = {"kind": "manual", "max_concurrent_runs": 2}
    answer = api.post(f"{api.root}/loops", {"name": "a", "steps": [wait()], "triggers": [trigger]})

    assert "triggers[0].max_concurrent_runs" in error(answer, 400)["details"]["fields"]
    assert not Loop.objects.exists()
