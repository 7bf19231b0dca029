"""`/v1/projects/{project}/integrations/{id}/successor`: stage, look, test, remove."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from integrations import connecting, succession
from integrations.models import Integration, Webhook, WebhookSecret
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from mobius.projects.roles import Role
from tests.cast import Api


@pytest.fixture
def address(integration: Integration) -> str:
    return f"/v1/projects/platform/integrations/{integration.pk}/successor"


@pytest.fixture
def wanted(clay: ClaySimulator) -> dict[str, Any]:
    return {"webhook_url": clay.url_for("next"), "auth_header_name": "x-a", "auth_header_value": "hush-hush-token"}


def test_staging_testing_and_looking(api: Api, address: str, wanted: dict[str, Any], clay: ClaySimulator) -> None:
    staged = api.put(address, wanted | {"submission_limit": 100, "submissions_used": 7})

    assert staged.status_code == 200
    assert staged.json()["ready"] is False
    assert staged.json()["usage"]["left"] == 93
    assert staged.json()["auth_header_name"] == "x-a"
    assert clay.url_for("next") not in staged.content.decode()
    assert "hush-hush" not in staged.content.decode()

    tested = api.post(f"{address}/test", {})

    assert (tested.json()["ok"], clay.rows[0].source) == (True, "next")
    assert clay.rows[0].headers["x-a"] == "hush-hush-token"
    assert api.get(address).json()["ready"] is True
    assert api.get(address).json()["usage"]["used"] == 8
    assert api.get(address.removesuffix("/successor")).json()["successor"] == api.get(address).json()


def test_removing_erases_the_secret(api: Api, address: str, wanted: dict[str, Any]) -> None:
    api.put(address, wanted)

    answer = api.delete(address)

    assert (answer.status_code, answer.content) == (204, b"")
    assert WebhookSecret.objects.count() == 1
    for again in (api.get(address), api.delete(address), api.post(f"{address}/test", {})):
        assert (again.status_code, again.json()["error"]["message"]) == (404, "This integration has no successor.")
    assert "successor" not in api.get(address.removesuffix("/successor")).json()


def test_a_test_that_fails_says_why_and_leaves_it_unready(
    api: Api, address: str, wanted: dict[str, Any], clay: ClaySimulator
) -> None:
    api.put(address, wanted)
    clay.next_answers(Behaviour(fail=401))

    probe = api.post(f"{address}/test", {}).json()

    assert (probe["ok"], probe["status_code"]) == (False, 401)
    assert "x-clay-webhook-auth" in probe["fix"]
    assert api.get(address).json()["ready"] is False


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"webhook_url": ""}, "webhook_url"),
        ({"webhook_url": "http://10.0.0.1/x"}, "webhook_url"),
        ({"auth_header_value": None}, "auth_header_value"),
        ({"submission_limit": 0}, "submission_limit"),
        ({"workspace": "acme"}, "workspace"),
        ({"name": "next"}, "name"),
        ({"rate_per_second": 5}, "rate_per_second"),
    ],
)
def test_a_wrong_successor_is_refused_naming_the_field(
    api: Api, address: str, wanted: dict[str, Any], changes: dict[str, Any], field: str
) -> None:
    answer = api.put(address, wanted | changes)

    assert answer.status_code == 400
    assert field in answer.json()["error"]["details"]["fields"]
    assert Webhook.objects.count() == 1


def test_the_current_webhook_is_a_conflict(api: Api, address: str, clay: ClaySimulator) -> None:
    answer = api.put(address, {"webhook_url": clay.url})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


def test_without_a_webhook_nothing_can_be_staged(api: Api, address: str, wanted: dict[str, Any]) -> None:
    Webhook.objects.update(state="retired")

    assert api.put(address, wanted).status_code == 409


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.VIEWER, {"get"}),
        (Role.OPERATOR, {"get", "test"}),
        (Role.ADMIN, {"get", "test", "put", "delete"}),
        (Role.RUN, set()),
    ],
)
def test_who_may_do_what(
    api: Api,
    api_as: Callable[[Role], Api],
    address: str,
    wanted: dict[str, Any],
    role: Role,
    allowed: set[str],
) -> None:
    api.put(address, wanted)
    key = api_as(role)
    calls = {
        "get": lambda: key.get(address),
        "test": lambda: key.post(f"{address}/test", {}),
        "put": lambda: key.put(address, wanted),
        "delete": lambda: key.delete(address),
    }

    assert {name for name, call in calls.items() if call().status_code != 403} == allowed


def test_strangers_find_nothing(stranger_api: Api, integration: Integration, wanted: dict[str, Any]) -> None:
    address = f"{stranger_api.root}/integrations/{integration.pk}/successor"

    for answer in (
        stranger_api.get(address),
        stranger_api.put(address, wanted),
        stranger_api.delete(address),
        stranger_api.post(f"{address}/test", {}),
    ):
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, "There is no such integration.")


def test_a_takeover_is_seen_in_the_integration(
    api: Api, integration: Integration, address: str, clay: ClaySimulator
) -> None:
    api.put(address, {"webhook_url": clay.url_for("next")})
    api.post(f"{address}/test", {})
    Webhook.objects.filter(state="current").update(submission_limit=1, used=1)
    assert succession.take_over(connecting.current_webhook(integration).pk)

    shown = api.get(address.removesuffix("/successor")).json()
    assert shown["config"]["webhook_url"].endswith("next")
    assert (shown["usage"]["used"], shown["usage"]["limit"]) == (1, 50_000)
    assert "successor" not in shown
