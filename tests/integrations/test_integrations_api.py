"""`/v1/projects/{project}/integrations`: list, create, read, change, delete and test (mobius-contract §4.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrations import connecting
from integrations.models import (
    Attempt,
    AttemptState,
    Integration,
    IntegrationStatus,
    LedgerEntry,
    Pacer,
    Webhook,
    WebhookSecret,
)
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.rotating import rotate_secrets
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import Api

JsonObject = dict[str, Any]

ROOT = "/v1/projects/platform/integrations"
URL = "https://api.clay.com/v3/sources/webhook/pull-in-data-1234abcd"
OTHER_URL = "https://api.clay.com/v3/sources/webhook/another-5678efgh"
MASKED = "https://api.clay.com/…abcd"
NEW = {
    "name": "clay",
    "provider": "clay",
    "config": {"webhook_url": URL, "auth_header_name": "x-clay-webhook-auth"},
    "credentials": {"auth_header_value": "hush-hush-token"},
}
NOT_FOUND = {"error": {"code": "not_found", "message": "There is no such integration."}}


def create(api: Api, **changes: Any) -> JsonObject:
    answer = api.post(f"{api.root}/integrations", NEW | changes)
    assert answer.status_code == 201, answer.json()
    integration: JsonObject = answer.json()
    return integration


def several(api: Api, *names: str) -> list[str]:
    return [create(api, name=name, config={"webhook_url": f"{URL}{name}"}, credentials={})["id"] for name in names]


def refused(answer: Any) -> dict[str, list[str]]:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "bad_request")
    fields: dict[str, list[str]] = error["details"]["fields"]
    return fields


@pytest.fixture
def connected(api: Api) -> str:
    """The address of a connected integration."""
    return f"{ROOT}/{create(api)['id']}"


# --- creating ---


def test_creating_answers_201_without_a_secret(api: Api) -> None:
    answer = api.post(ROOT, NEW)

    integration = answer.json()
    assert answer.status_code == 201
    assert {"id", "name", "provider", "status", "created_at", "updated_at"} <= set(integration)
    assert integration["config"] == {"webhook_url": MASKED, "auth_header_name": "x-clay-webhook-auth"}
    assert "hush-hush" not in answer.content.decode()
    assert (WebhookSecret.objects.get().url, WebhookSecret.objects.get().auth_header_value) == (URL, "hush-hush-token")


def test_the_secrets_may_stand_in_either_object(api: Api) -> None:
    create(api, config={}, credentials={"webhook_url": URL})

    assert WebhookSecret.objects.get().url == URL


def test_a_name_is_taken_once_for_each_provider(api: Api) -> None:
    create(api)

    answer = api.post(ROOT, NEW | {"config": {"webhook_url": OTHER_URL}, "credentials": {}})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "already_exists")
    assert WebhookSecret.objects.get().url == URL


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"name": None, "provider": None}, {"name", "provider"}),
        ({"name": "a/b"}, {"name"}),
        ({"config": {}, "credentials": {}}, {"webhook_url"}),
        ({"config": {"webhook_url": URL, "colour": "red"}}, {"colour"}),
        ({"config": "x"}, {"config"}),
        ({"credentials": {}}, {"auth_header_value"}),
        ({"status": "active"}, {"status"}),
    ],
)
def test_a_wrong_body_is_refused_naming_the_fields(api: Api, changes: JsonObject, fields: set[str]) -> None:
    assert set(refused(api.post(ROOT, NEW | changes))) == fields
    assert not Integration.objects.exists()


def test_an_unknown_provider_is_not_found(api: Api) -> None:
    assert api.post(ROOT, NEW | {"provider": "airtable"}).status_code == 404


# --- reading ---


def test_an_integration_shows_its_usage_and_what_needs_attention(api: Api, connected: str) -> None:
    Webhook.objects.update(used=7, in_flight=2, submission_limit=10)
    Integration.objects.update(status=IntegrationStatus.INACTIVE, attention="The token is wrong.")

    integration = api.get(connected).json()

    assert integration["status"] == "inactive"
    assert integration["config"]["attention"] == "The token is wrong."
    assert integration["usage"] == {
        "used": 7,
        "possibly_used": 0,
        "in_flight": 2,
        "limit": 10,
        "left": 1,
        "forecast_at": None,
    }


def test_the_list_pages_newest_first(api: Api) -> None:
    made = several(api, "a", "b", "c")

    first = api.get(ROOT, {"limit": 2}).json()
    second = api.get(ROOT, {"limit": 2, "cursor": first["next_cursor"]}).json()

    assert [one["id"] for one in first["items"]] == made[:0:-1]
    assert [one["id"] for one in second["items"]] == made[:1]
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert "next_cursor" not in second


def test_a_page_holds_up_to_200(api: Api) -> None:
    assert api.get(ROOT, {"limit": 200}).status_code == 200
    assert list(refused(api.get(ROOT, {"limit": 201}))) == ["limit"]


def test_the_list_is_filtered_by_provider_and_status(api: Api) -> None:
    active, paused = several(api, "a", "b")
    Integration.objects.filter(pk=paused).update(status=IntegrationStatus.INACTIVE)

    def listed(**query: str) -> list[str]:
        return [one["id"] for one in api.get(ROOT, query).json()["items"]]

    assert listed(provider="clay") == [paused, active]
    assert listed(provider="airtable") == []
    assert listed(status="active") == [active]
    assert listed(status="inactive", provider="clay") == [paused]
    assert list(refused(api.get(ROOT, {"status": "on"}))) == ["status"]


# --- changing ---


def test_config_is_replaced_whole(api: Api, connected: str) -> None:
    answer = api.put(connected, {"config": {"webhook_url": OTHER_URL}, "credentials": {}})

    assert answer.status_code == 200
    assert answer.json()["config"] == {"webhook_url": "https://api.clay.com/…efgh"}
    assert (WebhookSecret.objects.get().url, WebhookSecret.objects.get().auth_header_value) == (OTHER_URL, "")
    assert Integration.objects.count() == 1


def test_a_config_without_the_header_s_name_does_not_keep_half_a_header(api: Api, connected: str) -> None:
    fields = refused(api.put(connected, {"config": {"webhook_url": OTHER_URL}}))

    assert list(fields) == ["auth_header_name"]
    assert WebhookSecret.objects.get().url == URL


def test_a_stored_header_is_never_sent_to_another_address(api: Api, connected: str) -> None:
    """Nobody is shown it again, and so nobody may have it delivered to himself."""
    elsewhere = {"webhook_url": OTHER_URL, "auth_header_name": "x-clay-webhook-auth"}

    fields = refused(api.put(connected, {"config": elsewhere}))
    assert list(fields) == ["auth_header_value"]
    assert (WebhookSecret.objects.get().url, Webhook.objects.count()) == (URL, 1)

    renamed = api.put(connected, {"config": {"webhook_url": URL, "auth_header_name": "x-other"}})
    assert renamed.json()["config"]["auth_header_name"] == "x-other"
    assert WebhookSecret.objects.get().auth_header_value == "hush-hush-token"
    given = api.put(connected, {"config": elsewhere, "credentials": {"auth_header_value": "theirs-to-know"}})
    assert given.status_code == 200


def test_credentials_are_replaced_whole_and_the_rest_stays(api: Api, connected: str) -> None:
    Webhook.objects.update(used=7)

    answer = api.put(connected, {"credentials": {"auth_header_value": "new-token-value"}})

    assert answer.json()["config"]["auth_header_name"] == "x-clay-webhook-auth"
    assert answer.json()["usage"]["used"] == 7
    assert (WebhookSecret.objects.get().url, WebhookSecret.objects.get().auth_header_value) == (URL, "new-token-value")


@pytest.mark.django_db(transaction=True)
def test_a_header_that_is_replaced_is_erased_from_the_journal_too(api: Api, connected: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads what SQLite is told")
    with CaptureQueriesContext(connection) as by_the_api:
        api.put(connected, {"credentials": {"auth_header_value": "new-token-value"}})
    with CaptureQueriesContext(connection) as by_the_page:
        connecting.rotate(Integration.objects.get(), auth_header_name="x-auth", auth_header_value="newer-token-value")
    with CaptureQueriesContext(connection) as by_a_new_key:
        rotate_secrets()

    for told in (by_the_api, by_the_page, by_a_new_key):
        assert "PRAGMA wal_checkpoint(TRUNCATE)" in [one["sql"] for one in told.captured_queries]


def test_what_was_read_cannot_be_written_back_over_the_url(api: Api, connected: str) -> None:
    shown = api.get(connected).json()

    fields = refused(api.put(connected, {"config": shown["config"]}))

    assert list(fields) == ["webhook_url"]
    assert WebhookSecret.objects.get().url == URL


@pytest.mark.parametrize(("status", "then"), [("inactive", "inactive"), ("active", "active")])
def test_status_pauses_and_resumes(api: Api, connected: str, status: str, then: str) -> None:
    Integration.objects.update(attention="The token is wrong.")

    answer = api.put(connected, {"status": status})

    assert answer.json()["status"] == then
    assert "attention" not in answer.json()["config"]


def test_an_integration_is_renamed(api: Api) -> None:
    first, second = several(api, "a", "b")

    assert api.put(f"{ROOT}/{first}", {"name": "c"}).json()["name"] == "c"
    assert api.put(f"{ROOT}/{first}", {"name": "c"}).status_code == 200
    taken = api.put(f"{ROOT}/{second}", {"name": "c"})
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "already_exists")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"provider": "clay"}, "provider"),
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"status": "expired"}, "status"),
        ({"config": []}, "config"),
        ({"config": {"webhook_url": "http://api.clay.com/x"}, "credentials": {}}, "webhook_url"),
        ([], "body"),
    ],
)
def test_a_wrong_change_is_refused(api: Api, connected: str, body: Any, field: str) -> None:
    answer = api.put(connected, body)

    assert answer.status_code == 400
    assert field in refused(answer) or field == "body"
    assert WebhookSecret.objects.get().url == URL


def test_an_empty_change_changes_nothing(api: Api, connected: str) -> None:
    before = api.get(connected).json()

    assert api.put(connected, {}).json() == before


# --- deleting ---


def test_deleting_erases_the_secret_but_not_the_count_and_the_log(
    api: Api, project: Project, integration: Integration
) -> None:
    api.post(f"{ROOT}/{integration.pk}/test", {})
    webhook = Webhook.objects.get()

    answer = api.delete(f"{ROOT}/{integration.pk}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert not Integration.objects.exists()
    assert not WebhookSecret.objects.exists()
    assert Webhook.objects.get(pk=webhook.pk).used == 1
    assert Attempt.objects.get().integration is None
    assert api.get(f"{ROOT}/{integration.pk}").status_code == 404
    assert api.delete(f"{ROOT}/{integration.pk}").status_code == 404


def test_a_deleted_webhook_that_is_connected_again_has_its_count(api: Api, connected: str) -> None:
    Webhook.objects.update(used=7)
    api.delete(connected)

    assert create(api)["usage"]["used"] == 7


# --- testing ---


def test_a_test_creates_a_marked_row_and_says_what_happened(
    api: Api, integration: Integration, clay: ClaySimulator
) -> None:
    answer = api.post(f"{ROOT}/{integration.pk}/test", {})

    probe = answer.json()
    attempt = Attempt.objects.get()
    assert answer.status_code == 200
    assert (probe["ok"], probe["state"], probe["status_code"]) == (True, "accepted", 200)
    assert probe["delivery_id"] == attempt.pk
    assert probe["stages"] == ["address", "connected", "sent", "answered", "accepted"]
    assert probe["cause"] == "Clay accepted the row."
    assert probe["latency_ms"] >= 0
    assert attempt.kind == "test"
    assert clay.rows[0].body["_test"] is True
    assert Webhook.objects.get().used == 1
    assert not LedgerEntry.objects.exists()


def test_a_test_may_send_a_row_of_one_s_own(api: Api, integration: Integration, clay: ClaySimulator) -> None:
    api.post(f"{ROOT}/{integration.pk}/test", {"row": {"email": "ada@example.com"}})

    assert clay.rows[0].body == {"email": "ada@example.com"}


def test_a_test_that_fails_says_what_to_do(api: Api, integration: Integration, clay: ClaySimulator) -> None:
    clay.next_answers(Behaviour(fail=401))

    probe = api.post(f"{ROOT}/{integration.pk}/test", {}).json()

    assert (probe["ok"], probe["state"], probe["status_code"]) == (False, "refused", 401)
    assert probe["stages"][-1] == "answered"
    assert "x-clay-webhook-auth" in probe["fix"]


def test_a_test_of_a_dead_address_is_no_error_of_ours(api: Api, integration: Integration, clay: ClaySimulator) -> None:
    clay.stop()

    probe = api.post(f"{ROOT}/{integration.pk}/test", {}).json()

    assert (probe["ok"], probe["state"], probe["failure"]) == (False, "not_sent", "connect")
    assert probe["stages"] == ["address"]
    assert Attempt.objects.get().state == AttemptState.NOT_SENT


def test_a_test_that_succeeds_resumes_a_paused_integration(api: Api, integration: Integration) -> None:
    connecting.pause(integration, reason="Three refusals in a row.")

    api.post(f"{ROOT}/{integration.pk}/test", {})

    integration.refresh_from_db()
    assert (integration.status, integration.attention) == (IntegrationStatus.ACTIVE, "")


def test_a_test_that_fails_resumes_nothing(api: Api, integration: Integration, clay: ClaySimulator) -> None:
    connecting.pause(integration)
    clay.next_answers(Behaviour(fail=401))

    api.post(f"{ROOT}/{integration.pk}/test", {})

    integration.refresh_from_db()
    assert integration.status == IntegrationStatus.INACTIVE


def test_a_test_waits_for_its_turn_like_any_row(api: Api, integration: Integration, clay: ClaySimulator) -> None:
    Pacer.objects.update(rate_per_second=1, burst=1, tat=10**11)

    answer = api.post(f"{ROOT}/{integration.pk}/test", {})

    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "1"
    assert clay.rows == []


def test_a_test_at_the_limit_is_a_conflict(api: Api, integration: Integration) -> None:
    Webhook.objects.update(submission_limit=1, used=1)

    answer = api.post(f"{ROOT}/{integration.pk}/test", {})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "submission_limit_reached")


@pytest.mark.parametrize("body", [{"row": []}, {"row": "x"}, {"rows": {}}, {"row": {"notes": "x" * 110_000}}])
def test_a_wrong_test_is_refused(api: Api, integration: Integration, body: JsonObject) -> None:
    assert api.post(f"{ROOT}/{integration.pk}/test", body).status_code == 400


# --- who ---

CALLS = [("get", ""), ("put", ""), ("delete", ""), ("post", "/test")]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_an_unknown_integration_is_not_found(api: Api, method: str, path: str) -> None:
    answer = getattr(api, method)(f"{ROOT}/intg_nonexistent{path}")

    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_another_project_s_integration_is_not_found(
    stranger_api: Api, integration: Integration, clay: ClaySimulator, method: str, path: str
) -> None:
    answer = getattr(stranger_api, method)(f"{stranger_api.root}/integrations/{integration.pk}{path}")

    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)
    assert Integration.objects.count() == 1
    assert clay.rows == []


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.VIEWER, {"list", "get"}),
        (Role.OPERATOR, {"list", "get", "test"}),
        (Role.ADMIN, {"list", "get", "test", "create", "put", "delete"}),
        (Role.RUN, set()),
        (Role.CALLBACK, set()),
    ],
)
def test_who_may_do_what(
    api_as: Callable[[Role], Api], integration: Integration, role: Role, allowed: set[str]
) -> None:
    api = api_as(role)
    one = f"{ROOT}/{integration.pk}"
    calls = {
        "list": lambda: api.get(ROOT),
        "get": lambda: api.get(one),
        "test": lambda: api.post(f"{one}/test", {}),
        "create": lambda: api.post(ROOT, NEW | {"name": "second"}),
        "put": lambda: api.put(one, {"status": "active"}),
        "delete": lambda: api.delete(one),
    }

    assert {name for name, call in calls.items() if call().status_code != 403} == allowed


def test_a_list_holds_only_the_project_s_own(api: Api, stranger_api: Api, integration: Integration) -> None:
    assert stranger_api.get(f"{stranger_api.root}/integrations").json() == {"items": [], "has_more": False}


def test_a_list_of_integrations_costs_the_same_queries_however_many_there_are(api: Api, clay: ClaySimulator) -> None:
    def connect_and_count(number: int) -> int:
        body = {"webhook_url": clay.url_for(f"source-{number}"), "name": f"clay {number}"}
        api.post(f"{api.root}/integrations/providers/clay/connect", body)
        with CaptureQueriesContext(connection) as queries:
            assert len(api.get(f"{api.root}/integrations").json()["items"]) == number
        return len(queries)

    assert len({connect_and_count(number) for number in (1, 2, 3)}) == 1
