"""`/v1/projects/{project}/…/runs`: starting by id or name, once for each key, and reading what became of it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connections
from pytest_django import DjangoAssertNumQueries, DjangoDbBlocker
from rest_framework.test import APIClient

from integrations import connecting
from integrations.models import Integration
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops.authoring import create_loop, update_loop
from loops.models import Loop, LoopStatus, Run, RunStatus
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import PUSH_LEADS, Api, work_off

JsonObject = dict[str, Any]

START = "/v1/projects/platform/loops/push-leads/runs"
RUNS = "/v1/projects/platform/runs"

FROM_CLAY = {
    "event": {"email": "ada@example.com", "company_domain": "example.com", "clay_row_id": "r_1"},
    "source": {"type": "api", "id": "clay", "label": "Clay"},
    "idempotency_key": "clay:r_1",
}
"""The founding document's run start, as Clay fills it in."""

REQUIRED = {"id", "loop_id", "loop_version_id", "loop_version", "status", "created_at", "updated_at"}
OPTIONAL = {
    *("name", "description", "loop_name", "attempt", "queue_reason", "stop_reason", "event", "meta", "config"),
    *("result", "source", "parent_run_id", "parent_loop_id", "parent_step_key", "error_message", "error_type"),
    *("wake_at", "wall_clock_deadline_at", "started_at", "completed_at"),
}
STEP_REQUIRED = {"id", "run_id", "step_key", "kind", "status", "seq", "attempt", "created_at", "updated_at"}
STEP_OPTIONAL = {
    *("step_name", "inputs", "parameters", "result", "job_id", "wait_id", "error_type", "error_message"),
    *("started_at", "completed_at", "verdict", "verdict_detail"),
}
STEP_NULLABLE = {"job_id", "wait_id", "started_at", "completed_at"}


def assert_run_shape(run: JsonObject) -> None:
    """Mobius's Python client refuses a field too many, and a null."""
    assert set(run) >= REQUIRED
    assert set(run) <= REQUIRED | OPTIONAL
    assert None not in run.values()
    for name in ("created_at", "updated_at", "started_at", "completed_at"):
        assert run.get(name, "Z").endswith("Z")


def fields_of(answer: Any) -> dict[str, list[str]]:
    error = answer.json()["error"]
    assert answer.status_code == 400, error
    assert error["code"] == "bad_request"
    return dict(error["details"]["fields"])


# --- starting ---


def test_the_founding_document_s_start_is_answered_with_202_and_the_run(api: Api, push_leads: Loop) -> None:
    answer = api.post(START, FROM_CLAY)

    run = answer.json()
    assert answer.status_code == 202
    assert_run_shape(run)
    assert (run["status"], run["attempt"], run["loop_version"]) == ("queued", 1, 1)
    assert (run["loop_id"], run["loop_name"]) == (push_leads.pk, "push-leads")
    assert run["loop_version_id"] == push_leads.current_version_id
    assert run["event"] == FROM_CLAY["event"]
    assert run["source"] == FROM_CLAY["source"]
    assert "idempotency_key" not in run


def test_the_run_pushes_the_event_s_values(
    api: Api, push_leads: Loop, integration: Integration, clay: ClaySimulator
) -> None:
    run_id = api.post(START, FROM_CLAY).json()["id"]
    work_off()

    assert clay.rows[0].body == {"email": "ada@example.com", "request_id": run_id}
    assert api.get(f"{RUNS}/{run_id}").json()["status"] == "completed"


def test_a_loop_is_found_by_its_id_and_by_its_name(api: Api, project: Project) -> None:
    loop = create_loop(project=project, authored=PUSH_LEADS | {"name": "Push leads (new)"})

    by_id = api.post(f"{api.root}/loops/{loop.pk}/runs", {})
    by_name = api.post(f"{api.root}/loops/Push%20leads%20%28new%29/runs", {})

    assert (by_id.status_code, by_name.status_code) == (202, 202)
    assert by_id.json()["loop_id"] == by_name.json()["loop_id"] == loop.pk


def test_a_body_is_not_needed(api: Api, push_leads: Loop) -> None:
    answer = api.post(START)

    assert answer.status_code == 202
    assert answer.json()["event"] == {}


def test_nulls_are_read_as_absent(api: Api, push_leads: Loop) -> None:
    answer = api.post(START, dict.fromkeys(("event", "meta", "config", "source", "idempotency_key")))

    assert answer.status_code == 202


