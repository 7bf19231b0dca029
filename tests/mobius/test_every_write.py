"""Every address that writes, found in the URL configuration: whatever succeeds leaves exactly one line in the audit.

An address that somebody adds tomorrow fails here until it is described below. What is refused leaves no line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import get_resolver

from integrations import connecting
from integrations.models import Integration
from integrations.providers.clay.simulator import ClaySimulator
from loops.authoring import update_loop
from loops.models import BulkJob, BulkState, Loop
from mobius.projects.models import AuditEvent
from tests.cast import PASSWORD, PUSH_LEADS, Api
from tests.inventory import Things, console_addresses, filled, patterns

pytestmark = pytest.mark.django_db
P = "/v1/projects/<project>"
ONE = f"{P}/integrations/<integration>"
G = "/projects/<handle>/govern"
O = "/projects/<handle>/operate"  # noqa: E741
B = "/projects/<handle>/build/loops/"
HERE = f"{G}/integrations/<integration_id>"
WEBHOOK = "<url>"
"""Stands for the address of another simulated table."""


@dataclass(frozen=True)
class Write:
    """A request that succeeds, and the line that it leaves."""

    action: str
    body: dict[str, Any] = field(default_factory=dict)
    thing: dict[str, str] = field(default_factory=dict)  # other things for the placeholders
    also: tuple[str, ...] = ()  # a second deed in the same request
    first: Callable[[Things], None] | None = None


def pause(things: Things) -> None:
    connecting.pause(Integration.objects.get(pk=things["integration"]))


def save_another_version(things: Things) -> None:
    update_loop(Loop.objects.get(pk=things["loop"]), {"description": "another"})


def let_run(things: Things) -> None:
    BulkJob.objects.filter(pk=things["job_id"]).update(state=BulkState.RUNNING)


NOW = {"asked_at": "2199-01-01T00:00:00Z"}
ROLES = {"name": "charlie", "role": "viewer"}
SETTINGS = {"name": "clay", "workspace": "default", "submission_limit": "40000", "rate_per_second": "unlimited"}
FAILED = {"run": "failed_run", "run_id": "failed_run"}

API: dict[str, Write] = {
    f"PATCH {P}": Write("project.update", {"description": "new"}),
    f"DELETE {P}": Write("project.delete"),
    f"POST {P}/principals": Write("principal.create", {"name": "another robot"}),
    f"PATCH {P}/principals/<principal>": Write("principal.update", {"state": "disabled"}),
    f"DELETE {P}/principals/<principal>": Write("principal.delete"),
    f"POST {P}/api-keys": Write("api_key.create", {"name": "new", "scope_role_id": "run"}),
    f"DELETE {P}/api-keys/<key>": Write("api_key.revoke"),
    f"POST {P}/integrations": Write(
        "integration.connect", {"name": "two", "provider": "clay", "config": {"webhook_url": WEBHOOK}}
    ),
    f"POST {P}/integrations/providers/<provider>/connect": Write(
        "integration.connect", {"name": "two", "webhook_url": WEBHOOK}
    ),
    f"PUT {ONE}": Write("integration.configure", {"settings": {"burst": 3}}),
    f"DELETE {ONE}": Write("integration.disconnect"),
    f"POST {ONE}/test": Write("integration.test"),
    f"PUT {ONE}/successor": Write("integration.stage_successor", {"webhook_url": WEBHOOK}),
    f"DELETE {ONE}/successor": Write("integration.remove_successor"),
    f"POST {ONE}/successor/test": Write("integration.test_successor"),
    f"POST {ONE}/queue/discard": Write("integration.discard_queue"),
    f"POST {P}/loops": Write("loop.create", PUSH_LEADS),
    f"PATCH {P}/loops/<loop>": Write("loop.update", {"status": "paused"}),
    f"DELETE {P}/loops/<loop>": Write("loop.delete"),
    f"POST {P}/runs/<run>/cancel": Write("run.cancel", {"reason": "enough"}),
    f"POST {P}/runs/<run>/retry": Write("run.retry", thing=FAILED),
    f"POST {P}/runs/<run>/resume": Write("run.resume", thing=FAILED),
    f"POST {P}/runs/<run>/signals": Write("run.signal", {"step_key": "answer", "result": {}}),
    f"POST {P}/deliveries/<delivery>/settle": Write(
        "delivery.arrived", {"decision": "arrived", "reason": "looked into the table"}
    ),
}
HOOKED = {"loop": "hooked", "loop_id": "hooked", "key": "trigger"}
HOOK = f"{P}/webhooks/<webhook>"
API |= {
    f"POST {P}/webhooks": Write("webhook.create", {"name": "erp", "url": WEBHOOK}),
    f"PATCH {HOOK}": Write("webhook.update", {"enabled": False}),
    f"DELETE {HOOK}": Write("webhook.delete"),
    f"POST {HOOK}/secret/rotate": Write("webhook.rotate"),
    f"POST {HOOK}/deliveries/<notification>/redeliver": Write("webhook.redeliver"),
    f"POST {P}/loops/<loop>/triggers/<trigger>/secret": Write("trigger.demand_signature", thing=HOOKED),
    f"DELETE {P}/loops/<loop>/triggers/<trigger>/secret": Write("trigger.take_unsigned", thing=HOOKED),
}
PUSH = f"{P}/pushes/<push>"
RUNNING, PAUSED = {"push": "running_push", "push_id": "running_push"}, {"push": "paused_push", "push_id": "paused_push"}
API |= {
    f"POST {P}/pushes": Write("push.create", {"integration": "clay", "rows": [{"email": "ada@example.com"}]}),
    f"POST {PUSH}/check": Write("push.check"),
    f"POST {PUSH}/start": Write("push.start"),
    f"POST {PUSH}/pause": Write("push.pause", thing=RUNNING),
    f"POST {PUSH}/resume": Write("push.resume", thing=PAUSED),
    f"POST {PUSH}/cancel": Write("push.cancel", thing=RUNNING),
}
API_RECORDS = {  # they are records themselves: a run says where it came from, and so does a callback
    f"POST {P}/loops/<loop>/runs",
    f"POST {P}/callbacks/clay",
    "POST /v1/callbacks/<token>",
    "POST /v1/triggers/http/<handle>",
}
API_ELSEWHERE = {"POST /v1/projects", f"POST {P}/actions/<action>/invoke", f"POST {HOOK}/ping"}
"""Their lines are tested with them: one stands in the project that is made, one where a row really leaves. A ping of a
webhook changes nothing."""

PAGES: dict[str, Write] = {
    f"{B}new/": Write("loop.create", {"spec": '{"name": "fresh", "schema_version": "1", "steps": []}'}),
    f"{B}<loop_id>/edit/": Write("loop.update", {"do": "save", "draft": '{"name": "renamed", "steps": []}'}),
    f"{B}<loop_id>/edit/json/": Write(
        "loop.update", {"spec": '{"name": "renamed", "schema_version": "1", "steps": []}', "version": "1"}
    ),
    f"{B}<loop_id>/versions/<number>/restore/": Write("loop.update", first=save_another_version),
    f"{B}<loop_id>/status/": Write("loop.update", {"status": "paused"}),
    f"{B}<loop_id>/delete/": Write("loop.delete"),
    f"{B}<loop_id>/start/": Write("run.start", {"event": '{"email": "ada@example.com"}'}),
    f"{O}/runs/<run_id>/cancel/": Write("run.cancel", {"reason": "enough"}),
    f"{O}/runs/<run_id>/retry/": Write("run.retry", thing=FAILED),
    f"{O}/runs/<run_id>/signal/": Write("run.signal", {"result": "{}"}),
    f"{O}/deliveries/<delivery_id>/settle/": Write(
        "delivery.give_up", {"decision": "give_up", "reason": "looked into the table"}
    ),
    f"{O}/runs/all/retry/": Write("bulk_job.start", NOW),
    f"{O}/runs/all/cancel/": Write("bulk_job.start", NOW),
    f"{O}/deliveries/all/settle/": Write("bulk_job.start", NOW | {"decision": "arrived", "reason": "looked"}),
    f"{O}/bulk/<job_id>/cancel/": Write("bulk_job.cancel", first=let_run),
    f"{O}/callbacks/<callback_id>/assign/": Write("callback.assign", {"step_id": "<step_id>"}),
    f"{G}/integrations/<provider_id>/connect/": Write("integration.connect", {"name": "two", "webhook_url": WEBHOOK}),
    f"{HERE}/test/": Write("integration.test", {"row": '{"email": "ada@example.com"}'}),
    f"{HERE}/test/there-and-back/": Write("integration.test", {"row": '{"email": "ada@example.com"}'}),
    f"{HERE}/pause/": Write("integration.pause"),
    f"{HERE}/resume/": Write("integration.resume", first=pause),
    f"{HERE}/rotate/": Write("integration.rotate", {"auth_header_name": "x-a", "auth_header_value": "planted"}),
    f"{HERE}/successor/": Write("integration.stage_successor", {"webhook_url": WEBHOOK}),
    f"{HERE}/successor/test/": Write("integration.test_successor"),
    f"{HERE}/successor/remove/": Write("integration.remove_successor"),
    f"{HERE}/settings/": Write("integration.configure", SETTINGS | {"burst": "3", "never_twice": "on", "name": "new"}),
    f"{HERE}/disconnect/": Write("integration.disconnect", {"typed": "clay"}),
    f"{HERE}/queue/discard/": Write("integration.discard_queue"),
    f"{G}/members/": Write("member.add", ROLES),
    f"{G}/members/new/": Write("user.create", {"name": "dora", "role": "viewer"}, also=("member.add",)),
    f"{G}/members/<member_id>/": Write("member.change_role", {"role": "admin"}),
    f"{G}/members/<member_id>/remove/": Write("member.remove"),
    f"{G}/api-keys/": Write("api_key.create", {"name": "new", "role": "run"}),
    f"{G}/api-keys/<key_id>/revoke/": Write("api_key.revoke"),
    "/account/password/": Write(
        "user.change_password",
        {"old_password": PASSWORD, "new_password1": "another horse battery", "new_password2": "another horse battery"},
    ),
}
PAGES |= {
    f"{G}/webhooks/": Write("webhook.create", {"name": "erp", "url": WEBHOOK}),
    f"{G}/webhooks/<webhook_id>/save/": Write("webhook.update", {"name": "renamed", "url": ""}),
    f"{G}/webhooks/<webhook_id>/switch/": Write("webhook.update", {"enabled": "false"}),
    f"{G}/webhooks/<webhook_id>/rotate/": Write("webhook.rotate"),
    f"{G}/webhooks/<webhook_id>/delete/": Write("webhook.delete"),
    f"{G}/webhooks/<webhook_id>/deliveries/<notification_id>/redeliver/": Write("webhook.redeliver"),
    f"{G}/alerts/": Write("alert_recipient.add", {"address": "bob@example.com"}),
    f"{G}/alerts/recipients/": Write(
        "alert_recipient.change", {"recipient": "<recipient_id>", "<recipient_id>": "budget"}
    ),
    f"{G}/alerts/recipients/<recipient_id>/test/": Write("alert_recipient.test"),
    f"{G}/alerts/recipients/<recipient_id>/remove/": Write("alert_recipient.remove"),
    f"{B}<loop_id>/recipe/key/": Write("api_key.create", {"role": "run"}),
    f"{B}<loop_id>/triggers/<key>/secret/": Write("trigger.demand_signature", thing=HOOKED),
    f"{B}<loop_id>/triggers/<key>/unsigned/": Write("trigger.take_unsigned", thing=HOOKED),
}
PAGES |= {
    f"{O}/pushes/new/": Write("push.create", {"integration": "<integration_id>", "text": "email\nada@example.com\n"}),
    f"{O}/pushes/<push_id>/check/": Write("push.check", {"request_id": "", "key-1": "email"}),
    f"{O}/pushes/<push_id>/start/": Write("push.start"),
    f"{O}/pushes/<push_id>/pause/": Write("push.pause", thing=RUNNING),
    f"{O}/pushes/<push_id>/resume/": Write("push.resume", thing=PAUSED),
    f"{O}/pushes/<push_id>/cancel/": Write("push.cancel", thing=RUNNING),
}
WRITING = ("post", "put", "patch", "delete")
ELSEWHERE = {
    *("/login/", "/logout/", f"{G}/webhooks/<webhook_id>/ping/"),
    f"{O}/deliveries/<delivery_id>/anew/",
}
"""Signing in has a line of its own, tested with the sign-in; signing out changes nothing but the browser, and a ping
nothing at all. The lines of a row that is sent anew are tested where a row really leaves."""


def api_routes() -> Iterator[str]:
    for path, pattern in patterns(get_resolver()):
        view: Any = pattern.callback
        takes = getattr(view, "actions", None) or [one for one in WRITING if hasattr(getattr(view, "cls", view), one)]
        yield from (f"{method.upper()} {path}" for method in takes if path.startswith("/v1/") and method in WRITING)


@pytest.fixture
def things(inventory: Things, charlie: User, clay: ClaySimulator) -> Things:
    return inventory | {"url": clay.url_for("another")}


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root", password=PASSWORD)


def given(write: Write, things: Things) -> tuple[Things, dict[str, Any]]:
    """The placeholders' things, and the body."""
    if write.first:
        write.first(things)
    mine = things | {name: things[other] for name, other in write.thing.items()}

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {fill(name): fill(inner) for name, inner in value.items()}
        return filled(value, mine) if isinstance(value, str) else value

    return mine, fill(write.body)


