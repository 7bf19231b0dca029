"""Planted secrets, looked for on every page, in Django admin, in every answer of the API, and in logs before redaction.

`tests/processes/test_secrets.py` looks for them in the running product's files, output and processes.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from integrations.models import Attempt, Integration
from integrations.providers.clay.simulator import ClaySimulator
from loops.authoring import create_loop
from loops.models import Callback, Run
from loops.round_trips import send_there_and_back
from mobius import clock
from mobius.alerting.recipients import add_recipient
from mobius.notifying.models import Notification
from mobius.notifying.subscribing import create_endpoint
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import Api, work_off
from tests.loops.pushing.pushes import checked
from tests.loops.runs import bulk_job_of
from tests.mobius.test_every_page import ASK, PAGES
from tests.mobius.test_every_route import IN_PROJECT, call

VALUE = "Bearer planted-header-value"


@pytest.fixture
def planted(api: Api, project: Project, clay: ClaySimulator) -> list[str]:
    """A row with a callback has gone out with them, and has come back."""
    connect = {
        "webhook_url": clay.url_for("planted-url-path"),
        "auth_header_name": "x-auth",
        "auth_header_value": VALUE,
        "rate_per_second": "unlimited",
    }
    assert api.post(f"{api.root}/integrations/providers/clay/connect", connect).status_code == 200
    create_loop(project=project, authored=ASK)
    api.post(f"{api.root}/loops/ask/runs", {})
    work_off()
    address = clay.rows[0].body["u"]
    api.post(address.removeprefix("http://console.test"), {"score": 7, "u": address, "key": "none"})
    work_off()
    assert Run.objects.get().status == "completed"
    return ["planted-url-path", "planted-header-value", api.key.text, address.rpartition("/")[2]]


@pytest.fixture
def filled(planted: list[str], api: Api, project: Project, vera: User, clay: ClaySimulator) -> dict[str, str]:
    """What the placeholders of addresses stand for; `key` is an API key here, and a trigger's on pages."""
    integration = Integration.objects.get()
    sent = Attempt.objects.get()
    test = send_there_and_back(integration, {"email": "ada@example.com"}, by=SYSTEM).attempt
    planted.append(clay.rows[-1].body["callback_url"].rpartition("/")[2])
    run = Run.objects.get()
    endpoint = create_endpoint(project=project, name="crm", by=SYSTEM).endpoint
    told = Notification.objects.create(
        project=project, endpoint=endpoint, event_type="run.completed", created_at=clock.now()
    )
    push = checked(integration)
    return {
        "number": "1",
        "job_id": bulk_job_of(project).pk,
        "recipient_id": add_recipient(project=project, address="ada@example.com", by=SYSTEM).pk,
        "push": push.pk,
        "push_id": push.pk,
        "webhook": endpoint.pk,
        "webhook_id": endpoint.pk,
        "notification": told.pk,
        "notification_id": told.pk,
        "trigger": "signup-form",
        "member_id": str(vera.memberships.get().pk),
        "format": "csv",
        "kind": "csv",
        "handle": "platform",
        "project": "platform",
        "provider": "clay",
        "provider_id": "clay",
        "integration": integration.pk,
        "integration_id": integration.pk,
        "loop": run.loop_id,
        "loop_id": run.loop_id,
        "run": run.pk,
        "run_id": run.pk,
        "step": f"{run.pk}:push",
        "delivery": sent.pk,
        "delivery_id": sent.pk,
        "test_id": test.pk,
        "callback_id": Callback.objects.get().pk,
        "key": api.key.record.pk,
        "key_id": api.key.record.pk,
        "action": "clay.webhook.submit",
        "invocation": sent.pk,
        "principal": api.key.record.principal_id,
    }


def spilt(content: bytes, planted: list[str], *, but: str = "") -> list[str]:
    return [text for text in planted if text.encode() in content and text != but]


def test_no_page_of_the_console_shows_one(
    client: Client, alice: User, planted: list[str], filled: dict[str, str]
) -> None:
    client.force_login(alice)
    for page in PAGES:
        answer = client.get(page.filled(**filled | {"key": "signup-form"}))
        assert answer.status_code != 404, f"{page} was tested with something that is not there"
        assert spilt(answer.getvalue(), planted) == [], page


def test_a_refused_form_does_not_show_the_header_s_value_again(
    client: Client, alice: User, planted: list[str], filled: dict[str, str]
) -> None:
    client.force_login(alice)
    fields = {"webhook_url": "", "auth_header_name": "", "auth_header_value": VALUE}
    forms = ("/connect/", "/rotate/", "/successor/")
    pages = [page for page in PAGES if "/integrations/" in page.path and page.path.endswith(forms)]
    assert len(pages) == len(forms)
    for page in pages:
        answer = client.post(page.filled(**filled), fields)
        assert answer.status_code == 422, page
        assert spilt(answer.content, planted) == [], page


def test_no_page_of_django_admin_shows_one(client: Client, planted: list[str]) -> None:
    client.force_login(User.objects.create_superuser("root"))
    seen = 0
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages = [reverse(f"{name}_changelist")]
        pages += [reverse(f"{name}_change", args=[row.pk]) for row in model._default_manager.all()[:5]]
        pages += [reverse(f"{name}_history", args=[row.pk]) for row in model._default_manager.all()[:1]]
        for page in pages:
            answer = client.get(page, follow=True)
            seen += answer.status_code == 200
            assert spilt(answer.content, planted) == [], page
    assert seen > 10


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.ADMIN])
def test_no_answer_of_the_api_holds_one_but_the_address_for_admins(
    api_as: Any, planted: list[str], filled: dict[str, str], role: Role
) -> None:
    """The founding document echoes the address to whoever may set it."""
    theirs = api_as(role)
    for route in IN_PROJECT:
        if route.method == "get":
            answer = call(theirs, route, route.filled(**filled))
            assert answer.status_code in (200, 403, 404), route
            echoed = "planted-url-path" if role == Role.ADMIN and "/integrations" in route.path else ""
            assert spilt(answer.getvalue(), planted, but=echoed) == [], route


def test_nothing_logs_one_even_at_debug_and_before_redaction(
    caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    for name in ("django", "django.request", "django.db.backends", "urllib3", "axes"):
        caplog.set_level(logging.DEBUG, name)
    caplog.set_level(logging.DEBUG)
    planted: list[str] = request.getfixturevalue("planted")
    client: Client = request.getfixturevalue("client")
    client.get("/v1/nowhere", HTTP_AUTHORIZATION=f"Bearer {planted[2]}")

    # Django itself logs the path of what is not found; `django.request` is silent below ERROR in the product.
    lines = [record.getMessage() for record in caplog.records if record.name != "django.request"]
    assert spilt("\n".join(lines).encode(), planted) == []