def test_mobius_s_budgets_are_taken_and_ignored(api: Api, push_leads: Loop) -> None:
    answer = api.post(START, {"budget_usd": 1.5})

    assert answer.status_code == 202
    assert "budget_usd" not in answer.json()
    assert "credit_budget" in fields_of(api.post(START, {"budget_usd": 1.5, "credit_budget": 7}))


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"events": {}}, "events", "Did you mean"),
        ({"event": []}, "event", "not an array"),
        ({"event": "x"}, "event", "not a string"),
        ({"meta": 7}, "meta", "not a number"),
        ({"config": True}, "config", "JSON object"),
        ({"source": {"type": "magic"}}, "source.type", "api, trigger, manual, signal"),
        ({"source": {"trigger_id": "x"}}, "source.trigger_id", "no such field"),
        ({"source": {"label": 7}}, "source.label", "text"),
        ({"idempotency_key": 7}, "idempotency_key", "not a number"),
        ({"idempotency_key": "x" * 256}, "idempotency_key", "255"),
        ([], "body", "JSON object"),
        ("text", "body", "JSON object"),
    ],
)
def test_a_wrong_start_is_refused_naming_the_field(
    api: Api, push_leads: Loop, body: Any, field: str, words: str
) -> None:
    fields = fields_of(api.post(START, body))

    assert words in " ".join(fields[field])
    assert not Run.objects.exists()


@pytest.mark.parametrize("content", [b"{", b'{"event": NaN}', b'{"a":1,"a":2}', b"\xff", b"[" * 50_000])
def test_what_is_no_json_is_refused(api: Api, push_leads: Loop, content: bytes) -> None:
    answer = api.generic("POST", START, content, content_type="application/json")

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad_request"


def test_an_event_that_lacks_what_the_loop_needs_is_refused(api: Api, project: Project) -> None:
    declared = {"email": {"type": "string", "required": True}, "source": {"required": True, "default": "mobius"}}
    create_loop(project=project, authored=PUSH_LEADS | {"event": declared})

    assert list(fields_of(api.post(START, {"event": {}}))) == ["event.email"]
    assert api.post(START, {"event": {"email": "a"}}).status_code == 202


def test_a_run_is_named_by_the_loop_s_template(api: Api, project: Project) -> None:
    naming = {"template": "Lead ${{ event.email }}", "description_template": "${{ event.nothing }}"}
    create_loop(project=project, authored=PUSH_LEADS | {"run_name": naming})

    run = api.post(START, {"event": {"email": "ada@example.com"}}).json()

    assert run["name"] == "Lead ada@example.com"
    assert "description" not in run
    assert "description" in Run.objects.get().warnings[0]


def test_an_unfilled_placeholder_is_accepted_and_flagged(api: Api, push_leads: Loop) -> None:
    answer = api.post(START, {"event": {"email": "{{Email}}"}})

    assert answer.status_code == 202
    assert answer.json()["event"] == {"email": "{{Email}}"}
    assert Run.objects.get().warnings == ["event.email holds a placeholder that Clay did not fill in."]


# --- once for each key ---


def test_a_repeated_key_gives_the_active_run_again(api: Api, push_leads: Loop) -> None:
    first = api.post(START, FROM_CLAY).json()

    again = api.post(START, FROM_CLAY | {"event": {"email": "other@example.com"}})

    assert again.status_code == 202
    assert again.json()["id"] == first["id"]
    assert again.json()["event"] == FROM_CLAY["event"]
    assert Run.objects.count() == 1


def test_a_key_holds_while_its_run_is_suspended(api: Api, push_leads: Loop, integration: Integration) -> None:
    connecting.pause(integration)
    first = api.post(START, FROM_CLAY).json()
    work_off()
    assert Run.objects.get().status == RunStatus.SUSPENDED

    again = api.post(START, FROM_CLAY)

    assert (again.status_code, again.json()["id"]) == (202, first["id"])


def test_a_key_holds_for_the_whole_project(api: Api, push_leads: Loop, project: Project) -> None:
    create_loop(project=project, authored=PUSH_LEADS | {"name": "other"})
    first = api.post(START, FROM_CLAY).json()

    again = api.post(f"{api.root}/loops/other/runs", FROM_CLAY)

    assert again.json()["id"] == first["id"]


def test_a_key_of_another_project_is_another_key(
    api: Api, stranger_api: Api, push_leads: Loop, other_project: Project
) -> None:
    create_loop(project=other_project, authored=PUSH_LEADS)
    first = api.post(START, FROM_CLAY).json()

    theirs = stranger_api.post(f"{stranger_api.root}/loops/push-leads/runs", FROM_CLAY)

    assert theirs.status_code == 202
    assert theirs.json()["id"] != first["id"]


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED])
def test_after_the_end_a_key_conflicts_and_the_details_say_with_what(
    api: Api, push_leads: Loop, status: RunStatus
) -> None:
    first = api.post(START, FROM_CLAY).json()
    Run.objects.update(status=status)

    again = api.post(START, FROM_CLAY)

    error = again.json()["error"]
    assert again.status_code == 409
    assert error["code"] == "idempotency_key_conflict"
    assert error["details"] == {"run_id": first["id"], "status": status.value}
    assert Run.objects.count() == 1


