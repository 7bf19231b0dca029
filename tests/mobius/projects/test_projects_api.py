"""`/v1/projects`: making, adopting, changing and deleting projects (mobius-contract §2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from loops.models import Loop
from mobius.projects import founding
from mobius.projects.keys import create_key
from mobius.projects.models import AuditEvent, Membership, Project
from mobius.projects.roles import Role
from tests.cast import Api

JsonObject = dict[str, Any]

PROJECTS = "/v1/projects"
REQUIRED = {"id", "name", "handle", "access_mode", "created_at", "updated_at"}
OPTIONAL = {"description", "external_ref", "created_by", "tags"}


def make(api: Api, name: str = "Product Ops", **more: Any) -> JsonObject:
    answer = api.post(PROJECTS, {"name": name} | more)
    assert answer.status_code == 201, answer.json()
    made: JsonObject = answer.json()
    assert set(made) >= REQUIRED
    assert set(made) <= REQUIRED | OPTIONAL
    assert None not in made.values()
    return made


def error_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def handles(api: Api, query: str = "") -> list[str]:
    return [one["handle"] for one in api.get(f"{PROJECTS}?{query}").json()["items"]]


# --- making ---


def test_a_project_is_made_with_a_handle_of_its_name(api: Api) -> None:
    made = make(api, "  Product Ops, 2nd team! ".strip(), description="Loops.", tags={"owner": "product"})

    assert (made["handle"], made["access_mode"]) == ("product-ops-2nd-team", "restricted")
    assert (made["description"], made["tags"]) == ("Loops.", {"owner": "product"})
    assert made["id"].startswith("prj_")
    assert made["created_by"] == api.key.record.principal_id
    assert AuditEvent.objects.get(action="project.create").object_id == made["id"]


def test_the_key_that_made_a_project_acts_in_it(api: Api) -> None:
    make(api, handle="customer")
    loop = api.post(f"{PROJECTS}/customer/loops", {"name": "theirs"})

    assert loop.status_code == 201
    assert Loop.objects.get().project.handle == "customer"
    assert handles(api) == ["customer", "platform"]
    assert api.get("/v1/projects/platform/loops").json()["items"] == []


def test_keys_below_admin_do_not_reach_what_an_admin_s_key_made(api: Api, api_as: Callable[[Role], Api]) -> None:
    make(api, handle="customer")
    operator = api_as(Role.OPERATOR)

    assert error_of(operator.get(f"{PROJECTS}/customer")) == (404, "not_found")
    assert handles(operator) == ["platform"]
    assert handles(api_as(Role.ADMIN)) == ["customer", "platform"]


def test_strangers_find_neither_the_project_nor_its_external_ref(api: Api, stranger_api: Api) -> None:
    make(api, handle="customer", external_ref="acme")

    theirs = stranger_api.get(f"{PROJECTS}/customer")
    assert theirs.json() == stranger_api.get(f"{PROJECTS}/nowhere").json()
    adopted = stranger_api.post(PROJECTS, {"name": "Mine", "external_ref": "acme", "if_exists": "adopt"})
    assert (adopted.status_code, adopted.json()["handle"]) == (201, "mine")


def test_a_key_of_a_project_made_does_not_reach_its_maker(api: Api) -> None:
    made = make(api, handle="customer")
    inside = Api(Project.objects.get(pk=made["id"]), Role.ADMIN)

    assert inside.get(f"{PROJECTS}/platform").status_code == 404
    assert handles(inside) == ["customer"]


def test_the_person_behind_the_key_becomes_an_admin(api: Api, project: Project, alice: User) -> None:
    text = create_key(project=project, name="alice's", role=Role.ADMIN, created_by=alice).text
    client = Client(headers={"Authorization": f"Bearer {text}"})

    assert client.post(PROJECTS, {"name": "Hers"}, content_type="application/json").status_code == 201
    assert Membership.objects.get(project__handle="hers").role == Role.ADMIN


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "日本"}, "handle"),
        ({"name": "x", "handle": "Not A Handle"}, "handle"),
        ({"name": "x", "handle": "-x"}, "handle"),
        ({"name": "x", "access_mode": "open"}, "access_mode"),
        ({"name": "x", "if_exists": "adopt"}, "external_ref"),
        ({"name": "x", "if_exists": "replace"}, "if_exists"),
        ({"name": "x", "tags": {"mobius:x": "1"}}, "tags"),
        ({"name": "x", "tags": {str(number): "" for number in range(9)}}, "tags"),
        ({"name": "x", "tags": {"k": "v" * 257}}, "tags.k"),
        ({"name": "x", "tags": []}, "tags"),
        ({"name": "x", "seed_existing_members": True}, "seed_existing_members"),
        ({"name": "x", "colour": "red"}, "colour"),
    ],
)
def test_a_wrong_project_is_refused_naming_the_field(api: Api, body: JsonObject, field: str) -> None:
    answer = api.post(PROJECTS, body)

    assert error_of(answer) == (400, "bad_request")
    assert list(answer.json()["error"]["details"]["fields"]) == [field]
    assert Project.objects.count() == 1


def test_a_taken_handle_and_a_taken_external_ref_are_conflicts(api: Api, other_project: Project) -> None:
    make(api, external_ref="acme")

    for body in ({"name": "Elsewhere"}, {"name": "Product ops"}, {"name": "New", "external_ref": "acme"}):
        assert error_of(api.post(PROJECTS, body)) == (409, "already_exists")


def test_only_admins_make_projects(api_as: Callable[[Role], Api]) -> None:
    assert error_of(api_as(Role.OPERATOR).post(PROJECTS, {"name": "x"})) == (403, "permission_denied")
    assert Client().post(PROJECTS, {"name": "x"}, content_type="application/json").status_code == 401


def test_there_is_an_end_to_how_many_projects_are_made(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(founding, "MOST_PROJECTS", 1)
    made = make(api)

    assert error_of(api.post(PROJECTS, {"name": "Another"})) == (429, "project_capacity_reached")
    api.delete(f"{PROJECTS}/{made['handle']}")
    make(api, "Another")


# --- adopting ---


def test_adopting_gives_the_match_unchanged(api: Api) -> None:
    made = make(api, external_ref="acme", description="first")
    events = AuditEvent.objects.count()

    again = api.post(PROJECTS, {"name": "Other", "description": "second", "external_ref": "acme", "if_exists": "adopt"})

    assert (again.status_code, again.json()) == (200, made)
    assert AuditEvent.objects.count() == events


def test_adopting_another_handle_or_a_deleted_project_is_a_conflict_that_says_which(api: Api) -> None:
    made = make(api, external_ref="acme")
    adopt = {"name": "x", "external_ref": "acme", "if_exists": "adopt"}

    assert error_of(api.post(PROJECTS, adopt | {"handle": "other"})) == (409, "external_identity_conflict")
    assert api.post(PROJECTS, adopt | {"handle": made["handle"]}).status_code == 200
    api.delete(f"{PROJECTS}/{made['handle']}")
    assert error_of(api.post(PROJECTS, adopt)) == (409, "project_archived")


def test_of_two_who_adopt_at_the_same_moment_one_makes_the_project_and_the_other_gets_it(api: Api) -> None:
    adopt = {"name": "Acme", "external_ref": "acme", "if_exists": "adopt"}
    firsts: list[JsonObject] = []

    def meanwhile(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if "COUNT(" in sql and not firsts:  # neither has found one; now it is made
            firsts.append({})
            firsts[0] = make(api, "Acme", external_ref="acme")
        return execute(sql, *arguments)

    with connection.execute_wrapper(meanwhile):
        second = api.post(PROJECTS, adopt)

    assert (second.status_code, second.json()) == (200, firsts[0])


# --- listing ---


def test_projects_are_searched_and_filtered_by_tags(api: Api) -> None:
    make(api, "Growth", handle="g1", tags={"team": "growth", "tier": "1"})
    make(api, "Sales", handle="s1", description="Also some GROWTH", tags={"team": "sales"})

    assert handles(api, "search=growth") == ["s1", "g1"]
    assert handles(api, "search=S1") == ["s1"]
    assert handles(api, "tag=team") == ["s1", "g1"]
    assert handles(api, "tag=team:growth,tier:1") == ["g1"]
    assert handles(api, "tag=team:growth&tag=tier:2") == []
    assert handles(api, "limit=1") == ["s1"]


# --- changing and deleting ---


def test_a_project_is_changed_field_by_field(api: Api) -> None:
    body = {
        "name": "Platform 2",
        "description": "",
        "tags": {"a": "b"},
        "external_ref": "us",
        "access_mode": "restricted",
    }
    changed = api.patch(f"{PROJECTS}/platform", body | {"seed_existing_members": True})

    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["tags"], changed.json()["external_ref"]) == (
        *("Platform 2", {"a": "b"}, "us"),
    )
    assert api.patch(f"{PROJECTS}/platform", {"external_ref": "us"}).status_code == 200
    assert error_of(api.patch(f"{PROJECTS}/platform", {"external_ref": "them"})) == (409, "conflict")
    assert "tags" not in api.patch(f"{PROJECTS}/platform", {"tags": {}}).json()
    assert AuditEvent.objects.filter(action="project.update").first().changed == [  # type: ignore[union-attr]
        *("external_ref", "name", "tags"),
    ]


@pytest.mark.parametrize("changes", [{}, {"name": "Platform"}, {"tags": {}, "description": ""}])
def test_what_is_so_already_is_no_change_and_leaves_no_trace(api: Api, changes: JsonObject) -> None:
    before = api.get(f"{PROJECTS}/platform").json()

    answer = api.patch(f"{PROJECTS}/platform", changes)

    assert (answer.status_code, answer.json()) == (200, before)
    assert not AuditEvent.objects.filter(action="project.update").exists()


@pytest.mark.parametrize("body", [{"handle": "new"}, {"name": ""}, {"access_mode": "open"}, {"if_exists": "adopt"}])
def test_a_wrong_change_is_refused(api: Api, body: JsonObject) -> None:
    assert error_of(api.patch(f"{PROJECTS}/platform", body)) == (400, "bad_request")


def test_a_deleted_project_takes_nothing_new_and_is_not_found(api: Api, push_leads: Loop, alice: User) -> None:
    assert api.delete(f"{PROJECTS}/platform").status_code == 204

    for path in ("", "/loops", "/api-keys", "/capabilities"):
        assert error_of(api.get(f"{PROJECTS}/platform{path}")) == (404, "not_found")
    assert error_of(api.post(f"{PROJECTS}/platform/loops/push-leads/runs", {})) == (404, "not_found")
    client = Client()
    client.force_login(alice)
    assert client.get("/projects/platform/operate/runs/").status_code == 404


def test_a_key_ends_with_its_own_project_everywhere(api: Api, api_as: Callable[[Role], Api]) -> None:
    """Nobody could revoke it any more: its project is not found."""
    make(api, handle="customer")
    theirs = Api(Project.objects.get(handle="customer"), Role.ADMIN)
    api.delete(f"{PROJECTS}/platform")

    for path in ("", "/customer", "/customer/loops", "/customer/api-keys"):
        assert error_of(api.get(f"{PROJECTS}{path}")) == (404, "not_found"), path
    assert error_of(api.post(f"{PROJECTS}/customer/callbacks/clay", {"request_id": "r"})) == (404, "not_found")
    assert api.get("/metrics").status_code == 401
    assert theirs.get(f"{PROJECTS}/customer/loops").status_code == 200


def test_callbacks_of_what_still_runs_there_are_taken(api: Api, api_as: Callable[[Role], Api]) -> None:
    callback = api_as(Role.CALLBACK)
    api.delete(f"{PROJECTS}/platform")

    answer = callback.post(f"{PROJECTS}/platform/callbacks/clay", {"request_id": "unknown"})

    assert "request_id" in answer.json()["error"]["message"], "the door is open; the row is unknown"


@pytest.mark.parametrize(("role", "manages"), [(Role.ADMIN, True), (Role.VIEWER, False)])
def test_capabilities_say_what_the_key_may_manage(api_as: Callable[[Role], Api], role: Role, manages: bool) -> None:
    answer = api_as(role).get(f"{PROJECTS}/platform/capabilities")

    assert answer.json() == {"can_manage_project": manages, "can_manage_access": manages}
