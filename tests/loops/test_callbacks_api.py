"""POST /v1/callbacks/{token} and /v1/projects/{project}/callbacks/clay: what Clay posts back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection
from rest_framework.test import APIClient

from integrations.providers.clay.simulator import ClaySimulator
from loops import callbacks
from loops.authoring import create_loop, update_loop
from loops.models import Callback, CallbackState, Loop, Run, RunStatus
from loops.starting import Start, start_run
from mobius.commands.demo import LOOP
from mobius.projects.key_models import ApiKey
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import Api, work_off

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


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


@pytest.mark.parametrize("door", ["address", "request_id"])
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("[1]", "application/json", 400),
        ('"text"', "application/json", 400),
        ("null", "application/json", 400),
        ('{"a": ', "application/json", 400),
        ('{"a": 1, "a": 2}', "application/json", 400),
        ('{"a": "\\u0000"}', "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        ('{"text": "' + "x" * 300_000 + '"}', "application/json", 413),
        ('{"a": 1}', "text/plain", 415),
        ("a=1", "application/x-www-form-urlencoded", 415),
        ('{"a": 1}', "application/json; charset=latin-1", 415),
    ],
    ids=["list", "text", "null", "cut", "twice", "NUL", "deep", "huge", "plain", "form", "charset"],
)
def test_what_cannot_be_a_callback_is_refused_with_what_to_do_and_not_stored(
    path: str, waiting: Run, api_as: Callable[[Role], Api], door: str, body: str, content_type: str, status: int
) -> None:
    client = APIClient() if door == "address" else api_as(Role.CALLBACK)
    address = path if door == "address" else "/v1/projects/platform/callbacks/clay"

    answer = client.post(address, body, content_type=content_type)

    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert not Callback.objects.exists()


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "options", "head"])
def test_the_doors_take_nothing_but_a_post(path: str, api_as: Callable[[Role], Api], method: str) -> None:
    narrow = api_as(Role.CALLBACK)

    at_address, at_project = (
        getattr(APIClient(), method)(path),
        getattr(narrow, method)(f"{narrow.root}/callbacks/clay"),
    )

    assert (at_address.status_code, at_project.status_code) == (405, 405)
    assert "POST" in at_address.headers["Allow"]


@pytest.mark.parametrize("token", ["unknown", "%00", "%ff%fe", "..%2f", "é" * 43, "x" * 5_000])
def test_a_malformed_address_is_not_found(project: Project, clay_calls: Callable[..., Any], token: str) -> None:
    assert clay_calls(f"/v1/callbacks/{token}", {}).status_code == 404


def test_another_project_s_rows_are_not_found(waiting: Run, stranger_api: Api) -> None:
    answer = stranger_api.post(f"{stranger_api.root}/callbacks/clay", {"request_id": waiting.pk})

    assert answer.status_code == 404
    assert answer.json() == stranger_api.post(f"{stranger_api.root}/callbacks/clay", {"request_id": "x"}).json()


@pytest.mark.parametrize("body", [{}, {"request_id": None}, {"request_id": ["x"]}, {"request_id": "x" * 100_000}])
def test_without_a_known_request_id_the_project_door_finds_nothing(api: Api, waiting: Run, body: Any) -> None:
    assert api.post(f"{api.root}/callbacks/clay", body).status_code == 404


def test_a_body_that_names_another_row_is_taken_with_a_warning(path: str, clay_calls: Callable[..., Any]) -> None:
    answer = clay_calls(path, {"request_id": "another", "score": 9})

    assert answer.status_code == 200
    assert "The address decides." in answer.json()["warning"]


def test_an_empty_body_proves_no_less_than_a_full_one(waiting: Run, path: str) -> None:
    assert APIClient().post(path).status_code == 200
    work_off()

    waiting.refresh_from_db()
    assert waiting.status == RunStatus.COMPLETED


@pytest.mark.parametrize(("changes", "status"), [({"revoked_at": LONG_AGO}, 401), ({"expires_at": LONG_AGO}, 401)])
def test_a_key_that_is_not_live_opens_no_door(
    path: str, api_as: Callable[[Role], Api], changes: dict[str, Any], status: int
) -> None:
    narrow = api_as(Role.CALLBACK)
    ApiKey.objects.filter(pk=narrow.key.record.pk).update(**changes)

    assert narrow.post(f"{narrow.root}/callbacks/clay", {"request_id": "x"}).status_code == status
    assert narrow.post(path, {}).status_code == status


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


# --- a database that cannot be written: Clay sends a callback once more after a 429, and never after a 5xx ------------


@pytest.fixture
def doors(waiting: Run, path: str, api_as: Callable[[Role], Api]) -> dict[str, Callable[[], Any]]:
    """What posts the run's callback through each door."""
    narrow = api_as(Role.CALLBACK)
    narrow.get("/v1/projects/platform/runs")  # so that the key's use is noted already
    body = {"request_id": waiting.pk, "text": "x" * 100_000}
    return {
        "address": lambda: APIClient().post(path, body, format="json"),
        "request_id": lambda: narrow.post("/v1/projects/platform/callbacks/clay", body),
    }