def test_a_loop_may_return_the_ended_run(api: Api, project: Project) -> None:
    create_loop(project=project, authored=PUSH_LEADS | {"settings": {"idempotency_key_after_end": "return"}})
    first = api.post(START, FROM_CLAY).json()
    Run.objects.update(status=RunStatus.COMPLETED)

    again = api.post(START, FROM_CLAY)

    assert again.status_code == 202
    assert (again.json()["id"], again.json()["status"]) == (first["id"], "completed")


def test_a_loop_may_start_again_under_the_key(api: Api, project: Project) -> None:
    create_loop(project=project, authored=PUSH_LEADS | {"settings": {"idempotency_key_after_end": "restart"}})
    first = api.post(START, FROM_CLAY).json()
    Run.objects.update(status=RunStatus.COMPLETED)

    second = api.post(START, FROM_CLAY).json()
    third = api.post(START, FROM_CLAY).json()

    assert second["id"] != first["id"]
    assert third["id"] == second["id"]


def test_the_header_s_key_counts_like_the_body_s(api: Api, push_leads: Loop) -> None:
    first = api.post(START, {}, headers={"Idempotency-Key": "k"}).json()

    again = api.post(START, {"idempotency_key": "k"})
    both = api.post(START, {"idempotency_key": " k "}, headers={"Idempotency-Key": "k"})

    assert again.json()["id"] == both.json()["id"] == first["id"]


def test_different_keys_in_header_and_body_are_refused(api: Api, push_leads: Loop) -> None:
    answer = api.post(START, {"idempotency_key": "a"}, headers={"Idempotency-Key": "b"})

    assert "Idempotency-Key" in fields_of(answer)["idempotency_key"][0]


@pytest.mark.parametrize("key", ["", "   "])
def test_a_blank_key_is_none(api: Api, push_leads: Loop, key: str) -> None:
    for _ in range(2):
        assert api.post(START, {"idempotency_key": key}).status_code == 202

    assert Run.objects.count() == 2


@pytest.mark.parametrize("key", ["clay:{{Clay Row ID}}", "clay:", "clay:[object Object]", "clay:/Row ID"])
def test_a_key_that_would_collapse_all_rows_into_one_run_is_refused(api: Api, push_leads: Loop, key: str) -> None:
    first = api.post(START, {"event": {"email": "a"}, "idempotency_key": key})
    same = api.post(START, {"event": {"email": "a"}, "idempotency_key": key})
    other = api.post(START, {"event": {"email": "b"}, "idempotency_key": key})

    assert (first.status_code, same.status_code) == (202, 202)
    assert "placeholder" in fields_of(other)["idempotency_key"][0]
    assert "type / and pick the column" in fields_of(other)["idempotency_key"][0]
    assert Run.objects.get().warnings == ["idempotency_key holds a placeholder that Clay did not fill in."]


@pytest.fixture
def file_database(django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path: Path) -> Iterator[None]:
    """A copy of the test database in a file, as the product has it: threads cannot share the one in memory."""
    main = connections["default"]
    with django_db_blocker.unblock():
        main.ensure_connection()
        memory = main.connection
        with closing(sqlite3.connect(tmp_path / "copy.sqlite3")) as file:
            memory.backup(file)
        with patch.dict(main.settings_dict, NAME=str(tmp_path / "copy.sqlite3")):
            main.connection = None
            try:
                yield
            finally:
                main.close()
                main.connection = memory


@pytest.mark.skipif(connections["default"].vendor != "sqlite", reason="copies a file")
def test_a_hundred_starts_at_once_with_one_key_make_one_run(file_database: None) -> None:
    project = Project.objects.create(handle="platform", name="Platform")
    create_loop(project=project, authored=PUSH_LEADS)
    api = Api(project, Role.ADMIN)
    gate = threading.Barrier(100)
    answers: list[tuple[int, str]] = []

    def start() -> None:
        client = APIClient(headers={"Authorization": f"Bearer {api.key.text}"})
        gate.wait()
        try:
            answer = client.post(START, FROM_CLAY, format="json")
            answers.append((answer.status_code, answer.json().get("id")))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=start) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(answers) == {(202, Run.objects.get().pk)}
    assert len(answers) == 100


