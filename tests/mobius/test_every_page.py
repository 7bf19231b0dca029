"""Every page of the console, found in the URL configuration itself, against every kind of person.

A page that somebody adds tomorrow is tested by this file today.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.urls import get_resolver

from integrations.models import Attempt, Integration
from loops.authoring import create_loop
from loops.models import Callback, Run
from loops.round_trips import send_there_and_back
from mobius import clock
from mobius.alerting.recipients import add_recipient
from mobius.notifying.models import Notification
from mobius.notifying.subscribing import create_endpoint
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Membership, Project
from mobius.projects.roles import Permission, Role
from tests.cast import PUSH_LEADS, Api, work_off
from tests.inventory import patterns
from tests.loops.pushing.pushes import checked
from tests.loops.runs import bulk_job_of
from tests.mobius.test_every_route import everything_of

METHODS = ("get", "post")
NOBODY_S = {"provider_id": "clay", "format": "csv", "member_id": "0", "number": "0"}
"""What the other placeholders stand for where they stand for nothing that is there."""
OPEN = {"/", "/login/", "/logout/", "/account/password/", "/healthz", "/readyz", "/metrics"}
"""Pages of no project: for anybody, or for anybody who is signed in."""


@dataclass(frozen=True)
class Page:
    path: str  # with <placeholders>
    needs: Permission

    def __str__(self) -> str:
        return self.path

    @property
    def names(self) -> set[str]:
        return set(re.findall(r"<(\w+)>", self.path)) - {"handle"}

    def filled(self, **values: str) -> str:
        return re.sub(r"<(\w+)>", lambda found: values.get(found[1], "nonexistent"), self.path)


def is_page(path: str) -> bool:
    return not path.startswith(("/v1", "/admin/")) and path not in OPEN


PAGES = [
    Page(path, getattr(pattern.callback, "needs", None))  # type: ignore[arg-type]  # the first test says that it is there
    for path, pattern in patterns(get_resolver())
    if is_page(path)
]
ASK: dict[str, Any] = {
    "name": "ask",
    "triggers": [{"kind": "http", "key": "signup-form"}],
    "steps": [
        PUSH_LEADS["steps"][0]
        | {"config": PUSH_LEADS["steps"][0]["config"] | {"parameters": {"payload": {"u": "${{ callback.url }}"}}}},
        {"id": "answer", "kind": "wait_for_event", "config": {"event_type": "clay.callback"}},
    ],
}


@pytest.fixture
def things(api: Api, project: Project, integration: Integration, clay: Any) -> dict[str, str]:
    """What the placeholders may stand for: one of each in `platform`."""
    loop = create_loop(project=project, authored=ASK)
    api.post(f"{api.root}/loops/ask/runs", {})
    work_off()
    api.post(clay.rows[0].body["u"].removeprefix("http://console.test"), {"score": 7})
    another = Membership.objects.create(project=project, user=User.objects.create_user("another"), role=Role.VIEWER)
    endpoint = create_endpoint(project=project, name="crm", by=SYSTEM).endpoint
    told = Notification.objects.create(
        project=project, endpoint=endpoint, event_type="run.completed", created_at=clock.now()
    )
    return {
        "recipient_id": add_recipient(project=project, address="ada@example.com", by=SYSTEM).pk,
        "webhook_id": endpoint.pk,
        "notification_id": told.pk,
        "key": "signup-form",
        "member_id": str(another.pk),
        "format": "csv",
        "handle": "platform",
        "provider_id": "clay",
        "integration_id": integration.pk,
        "loop_id": loop.pk,
        "number": "1",
        "run_id": Run.objects.get().pk,
        "delivery_id": Attempt.objects.get().pk,
        "callback_id": Callback.objects.get().pk,
        "key_id": api.key.record.pk,
        "job_id": bulk_job_of(project).pk,
        "push_id": checked(integration).pk,
        "test_id": send_there_and_back(integration, {"email": "ada@example.com"}, by=SYSTEM).attempt.pk,
    }


@pytest.fixture
def visitor(client: Client) -> Client:
    client.raise_request_exception = False
    return client


@pytest.fixture
def member(project: Project) -> Callable[[Role], User]:
    def made(role: Role) -> User:
        user = User.objects.create_user(f"member-{role}")
        Membership.objects.create(project=project, user=user, role=role)
        return user

    return made


def answers(visitor: Client, page: Page, *, undone: bool = False, **filled: str) -> list[Any]:
    """What the page says to each method that it takes; what it changed stays, unless it is to be `undone`."""
    found = []
    for method in METHODS:
        with transaction.atomic():
            found.append(getattr(visitor, method)(page.filled(**filled)))
            transaction.set_rollback(undone)
    return [answer for answer in found if answer.status_code != 405]


def test_the_pages_are_found_and_each_says_what_it_needs() -> None:
    assert len(PAGES) > 30
    assert [page.path for page in PAGES if not isinstance(page.needs, Permission)] == []
    assert all(page.path.startswith("/projects/<handle>/") for page in PAGES)


def test_every_placeholder_stands_for_something_real(things: dict[str, str]) -> None:
    assert {name for page in PAGES for name in page.names} <= set(things)


def test_nobody_is_asked_to_sign_in_and_learns_nothing(visitor: Client, things: dict[str, str]) -> None:
    for page in PAGES:
        for filled in (things, NOBODY_S | {"handle": "nowhere"}):
            for answer in answers(visitor, page, **filled):
                assert answer.status_code == 302, page
                assert answer.headers["Location"].startswith("/login/?next=/projects/"), page


def test_a_stranger_finds_a_project_of_others_as_absent_as_one_that_is_not_there(
    visitor: Client, project: Project, charlie: User, things: dict[str, str]
) -> None:
    visitor.force_login(charlie)
    before = everything_of(project)
    for page in PAGES:
        unreal = answers(visitor, page, **things | {"handle": "nowhere"})
        for real, absent in zip(answers(visitor, page, **things), unreal, strict=True):
            assert real.status_code == absent.status_code == 404, page
            assert real.content == absent.content, page
        assert everything_of(project) == before, page


def test_in_one_s_own_project_another_s_things_are_as_absent_as_what_is_not_there(
    visitor: Client, project: Project, charlie: User, things: dict[str, str]
) -> None:
    """The ids are real, and somebody else's; Charlie is admin of his own project."""
    visitor.force_login(charlie)
    before = everything_of(project)
    for page in PAGES:
        if not page.names - {"provider_id", "format"}:
            continue
        unreal = answers(visitor, page, **NOBODY_S | {"handle": "elsewhere"})
        for real, absent in zip(answers(visitor, page, **things | {"handle": "elsewhere"}), unreal, strict=True):
            assert real.status_code == absent.status_code == 404, page
            assert real.content == absent.content, page
        assert everything_of(project) == before, page