sqlite_only = pytest.mark.skipif(connection.vendor != "sqlite", reason="spoils SQLite's own file")


def assert_taken_at_the_second_try(run: Run, post: Callable[[], Any], first: Any) -> None:
    assert first.status_code == 429
    assert int(first.headers["Retry-After"]) >= 1
    assert first.json()["error"]["code"] == "rate_limit_exceeded"
    assert post().status_code == 200
    work_off()
    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED


@sqlite_only
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("door", ["address", "request_id"])
def test_a_callback_that_meets_a_locked_database_is_asked_to_come_again(
    waiting: Run, doors: dict[str, Callable[[], Any]], door: str
) -> None:
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        connection.connection.execute("PRAGMA busy_timeout = 50")
        first = doors[door]()
        other.execute("ROLLBACK")

    assert_taken_at_the_second_try(waiting, doors[door], first)


@sqlite_only
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("door", ["address", "request_id"])
def test_a_callback_that_meets_a_full_disk_is_asked_to_come_again(
    waiting: Run, doors: dict[str, Callable[[], Any]], door: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")  # no page is free any more
        pages = cursor.execute("PRAGMA page_count").fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count = {pages}")
        first = doors[door]()
        cursor.execute("PRAGMA max_page_count = 1000000000")

    assert_taken_at_the_second_try(waiting, doors[door], first)


@pytest.mark.parametrize("door", ["address", "request_id"])
@pytest.mark.parametrize("error", [OperationalError("the server closed the connection"), InterfaceError("closed")])
def test_a_callback_that_meets_no_database_at_all_is_asked_to_come_again(
    waiting: Run,
    doors: dict[str, Callable[[], Any]],
    monkeypatch: pytest.MonkeyPatch,
    door: str,
    error: Exception,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "_store", fail)
        first = doors[door]()

    assert_taken_at_the_second_try(waiting, doors[door], first)


def test_a_fault_of_ours_is_no_overload(doors: dict[str, Callable[[], Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "_store", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        doors["address"]()


def test_an_address_that_clay_posts_back_with_the_row_is_not_kept(
    waiting: Run, path: str, clay_calls: Callable[..., Any]
) -> None:
    """It is a capability, and whoever may read would see it (design §5)."""
    row = {"callback_url": f"http://console.test{path}", "deep": [f"see http://console.test{path}?x=1"], "score": 9}
    first, again = clay_calls(path, row), clay_calls(path, row)
    work_off()

    kept = {"callback_url": "${{ callback.url }}", "deep": ["see ${{ callback.url }}?x=1"], "score": 9}
    assert Callback.objects.get().body == kept
    assert again.json()["duplicate"] is True
    waiting.refresh_from_db()
    assert waiting.result["answer"] == kept
    assert path.rpartition("/")[2] not in first.content.decode()


def test_nor_is_one_that_comes_through_the_project_door(waiting: Run, path: str, api_as: Callable[[Role], Api]) -> None:
    narrow = api_as(Role.CALLBACK)
    row = {"request_id": waiting.pk, "callback_url": f"http://console.test{path}"}
    assert narrow.post(f"{narrow.root}/callbacks/clay", row).status_code == 200

    assert Callback.objects.get().body == {"request_id": waiting.pk, "callback_url": "${{ callback.url }}"}
