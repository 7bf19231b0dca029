"""Every route of `/v1`, found in the URL configuration itself, against every kind of caller: nobody gets a 5xx.

A route that somebody adds tomorrow is tested by this file today.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.apps import apps
from django.test import Client
from django.urls import URLPattern, get_resolver

from integrations.models import Attempt, Integration
from loops.advance import advance
from loops.authoring import update_loop
from loops.models import Loop, Run
from loops.starting import Start, start_run
from mobius import clock
from mobius.notifying.models import Notification
from mobius.notifying.subscribing import create_endpoint
from mobius.projects import throttling
from mobius.projects.auditing import SYSTEM
from mobius.projects.key_models import ApiKey
from mobius.projects.keys import create_key, revoke
from mobius.projects.models import Project
from mobius.projects.roles import Permission, Role
from tests.cast import Api
from tests.inventory import patterns
from tests.loops.pushing.pushes import checked

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Route:
    """One address and one method that it takes."""

    path: str  # with <placeholders>
    method: str
    needs: Permission | None  # None: the address itself is the authentication

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def in_project(self) -> bool:
        return "<project>" in self.path

    @property
    def names(self) -> set[str]:
        """The placeholders of the path."""
        return set(re.findall(r"<(\w+)>", self.path))

    def filled(self, **values: str) -> str:
        return re.sub(r"<(\w+)>", lambda found: values.get(found[1], "nonexistent"), self.path)


def routes() -> list[Route]:
    return [
        route for path, pattern in patterns(get_resolver()) if path.startswith("/v1/") for route in of(path, pattern)
    ]


def of(path: str, pattern: URLPattern) -> Iterator[Route]:
    callback: Any = pattern.callback
    actions: dict[str, str] = getattr(callback, "actions", None) or {}
    for method, action in actions.items():
        if method in METHODS:
            yield Route(path, method, callback.cls.needs[action])
    if not actions:
        view = getattr(callback, "cls", callback)
        for method in METHODS:
            if hasattr(view, method):
                yield Route(path, method, None)


ALL = routes()
GUARDED = [route for route in ALL if route.needs is not None]
IN_PROJECT = [route for route in GUARDED if route.in_project]


def call(client: Any, route: Route, path: str, body: Any = None) -> Any:
    if route.method == "get":
        return client.get(path)
    return getattr(client, route.method)(path, {} if body is None else body, **_json(client))


def _json(client: Any) -> dict[str, str]:
    return {} if isinstance(client, Api) else {"content_type": "application/json"}


def assert_envelope(answer: Any, *statuses: int) -> None:
    assert answer.status_code in statuses, answer.content
    assert set(answer.json()) == {"error"}
    assert {"code", "message"} <= set(answer.json()["error"])


@pytest.fixture
def things(api: Api, integration: Integration, push_leads: Loop) -> dict[str, str]:
    """What the placeholders may stand for: one of each in `platform`."""
    started = start_run(loop=push_leads, start=Start(event={"email": "ada@example.com"}, meta={}, config={}, source={}))
    sent = start_run(loop=push_leads, start=Start(event={"email": "ada@example.com"}, meta={}, config={}, source={}))
    advance(sent.run.pk)
    delivery = Attempt.objects.get(run_id=sent.run.pk)
    endpoint = create_endpoint(project=push_leads.project, name="crm", by=SYSTEM).endpoint
    told = Notification.objects.create(
        project=push_leads.project, endpoint=endpoint, event_type="run.completed", created_at=clock.now()
    )
    update_loop(push_leads, {"triggers": [{"kind": "http", "key": "signup-form"}]}, by=SYSTEM)
    return {
        "project": "platform",
        "provider": "clay",
        "integration": integration.pk,
        "loop": push_leads.pk,
        "run": started.run.pk,
        "step": f"{sent.run.pk}:push",
        "delivery": delivery.pk,
        "action": delivery.action,
        "key": create_key(project=api.key.record.project, name="another", role=Role.VIEWER).record.pk,
        "webhook": endpoint.pk,
        "notification": told.pk,
        "trigger": "signup-form",
        "principal": api.key.record.principal_id,
        "invocation": delivery.pk,
        "push": checked(integration).pk,
    }


def test_the_routes_are_found() -> None:
    assert len(ALL) > 20
    assert "POST /v1/projects/<project>/integrations/providers/<provider>/connect" in map(str, ALL)
    assert [str(route) for route in ALL if route.needs is None] == [
        "POST /v1/callbacks/<token>",
        "POST /v1/triggers/http/<handle>",
    ]


def test_every_placeholder_stands_for_something_real(things: dict[str, str]) -> None:
    """Else a route would be tested with ids that nobody has."""
    names = {name for route in ALL for name in route.names} - {"token", "kind", "handle"}

    assert names <= set(things)


def test_every_action_of_every_view_says_what_it_needs() -> None:
    for path, pattern in patterns(get_resolver()):
        callback: Any = pattern.callback
        for action in (getattr(callback, "actions", None) or {}).values() if path.startswith("/v1/") else ():
            assert action in callback.cls.needs, f"{path}: {action}"


@pytest.mark.parametrize("route", GUARDED, ids=str)
def test_without_a_key_it_is_401(client: Client, things: dict[str, str], route: Route) -> None:
    answer = call(client, route, route.filled(**things))

    assert_envelope(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("route", GUARDED, ids=str)
def test_a_key_that_has_ended_reads_like_one_that_never_was(
    client: Client, api_as: Callable[[Role], Api], things: dict[str, str], route: Route
) -> None:
    path = route.filled(**things)
    never = call(client, route, path)
    revoked, expired = api_as(Role.ADMIN), api_as(Role.ADMIN)
    if route.method == "get":  # they did open the door
        assert revoked.get(path).status_code not in (401, 403)
    revoke(revoked.key.record)
    ApiKey.objects.filter(pk=expired.key.record.pk).update(expires_at=clock.now())

    for ended in (revoked, expired):
        answer = call(ended, route, path)
        assert_envelope(answer, 401)
        assert answer.json() == never.json()
        assert answer.headers["WWW-Authenticate"] == never.headers["WWW-Authenticate"]


@pytest.mark.parametrize("role", Role)
def test_no_role_opens_anything_of_another_project(
    project: Project, other_project: Project, things: dict[str, str], role: Role
) -> None:
    """Every route, method by method; nothing of the project is changed, and nothing is learnt."""
    strangers = Api(other_project, role)
    before = everything_of(project)
    for route in IN_PROJECT:
        throttling.forget()
        theirs = call(strangers, route, route.filled(**things))
        assert_envelope(theirs, 404)
        assert theirs.json() == call(strangers, route, route.filled(**things | {"project": "nowhere"})).json()
    assert everything_of(project) == before


def everything_of(project: Project) -> list[Any]:
    """All rows that bear the project's name."""
    found: list[Any] = []
    for model in apps.get_models():
        if any(field.name == "project" for field in model._meta.concrete_fields):
            found += [model._meta.label, *model._default_manager.filter(project=project).order_by("pk").values_list()]
    return [line for line in found if line]


