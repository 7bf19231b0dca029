"""`/v1/projects/{project}/principals`, and how a principal bounds its keys (mobius-contract §3)."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from mobius.errors import NotFound
from mobius.projects.auditing import SYSTEM
from mobius.projects.key_models import PrincipalState, ServicePrincipal
from mobius.projects.models import AuditEvent, Project
from mobius.projects.principals import create_principal, default_principal, delete_principal, update_principal
from mobius.projects.roles import Role
from tests.cast import Api

JsonObject = dict[str, Any]

PRINCIPALS = "/v1/projects/platform/principals"
KEYS = "/v1/projects/platform/api-keys"
REQUIRED = {"id", "kind", "state", "name", "created_at", "updated_at"}
OPTIONAL = {"description", "handle", "owner_id", "role_ids", "metadata", "tags"}


def make(api: Api, name: str = "robot", **more: Any) -> JsonObject:
    answer = api.post(PRINCIPALS, {"name": name} | more)
    assert answer.status_code == 201, answer.json()
    made: JsonObject = answer.json()
    assert set(made) >= REQUIRED
    assert set(made) <= REQUIRED | OPTIONAL
    return made


def key_for(api: Api, principal: JsonObject, **more: Any) -> Any:
    return api.post(KEYS, {"name": "key", "principal_id": principal["id"]} | more)


def error_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def names(api: Api, query: str = "") -> list[str]:
    page = api.get(f"{PRINCIPALS}?{query}").json()
    assert set(page) == {"items"}
    return [one["name"] for one in page["items"]]


def opens(text: str) -> bool:
    answer = Client(headers={"Authorization": f"Bearer {text}"}).get("/v1/projects/platform/loops")
    return bool(answer.status_code == 200)


def test_a_principal_is_made_and_read(api: Api) -> None:
    made = make(api, description="Pushes.", role_ids=["operator"], metadata={"a": [1]}, tags={"team": "x"})

    assert made["id"].startswith("svc_")
    assert (made["kind"], made["state"], made["role_ids"]) == ("service", "active", ["operator"])
    assert (made["metadata"], made["tags"], made["description"]) == ({"a": [1]}, {"team": "x"}, "Pushes.")
    assert api.get(f"{PRINCIPALS}/{made['id']}").json() == made
    assert AuditEvent.objects.get(action="principal.create").object_id == made["id"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "x", "role_ids": ["owner"]}, "role_ids[0]"),
        ({"name": "x", "role_ids": ["viewer", "operator"]}, "role_ids"),
        ({"name": "x", "state": "disabled"}, "state"),
        ({"name": "x", "metadata": 7}, "metadata"),
        ({"name": "x", "owner_id": "user_1"}, "owner_id"),
    ],
)
def test_a_wrong_principal_is_refused_naming_the_field(api: Api, body: JsonObject, field: str) -> None:
    answer = api.post(PRINCIPALS, body)

    assert error_of(answer) == (400, "bad_request")
    assert list(answer.json()["error"]["details"]["fields"]) == [field]


def test_a_name_is_taken_once_and_free_again_after_deletion(api: Api) -> None:
    made = make(api)
    assert error_of(api.post(PRINCIPALS, {"name": "robot"})) == (409, "already_exists")

    assert api.delete(f"{PRINCIPALS}/{made['id']}").status_code == 204

    make(api)
    assert api.get(f"{PRINCIPALS}/{made['id']}").json()["state"] == "deleted"
    assert error_of(api.patch(f"{PRINCIPALS}/{made['id']}", {"state": "active"})) == (404, "not_found")
    assert error_of(key_for(api, made, scope_role_id="viewer")) == (400, "bad_request")


def test_a_change_that_comes_just_after_the_deletion_does_not_bring_a_principal_back(project: Project) -> None:
    principal = create_principal(project=project, name="robot", by=SYSTEM)
    read_before = ServicePrincipal.objects.get(pk=principal.pk)
    delete_principal(principal, by=SYSTEM)

    with pytest.raises(NotFound):
        update_principal(read_before, {"state": PrincipalState.ACTIVE}, by=SYSTEM)

    assert ServicePrincipal.objects.get(pk=principal.pk).state == PrincipalState.DELETED


def test_the_list_holds_the_active_ones_and_on_request_the_disabled(api: Api) -> None:
    for name in ("one", "two", "three"):
        make(api, name)
    for name, state in (("one", "disabled"), ("two", "deleted")):
        ServicePrincipal.objects.filter(name=name).update(state=state)

    assert names(api) == ["three", "api"]
    assert names(api, "include_disabled=true") == ["three", "one", "api"]
    assert names(api, "kind=agent") == []
    assert names(api, "kind=service&limit=1") == ["three"]
    assert error_of(api.get(f"{PRINCIPALS}?kind=human")) == (400, "bad_request")


def test_a_key_without_a_role_gets_its_principal_s(api: Api) -> None:
    made = key_for(api, make(api, role_ids=["viewer"]), tags={"team": "x"}).json()

    assert (made["scope_role_id"], made["tags"]) == ("viewer", {"team": "x"})
    assert opens(made["key"])


def test_a_key_without_any_role_is_not_made(api: Api) -> None:
    answer = key_for(api, make(api), allow_unassigned_principal=True)

    assert error_of(answer) == (409, "principal_has_no_roles")


@pytest.mark.parametrize(("asked", "made"), [("viewer", True), ("run", True), ("operator", True), ("admin", False)])
def test_a_key_may_do_no_more_than_its_principal(api: Api, asked: str, made: bool) -> None:
    answer = key_for(api, make(api, role_ids=["operator"]), scope_role_id=asked)

    assert (answer.status_code == 201) is made
    if not made:
        assert "does not include admin" in answer.json()["error"]["details"]["fields"]["scope_role_id"][0]


def test_a_role_is_not_taken_below_that_of_a_live_key(api: Api) -> None:
    principal = make(api, role_ids=["operator"])
    key = key_for(api, principal).json()

    refused = api.patch(f"{PRINCIPALS}/{principal['id']}", {"role_ids": ["viewer"]})
    assert error_of(refused) == (409, "conflict")
    assert "“key”" in refused.json()["error"]["message"]

    api.delete(f"{KEYS}/{key['id']}")
    assert api.patch(f"{PRINCIPALS}/{principal['id']}", {"role_ids": ["viewer"]}).json()["role_ids"] == ["viewer"]


def test_disabling_a_principal_shuts_its_keys_until_it_is_active_again(api: Api) -> None:
    principal = make(api, role_ids=["viewer"])
    text = key_for(api, principal).json()["key"]
    assert opens(text)

    api.patch(f"{PRINCIPALS}/{principal['id']}", {"state": "disabled"})
    assert not opens(text)
    assert error_of(key_for(api, principal, name="another")) == (409, "conflict")

    api.patch(f"{PRINCIPALS}/{principal['id']}", {"state": "active"})
    assert opens(text)


def test_a_principal_with_a_live_key_is_not_deleted(api: Api) -> None:
    principal = make(api, role_ids=["viewer"])
    key_for(api, principal)

    refused = api.delete(f"{PRINCIPALS}/{principal['id']}")

    assert error_of(refused) == (409, "conflict")
    assert "key" in refused.json()["error"]["message"]


def test_another_project_s_principal_is_not_found(stranger_api: Api, project: Project) -> None:
    mine = default_principal(project).pk

    for answer in (
        stranger_api.get(f"{stranger_api.root}/principals/{mine}"),
        stranger_api.patch(f"{stranger_api.root}/principals/{mine}", {"state": "disabled"}),
        stranger_api.delete(f"{stranger_api.root}/principals/{mine}"),
        stranger_api.get(f"{PRINCIPALS}/{mine}"),
    ):
        assert error_of(answer) == (404, "not_found")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.RUN])
def test_only_admins_make_principals(project: Project, role: Role) -> None:
    assert error_of(Api(project, role).post(PRINCIPALS, {"name": "x"})) == (403, "permission_denied")