def new_lines(before: set[str]) -> list[AuditEvent]:
    return list(AuditEvent.objects.exclude(pk__in=before).order_by("id"))


def known() -> set[str]:
    return set(AuditEvent.objects.values_list("pk", flat=True))


def test_every_writing_address_is_described_above() -> None:
    assert set(api_routes()) == set(API) | API_RECORDS | API_ELSEWHERE


@pytest.mark.parametrize("route", API, ids=str)
def test_what_the_api_writes_is_one_line(api: Api, things: Things, route: str) -> None:
    write = API[route]
    method, _, path = route.partition(" ")
    mine, body = given(write, things)
    before = known()

    answer = getattr(api, method.lower())(filled(path, mine), body)

    assert answer.status_code < 300, answer.content
    lines = new_lines(before)
    assert [line.action for line in lines] == [write.action, *write.also]
    assert (lines[0].actor_kind, lines[0].actor_id, lines[0].ip) == ("api_key", api.key.record.pk, "127.0.0.1")
    assert lines[0].project_id == api.key.record.project_id
    assert lines[0].object_id


@pytest.mark.parametrize("route", [*(one for one in API if one.startswith("PATCH ")), f"PUT {ONE}"])
def test_the_same_change_again_changes_nothing_and_leaves_no_line(api: Api, things: Things, route: str) -> None:
    method, _, path = route.partition(" ")
    mine, body = given(API[route], things)
    changed = getattr(api, method.lower())(filled(path, mine), body).json()
    before = known()

    again = [getattr(api, method.lower())(filled(path, mine), one) for one in (body, {})]

    assert [(answer.status_code, answer.json()) for answer in again] == [(200, changed)] * 2
    assert not new_lines(before)