@pytest.mark.parametrize("route", IN_PROJECT, ids=str)
def test_with_another_project_s_key_it_reads_like_a_project_that_does_not_exist(
    stranger_api: Api, things: dict[str, str], route: Route
) -> None:
    theirs = call(stranger_api, route, route.filled(**things))
    nobody_s = call(stranger_api, route, route.filled(**things | {"project": "nowhere"}))

    assert_envelope(theirs, 404)
    assert theirs.json() == nobody_s.json()


@pytest.mark.parametrize(
    "route", [route for route in IN_PROJECT if route.names - {"project", "provider", "action"}], ids=str
)
def test_below_one_s_own_project_another_s_things_are_404(
    stranger_api: Api, things: dict[str, str], route: Route
) -> None:
    """The id is real, and somebody else's."""
    before = (Run.objects.count(), Integration.objects.count(), Loop.objects.values_list("status").get())
    real = things | {"project": "elsewhere"}

    answer = call(stranger_api, route, route.filled(**real))
    nobody_s = call(stranger_api, route, route.filled(**dict.fromkeys(things, "nonexistent") | NOBODY_S))

    assert_envelope(answer, 404)
    assert same_words(answer, real) == same_words(nobody_s, dict.fromkeys(things, "nonexistent"))
    assert (Run.objects.count(), Integration.objects.count(), Loop.objects.values_list("status").get()) == before


NOBODY_S = {"project": "elsewhere", "provider": "clay", "action": "clay.webhook.submit"}
"""What belongs to no project is real everywhere."""


def same_words(answer: Any, filled: dict[str, str]) -> str:
    """The body, with the id that was asked for left out."""
    text = str(answer.content.decode())
    for value in filled.values():
        text = text.replace(value, "…")
    return text


