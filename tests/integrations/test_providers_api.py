"""`GET …/integrations/providers`: the catalog, with the founding document's capability map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from integrations import connecting
from integrations.models import Integration
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import Api

PROVIDERS = "/v1/projects/platform/integrations/providers"


def clay_of(api: Api) -> dict[str, Any]:
    answer = api.get(PROVIDERS)
    assert answer.status_code == 200
    assert list(answer.json()) == ["providers"]
    (clay,) = (one for one in answer.json()["providers"] if one["name"] == "clay")
    return dict(clay)


def test_clay_is_listed_with_the_founding_document_s_capabilities(api: Api) -> None:
    clay = clay_of(api)

    assert (clay["display_name"], clay["category"]) == ("Clay", "Data and research")
    assert clay["auth_kind"] == "api_key"
    assert clay["connect_flow"] == "inline_webhook_url"
    assert clay["capabilities"] == {
        "actions": True,
        "events": False,
        "webhook_delivery": False,
        "event_samples": False,
        "live_status": False,
    }
    assert clay["events"] == clay["trigger_patterns"] == []


def test_the_action_is_listed_with_its_schemas(api: Api) -> None:
    (action,) = clay_of(api)["actions"]

    assert action["name"] == "clay.webhook.submit"
    assert action["input_schema"]["required"] == ["payload"]
    assert set(action["input_schema"]["properties"]) == {"payload", "request_id", "external_id", "callback_url"}
    assert {"ok", "status_code", "request_id", "response"} <= set(action["output_schema"]["properties"])


def test_before_connecting_it_is_not_connected(api: Api) -> None:
    assert clay_of(api)["connection"] == {"connected": False}


def test_after_connecting_it_names_the_integration(api: Api, integration: Integration) -> None:
    connection = clay_of(api)["connection"]

    assert connection.pop("updated_at").endswith("Z")
    assert connection == {
        "connected": True,
        "integration_id": integration.pk,
        "integration_name": "clay",
        "status": "active",
    }


def test_a_paused_integration_is_connected_but_inactive(api: Api, integration: Integration) -> None:
    connecting.pause(integration)

    assert clay_of(api)["connection"]["status"] == "inactive"


def test_another_project_s_connection_does_not_show(stranger_api: Api, integration: Integration) -> None:
    answer = stranger_api.get(f"{stranger_api.root}/integrations/providers")

    assert answer.json()["providers"][0]["connection"] == {"connected": False}


@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.VIEWER, 200), (Role.OPERATOR, 200), (Role.ADMIN, 200), (Role.RUN, 403), (Role.CALLBACK, 403)],
)
def test_who_may_see_it(api_as: Callable[[Role], Api], role: Role, status: int) -> None:
    assert api_as(role).get(PROVIDERS).status_code == status


def test_another_project_s_key_finds_no_project(stranger_api: Api, project: Project) -> None:
    assert stranger_api.get(PROVIDERS).status_code == 404


def test_a_catalog_cannot_be_written(api: Api) -> None:
    assert api.post(PROVIDERS, {}).status_code == 405