def test_an_integration_that_is_paused_already_is_not_paused_again(api: Api, things: Things) -> None:
    for status, action in (("inactive", "integration.pause"), ("active", "integration.resume")):
        before = known()
        for _ in range(2):
            assert api.put(filled(ONE, things), {"status": status}).json()["status"] == status
        assert [line.action for line in new_lines(before)] == [action]


@pytest.mark.parametrize("route", API, ids=str)
def test_what_the_api_refuses_leaves_no_line(stranger_api: Api, things: Things, route: str) -> None:
    method, _, path = route.partition(" ")
    mine, body = given(API[route], things)
    before = known()

    assert getattr(stranger_api, method.lower())(filled(path, mine), body).status_code == 404
    assert getattr(Client(), method.lower())(filled(path, mine), body, "application/json").status_code == 401
    assert not new_lines(before)


def test_every_page_that_takes_a_form_is_described_above(client: Client, root: User, things: Things) -> None:
    """A page that takes none answers a POST with 405."""

    def takes_a_form(path: str) -> bool:
        client.force_login(root)
        return bool(client.post(filled(path, things), {"nonsense": "1"}).status_code != 405)

    assert {path for path in console_addresses() if takes_a_form(path)} == set(PAGES) | ELSEWHERE


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_what_a_page_writes_is_one_line(client: Client, root: User, things: Things, path: str) -> None:
    write = PAGES[path]
    mine, body = given(write, things)
    client.force_login(root)
    before = known()

    answer = client.post(filled(path, mine), body)

    assert answer.status_code in (201, 302), answer.content.decode()
    lines = new_lines(before)
    assert [line.action for line in lines] == [write.action, *write.also]
    assert (lines[0].actor_kind, lines[0].actor_id, lines[0].ip) == ("user", "root", "127.0.0.1")
    assert not [row for row in AuditEvent.objects.values() if "planted" in str(row) or mine["url"] in str(row)]


@pytest.mark.parametrize("path", [path for path in PAGES if "<handle>" in path], ids=str)
def test_what_a_page_refuses_leaves_no_line(
    client: Client, vera: User, charlie: User, things: Things, path: str
) -> None:
    mine, body = given(PAGES[path], things)
    before = known()

    for user, status in ((vera, 403), (charlie, 404)):
        client.force_login(user)
        assert client.post(filled(path, mine), body).status_code == status
    assert not new_lines(before)