# --- loops that cannot be started ---


def test_a_paused_loop_is_a_conflict(api: Api, push_leads: Loop) -> None:
    update_loop(push_leads, {"status": "paused"})

    answer = api.post(START, FROM_CLAY)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "loop_paused")


def test_a_draft_is_a_conflict(api: Api, project: Project) -> None:
    create_loop(project=project, authored={"name": "push-leads"})

    answer = api.post(START, FROM_CLAY)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert "no steps yet" in answer.json()["error"]["message"]


def test_a_deleted_loop_is_not_found(api: Api, push_leads: Loop) -> None:
    Loop.objects.update(status=LoopStatus.DELETED)

    for name in (push_leads.pk, push_leads.name):
        assert api.post(f"{api.root}/loops/{name}/runs", {}).status_code == 404


def test_an_unknown_loop_is_not_found(api: Api, project: Project) -> None:
    answer = api.post(START, FROM_CLAY)

    assert answer.json() == {"error": {"code": "not_found", "message": "There is no such loop."}}
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("role", "status"), [(Role.VIEWER, 403), (Role.CALLBACK, 403), (Role.RUN, 202), (Role.OPERATOR, 202)]
)
def test_who_may_start(api_as: Callable[[Role], Api], push_leads: Loop, role: Role, status: int) -> None:
    assert api_as(role).post(START, FROM_CLAY).status_code == status


def test_another_project_s_loop_is_not_found(api: Api, stranger_api: Api, push_leads: Loop) -> None:
    theirs = stranger_api.post(f"{stranger_api.root}/loops/{push_leads.pk}/runs", {})
    ours = stranger_api.post(START, FROM_CLAY)

    assert theirs.status_code == ours.status_code == 404
    assert not Run.objects.exists()


# --- reading ---


def test_a_completed_run_has_the_contract_s_shape(api: Api, push_leads: Loop, integration: Integration) -> None:
    run_id = api.post(START, FROM_CLAY).json()["id"]
    work_off()

    answer = api.get(f"{RUNS}/{run_id}")

    run = answer.json()
    assert answer.status_code == 200
    assert_run_shape(run)
    assert (run["status"], run["stop_reason"]) == ("completed", "completed")
    assert run["result"]["push"]["ok"] is True
    assert run["started_at"] <= run["completed_at"]
    assert "wake_at" not in run


def test_a_failed_run_says_why(api: Api, push_leads: Loop, integration: Integration, clay: ClaySimulator) -> None:
    clay.next_answers(Behaviour(fail=404))
    run_id = api.post(START, FROM_CLAY).json()["id"]
    work_off()

    run = api.get(f"{RUNS}/{run_id}").json()

    assert_run_shape(run)
    assert (run["status"], run["stop_reason"], run["error_type"]) == ("failed", "step_failed", "delivery_refused")
    assert "404" in run["error_message"]
    assert "result" not in run


def test_steps_are_listed_in_order_with_those_to_come(api: Api, project: Project, integration: Integration) -> None:
    nap = {"id": "nap", "name": "A nap", "kind": "sleep", "config": {"duration": "1h"}}
    later = {"kind": "wait_for_event", "config": {"event_type": "clay.callback"}}
    create_loop(project=project, authored=PUSH_LEADS | {"steps": [*PUSH_LEADS["steps"], nap, later]})
    run_id = api.post(START, FROM_CLAY).json()["id"]
    work_off()

    answer = api.get(f"{RUNS}/{run_id}/steps")

    steps = answer.json()["items"]
    assert list(answer.json()) == ["items"]
    assert [(step["seq"], step["step_key"], step["status"]) for step in steps] == [
        (0, "push", "completed"),
        (1, "nap", "suspended"),
        (2, "2", "pending"),
    ]
    assert steps[0]["id"] == f"{run_id}:push"
    assert steps[0]["parameters"] == PUSH_LEADS["steps"][0]["config"]["parameters"]
    assert steps[0]["inputs"] == {"payload": {"email": "ada@example.com"}, "request_id": run_id}
    assert steps[1]["step_name"] == "A nap"
    for step in steps:
        assert STEP_REQUIRED <= set(step) <= STEP_REQUIRED | STEP_OPTIONAL
        assert {name for name, value in step.items() if value is None} <= STEP_NULLABLE


