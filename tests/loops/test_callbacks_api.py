"""POST /v1/callbacks/{token} and /v1/projects/{project}/callbacks/clay: what Clay posts back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from integrations.providers.clay.simulator import ClaySimulator
from loops.authoring import create_loop, update_loop
from loops.models import Callback, CallbackState, Loop, Run, RunStatus
from loops.starting import Start, start_run
from mobius.commands.demo import LOOP
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import Api, work_off


@pytest.fixture
def enrich(project: Project, integration: object) -> Loop:
    """Pushes a lead with a callback address and waits for what comes back."""
    return create_loop(project=project, authored=LOOP)


@pytest.fixture
def waiting(enrich: Loop) -> Run:
    """A run whose row went out and whose answer has not come yet."""
    run = start_run(loop=enrich, start=Start(event={"email": "ada@example.com"}, meta={}, config={}, source={})).run
    work_off()
    return run


@pytest.fixture
def path(waiting: Run, clay: ClaySimulator) -> str:
    """The path of the address that the row carried."""
    return str(clay.rows[-1].body["callback_url"]).removeprefix("http://console.test")


@pytest.fixture
def clay_calls() -> Callable[..., Any]:
    """Posts as Clay's HTTP API column does: without a key unless it is given one."""
    return lambda path, body, **headers: APIClient().post(path, body, format="json", **headers)


def test_the_first_callback_is_the_result_of_the_step_that_waits(
    waiting: Run, path: str, clay_calls: Callable[..., Any]
) -> None:
    answer = clay_calls(path, {"score": 9})
    work_off()

    assert answer.status_code == 200
    waiting.refresh_from_db()
    assert waiting.status == RunStatus.COMPLETED
    assert waiting.result["answer"] == {"score": 9}


def test_the_same_bytes_again_are_a_duplicate_and_other_bytes_an_update(
    waiting: Run, path: str, clay_calls: Callable[..., Any]
) -> None:
    clay_calls(path, {"score": 9})
    again = clay_calls(path, {"score": 9})
    work_off()
    other = clay_calls(path, {"score": 1})

    assert again.json()["duplicate"] is True
    assert other.status_code == 200
    waiting.refresh_from_db()
    assert waiting.result["answer"] == {"score": 9}
    assert sorted(Callback.objects.values_list("state", flat=True)) == [CallbackState.LATE, CallbackState.USED]


def test_the_project_door_finds_the_run_by_request_id(
    waiting: Run, api_as: Callable[[Role], Api], clay_calls: Callable[..., Any]
) -> None:
    narrow = api_as(Role.CALLBACK)
    answer = narrow.post(f"{narrow.root}/callbacks/clay", {"request_id": waiting.pk, "score": 9})
    work_off()

    assert answer.status_code == 200
    waiting.refresh_from_db()
    assert waiting.result["answer"]["score"] == 9


def test_an_unknown_address_and_an_unknown_request_id_are_not_found(api: Api, clay_calls: Callable[..., Any]) -> None:
    assert clay_calls("/v1/callbacks/unknown", {}).status_code == 404
    assert api.post(f"{api.root}/callbacks/clay", {"request_id": "unknown"}).status_code == 404


@pytest.mark.parametrize(("body", "status"), [([1], 400), ("text", 400), ({"text": "x" * 300_000}, 413)])
def test_what_is_no_json_object_or_too_large_is_refused_and_nothing_stored(
    path: str, clay_calls: Callable[..., Any], body: Any, status: int
) -> None:
    assert clay_calls(path, body).status_code == status
    assert not Callback.objects.exists()


def test_a_loop_may_demand_a_key_beside_the_address(
    enrich: Loop, clay: ClaySimulator, api_as: Callable[[Role], Api], stranger_api: Api, clay_calls: Callable[..., Any]
) -> None:
    update_loop(enrich, {"settings": {"callback_requires_key": True}})
    start_run(loop=enrich, start=Start(event={"email": "ada@example.com"}, meta={}, config={}, source={}))
    work_off()
    path = str(clay.rows[-1].body["callback_url"]).removeprefix("http://console.test")
    narrow = api_as(Role.CALLBACK)

    assert clay_calls(path, {}).status_code == 401
    assert stranger_api.post(path, {}).status_code == 401
    assert api_as(Role.VIEWER).post(path, {}).status_code == 401
    assert narrow.post(path, {"score": 9}).status_code == 200


def test_a_run_or_a_reading_key_may_not_use_the_project_door(api_as: Callable[[Role], Api]) -> None:
    for role in (Role.RUN, Role.VIEWER, Role.OPERATOR):
        client = api_as(role)
        assert client.post(f"{client.root}/callbacks/clay", {"request_id": "x"}).status_code == 403
