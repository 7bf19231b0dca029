"""One of everything in the project `platform`: what the placeholders of any address may stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from integrations import succession
from integrations.forms import Options
from integrations.models import Attempt, AttemptState, Integration
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.providers.contract import Connection
from loops import callbacks
from loops.authoring import create_loop
from loops.models import Callback, CallbackState, Loop, Run
from loops.pushing import operating
from loops.round_trips import send_there_and_back
from mobius import clock
from mobius.alerting.recipients import add_recipient
from mobius.notifying.models import Notification
from mobius.notifying.subscribing import create_endpoint
from mobius.projects.auditing import SYSTEM
from mobius.projects.keys import create_key
from mobius.projects.models import Membership, Project
from mobius.projects.principals import create_principal
from mobius.projects.roles import Role
from tests.cast import PUSH_LEADS, work_off
from tests.loops.flow import NO_ANSWER, begin, go, loop_of, push, waiting
from tests.loops.pushing.pushes import checked
from tests.loops.runs import bulk_job_of

Things = dict[str, str]
HOOK = {"kind": "http", "key": "signup-form"}
INSTEAD = {"/projects/<handle>/build/loops/<loop_id>/triggers/": {"loop_id": "hooked", "key": "trigger"}}
"""What placeholders below an address stand for, where the usual thing has none of its pages."""


@pytest.fixture
def inventory(project: Project, alice: User, bob: User, integration: Integration, clay: ClaySimulator) -> Things:
    """A waiting run, a failed one, a row in doubt, an ambiguous callback, a successor, a key, and Bob's membership."""
    alike = loop_of(project, push(row={"payload": {"email": "${{ event.email }}"}, "request_id": "r"}), waiting())
    for email in ("a@b.c", "d@e.f"):
        run = go_on(alike, email)
    callbacks.receive_by_request_id(project, {"request_id": "r", "score": 7})
    clay.next_answers(Behaviour(fail=401))
    failed = go(project, push())
    clay.next_answers(NO_ANSWER)
    doubtful = go(project, push())
    succession.stage(integration, Connection(webhook_url=clay.url_for("next")), Options())
    key = create_key(project=project, name="ci", role=Role.RUN).record
    attempt = Attempt.objects.get(run_id=doubtful.pk)
    assert attempt.state == AttemptState.IN_DOUBT
    hooked = create_loop(project=project, authored=PUSH_LEADS | {"name": "hooked", "triggers": [HOOK]})
    endpoint = create_endpoint(project=project, name="crm", url=clay.url_for("crm"), by=SYSTEM).endpoint
    told = Notification.objects.create(
        project=project,
        endpoint=endpoint,
        event_type="run.completed",
        run_id=failed.pk,
        body='{"type": "run.completed"}',
        state="failed",
        attempts=1,
        status_code=404,
        response="Not Found",
        last_error="It was answered with 404.",
        tries=[
            {"at": clock.now().isoformat(), "status_code": 404, "error": "It was answered with 404.", "latency_ms": 12}
        ],
        created_at=clock.now(),
    )
    pushes = {name: checked(integration) for name in ("push", "running_push", "paused_push")}
    operating.start(pushes["running_push"], by=SYSTEM)
    operating.pause(operating.start(pushes["paused_push"], by=SYSTEM), by=SYSTEM)
    return {name: push.pk for name, push in pushes.items()} | {
        "job_id": bulk_job_of(project).pk,
        "push_id": pushes["push"].pk,
        "recipient_id": add_recipient(project=project, address="ada@example.com", by=SYSTEM).pk,
        "webhook": endpoint.pk,
        "webhook_id": endpoint.pk,
        "notification": told.pk,
        "notification_id": told.pk,
        "hooked": hooked.pk,
        "trigger": "signup-form",
        "handle": project.handle,
        "project": project.handle,
        "provider": "clay",
        "provider_id": "clay",
        "loop": alike.pk,
        "loop_id": alike.pk,
        "number": "1",
        "run": run.pk,
        "run_id": run.pk,
        "failed_run": failed.pk,
        "step_key": "answer",
        "delivery": attempt.pk,
        "delivery_id": attempt.pk,
        "test_id": send_there_and_back(integration, {"email": "ada@example.com"}, by=SYSTEM).attempt.pk,
        "integration": integration.pk,
        "integration_id": integration.pk,
        "callback_id": Callback.objects.get(state=CallbackState.AMBIGUOUS).pk,
        "step_id": f"{run.pk}:push",
        "key": key.pk,
        "key_id": key.pk,
        "member_id": str(Membership.objects.get(user=bob).pk),
        "format": "csv",
        "kind": "csv",
        "principal": create_principal(project=project, name="robot", by=SYSTEM).pk,
        "action": "clay.webhook.submit",
        "invocation": Attempt.objects.get(run_id=failed.pk).pk,
    }


def go_on(loop: Loop, email: str) -> Run:
    run = begin(loop, email=email)
    work_off()
    return run


def patterns(resolver: URLResolver, prefix: str = "/") -> Iterator[tuple[str, URLPattern]]:
    """Every address of the URL configuration, with <placeholders>."""
    for entry in resolver.url_patterns:
        path = prefix + re.sub(r"<(?:\w+:)?(\w+)>", r"<\1>", str(entry.pattern))
        if isinstance(entry, URLResolver):
            yield from patterns(entry, path)
        else:
            yield path, entry


def console_addresses() -> list[str]:
    """Every address outside of `/v1` and Django admin, with <placeholders>."""
    return [path for path, _ in patterns(get_resolver()) if not path.startswith(("/v1/", "/admin/"))]


def filled(path: str, things: Things) -> str:
    for below, others in INSTEAD.items():
        if path.startswith(below):
            things = things | {name: things[other] for name, other in others.items()}
    for name, value in things.items():
        path = path.replace(f"<{name}>", value)
    return path


def admin_addresses(client: Client) -> Iterator[str]:
    """Every list, form and thing of Django admin that `client` is led to."""
    yield reverse("admin:index")
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        addition = reverse(f"{name}_add")
        if client.get(addition).status_code == 200:
            yield addition
        for key in list(model._default_manager.values_list("pk", flat=True)[:2]):
            yield reverse(f"{name}_change", args=[quote(key)])
