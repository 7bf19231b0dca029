"""`/v1/projects/{project}/loops`: writing loops and reading them back, in exactly the contract's shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loops.models import Loop, LoopStatus, LoopVersion, Run
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import PUSH_LEADS, Api

JsonObject = dict[str, Any]

LOOPS = "/v1/projects/platform/loops"
NOT_FOUND = {"error": {"code": "not_found", "message": "There is no such loop."}}
REQUIRED = {"id", "name", "status", "created_at", "updated_at"}
AUTHORED = {
    *("name", "description", "schema_version", "steps", "triggers", "concurrency", "event", "config"),
    *("default_config", "output", "limits", "run_name", "settings", "tags", "cleanup"),
    *("agent_id", "repositories", "defaults"),
}
EVERYTHING: JsonObject = PUSH_LEADS | {
    "description": "One row for each lead.",
    "triggers": [{"kind": "manual"}],
    "concurrency": "allow",
    "event": {"email": {"type": "string", "required": True, "default": None, "description": "Whom"}},
    "default_config": {"list": "leads"},
    "output": {"code": "${{ steps.push.output.status_code }}"},
    "limits": {"wall_clock_timeout": "1h"},
    "run_name": {"template": "Lead ${{ event.email }}"},
    "settings": {"idempotency_key_after_end": "return"},
    "tags": {"team": "growth"},
}


def assert_loop_shape(loop: JsonObject) -> None:
    assert set(loop) >= REQUIRED
    assert set(loop) <= REQUIRED | AUTHORED | {"owner", "last_run_at"}
    for name in REQUIRED | {"last_run_at"}:
        assert loop.get(name, "") is not None


def create(api: Api, **changes: Any) -> JsonObject:
    answer = api.post(f"{api.root}/loops", PUSH_LEADS | changes)
    assert answer.status_code == 201, answer.json()
    loop: JsonObject = answer.json()
    return loop


def refused(answer: Any) -> dict[str, list[str]]:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "bad_request")
    fields: dict[str, list[str]] = error["details"]["fields"]
    return fields


# --- creating ---


def test_a_loop_comes_back_as_it_was_written(api: Api) -> None:
    answer = api.post(LOOPS, EVERYTHING)

    loop = answer.json()
    assert answer.status_code == 201
    assert_loop_shape(loop)
    assert {name: loop[name] for name in EVERYTHING} == EVERYTHING
    assert loop["status"] == "active"
    assert loop["id"].startswith("loop_")
    assert api.get(f"{LOOPS}/{loop['id']}").json() == loop


def test_a_loop_without_steps_is_a_draft(api: Api) -> None:
    loop = api.post(LOOPS, {"name": "later"}).json()

    assert loop["status"] == "draft"
    assert "steps" not in loop


def test_nulls_are_read_as_absent(api: Api) -> None:
    loop = create(api, description=None, tags=None, output=None)

    assert_loop_shape(loop)
    assert None not in loop.values()


def test_a_name_is_taken_once_in_a_project(api: Api, stranger_api: Api) -> None:
    create(api)

    again = api.post(LOOPS, PUSH_LEADS)

    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_exists")
    assert create(stranger_api)["name"] == "push-leads"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": None}, "name"),
        ({"name": " x "}, "name"),
        ({"schema_version": "2"}, "schema_version"),
        ({"stepz": []}, "stepz"),
        ({"steps": {}}, "steps"),
        ({"steps": [{"kind": "agent", "config": {}}]}, "steps[0].kind"),
        ({"steps": [{"kind": "sleep", "config": {"duration": "soon"}}]}, "steps[0].config.duration"),
        (
            {"steps": [{"kind": "action", "config": {"action_name": "clay.webhook.submitt"}}]},
            "steps[0].config.action_name",
        ),
        ({"concurrency": "forbid"}, "concurrency"),
        ({"triggers": [{"kind": "schedule"}]}, "triggers[0].config"),
    ],
)
def test_a_loop_that_cannot_run_is_refused_naming_the_place(api: Api, changes: JsonObject, field: str) -> None:
    assert field in refused(api.post(LOOPS, PUSH_LEADS | changes))
    assert not Loop.objects.exists()


@pytest.mark.parametrize("body", [[], "loop", 7])
def test_what_is_no_object_is_refused(api: Api, body: Any) -> None:
    assert list(refused(api.post(LOOPS, body))) == ["body"]


# --- reading ---


def test_a_loop_is_read_by_id_and_by_name(api: Api) -> None:
    loop = create(api)

    assert api.get(f"{LOOPS}/{loop['id']}").json() == api.get(f"{LOOPS}/push-leads").json() == loop


def test_a_loop_tells_when_it_last_ran(api: Api) -> None:
    loop = create(api)
    assert "last_run_at" not in loop
    runs = [api.post(f"{LOOPS}/push-leads/runs", {}).json() for _ in range(2)]

    assert api.get(f"{LOOPS}/{loop['id']}").json()["last_run_at"] == runs[1]["created_at"]
    assert api.get(LOOPS).json()["items"][0]["last_run_at"] == runs[1]["created_at"]


def test_loops_are_listed_newest_first_page_by_page(api: Api) -> None:
    made = [create(api, name=name)["id"] for name in "abc"]

    first = api.get(LOOPS, {"limit": 2}).json()
    second = api.get(LOOPS, {"limit": 2, "cursor": first["next_cursor"]}).json()

    assert [loop["id"] for loop in first["items"] + second["items"]] == made[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)
    for loop in first["items"]:
        assert_loop_shape(loop)


def test_loops_are_filtered_by_status(api: Api) -> None:
    active = create(api)["id"]
    draft = api.post(LOOPS, {"name": "later"}).json()["id"]

    def listed(status: str) -> list[str]:
        return [loop["id"] for loop in api.get(LOOPS, {"status": status}).json()["items"]]

    assert (listed("active"), listed("draft"), listed("paused")) == ([active], [draft], [])
    assert list(refused(api.get(LOOPS, {"status": "on"}))) == ["status"]


# --- changing ---


def test_absent_fields_stay_and_present_ones_replace(api: Api) -> None:
    loop = api.post(LOOPS, EVERYTHING).json()

    changed = api.patch(f"{LOOPS}/{loop['id']}", {"tags": {"a": "b"}, "description": "new"})

    assert changed.status_code == 200
    assert_loop_shape(changed.json())
    assert changed.json()["tags"] == {"a": "b"}
    assert changed.json()["steps"] == EVERYTHING["steps"]
    assert changed.json()["updated_at"] > loop["updated_at"]


def test_loops_are_listed_by_the_agent_that_their_author_named(api: Api) -> None:
    create(api, agent_id="agent_sales")
    create(api, name="another")

    found = api.get(f"{LOOPS}?agent_id=agent_sales").json()["items"]

    assert [loop["name"] for loop in found] == [PUSH_LEADS["name"]]
    assert api.get(f"{LOOPS}?agent_id=agent_none").json()["items"] == []


def test_each_write_of_an_authored_field_makes_a_version(api: Api) -> None:
    loop = create(api)

    api.patch(f"{LOOPS}/{loop['id']}", {"description": "new"})
    api.patch(f"{LOOPS}/{loop['id']}", {"status": "paused"})
    api.patch(f"{LOOPS}/{loop['id']}", {"description": "new", "steps": loop["steps"]})

    assert list(LoopVersion.objects.order_by("number").values_list("number", flat=True)) == [1, 2]


def test_steps_make_a_draft_active(api: Api) -> None:
    loop = api.post(LOOPS, {"name": "later"}).json()

    changed = api.patch(f"{LOOPS}/{loop['id']}", {"steps": PUSH_LEADS["steps"]})

    assert changed.json()["status"] == "active"


def test_a_loop_is_paused_and_set_active_again(api: Api) -> None:
    path = f"{LOOPS}/{create(api)['id']}"

    assert api.patch(path, {"status": "paused"}).json()["status"] == "paused"
    assert api.patch(path, {"status": "active"}).json()["status"] == "active"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"status": "deleted"}, "status"),
        ({"status": "draft"}, "status"),
        ({"steps": [{"kind": "agent", "config": {}}]}, "steps[0].kind"),
        ({"id": "loop_x"}, "id"),
        ({"name": ""}, "name"),
    ],
)
def test_a_wrong_change_is_refused_and_changes_nothing(api: Api, changes: JsonObject, field: str) -> None:
    loop = create(api)

    assert field in refused(api.patch(f"{LOOPS}/{loop['id']}", changes))
    assert api.get(f"{LOOPS}/{loop['id']}").json() == loop


def test_a_draft_cannot_be_set_active(api: Api) -> None:
    loop = api.post(LOOPS, {"name": "later"}).json()

    assert "no steps" in refused(api.patch(f"{LOOPS}/{loop['id']}", {"status": "active"}))["status"][0]


def test_a_name_may_change_but_not_to_a_taken_one(api: Api) -> None:
    first, _ = create(api, name="a"), create(api, name="b")

    taken = api.patch(f"{LOOPS}/{first['id']}", {"name": "b"})
    free = api.patch(f"{LOOPS}/{first['id']}", {"name": "c"})

    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "already_exists")
    assert free.json()["name"] == "c"
    assert api.get(f"{LOOPS}/a").status_code == 404


# --- deleting ---


def test_a_deleted_loop_is_gone_but_its_runs_stay_readable(api: Api) -> None:
    loop = create(api)
    run = api.post(f"{LOOPS}/push-leads/runs", {}).json()

    answer = api.delete(f"{LOOPS}/{loop['id']}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert Loop.objects.get().status == LoopStatus.DELETED
    for name in (loop["id"], "push-leads"):
        assert api.get(f"{LOOPS}/{name}").status_code == 404
        assert api.patch(f"{LOOPS}/{name}", {}).status_code == 404
        assert api.delete(f"{LOOPS}/{name}").status_code == 404
    assert api.get(LOOPS).json()["items"] == []
    assert api.get(f"/v1/projects/platform/runs/{run['id']}").json()["loop_name"] == "push-leads"
    assert api.get(f"/v1/projects/platform/runs/{run['id']}/steps").status_code == 200


def test_a_deleted_loop_s_name_is_free_again(api: Api) -> None:
    first = create(api)
    api.delete(f"{LOOPS}/{first['id']}")

    assert create(api)["id"] != first["id"]


# --- who ---

CALLS = ["get", "patch", "delete"]


@pytest.mark.parametrize("method", CALLS)
def test_an_unknown_loop_is_not_found(api: Api, method: str) -> None:
    answer = getattr(api, method)(f"{LOOPS}/nothing")

    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("by", ["id", "name"])
def test_another_project_s_loop_is_not_found(api: Api, stranger_api: Api, method: str, by: str) -> None:
    loop = create(api)

    answer = getattr(stranger_api, method)(f"{stranger_api.root}/loops/{loop[by]}")

    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)
    assert api.get(f"{LOOPS}/{loop['id']}").json() == loop


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.VIEWER, {"list", "get"}),
        (Role.OPERATOR, {"list", "get", "start"}),
        (Role.ADMIN, {"list", "get", "start", "create", "patch", "delete"}),
        (Role.RUN, {"start"}),
        (Role.CALLBACK, set()),
    ],
)
def test_who_may_do_what(api_as: Callable[[Role], Api], push_leads: Loop, role: Role, allowed: set[str]) -> None:
    api, path = api_as(role), f"{LOOPS}/push-leads"
    calls = {
        "list": lambda: api.get(LOOPS),
        "get": lambda: api.get(path),
        "start": lambda: api.post(f"{path}/runs", {}),
        "create": lambda: api.post(LOOPS, {"name": "another"}),
        "patch": lambda: api.patch(path, {"description": "new"}),
        "delete": lambda: api.delete(path),
    }

    assert {name for name, call in calls.items() if call().status_code != 403} == allowed


def test_a_list_holds_only_the_project_s_own(stranger_api: Api, push_leads: Loop) -> None:
    assert stranger_api.get(f"{stranger_api.root}/loops").json() == {"items": [], "has_more": False}


def test_nothing_runs_because_a_loop_was_written(api: Api, project: Project) -> None:
    create(api)

    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("name", {"name": "a/b"}),
    ],
)
def test_what_this_release_does_not_do_is_refused_rather_than_promised(
    api: Api, field: str, change: dict[str, Any]
) -> None:
    answer = api.post(f"{api.root}/loops", PUSH_LEADS | change)

    assert answer.status_code == 400
    assert field in answer.json()["error"]["details"]["fields"]
