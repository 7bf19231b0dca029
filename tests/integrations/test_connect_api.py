"""`POST …/integrations/providers/clay/connect`: the founding document to the letter, and what we add to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from integrations.models import Integration, IntegrationStatus, Pacer, Webhook, WebhookSecret, WebhookState
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import Api

JsonObject = dict[str, Any]

CONNECT = "/v1/projects/platform/integrations/providers/clay/connect"
URL = "https://api.clay.com/v3/sources/webhook/pull-in-data-from-a-webhook-1234abcd"
OTHER_URL = "https://api.clay.com/v3/sources/webhook/another-5678efgh"
HEADER = {"auth_header_name": "Authorization", "auth_header_value": "Bearer hush-hush-token"}


def connect(api: Api, **body: Any) -> JsonObject:
    answer = api.post(CONNECT, {"webhook_url": URL} | body)
    assert answer.status_code == 200, answer.json()
    integration: JsonObject = answer.json()["integration"]
    return integration


def refused(api: Api, body: Any) -> dict[str, list[str]]:
    """The fields that a refused body is refused for."""
    answer = api.post(CONNECT, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "bad_request")
    assert "hush-hush" not in str(error)
    fields: dict[str, list[str]] = error["details"]["fields"]
    return fields


def secret() -> WebhookSecret:
    return WebhookSecret.objects.get()


# --- the founding document ---


def test_the_founding_document_s_curl_is_answered_as_it_says(api: Api) -> None:
    answer = api.post(CONNECT, {"webhook_url": URL} | HEADER)

    body = answer.json()
    integration = body["integration"]
    assert answer.status_code == 200
    assert set(body) == {"kind", "integration"}
    assert body["kind"] == "complete"
    said = {name: integration[name] for name in ("name", "provider", "status", "config")}
    assert said == {
        "name": "clay",
        "provider": "clay",
        "status": "active",
        "config": {"webhook_url": URL, "auth_header_name": "Authorization"},
    }
    assert integration["id"].startswith("intg_")
    assert {"created_at", "updated_at", "created_by", "usage"} <= set(integration)
    assert "hush-hush-token" not in answer.content.decode()


def test_what_was_connected_is_stored(api: Api) -> None:
    connect(api, **HEADER)

    webhook = Webhook.objects.get()
    assert (secret().url, secret().auth_header_value) == (URL, "Bearer hush-hush-token")
    assert (webhook.auth_header_name, webhook.state) == ("Authorization", WebhookState.CURRENT)
    assert webhook.masked_url == "https://api.clay.com/…abcd"
    assert (webhook.submission_limit, webhook.used) == (50_000, 0)
    assert (Pacer.objects.get().rate_per_second, Pacer.objects.get().burst) == (9.9, 18)


@pytest.mark.parametrize("absent", [{}, {"auth_header_name": None, "auth_header_value": None}])
def test_the_auth_header_may_be_left_out(api: Api, absent: JsonObject) -> None:
    integration = connect(api, **absent)

    assert integration["config"] == {"webhook_url": URL}
    assert secret().auth_header_value == ""


@pytest.mark.parametrize("empty", ["", None])
def test_an_auth_header_needs_both_halves(api: Api, empty: str | None) -> None:
    name_only = refused(api, {"webhook_url": URL} | HEADER | {"auth_header_value": empty})
    value_only = refused(api, {"webhook_url": URL} | HEADER | {"auth_header_name": empty})

    assert list(name_only) == ["auth_header_value"]
    assert list(value_only) == ["auth_header_name"]
    assert not Integration.objects.exists()


def test_nothing_is_sent_by_connecting(api: Api) -> None:
    with patch("integrations.outbound.post") as post:
        connect(api)

    post.assert_not_called()


# --- what is refused ---


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "webhook_url", "Paste the webhook URL"),
        ({"webhook_url": None}, "webhook_url", "Paste"),
        ({"webhook_url": ""}, "webhook_url", "Paste"),
        ({"webhook_url": URL, "webhok_url": URL}, "webhok_url", "Did you mean"),
        ({"webhook_url": URL, "url": URL}, "url", "no such field"),
        ({"webhook_url": [URL]}, "webhook_url", "Send text, not an array"),
        ({"webhook_url": {"url": URL}}, "webhook_url", "Send text, not an object"),
        ({"webhook_url": 7}, "webhook_url", "Send text, not a number"),
        ({"webhook_url": True}, "webhook_url", "Send text"),
        ({"webhook_url": URL, "name": 7}, "name", "Send text"),
        ({"webhook_url": URL, "submission_limit": []}, "submission_limit", "Send text or a number"),
        ({"webhook_url": URL, "submissions_used": True}, "submissions_used", "Send text or a number"),
        ([URL], "body", "Send a JSON object"),
        (URL, "body", "Send a JSON object"),
    ],
)
def test_a_wrong_body_is_refused_naming_the_field(api: Api, body: Any, field: str, words: str) -> None:
    fields = refused(api, body)

    assert words in " ".join(fields[field])
    assert not Integration.objects.exists()


def test_every_wrong_field_is_named_at_once(api: Api) -> None:
    fields = refused(api, {"webhook_url": "ftp://x", "auth_header_name": "a b", "submission_limit": "-1", "name": "/"})

    assert {"webhook_url", "auth_header_name", "submission_limit", "name"} <= set(fields)


@pytest.mark.parametrize(
    "url",
    [
        "api.clay.com/v3/sources/webhook/x",
        "http://api.clay.com/v3/sources/webhook/x",
        "https://api.clay.com:8443/x",
        "https://user:pass@api.clay.com/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://2130706433/x",
        "https://api.clay.com/x#fragment",
        "https://api.clay.com\\@evil.com/x",
        f" {URL}",
        f"{URL}\n",
        "https://api.clay.com/…abcd",
        "https://<clay-webhook-url>",
        "https://api.clay.com/v3/sources/webhook/<id>",
        "javascript:alert(1)",
        "https://api.clay.com/" + "x" * 2048,
    ],
)
def test_an_address_that_may_not_be_used_is_refused(api: Api, url: str) -> None:
    assert list(refused(api, {"webhook_url": url})) == ["webhook_url"]


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "Cookie", "X-Forwarded-For", "a b", "a:", "é", "x" * 65]
)
def test_a_header_s_name_that_may_not_be_sent_is_refused(api: Api, name: str) -> None:
    body = {"webhook_url": URL, "auth_header_name": name, "auth_header_value": "hush-hush-token"}

    assert list(refused(api, body)) == ["auth_header_name"]


@pytest.mark.parametrize(
    "value", [" hush-hush", "hush-hush ", "hush-hush\r\nX: y", "hush-hush\x00", "hush-hush é", "x" * 4097]
)
def test_a_header_s_value_that_may_not_be_sent_is_refused(api: Api, value: str) -> None:
    body = {"webhook_url": URL, "auth_header_name": "x-token", "auth_header_value": value}

    answer = api.post(CONNECT, body)

    assert answer.status_code == 400
    assert value.strip() not in answer.content.decode()
    assert not Integration.objects.exists()


def test_an_unknown_provider_is_not_found(api: Api) -> None:
    answer = api.post(CONNECT.replace("/clay/", "/claay/"), {"webhook_url": URL})

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


# --- reconnecting ---


def test_the_same_url_again_keeps_the_integration_the_count_and_the_ledger(api: Api) -> None:
    first = connect(api, **HEADER)
    Webhook.objects.update(used=7, in_flight=1)
    destination = Webhook.objects.get().destination

    again = connect(api)

    webhook = Webhook.objects.get()
    assert again["id"] == first["id"]
    assert again["config"] == {"webhook_url": URL}
    assert (webhook.used, webhook.in_flight, webhook.destination) == (7, 1, destination)
    assert secret().auth_header_value == ""


def test_another_url_starts_its_own_count_and_ledger(api: Api) -> None:
    first = connect(api, **HEADER)
    Webhook.objects.update(used=7)
    destination = Webhook.objects.get().destination

    again = connect(api, webhook_url=OTHER_URL)

    assert again["id"] == first["id"]
    assert again["usage"]["used"] == 0
    current = Webhook.objects.get(state=WebhookState.CURRENT)
    retired = Webhook.objects.get(state=WebhookState.RETIRED)
    assert current.destination != destination
    assert (retired.destination, retired.used) == (destination, 7)
    assert secret().webhook == current, "what opened the earlier webhook is erased"


def test_going_back_to_an_earlier_url_finds_its_count_again(api: Api) -> None:
    connect(api)
    Webhook.objects.update(used=7)
    connect(api, webhook_url=OTHER_URL)

    back = connect(api)

    assert back["usage"]["used"] == 7
    assert secret().url == URL


def test_reconnecting_resumes_a_paused_integration(api: Api) -> None:
    connect(api)
    Integration.objects.update(status=IntegrationStatus.INACTIVE, attention="Three refusals in a row.")
    Webhook.objects.update(refusals_in_a_row=3)

    again = connect(api)

    assert again["status"] == "active"
    assert "attention" not in again["config"]
    assert Webhook.objects.get().refusals_in_a_row == 0


def test_a_reconnect_is_one_transaction(api: Api) -> None:
    connect(api, **HEADER)

    with (
        patch("integrations.connecting.WebhookSecret.objects.update_or_create", side_effect=ZeroDivisionError),
        pytest.raises(ZeroDivisionError),
    ):
        api.post(CONNECT, {"webhook_url": OTHER_URL})

    assert Webhook.objects.get().state == WebhookState.CURRENT
    assert (secret().url, secret().auth_header_value) == (URL, "Bearer hush-hush-token")


def test_one_webhook_cannot_serve_two_integrations(api: Api) -> None:
    connect(api)

    answer = api.post(CONNECT, {"webhook_url": URL, "name": "second"})

    assert answer.status_code == 409
    assert "connected already, as clay" in answer.json()["error"]["message"]
    assert Integration.objects.count() == 1


def test_a_webhook_that_its_integration_gave_up_may_be_connected_under_another_name(api: Api) -> None:
    connect(api)
    Webhook.objects.update(used=7)
    connect(api, webhook_url=OTHER_URL)

    second = connect(api, name="second")

    assert second["usage"]["used"] == 7, "Clay does not forget the count either"
    assert Integration.objects.count() == 2


def test_the_same_webhook_in_another_project_is_another_record(api: Api, stranger_api: Api) -> None:
    connect(api)

    theirs = stranger_api.post(f"{stranger_api.root}/integrations/providers/clay/connect", {"webhook_url": URL})

    assert theirs.status_code == 200
    assert Webhook.objects.count() == 2


# --- what we add ---


def test_a_name_makes_an_integration_of_its_own(api: Api) -> None:
    connect(api)

    second = connect(api, webhook_url=OTHER_URL, name="EU leads")

    assert second["name"] == "EU leads"
    assert Integration.objects.count() == 2


@pytest.mark.parametrize("name", ["/", " leads", "a/b", "é", "x" * 101, "leads\n", "<b>"])
def test_a_name_that_loops_could_not_write_is_refused(api: Api, name: str) -> None:
    assert list(refused(api, {"webhook_url": URL, "name": name})) == ["name"]


def test_integrations_of_one_workspace_share_their_pace(api: Api) -> None:
    for number, workspace in enumerate(["EU", "EU", "US"]):
        connect(api, webhook_url=f"{URL}{number}", name=f"table {number}", workspace=workspace)

    assert sorted(pacer.label for pacer in Pacer.objects.all()) == ["EU", "US"]
    assert Pacer.objects.get(label="EU").integrations.count() == 2


def test_without_a_workspace_a_reconnect_stays_in_its_own(api: Api) -> None:
    connect(api, workspace="EU")
    connect(api)

    assert Integration.objects.get().pacer.label == "EU"


@pytest.mark.parametrize(("limit", "stored"), [(100, 100), ("100", 100), ("unlimited", None), (" Unlimited ", None)])
def test_a_submission_limit_is_a_number_or_unlimited(api: Api, limit: Any, stored: int | None) -> None:
    integration = connect(api, submission_limit=limit)

    assert Webhook.objects.get().submission_limit == stored
    assert integration["usage"]["limit"] == stored
    assert integration["usage"]["left"] == stored


@pytest.mark.parametrize("limit", [0, -1, 1.5, "many", "1e3", "٣", 10**10])
def test_another_submission_limit_is_refused(api: Api, limit: Any) -> None:
    assert list(refused(api, {"webhook_url": URL, "submission_limit": limit})) == ["submission_limit"]


def test_what_a_webhook_has_taken_before_can_be_told(api: Api) -> None:
    usage = connect(api, submissions_used=49_000)["usage"]

    assert usage == {
        "used": 49_000,
        "possibly_used": 0,
        "in_flight": 0,
        "limit": 50_000,
        "left": 1_000,
        "forecast_at": None,
    }


# --- who ---


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.RUN, Role.CALLBACK])
def test_only_an_admin_connects(api_as: Callable[[Role], Api], role: Role) -> None:
    answer = api_as(role).post(CONNECT, {"webhook_url": URL})

    assert answer.status_code == 403
    assert answer.json()["error"]["details"] == {"permission": "administer"}
    assert not Integration.objects.exists()


def test_another_project_s_key_finds_no_project(stranger_api: Api, project: Project) -> None:
    answer = stranger_api.post(CONNECT, {"webhook_url": URL})

    assert answer.status_code == 404
    assert not Integration.objects.exists()


def test_without_a_key_nothing_is_connected(client: Any, project: Project) -> None:
    answer = client.post(CONNECT, {"webhook_url": URL}, content_type="application/json")

    assert answer.status_code == 401


def test_only_the_answer_to_the_admin_shows_the_url(api: Api, api_as: Callable[[Role], Api]) -> None:
    integration = connect(api, **HEADER)

    for role in (Role.ADMIN, Role.OPERATOR, Role.VIEWER):
        for path in ("", f"/{integration['id']}"):
            shown = api_as(role).get(f"{api.root}/integrations{path}").content.decode()
            assert "pull-in-data" not in shown
            assert "hush-hush" not in shown
            assert "https://api.clay.com/…abcd" in shown