def test_steps_that_a_failed_run_never_reached_are_cancelled(api: Api, project: Project) -> None:
    create_loop(
        project=project, authored=PUSH_LEADS | {"steps": [*PUSH_LEADS["steps"], PUSH_LEADS["steps"][0] | {"id": "b"}]}
    )
    run_id = api.post(START, FROM_CLAY).json()["id"]
    work_off()

    steps = api.get(f"{RUNS}/{run_id}/steps").json()["items"]

    assert [step["status"] for step in steps] == ["failed", "cancelled"]
    assert steps[0]["error_type"] == "not_connected"


def test_a_run_keeps_the_version_it_started_with(api: Api, push_leads: Loop) -> None:
    run_id = api.post(START, FROM_CLAY).json()["id"]
    update_loop(push_leads, {"description": "new"})

    assert api.get(f"{RUNS}/{run_id}").json()["loop_version"] == 1
    assert api.post(START, {}).json()["loop_version"] == 2


@pytest.mark.parametrize("path", ["", "/steps"])
def test_an_unknown_run_is_not_found(api: Api, path: str) -> None:
    answer = api.get(f"{RUNS}/run_nonexistent{path}")

    assert answer.status_code == 404
    assert answer.json() == {"error": {"code": "not_found", "message": "There is no such run."}}


@pytest.mark.parametrize("path", ["", "/steps"])
def test_another_project_s_run_is_not_found(api: Api, stranger_api: Api, push_leads: Loop, path: str) -> None:
    run_id = api.post(START, FROM_CLAY).json()["id"]

    theirs = stranger_api.get(f"{stranger_api.root}/runs/{run_id}{path}")

    assert theirs.json() == {"error": {"code": "not_found", "message": "There is no such run."}}


@pytest.mark.parametrize("path", ["", "/{run}", "/{run}/steps"])
@pytest.mark.parametrize(("role", "status"), [(Role.VIEWER, 200), (Role.RUN, 403), (Role.CALLBACK, 403)])
def test_who_may_read(
    api: Api, api_as: Callable[[Role], Api], push_leads: Loop, role: Role, status: int, path: str
) -> None:
    run_id = api.post(START, FROM_CLAY).json()["id"]

    assert api_as(role).get(RUNS + path.format(run=run_id)).status_code == status


# --- listing ---


def test_runs_are_listed_newest_first_page_by_page(api: Api, push_leads: Loop) -> None:
    made = [api.post(START, {}).json()["id"] for _ in range(5)]

    seen: list[str] = []
    query: JsonObject = {"limit": 2}
    while True:
        body = api.get(RUNS, query).json()
        seen += [run["id"] for run in body["items"]]
        for run in body["items"]:
            assert_run_shape(run)
        if not body["has_more"]:
            break
        query["cursor"] = body["next_cursor"]

    assert seen == made[::-1]
    assert "next_cursor" not in body


def test_a_page_stays_put_while_runs_are_added(api: Api, push_leads: Loop) -> None:
    made = [api.post(START, {}).json()["id"] for _ in range(3)]
    cursor = api.get(RUNS, {"limit": 1}).json()["next_cursor"]
    api.post(START, {})

    second = api.get(RUNS, {"limit": 1, "cursor": cursor}).json()

    assert [run["id"] for run in second["items"]] == [made[1]]


def test_runs_are_filtered_by_status_and_loop(api: Api, push_leads: Loop, project: Project) -> None:
    other = create_loop(project=project, authored=PUSH_LEADS | {"name": "other"})
    mine = api.post(START, {}).json()["id"]
    theirs = api.post(f"{api.root}/loops/other/runs", {}).json()["id"]
    Run.objects.filter(pk=theirs).update(status=RunStatus.COMPLETED)

    def listed(**query: str) -> list[str]:
        return [run["id"] for run in api.get(RUNS, query).json()["items"]]

    assert listed(status="queued") == [mine]
    assert listed(loop_id=other.pk) == [theirs]
    assert listed(status="queued", loop_id=other.pk) == []
    assert listed(loop_id="loop_nonexistent") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "done"}, "status"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"cursor": "?"}, "cursor"),
    ],
)
def test_a_wrong_filter_is_refused(api: Api, query: JsonObject, field: str) -> None:
    assert list(fields_of(api.get(RUNS, query))) == [field]


def test_a_list_holds_only_the_project_s_own(api: Api, stranger_api: Api, push_leads: Loop) -> None:
    api.post(START, {})

    assert stranger_api.get(f"{stranger_api.root}/runs").json() == {"items": [], "has_more": False}


def test_a_page_of_runs_costs_the_same_however_many_there_are(
    api: Api, push_leads: Loop, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(30):
        api.post(START, {})

    with django_assert_max_num_queries(3):
        assert len(api.get(RUNS, {"limit": 30}).json()["items"]) == 30
