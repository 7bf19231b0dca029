"""From the admin to the console and back, and to the audit of a thing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client

from integrations.models import Attempt, Integration
from loops.models import BulkJob, Callback, Loop, LoopVersion, Push, Run
from mobius.notifying.models import Endpoint, Notification
from mobius.projects.auditing import SYSTEM
from mobius.projects.key_models import ApiKey
from mobius.projects.keys import revoke
from mobius.projects.models import AuditEvent, Membership, Project
from tests.mobius.web.support.doors import page

WITH_A_PAGE_OF_ITS_OWN: list[Any] = [
    *(Project, Integration, Attempt, Loop, LoopVersion, Run, Callback, Push, BulkJob, Endpoint, Notification),
]


def console_page(client: Client, model: Any) -> str:
    """Where the admin's page of the first row leads to in the console; "" for nowhere."""
    answer = client.get(page(model, "change", model._default_manager.order_by("pk")[0].pk))
    found: str = answer.context["console_page"]
    assert bool(found) == ("Open in the console" in answer.content.decode())
    return found


@pytest.mark.parametrize("who", ["superuser", "support"])
def test_every_page_leads_to_the_console_for_whoever_may_open_it(
    request: pytest.FixtureRequest, secrets_planted: list[str], sam: User, project: Project, who: str
) -> None:
    Membership.objects.create(project=project, user=sam, role="admin")
    client: Client = request.getfixturevalue(who)

    for model in admin.site._registry:
        if model not in (User, Group):
            path = console_page(client, model)
            assert path.startswith("/projects/platform/"), model
            assert client.get(path).status_code == 200, path


def test_a_page_that_takes_another_role_is_no_link(support: Client, sam: User, api: Any, project: Project) -> None:
    Membership.objects.create(project=project, user=sam, role="viewer")

    assert console_page(support, ApiKey) == ""
    assert console_page(support, Project) == "/projects/platform/"


def test_support_outside_of_the_project_is_not_led_where_nothing_opens(
    secrets_planted: list[str], support: Client
) -> None:
    for model in WITH_A_PAGE_OF_ITS_OWN:
        assert console_page(support, model) == ""


def test_what_was_done_in_a_project_that_is_gone_leads_nowhere(superuser: Client) -> None:
    event = AuditEvent.objects.create(project_id="prj_gone", created_at="2026-01-01T00:00Z", object_id="run_1")

    answer = superuser.get(page(AuditEvent, "change", event.pk))

    assert (answer.status_code, answer.context["console_page"]) == (200, "")


def test_the_console_leads_staff_back_and_nobody_else(
    secrets_planted: list[str], superuser: Client, admin: Client
) -> None:
    for model in WITH_A_PAGE_OF_ITS_OWN:
        thing = model._default_manager.order_by("pk")[0]
        path, back = console_page(superuser, model), page(model, "change", thing.pk)

        assert f'<a href="{back}">Open in admin</a>' in superuser.get(path).content.decode(), path
        assert "Open in admin" not in admin.get(path).content.decode(), path


def test_staff_who_may_not_see_a_thing_in_the_admin_are_not_led_there(
    secrets_planted: list[str], alice: User, client: Client
) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    client.force_login(alice)

    assert (
        "Open in admin" not in client.get(f"/projects/platform/operate/runs/{Run.objects.get().pk}/").content.decode()
    )


def test_the_audit_of_a_thing_is_one_click_away_and_leads_back(support: Client, api: Any) -> None:
    key = ApiKey.objects.get()
    revoke(key, why="lost", by=SYSTEM)

    shown = support.get(page(ApiKey, "history", key.pk), follow=True).content.decode()

    assert ">Audit<" in support.get(page(ApiKey, "change", key.pk)).content.decode()
    assert "api_key.revoke" in shown
    assert "lost" in shown
    assert page(ApiKey, "change", key.pk) in shown
