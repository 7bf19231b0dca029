"""`/v1/projects/{project}/api-keys`, and what a key may see of projects and principals (mobius-contract §2, §3)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from mobius.projects.key_models import ApiKey, ServicePrincipal
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import Api

JsonObject = dict[str, Any]

KEYS = "/v1/projects/platform/api-keys"
NOT_FOUND = {"error": {"code": "not_found", "message": "There is no such API key."}}
REQUIRED = {"id", "name", "key_prefix", "principal_id", "created_at", "updated_at"}
OPTIONAL = {"scope_role_id", "org_role", "expires_at", "last_used_at", "tags"}


def create(api: Api, name: str = "clay", role: Role = Role.RUN, **more: Any) -> JsonObject:
    answer = api.post(f"{api.root}/api-keys", {"name": name, "scope_role_id": role} | more)
    assert answer.status_code == 201, answer.json()
    key: JsonObject = answer.json()
    return key


def refused(answer: Any) -> list[str]:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "bad_request")
    return list(error["details"]["fields"])


def with_key(text: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {text}"})


def assert_key_shape(key: JsonObject) -> None:
    assert set(key) >= REQUIRED
    assert set(key) <= REQUIRED | OPTIONAL
    assert None not in key.values()


# --- creating ---


def test_a_new_key_is_shown_once(api: Api) -> None:
    made = create(api)

    text = made.pop("key")
    assert_key_shape(made)
    assert made["key_prefix"] == text[:8]
    assert made["id"].startswith("cred_")
    assert made["scope_role_id"] == "run"
    for path in (KEYS, f"{KEYS}/{made['id']}"):
        shown = api.get(path).content.decode()
        assert made["id"] in shown
        assert text not in shown
        assert ApiKey.objects.get(pk=made["id"]).digest not in shown


def test_a_new_key_works_at_once_with_its_role(api: Api) -> None:
    text = create(api, role=Role.VIEWER)["key"]

    assert with_key(text).get("/v1/projects/platform/runs").status_code == 200
    assert with_key(f"{text}.platform").get("/v1/projects/platform/runs").status_code == 200
    assert with_key(text).get(KEYS).status_code == 403


def test_a_principal_may_be_chosen(api: Api, project: Project) -> None:
    robot = ServicePrincipal.objects.create(project=project, name="robot")

    assert create(api, principal_id=robot.pk)["principal_id"] == robot.pk


def test_an_expiry_is_kept_and_ends_the_key(api: Api) -> None:
    moment = timezone.now() + timedelta(hours=1)
    made = create(api, expires_at=moment.isoformat())
    assert made["expires_at"].endswith("Z")

    ApiKey.objects.filter(pk=made["id"]).update(expires_at=timezone.now() - timedelta(seconds=1))

    answer = with_key(made["key"]).get("/v1/projects/platform")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")


def test_a_live_key_s_name_is_taken(api: Api, stranger_api: Api) -> None:
    made = create(api)

    again = api.post(KEYS, {"name": "clay", "scope_role_id": "run"})

    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_exists")
    create(stranger_api)
    api.delete(f"{KEYS}/{made['id']}")
    create(api)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"scope_role_id": None}, "scope_role_id"),
        ({"scope_role_id": "owner"}, "scope_role_id"),
        ({"principal_id": "svc_nonexistent"}, "principal_id"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"key": "mbx_mine"}, "key"),
    ],
)
def test_a_wrong_key_is_refused_naming_the_field(api: Api, changes: JsonObject, field: str) -> None:
    assert refused(api.post(KEYS, {"name": "clay", "scope_role_id": "run"} | changes)) == [field]
    assert ApiKey.objects.count() == 1


def test_another_project_s_principal_cannot_be_chosen(api: Api, other_project: Project) -> None:
    theirs = ServicePrincipal.objects.create(project=other_project, name="robot")

    assert refused(api.post(KEYS, {"name": "clay", "scope_role_id": "run", "principal_id": theirs.pk})) == [
        "principal_id"
    ]


# --- reading and revoking ---


def test_live_keys_are_listed_newest_first_page_by_page(api: Api) -> None:
    made = [create(api, name)["id"] for name in "abc"]

    first = api.get(KEYS, {"limit": 2}).json()
    second = api.get(KEYS, {"limit": 2, "cursor": first["next_cursor"]}).json()

    assert [key["id"] for key in first["items"] + second["items"]] == [*made[::-1], api.key.record.pk]
    assert (first["has_more"], second["has_more"]) == (True, False)
    for key in first["items"]:
        assert_key_shape(key)


def test_a_revoked_key_is_refused_at_once_and_its_record_stays(api: Api) -> None:
    made = create(api, role=Role.VIEWER)

    answer = api.delete(f"{KEYS}/{made['id']}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert with_key(made["key"]).get("/v1/projects/platform").status_code == 401
    assert ApiKey.objects.get(pk=made["id"]).revoked_at
    assert made["id"] not in [key["id"] for key in api.get(KEYS).json()["items"]]


def test_a_key_may_revoke_itself(api: Api) -> None:
    assert api.delete(f"{KEYS}/{api.key.record.pk}").status_code == 204
    assert api.get(KEYS).status_code == 401


# --- who ---


@pytest.mark.parametrize("method", ["get", "delete"])
def test_an_unknown_key_is_not_found(api: Api, method: str) -> None:
    answer = getattr(api, method)(f"{KEYS}/cred_nonexistent")

    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize("method", ["get", "delete"])
def test_another_project_s_key_is_not_found(api: Api, stranger_api: Api, method: str) -> None:
    made = create(api)

    answer = getattr(stranger_api, method)(f"{stranger_api.root}/api-keys/{made['id']}")

    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)
    assert ApiKey.objects.get(pk=made["id"]).revoked_at is None


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.RUN, Role.CALLBACK])
def test_only_an_admin_manages_keys(api: Api, api_as: Callable[[Role], Api], role: Role) -> None:
    other, path = api_as(role), f"{KEYS}/{api.key.record.pk}"

    answers = [
        other.get(KEYS),
        other.post(KEYS, {"name": "clay", "scope_role_id": "admin"}),
        other.get(path),
        other.delete(path),
    ]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert answers[0].json()["error"]["details"] == {"permission": "administer"}
    assert ApiKey.objects.filter(revoked_at=None).count() == 2


# --- how one authenticates ---


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic {key}"},
        {"Authorization": "{key}"},
        {"Authorization": "Bearer {key}.elsewhere"},
        {"Authorization": "Bearer {key} x"},
        {"X-Api-Key": "{key}"},
    ],
)
def test_without_a_good_bearer_key_the_answer_is_one_and_the_same_401(
    api: Api, other_project: Project, header: dict[str, str]
) -> None:
    headers = {name: value.format(key=api.key.text) for name, value in header.items()}

    answer = Client(headers=headers).get(KEYS)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json() == {
        "error": {
            "code": "unauthorized",
            "message": "The API key is missing, unknown, expired or revoked.",
        }
    }


def test_a_key_in_the_address_is_no_key(api: Api, client: Client) -> None:
    assert client.get(f"{KEYS}?key={api.key.text}&access_token={api.key.text}").status_code == 401


def test_a_session_is_no_key(client: Client, alice: Any) -> None:
    client.force_login(alice)

    assert client.get(KEYS).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_s_case_does_not_matter(api: Api, scheme: str) -> None:
    assert Client(headers={"Authorization": f"{scheme} {api.key.text}"}).get(KEYS).status_code == 200


# --- projects and principals ---


def test_a_key_sees_its_own_project_and_no_other(api: Api, other_project: Project) -> None:
    listed = api.get("/v1/projects").json()

    assert [project["handle"] for project in listed["items"]] == ["platform"]
    assert listed["has_more"] is False
    assert api.get("/v1/projects/platform").json() == listed["items"][0]
    assert {"id", "name", "handle", "access_mode", "created_at", "updated_at"} <= set(listed["items"][0])


def test_a_project_that_is_another_s_reads_like_one_that_does_not_exist(api: Api, other_project: Project) -> None:
    theirs, nobody_s = api.get("/v1/projects/elsewhere"), api.get("/v1/projects/nowhere")

    assert theirs.status_code == nobody_s.status_code == 404
    assert theirs.json() == nobody_s.json()


def test_principals_are_listed(api: Api) -> None:
    (principal,) = api.get("/v1/projects/platform/principals").json()["items"]

    assert {"id", "kind", "state", "name", "created_at", "updated_at"} <= set(principal)
    assert (principal["kind"], principal["state"], principal["name"]) == ("service", "active", "api")