@pytest.mark.parametrize("role", Role.for_members())
def test_a_role_that_may_not_gets_403_and_changes_nothing_and_one_that_may_gets_past_it(
    visitor: Client, project: Project, member: Callable[[Role], User], things: dict[str, str], role: Role
) -> None:
    visitor.force_login(member(role))
    before = everything_of(project)
    for page in PAGES:
        if role.allows(page.needs):
            allowed = {200, 302, 409, 422}
            # 404: that form names a thing of its own, and here it is empty. 403: who lets people in needs more.
            allowed |= ({404} if page.path.endswith("/assign/") else set()) | (
                {403} if "/members/" in page.path else set()
            )
            allowed |= {403} if page.path.endswith(("/webhooks/", "/alerts/")) else set()
            allowed |= {201} if page.path.endswith(("/secret/", "/rotate/")) else set()
            allowed |= {286} if page.path.endswith("/live/") else set()  # there is nothing more to look for
            got = {answer.status_code for answer in answers(visitor, page, undone=True, **things)}
            assert got <= allowed, f"{page}: {got}"
        else:
            assert {answer.status_code for answer in answers(visitor, page, **things)} == {403}, page
            assert everything_of(project) == before, page


def test_a_member_who_is_taken_out_is_a_stranger_at_once(
    visitor: Client, member: Callable[[Role], User], things: dict[str, str]
) -> None:
    user = member(Role.ADMIN)
    visitor.force_login(user)
    assert visitor.get("/projects/platform/").status_code == 200
    Membership.objects.filter(user=user).delete()

    for page in PAGES:
        assert {answer.status_code for answer in answers(visitor, page, **things)} == {404}, page


def test_a_member_who_is_taken_out_in_the_middle_of_a_request_is_a_stranger_too(
    visitor: Client, member: Callable[[Role], User]
) -> None:
    user = member(Role.ADMIN)
    visitor.force_login(user)
    visitor.raise_request_exception = False

    def meanwhile(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        found = execute(sql, *arguments)
        if "projects_membership" in sql and sql.startswith("SELECT"):
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM projects_membership WHERE user_id = %s", [user.pk])
        return found

    with connection.execute_wrapper(meanwhile):
        assert visitor.get("/projects/platform/").status_code == 404


def test_a_member_whose_role_is_lowered_loses_what_it_allowed_at_once(
    visitor: Client, member: Callable[[Role], User], things: dict[str, str]
) -> None:
    user = member(Role.ADMIN)
    visitor.force_login(user)
    Membership.objects.filter(user=user).update(role=Role.VIEWER)

    for page in PAGES:
        if not Role.VIEWER.allows(page.needs):
            assert {answer.status_code for answer in answers(visitor, page, **things)} == {403}, page


def test_an_api_key_opens_no_page(visitor: Client, api: Api, things: dict[str, str]) -> None:
    visitor.defaults["HTTP_AUTHORIZATION"] = f"Bearer {api.key.text}"
    for page in PAGES:
        for answer in answers(visitor, page, **things):
            assert answer.headers["Location"].startswith("/login/"), page