@pytest.mark.parametrize("route", GUARDED, ids=str)
def test_a_role_that_may_not_gets_403_and_one_that_may_gets_past_it(
    api_as: Callable[[Role], Api], things: dict[str, str], route: Route
) -> None:
    assert route.needs is not None
    allowed = [role for role in Role if role.allows(route.needs)]

    for role in [role for role in Role if role not in allowed]:
        answer = call(api_as(role), route, route.filled(**things))
        assert_envelope(answer, 403)
        assert answer.json()["error"]["details"] == {"permission": route.needs.value}
    for role in allowed:
        answer = call(api_as(role), route, route.filled(**things))
        assert answer.status_code not in (401, 403), role
        assert answer.status_code < 500, role


@pytest.mark.parametrize("route", [route for route in ALL if route.names - {"project"}], ids=str)
def test_what_does_not_exist_is_404(api: Api, things: dict[str, str], route: Route) -> None:
    assert_envelope(call(api, route, route.filled(project="platform")), 404)


ODD = ("%00", "%FF", "%F0%9F%99%82", "x" * 3000, "..", "%2e%2e%2f", "'%20OR%201=1--", "%20", "{{x}}", "%0a")


@pytest.mark.parametrize("route", ALL, ids=str)
def test_an_odd_address_is_never_a_fault_of_ours(api: Api, things: dict[str, str], route: Route) -> None:
    for odd in ODD:
        path = re.sub(r"<(?!project>)\w+>", lambda _, odd=odd: odd, route.path).replace("<project>", "platform")

        assert call(api, route, path).status_code < 500, odd


QUERY = "limit cursor status state provider loop_id run_id request_id external_id integration_id".split()
ODD_QUERIES = (
    *("%00", "%FF", "%ED%A0%80", "x" * 3000, "'%20OR%201=1--", "-1", "0", "1e3", "9" * 40, "%D9%A3", "true", "", "[]"),
    *("OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk", "AAAA", "=", "%F0%9F%99%82"),
)


@pytest.mark.parametrize(
    "route", [route for route in ALL if route.method == "get" and not route.path.endswith("stream")], ids=str
)
def test_an_odd_query_is_never_a_fault_of_ours(api: Api, things: dict[str, str], route: Route) -> None:
    for odd in ODD_QUERIES:
        for query in ("&".join(f"{name}={odd}" for name in QUERY), *(f"{name}={odd}" for name in QUERY[:2])):
            answer = api.get(f"{route.filled(**things)}?{query}")
            assert answer.status_code < 500, query
            answer.getvalue()  # four downloads may be under way
            if answer.status_code >= 400:
                assert_envelope(answer, 400, 404)


BODIES = ([], "text", 7, True, [[{}]], {"": ""}, {"name": {"a": []}}, {"config": 7}, {"steps": [None]}, {"event": [1]})


@pytest.mark.parametrize("route", [route for route in ALL if route.method != "get"], ids=str)
def test_an_odd_body_is_never_a_fault_of_ours(api: Api, things: dict[str, str], route: Route) -> None:
    for body in BODIES:
        assert call(api, route, route.filled(**things), body).status_code < 500, body


NO_JSON = (b"{", b"\xff", b'{"a":' * 2000, b"[" * 60_000, b'{"a": "\\ud800"}', b'{"a": "\\u0000"}')
TOO_LARGE = b'{"a": "' + b"x" * (256 * 1024) + b'"}'


@pytest.mark.parametrize("route", [route for route in ALL if route.method in ("post", "put", "patch")], ids=str)
def test_a_body_that_cannot_be_read_is_refused_with_the_right_status(
    api: Api, things: dict[str, str], route: Route
) -> None:
    def send(content: bytes, content_type: str = "application/json") -> Any:
        return api.generic(route.method.upper(), route.filled(**things), content, content_type=content_type)

    for content in NO_JSON:
        assert_envelope(send(content), 400, 404)
    assert_envelope(send(TOO_LARGE), 413, 404)
    assert_envelope(send(b"a=b", "text/plain"), 415, 404)


@pytest.mark.parametrize("path", sorted({route.path for route in ALL}))
def test_a_method_that_an_address_does_not_take_is_405(api: Api, things: dict[str, str], path: str) -> None:
    taken = {route.method for route in ALL if route.path == path}

    for method in {*METHODS, "options"} - taken:
        answer = call(api, Route(path, method, None), Route(path, method, None).filled(**things))
        assert_envelope(answer, 405)
        assert set(answer.headers["Allow"].lower().split(", ")) >= taken


@pytest.mark.parametrize(
    "path", ["/v1/", "/v1", "/v1/nothing", "/v1/projects/platform/nothing", "/v1/projects/platform/"]
)
def test_an_unknown_address_is_404_in_json(api: Api, path: str) -> None:
    assert_envelope(api.get(path), 404)
