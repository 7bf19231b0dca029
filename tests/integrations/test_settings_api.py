"""`PUT /v1/projects/{project}/integrations/{id}`: settings and Clay's own count, by the rules of the settings page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from integrations.models import Integration, Webhook, WebhookSecret
from mobius.projects.roles import Role
from tests.cast import Api

SETTINGS = {
    "workspace": "default",
    "rate_per_second": None,
    "burst": 18,
    "submission_limit": 50_000,
    "never_twice": True,
    "deduplicates": False,
    "wait_at_limit": False,
}


@pytest.fixture
def address(integration: Integration) -> str:
    return f"/v1/projects/platform/integrations/{integration.pk}"


def test_an_integration_shows_its_settings(api: Api, address: str) -> None:
    assert api.get(address).json()["settings"] == SETTINGS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workspace", "acme"),
        ("rate_per_second", 5),
        ("rate_per_second", 2.5),
        ("burst", 10),
        ("submission_limit", 100),
        ("never_twice", False),
        ("deduplicates", True),
        ("wait_at_limit", True),
    ],
)
def test_one_setting_changes_and_the_others_stay(api: Api, address: str, name: str, value: Any) -> None:
    answer = api.put(address, {"settings": {name: value}})

    expected = SETTINGS | {name: value}
    if name == "workspace":
        expected["rate_per_second"] = 9.9  # a new workspace begins with Clay's pace
    assert answer.status_code == 200, answer.json()
    assert answer.json()["settings"] == api.get(address).json()["settings"] == expected


def test_no_limit_and_no_pace_are_written_unlimited_and_read_null(api: Api, address: str) -> None:
    api.put(address, {"settings": {"rate_per_second": 5}})

    given = {"submission_limit": "unlimited", "rate_per_second": "unlimited"}
    answer = api.put(address, {"settings": given}).json()

    assert (answer["settings"]["submission_limit"], answer["settings"]["rate_per_second"]) == (None, None)
    assert answer["usage"]["limit"] is None


def test_what_was_read_can_be_written_back(api: Api, address: str) -> None:
    read = api.get(address).json()["settings"]

    answer = api.put(address, {"settings": read})

    assert answer.status_code == 200
    assert answer.json()["settings"] == read


def test_clay_s_own_count_is_set(api: Api, address: str) -> None:
    answer = api.put(address, {"submissions_used": 4711})

    assert answer.json()["usage"]["used"] == 4711
    assert answer.json()["usage"]["left"] == 50_000 - 4711


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"settings": {"burst": 0}}, "burst"),
        ({"settings": {"burst": True}}, "burst"),
        ({"settings": {"rate_per_second": "fast"}}, "rate_per_second"),
        ({"settings": {"rate_per_second": 0}}, "rate_per_second"),
        ({"settings": {"rate_per_second": []}}, "rate_per_second"),
        ({"settings": {"submission_limit": 0}}, "submission_limit"),
        ({"settings": {"submission_limit": 1.5}}, "submission_limit"),
        ({"settings": {"never_twice": "yes"}}, "never_twice"),
        ({"settings": {"never_twice": 1}}, "never_twice"),
        ({"settings": {"workspace": ""}}, "workspace"),
        ({"settings": {"workspace": 7}}, "workspace"),
        ({"settings": {"name": "x"}}, "name"),
        ({"settings": {"bursts": 1}}, "bursts"),
        ({"settings": {"submissions_used": 1}}, "submissions_used"),
        ({"settings": []}, "settings"),
        ({"submissions_used": -1}, "submissions_used"),
        ({"submissions_used": "many"}, "submissions_used"),
    ],
)
def test_a_wrong_setting_is_refused_naming_it_and_nothing_changes(
    api: Api, address: str, body: dict[str, Any], field: str
) -> None:
    answer = api.put(address, body)

    assert answer.status_code == 400
    assert field in answer.json()["error"]["details"]["fields"]
    assert api.get(address).json()["settings"] == SETTINGS


def test_a_wrong_setting_undoes_what_came_before_it_in_the_same_call(api: Api, address: str) -> None:
    url = WebhookSecret.objects.get().url
    body = {"config": {"webhook_url": f"{url}x"}, "credentials": {}, "settings": {"burst": 0}}

    assert api.put(address, body).status_code == 400
    assert WebhookSecret.objects.get().url == url


def test_settings_without_a_webhook_are_a_conflict(api: Api, address: str) -> None:
    Webhook.objects.update(state="retired")

    answer = api.put(address, {"settings": {"burst": 1}})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.RUN, Role.CALLBACK])
def test_only_admins_set(api_as: Callable[[Role], Api], address: str, role: Role) -> None:
    assert api_as(role).put(address, {"settings": {"burst": 1}}).status_code == 403
