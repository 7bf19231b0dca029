"""`/v1/projects/{project}/action-invocations`: the calls of actions as an audit (mobius-contract §5.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from integrations import invoking
from integrations.models import Attempt, AttemptState, Integration
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops.models import Loop
from mobius.projects.roles import Role
from tests.cast import Api, work_off

JsonObject = dict[str, Any]

CALLS = "/v1/projects/platform/action-invocations"
REQUIRED = {"id", "action_name", "source", "status", "retry_count", "started_at", "finished_at"}
OPTIONAL = {
    *("run_id", "job_id", "step_name", "loop_id", "definition_scope", "actor_principal_id", "actor_principal_type"),
    *("http_status", "parameters", "output_summary", "error_type", "error_message", "delivery_id", "correlation_id"),
}


@pytest.fixture
def called_by_a_run(api: Api, push_leads: Loop, integration: Integration) -> str:
    run_id = api.post(f"{api.root}/loops/push-leads/runs", {"event": {"email": "ada@example.com"}}).json()["id"]
    work_off()
    return str(run_id)


@pytest.fixture
def called_directly(transactional_db: None, api: Api, integration: Integration) -> Iterator[str]:
    called = api.post(f"{api.root}/actions/clay.webhook.submit/invoke", {"input": {"payload": {"email": "a"}}}).json()
    yield called["job_id"]
    assert invoking.wait(patience_seconds=10)
    connections.close_all()


def calls(api: Api, query: str = "") -> list[JsonObject]:
    page = api.get(f"{CALLS}?{query}").json()
    assert set(page) <= {"items", "has_more", "next_cursor"}
    items: list[JsonObject] = page["items"]
    for item in items:
        assert set(item) >= REQUIRED
        assert set(item) <= REQUIRED | OPTIONAL
        assert None not in item.values()
    return items


def test_a_run_s_call_tells_its_loop_its_step_and_its_outcome(api: Api, called_by_a_run: str, push_leads: Loop) -> None:
    (call,) = calls(api)

    assert (call["source"], call["status"], call["retry_count"], call["http_status"]) == ("loop", "success", 0, 200)
    assert (call["run_id"], call["loop_id"], call["step_name"]) == (called_by_a_run, push_leads.pk, "push")
    assert call["output_summary"] == {"ok": True, "status_code": 200, "request_id": called_by_a_run}
    assert call["delivery_id"] == Attempt.objects.get().pk
    assert "error_type" not in call


def test_a_direct_call_tells_who_made_it(api: Api, called_directly: str) -> None:
    (call,) = calls(api)

    assert (call["source"], call["job_id"], call["status"]) == ("direct", called_directly, "success")
    assert call["actor_principal_id"] == api.key.record.principal_id
    assert call["actor_principal_type"] == "service"
    assert "run_id" not in call


def test_a_failed_call_tells_why(api: Api, push_leads: Loop, integration: Integration, clay: ClaySimulator) -> None:
    clay.next_answers(Behaviour(fail=404))
    api.post(f"{api.root}/loops/push-leads/runs", {"event": {"email": "a"}})
    work_off()

    (call,) = calls(api)

    assert (call["status"], call["http_status"], call["error_type"]) == ("failed", 404, "delivery_refused")
    assert "Clay answered 404" in call["error_message"]


def test_a_call_in_doubt_has_failed_so_far(api: Api, called_by_a_run: str) -> None:
    Attempt.objects.update(state=AttemptState.IN_DOUBT, status_code=None, error_message="No answer came.")

    (call,) = calls(api)

    assert (call["status"], call["error_type"]) == ("failed", "delivery_in_doubt")


def test_what_is_still_on_its_way_is_not_listed(api: Api, called_by_a_run: str) -> None:
    Attempt.objects.update(state=AttemptState.SENDING)

    assert calls(api) == []
    assert api.get(f"{CALLS}/{Attempt.objects.get().pk}").status_code == 404


def test_a_test_of_the_connection_is_no_call(api: Api, integration: Integration) -> None:
    assert api.post(f"{api.root}/integrations/{integration.pk}/test", {}).json()["ok"]

    assert calls(api) == []


def test_one_call_is_told_with_its_parameters(api: Api, called_by_a_run: str) -> None:
    (call,) = calls(api)

    whole = api.get(f"{CALLS}/{call['id']}").json()

    parameters = {"payload": {"email": "ada@example.com"}, "request_id": called_by_a_run}
    assert whole == call | {"parameters": parameters}


def test_one_direct_call_is_told_with_its_row(api: Api, called_directly: str) -> None:
    assert api.get(f"{CALLS}/{called_directly}").json()["parameters"] == {"payload": {"email": "a"}}
    Attempt.objects.update(body="")  # a purge
    assert "parameters" not in api.get(f"{CALLS}/{called_directly}").json()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("action_name=clay.webhook.submit", 1),
        ("action_name=other", 0),
        ("run_id={run}", 1),
        ("run_id=run_none", 0),
        ("delivery_id={attempt}", 1),
        ("job_id={attempt}", 1),
        ("status=success", 1),
        ("status=failed", 0),
        ("status=odd", 0),
        ("definition_scope=platform", 1),
        ("definition_scope=project", 0),
        ("environment_id=x", 0),
        ("action_id=x", 0),
        ("secret_version=1", 0),
        ("correlation_id=x", 0),
        ("status=&run_id=", 1),
    ],
)
def test_filters(api: Api, called_by_a_run: str, query: str, found: int) -> None:
    asked = query.format(run=called_by_a_run, attempt=Attempt.objects.get().pk)

    assert len(calls(api, asked)) == found


def test_pages_are_newest_first(api: Api, push_leads: Loop, integration: Integration) -> None:
    for _ in range(3):
        api.post(f"{api.root}/loops/push-leads/runs", {"event": {"email": "a"}})
    work_off()

    first = api.get(f"{CALLS}?limit=2").json()
    second = api.get(f"{CALLS}?limit=2&cursor={first['next_cursor']}").json()

    ids = [one["id"] for one in first["items"] + second["items"]]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), first["has_more"], second["has_more"]) == (3, True, False)
    assert "next_cursor" not in second


def test_a_page_takes_the_same_statements_for_one_call_and_for_many(
    api: Api, push_leads: Loop, integration: Integration, django_assert_num_queries: Any
) -> None:
    for _ in range(5):
        api.post(f"{api.root}/loops/push-leads/runs", {"event": {"email": "a"}})
    work_off()
    calls(api)

    for limit in (1, 5):  # the key, the attempts, their runs, their steps
        with django_assert_num_queries(4):
            calls(api, f"limit={limit}")


def test_another_project_s_calls_are_not_found(stranger_api: Api, called_by_a_run: str) -> None:
    assert stranger_api.get(f"{stranger_api.root}/action-invocations").json()["items"] == []
    mine = Attempt.objects.get().pk
    assert stranger_api.get(f"{stranger_api.root}/action-invocations/{mine}").status_code == 404


def test_a_narrow_key_reads_no_calls(api_as: Callable[[Role], Api], called_by_a_run: str) -> None:
    assert api_as(Role.RUN).get(CALLS).status_code == 403
