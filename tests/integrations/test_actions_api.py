"""`/v1/projects/{project}/catalog/actions` and `…/actions/{name}/invoke` (mobius-contract §5.1, §5.3)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from integrations import connecting, invoking
from integrations.connecting import connect
from integrations.forms import UNLIMITED, Options
from integrations.models import Attempt, AttemptKind, AttemptState, Integration, IntegrationStatus, Pacer, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from mobius.atonce import WAITING_CALLS
from mobius.projects.models import AuditEvent, Project
from mobius.projects.roles import Role
from tests.cast import Api
from tests.integrations.sockets import Server, answers, resets

JsonObject = dict[str, Any]

CATALOG = "/v1/projects/platform/catalog/actions"
INVOKE = "/v1/projects/platform/actions/clay.webhook.submit/invoke"
ROW = {"payload": {"email": "ada@example.com"}, "request_id": "req_1", "external_id": "lead_1"}

ENTRY_REQUIRED = {
    *("name", "source", "definition_scope", "readiness", "endpoint_kind", "risk", "annotations"),
}
ENTRY_OPTIONAL = {
    *("readiness_reason", "title", "description", "integration", "input_schema", "output_schema"),
    *("endpoint_url", "invocation_format", "execution"),
}


def entry(api: Api) -> JsonObject:
    items = api.get(CATALOG).json()["items"]
    return next(dict(one) for one in items if one["name"] == "clay.webhook.submit")


# --- the catalog ---


def test_the_catalog_tells_what_the_clay_action_is(api: Api, integration: Integration) -> None:
    shown = entry(api)

    assert set(shown) >= ENTRY_REQUIRED
    assert set(shown) <= ENTRY_REQUIRED | ENTRY_OPTIONAL
    assert (shown["source"], shown["definition_scope"], shown["endpoint_kind"]) == ("platform", "platform", "builtin")
    assert (shown["integration"], shown["risk"], shown["readiness"]) == ("clay", "medium", "ready")
    assert shown["annotations"] == {"idempotent": False, "destructive": False, "read_only": False}
    assert shown["execution"] == {"supported_locations": ["managed"], "default_location": "managed"}
    assert shown["input_schema"]["required"] == ["payload"]
    assert "readiness_reason" not in shown
    assert api.get(f"{CATALOG}/clay.webhook.submit").json() == shown


def test_no_webhook_url_shows_in_the_catalog(api: Api, integration: Integration, clay: ClaySimulator) -> None:
    assert clay.url.rpartition("/")[2] not in api.get(CATALOG).content.decode().replace("clay.webhook", "")
    assert "127.0.0.1" not in api.get(CATALOG).content.decode()


def test_an_action_whose_provider_is_not_connected_says_so(api: Api) -> None:
    assert (entry(api)["readiness"], entry(api)["readiness_reason"]) == ("needs_setup", "not_configured")


@pytest.mark.parametrize(
    ("status", "reason"), [(IntegrationStatus.INACTIVE, "inactive"), (IntegrationStatus.EXPIRED, "expired")]
)
def test_an_action_whose_integration_is_not_usable_says_why(
    api: Api, integration: Integration, status: str, reason: str
) -> None:
    Integration.objects.update(status=status)

    assert (entry(api)["readiness"], entry(api)["readiness_reason"]) == ("needs_setup", reason)


def test_one_usable_integration_of_several_is_enough(api: Api, integration: Integration, project: Project) -> None:
    connecting.pause(integration)
    other = Connection(webhook_url="https://api.clay.com/v3/sources/webhook/other-table")
    connect(project=project, provider=get_provider("clay"), connection=other, options=Options(name="other"))

    assert entry(api)["readiness"] == "ready"


def test_a_key_that_may_not_call_reads_that_it_lacks_the_permission(
    api_as: Callable[[Role], Api], integration: Integration
) -> None:
    shown = entry(api_as(Role.VIEWER))

    assert (shown["readiness"], shown["readiness_reason"]) == ("needs_setup", "permission_missing")


def test_another_project_s_integration_makes_nothing_ready(stranger_api: Api, integration: Integration) -> None:
    answer = stranger_api.get(f"{stranger_api.root}/catalog/actions/clay.webhook.submit")

    assert answer.json()["readiness_reason"] == "not_configured"


def test_an_unknown_action_is_not_found(api: Api, integration: Integration) -> None:
    for answer in (api.get(f"{CATALOG}/clay.nothing"), api.post(f"{api.root}/actions/clay.nothing/invoke", {})):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


# --- calling: what is refused before anything is sent ---


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"input": {}}, "payload is missing"),
        ({}, "payload is missing"),
        ({"input": {"payload": []}}, "payload is a list"),
        ({"input": {"payload": {}, "colour": "red"}}, "Unknown parameter colour"),
        ({"input": ROW | {"integration": 5}}, "integration must be text"),
        ({"input": ROW, "timeout": 3}, "timeout"),
        ({"input": ROW, "timeout_seconds": 0}, "timeout_seconds"),
        ({"input": ROW, "timeout_seconds": 121}, "timeout_seconds"),
        ({"input": "x"}, "input"),
        ({"input": ROW, "dry_run": True}, "dry_run is for actions that only read"),
        ([], "JSON object"),
    ],
)
def test_a_wrong_call_is_refused_and_nothing_is_sent(
    api: Api, integration: Integration, clay: ClaySimulator, body: Any, words: str
) -> None:
    answer = api.post(INVOKE, body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert words in str(answer.json()["error"])
    assert not Attempt.objects.exists()
    assert clay.rows == []


def test_without_an_integration_it_is_a_conflict(api: Api) -> None:
    answer = api.post(INVOKE, {"input": ROW})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_connected")


def test_through_a_paused_integration_it_is_a_conflict(api: Api, integration: Integration, clay: ClaySimulator) -> None:
    connecting.pause(integration)

    answer = api.post(INVOKE, {"input": ROW})

    assert answer.status_code == 409
    assert "paused, so nothing was sent" in answer.json()["error"]["message"]
    assert clay.rows == []


def test_beyond_the_webhook_s_limit_it_is_a_conflict(api: Api, integration: Integration) -> None:
    Webhook.objects.update(used=50_000)

    answer = api.post(INVOKE, {"input": ROW})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "submission_limit_reached")


def test_when_no_slot_comes_in_time_nothing_was_sent(
    api: Api, integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    Pacer.objects.update(rate_per_second=1.0, tat=time.time() + 60)
    monkeypatch.setattr(invoking, "_ASK_AGAIN_SECONDS", 0.5)

    answer = api.post(INVOKE, {"input": ROW, "timeout_seconds": 1})

    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert "nothing was sent" in answer.json()["error"]["message"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert not Attempt.objects.exists()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.RUN, Role.CALLBACK])
def test_a_low_role_may_not_call(api_as: Callable[[Role], Api], integration: Integration, role: Role) -> None:
    assert api_as(role).post(INVOKE, {"input": ROW}).status_code == 403


def test_a_ninth_call_is_asked_to_come_back(api: Api, integration: Integration, clay: ClaySimulator) -> None:
    taken = [WAITING_CALLS.enter() for _ in range(8)]
    try:
        answers = (api.post(INVOKE, {"input": ROW}), api.post(f"{api.root}/integrations/{integration.pk}/test", {}))
    finally:
        for leave in taken:
            leave()

    for answer in answers:
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert "Retry-After" in answer.headers
    assert clay.rows == []


# --- calling: over the wire. Threads of their own record the outcome, so what they find must be committed ---


@pytest.fixture
def wired(transactional_db: None, api: Api, integration: Integration) -> Iterator[Api]:
    yield api
    assert invoking.wait(patience_seconds=10)
    connections.close_all()


def connected_to(server: Server, settings: Any, project: Project) -> None:
    settings.MOBIUS_OUTBOUND_ALLOW = [server.allow]
    connect(
        project=project,
        provider=get_provider("clay"),
        connection=Connection(webhook_url=server.url),
        options=Options(rate_per_second=UNLIMITED),
    )


def test_a_call_sends_the_row_and_tells_its_output(wired: Api, clay: ClaySimulator) -> None:
    answer = wired.post(INVOKE, {"input": ROW, "timeout_seconds": 20, "dry_run": False})

    called = answer.json()
    assert answer.status_code == 200
    assert (called["status"], called["output"]["ok"], called["output"]["request_id"]) == ("completed", True, "req_1")
    assert set(called) == {"status", "job_id", "output"}
    assert [row.body for row in clay.rows] == [
        {"email": "ada@example.com", "request_id": "req_1", "external_id": "lead_1"}
    ]
    attempt = Attempt.objects.get()
    assert (attempt.pk, attempt.kind, attempt.state) == (called["job_id"], AttemptKind.INVOKE, AttemptState.ACCEPTED)
    assert Webhook.objects.values_list("used", "in_flight").get() == (1, 0)


def test_a_call_is_written_into_the_audit(wired: Api) -> None:
    called = wired.post(INVOKE, {"input": ROW}).json()

    event = AuditEvent.objects.get(action="action.invoke")
    assert (event.object_kind, event.object_id) == ("delivery", called["job_id"])
    assert event.actor_id == wired.key.record.pk


def test_the_same_row_is_not_sent_twice(wired: Api, clay: ClaySimulator) -> None:
    wired.post(INVOKE, {"input": ROW})
    again = wired.post(INVOKE, {"input": ROW}).json()

    assert (again["status"], again["output"]["duplicate"]) == ("completed", True)
    assert len(clay.rows) == 1


def test_parameters_integration_chooses_among_several(wired: Api, project: Project, clay: ClaySimulator) -> None:
    other = Connection(webhook_url="https://api.clay.com/v3/sources/webhook/other-table")
    connect(project=project, provider=get_provider("clay"), connection=other, options=Options(name="other"))

    assert wired.post(INVOKE, {"input": ROW | {"integration": "clay"}}).json()["status"] == "completed"
    unknown = wired.post(INVOKE, {"input": ROW | {"integration": "nowhere"}})

    assert "integration" not in clay.rows[0].body
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (409, "not_connected")


def test_a_refusal_is_a_failed_call_with_its_cause(wired: Api, clay: ClaySimulator) -> None:
    clay.next_answers(Behaviour(fail=404))

    answer = wired.post(INVOKE, {"input": ROW})

    assert answer.status_code == 200
    assert answer.json()["status"] == "failed"
    assert "Clay answered 404" in answer.json()["error"]
    assert Webhook.objects.values_list("used", "in_flight").get() == (0, 0)


def test_a_row_in_doubt_is_a_failed_call_that_says_so_and_is_never_sent_again(
    wired: Api, settings: Any, project: Project
) -> None:
    with Server(resets(b"")) as server:
        connected_to(server, settings, project)
        first = wired.post(INVOKE, {"input": ROW})
        again = wired.post(INVOKE, {"input": ROW})
        sent = len(server.requests)

    assert first.status_code == 200
    assert first.json()["status"] == "failed"
    assert "in doubt: it may or may not have arrived" in first.json()["error"]
    assert again.json()["status"] == "failed"
    assert "settle it there first" in again.json()["error"]
    assert "Nothing was sent by this call" in again.json()["error"]
    assert "job_id" not in again.json()
    assert sent == 1
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT


def test_past_its_timeout_a_call_is_active_and_gets_its_outcome_all_the_same(
    wired: Api, settings: Any, project: Project
) -> None:
    let_go = threading.Event()

    def slow(server: Server, connection: Any) -> None:
        server.read_request(connection)
        let_go.wait(10)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")

    with Server(slow) as server:
        connected_to(server, settings, project)
        answer = wired.post(INVOKE, {"input": ROW, "timeout_seconds": 1})
        on_its_way = Attempt.objects.get()
        let_go.set()
        assert invoking.wait(patience_seconds=10)

    assert answer.status_code == 202
    assert answer.json() == {"status": "active", "job_id": on_its_way.pk}
    assert on_its_way.state == AttemptState.SENDING
    assert Attempt.objects.get().state == AttemptState.ACCEPTED


def test_a_call_keeps_its_place_until_its_row_has_an_outcome(wired: Api, settings: Any, project: Project) -> None:
    let_go = threading.Event()

    def slow(server: Server, connection: Any) -> None:
        let_go.wait(10)
        answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")(server, connection)

    with Server(slow) as server:
        connected_to(server, settings, project)
        others = [WAITING_CALLS.enter() for _ in range(7)]
        active = wired.post(INVOKE, {"input": ROW, "timeout_seconds": 1}).status_code
        ninth = wired.post(INVOKE, {"input": {"payload": {}}}).status_code
        let_go.set()
        assert invoking.wait(patience_seconds=10)
        for leave in others:
            leave()

    assert (active, ninth) == (202, 429)
    WAITING_CALLS.enter()()


def test_a_call_waits_for_its_slot(wired: Api, clay: ClaySimulator) -> None:
    Pacer.objects.update(rate_per_second=1.0, burst=1, tat=time.time() + 0.4)

    answer = wired.post(INVOKE, {"input": ROW})

    assert answer.json()["status"] == "completed"
    assert len(clay.rows) == 1


def test_a_process_that_stops_sends_nothing_more(api: Api, integration: Integration, clay: ClaySimulator) -> None:
    Pacer.objects.update(rate_per_second=1.0, tat=time.time() + 60)
    invoking.close()

    answer = api.post(INVOKE, {"input": ROW})

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unavailable")
    assert not Attempt.objects.exists()
