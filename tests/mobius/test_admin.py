"""Django admin for support staff: every page opens, nothing can be written, and no page shows a secret."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from integrations.models import Attempt, Integration, KeyCheck, LedgerEntry, Pacer, Webhook, WebhookSecret
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.secrets import prove_key
from loops.authoring import create_loop
from loops.models import (
    Callback,
    Loop,
    LoopVersion,
    Run,
    RunEvent,
    SourceEvent,
    Step,
    Trigger,
    TriggerSecret,
    Wait,
)
from loops.starting import Start, start_run
from loops.triggers.calling import call, demand_signature, find_http_trigger
from mobius import clock
from mobius.notifying.models import Endpoint, Notification, SigningSecret
from mobius.notifying.subscribing import create_endpoint
from mobius.projects.admin_reading import CappedPaginator, masked, masked_text
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import ApiKey, AuditEvent, Membership, Project, ServicePrincipal
from mobius.projects.roles import Role
from tests.cast import PASSWORD, PUSH_LEADS, Api, work_off

REGISTERED: list[type[Model]] = [
    *(Project, ServicePrincipal, ApiKey, AuditEvent, Integration, Pacer, Attempt, LedgerEntry),
    *(Loop, LoopVersion, Trigger, SourceEvent, Run, Step, Wait, Callback, RunEvent, Endpoint, Notification),
]
HISTORY = [model for model in REGISTERED if model not in (Project, ServicePrincipal, Pacer)]
ASK = {
    "name": "ask",
    "schema_version": "1",
    "steps": [
        {
            "id": "push",
            "kind": "action",
            "config": {
                "action_name": "clay.webhook.submit",
                "parameters": {
                    "payload": {"email": "${{ event.email }}"},
                    "request_id": "r-1",
                    "callback_url": "${{ callback.url }}",
                },
            },
        },
        {"id": "wait", "kind": "wait_for_event", "config": {"event_type": "clay.callback"}},
    ],
}


@pytest.fixture
def support_group(db: None) -> Group:
    """As the migration makes it; tests with transactions of their own empty the table."""
    migration = importlib.import_module("mobius.web.migrations.0001_support_group")
    migration.make_support_group(apps, SimpleNamespace(connection=connection))
    return Group.objects.get(name="Support")


@pytest.fixture
def sam(support_group: Group) -> User:
    """Support: staff, in the group, a member of no project."""
    user = User.objects.create_user("sam", password=PASSWORD, is_staff=True)
    user.groups.add(support_group)
    return user


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root", password=PASSWORD)


@pytest.fixture
def support(sam: User) -> Client:
    client = Client()
    client.force_login(sam)
    return client


@pytest.fixture
def superuser(root: User) -> Client:
    client = Client()
    client.force_login(root)
    return client


def page(model: type[Model], name: str, *arguments: Any) -> str:
    return reverse(
        f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}",
        args=[quote(argument) for argument in arguments],
    )


@pytest.fixture
def secrets_planted(api: Api, clay: ClaySimulator, alice: User) -> list[str]:
    """One of everything, with secrets wherever one can be: gives the texts that no page may show."""
    prove_key()
    url = clay.url_for("planted-url-path")
    body = {"webhook_url": url, "auth_header_name": "x-auth", "auth_header_value": "planted-header-value"}
    api.post(f"{api.root}/integrations/providers/clay/connect", body | {"rate_per_second": "unlimited"})
    clay.next_answers(Behaviour(body=f'{{"you_sent": "planted-header-value to {url}"}}'.encode()))
    project = Project.objects.get(handle="platform")
    told = clay.url_for("planted-endpoint-path")
    signing = create_endpoint(project=project, name="crm", url=told, events=["run.completed"], by=SYSTEM)
    triggered = {"kind": "http", "key": "form", "config": {"http_handle": "planted-http-handle"}}
    loop = create_loop(project=project, authored=ASK | {"triggers": [triggered]})
    trigger = find_http_trigger(loop, "form")
    signed = demand_signature(trigger, by=SYSTEM)
    call(trigger, {"email": "ada@example.com"}, key="k")
    pending = {"state": "pending", "event": {"email": "eve@example.com"}, "created_at": clock.now()}
    SourceEvent.objects.create(project=project, trigger=trigger, **pending)
    work_off()
    token = clay.rows[0].body["callback_url"].rpartition("/")[2]
    api.post(f"/v1/callbacks/{token}", {"email": "bob@example.com", "score": 7})
    work_off()
    assert Run.objects.get().status == "completed"
    key = ApiKey.objects.get()
    return [
        "planted-url-path",
        "planted-header-value",
        "planted-http-handle",
        "planted-endpoint-path",
        signing.text,
        signed.text,
        token,
        api.key.text,
        key.digest,
        "ada@example.com",
        "bob@example",
        "eve@example",
    ]


def pages() -> Iterator[str]:
    """The index, every list and the page of every row."""
    yield reverse("admin:index")
    for model in REGISTERED:
        yield page(model, "changelist")
        keys = list(model._default_manager.values_list("pk", flat=True))
        assert keys, f"there is no {model.__name__} to look at"
        for key in keys:
            yield page(model, "change", key)


# --- what there is ---


def test_what_support_needs_is_registered_and_secrets_are_not() -> None:
    labels = ("projects", "integrations", "loops", "notifying")
    ours = {model for model in admin.site._registry if model._meta.app_label in labels}

    assert ours >= set(REGISTERED)
    assert ours.isdisjoint({WebhookSecret, KeyCheck, TriggerSecret, SigningSecret})


def test_the_header_says_which_product_this_is(support: Client) -> None:
    assert "Mobius console" in support.get(reverse("admin:index")).content.decode()


@pytest.mark.parametrize("who", ["superuser", "support"])
def test_every_page_opens_and_shows_neither_a_secret_nor_a_person(
    request: pytest.FixtureRequest, secrets_planted: list[str], who: str
) -> None:
    client: Client = request.getfixturevalue(who)

    for path in pages():
        answer = client.get(path)
        assert answer.status_code == 200, path
        for planted in secrets_planted:
            assert planted not in answer.content.decode(), f"{planted} on {path}"


def test_a_search_for_an_exact_id_finds_it(secrets_planted: list[str], support: Client) -> None:
    for model in REGISTERED:
        row: Any = model._default_manager.first()
        sought = row.run_id if model is RunEvent else row.attempt_id if model is LedgerEntry else row.pk

        found = support.get(page(model, "changelist"), {"q": sought}).content.decode()
        nothing = support.get(page(model, "changelist"), {"q": "nonexistent"}).content.decode()

        assert page(model, "change", row.pk) in found
        assert page(model, "change", row.pk) not in nothing
        assert re.search(r"By (exact )?(id|run id|request_id)", found), "the page says what can be searched for"


def test_what_does_not_exist_leads_back(support: Client) -> None:
    for model in REGISTERED:
        for key, status in (("nonexistent", 302), ("0", 302), ("%00", 404), ("_5F", 302)):
            assert support.get(page(model, "change", "x").replace("/x/", f"/{key}/")).status_code == status


def test_the_page_of_a_run_tells_its_story(secrets_planted: list[str], support: Client) -> None:
    shown = support.get(page(Run, "change", Run.objects.get().pk)).content.decode()

    assert page(Attempt, "change", Attempt.objects.get().pk) in shown
    assert page(Callback, "change", Callback.objects.get().pk) in shown
    assert "run.completed" in shown
    assert "wait.opened" in shown
    assert "a… (15 characters)" in shown


def test_a_trigger_leads_to_what_it_started_and_a_run_back_to_what_started_it(
    secrets_planted: list[str], support: Client
) -> None:
    run, trigger = Run.objects.get(), Trigger.objects.get()
    started = SourceEvent.objects.get(state="started")
    shown = {one: support.get(page(type(one), "change", one.pk)).content.decode() for one in (trigger, started, run)}

    assert page(Run, "change", run.pk) in shown[trigger]
    assert page(SourceEvent, "change", started.pk) in shown[trigger]
    assert "(hidden)" in shown[trigger]
    assert page(Run, "change", run.pk) in shown[started]
    assert page(Trigger, "change", trigger.pk) in shown[started]
    assert page(SourceEvent, "change", started.pk) in shown[run]
    assert page(Trigger, "change", trigger.pk) in support.get(page(Loop, "change", run.loop_id)).content.decode()


def test_the_page_of_an_integration_shows_its_webhook_masked(secrets_planted: list[str], support: Client) -> None:
    shown = support.get(page(Integration, "change", Integration.objects.get().pk)).content.decode()

    assert Webhook.objects.get().masked_url in shown
    assert "x-auth" in shown


# --- nothing can be written ---


def test_support_writes_nothing(secrets_planted: list[str], support: Client) -> None:
    for model in REGISTERED:
        key = model._default_manager.values_list("pk", flat=True)[0]
        before = list(model._default_manager.values())

        answers = [
            support.get(page(model, "add")),
            support.post(page(model, "add"), {"name": "x"}),
            support.post(page(model, "change", key), {"name": "x", "_save": "Save"}),
            support.get(page(model, "delete", key)),
            support.post(page(model, "delete", key), {"post": "yes"}),
        ]
        chosen = {"action": "delete_selected", "_selected_action": [key], "post": "yes"}
        support.post(page(model, "changelist"), chosen)

        assert [answer.status_code for answer in answers] == [403] * 5, model
        assert list(model._default_manager.values()) == before


def test_not_even_a_superuser_rewrites_history(secrets_planted: list[str], superuser: Client) -> None:
    for model in HISTORY:
        key = model._default_manager.values_list("pk", flat=True)[0]

        answers = [
            superuser.get(page(model, "add")),
            superuser.post(page(model, "change", key), {"_save": "Save"}),
            superuser.post(page(model, "delete", key), {"post": "yes"}),
        ]

        assert [answer.status_code for answer in answers] == [403] * 3, model
        assert "delete_selected" not in superuser.get(page(model, "changelist")).content.decode()


def test_support_sees_nothing_of_users_and_groups(support: Client) -> None:
    for model in (User, Group):
        assert support.get(page(model, "changelist")).status_code == 403


def test_the_group_may_view_and_nothing_else(support_group: Group) -> None:
    allowed = set(support_group.permissions.values_list("codename", flat=True))

    assert all(name.startswith("view_") for name in allowed)
    assert {f"view_{model._meta.model_name}" for model in [*REGISTERED, Membership, Webhook]} <= allowed
    secrets = {"view_webhooksecret", "view_keycheck", "view_triggersecret", "view_signingsecret"}
    assert allowed.isdisjoint(secrets | {"view_user", "view_session"})


# --- what a superuser may change ---


def test_a_superuser_makes_a_project_and_members_are_made_in_the_console(superuser: Client, root: User) -> None:
    form = {
        "handle": "new-one",
        "name": "New one",
        "memberships-TOTAL_FORMS": "1",
        "memberships-INITIAL_FORMS": "0",
        "memberships-0-user": str(root.pk),
        "memberships-0-role": Role.ADMIN,
    }

    assert superuser.post(page(Project, "add"), form).status_code == 302
    assert Project.objects.get().handle == "new-one"
    assert not Membership.objects.exists()


def test_a_handle_never_changes(superuser: Client, project: Project) -> None:
    form = {"handle": "other", "name": "Other", "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}

    assert superuser.post(page(Project, "change", project.pk), form).status_code == 302

    project.refresh_from_db()
    assert (project.handle, project.name) == ("platform", "Other")


@pytest.mark.parametrize(
    ("rate", "burst", "status"), [("5", "3", 302), ("", "18", 302), ("0", "18", 200), ("5", "0", 200), ("-1", "1", 200)]
)
def test_a_superuser_sets_a_pace_that_makes_sense(
    superuser: Client, project: Project, rate: str, burst: str, status: int
) -> None:
    pacer = Pacer.objects.create(project=project, label="default", rate_per_second=9.9, burst=18)

    answer = superuser.post(page(Pacer, "change", pacer.pk), {"rate_per_second": rate, "burst": burst})

    assert answer.status_code == status
    pacer.refresh_from_db()
    assert (pacer.rate_per_second == 9.9) == (status == 200)


# --- large tables ---


def queries(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def test_lists_cost_the_same_however_much_there_is(
    secrets_planted: list[str], support: Client, project: Project, integration: Integration
) -> None:
    before = {model: queries(support, page(model, "changelist")) for model in REGISTERED}
    loops = [create_loop(project=project, authored=PUSH_LEADS | {"name": f"loop {number}"}) for number in range(5)]
    for number in range(300):
        start_run(loop=loops[number % 5], start=Start(event={"email": "a"}, meta={}, config={}, source={}))
    Attempt.objects.bulk_create(
        Attempt(
            project=project,
            integration=integration,
            webhook=Webhook.objects.get(state="current"),
            run_id=run_id,
            action="clay.webhook.submit",
            body_digest="x",
            body_size=1,
            created_at=Run.objects.first().created_at,  # type: ignore[union-attr]
        )
        for run_id in Run.objects.values_list("pk", flat=True)
    )

    after = {model: queries(support, page(model, "changelist")) for model in REGISTERED}

    assert after == before
    assert max(after.values()) <= 10


def test_lists_do_not_load_bodies(secrets_planted: list[str], support: Client) -> None:
    for model, column in (
        (Attempt, "body"),
        (Run, "event"),
        (Callback, "body"),
        (Step, "inputs"),
        (LoopVersion, "spec"),
    ):
        with CaptureQueriesContext(connection) as captured:
            support.get(page(model, "changelist"))
        assert not any(f'"{model._meta.db_table}"."{column}"' in query["sql"] for query in captured), model


def test_the_paginator_stops_counting(project: Project) -> None:
    for number in range(7):
        ServicePrincipal.objects.create(project=project, name=f"robot {number}")
    paginator = CappedPaginator(ServicePrincipal.objects.order_by("pk"), 2)
    paginator.most = 5

    assert (paginator.count, paginator.num_pages) == (5, 3)
    assert CappedPaginator([1, 2, 3], 2).count == 3


# --- who gets in ---


def test_a_member_of_a_project_is_not_staff(alice: User, client: Client) -> None:
    client.force_login(alice)

    for path in (reverse("admin:index"), page(Run, "changelist")):
        answer = client.get(path, follow=True)
        assert answer.status_code == 403
        assert "Your role does not allow this" in answer.content.decode()


def test_the_admin_has_no_sign_in_of_its_own(sam: User, client: Client) -> None:
    """One door has one lock: five wrong passwords lock whatever was behind it."""
    answer = client.post("/admin/login/?next=/admin/loops/run/", {"username": "sam", "password": PASSWORD})

    assert (answer.status_code, answer.headers["Location"]) == (302, "/login/?next=/admin/loops/run/")
    assert "_auth_user_id" not in client.session


def test_support_signs_in_and_is_led_to_the_admin(sam: User, client: Client) -> None:
    door = client.get(reverse("admin:index"), follow=True).redirect_chain[-1][0]

    answer = client.post(door, {"username": "sam", "password": PASSWORD, "next": "/admin/"})

    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")


# --- masks ---


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({}, "–"),
        (None, "–"),
        ({"email": "ada@example.com"}, '"a… (15 characters)"'),
        ({"phone": 49123456}, '"a number"'),
        ({"ok": True, "none": None, "e": ""}, '"ok": true'),
        ({"list": ["ada"]}, '"a… (3 characters)"'),
        ({"email": "{{Email}}"}, '"{{Email}}"'),
        ({"callback_url": "${{ callback.url }}"}, '"${{ callback.url }}"'),
        ({"a": "{{x}} ada@example.com"}, '"{… (21 characters)"'),
    ],
)
def test_json_is_shown_by_its_shape(value: Any, shown: str) -> None:
    assert shown in masked(value)
    assert "ada@example.com" not in masked(value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", "–"), ("OK", "OK"), ("x" * 100, "x" * 20 + "… (100 characters)"), ('{"a": "bcd"}', '"b… (3 characters)"')],
)
def test_a_body_is_shown_by_its_shape(text: str, shown: str) -> None:
    assert shown in masked_text(text)


def test_a_long_body_is_cut() -> None:
    assert len(masked({f"key {number}": number for number in range(10_000)})) < 5000


# --- what can be done: each with its own permission, a page that asks, and a line in the audit ---


def allow(user: User, *codenames: str) -> None:
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))


def act(client: Client, thing: Model, action: str, **fields: str) -> Any:
    chosen = {"action": action, ACTION_CHECKBOX_NAME: [thing.pk]}
    return client.post(page(type(thing), "changelist"), chosen | fields, follow=True)


@pytest.fixture
def in_doubt(integration: Integration, clay: ClaySimulator, push_leads: Loop) -> Attempt:
    clay.next_answers(Behaviour(reset=True, keep_row=False))
    start_run(loop=push_leads, start=Start(event={"email": "ada@example.com"}, meta={}, config={}, source={}))
    work_off()
    return Attempt.objects.get()


def test_support_is_offered_no_action_without_its_permission(support: Client, in_doubt: Attempt) -> None:
    for model in (Attempt, Run):
        assert "<option value=" not in support.get(page(model, "changelist")).content.decode()

    act(support, in_doubt, "settle_deliveries", confirmed="yes", decision="arrived", reason="x")
    act(support, Run.objects.get(), "cancel_runs", confirmed="yes")

    assert Attempt.objects.get().state == "in_doubt"
    assert Run.objects.get().status == "suspended"


def test_settling_asks_first_and_demands_a_reason(support: Client, sam: User, in_doubt: Attempt) -> None:
    allow(sam, "settle_attempt")

    asked = act(support, in_doubt, "settle_deliveries")
    assert "Did the rows arrive?" in asked.content.decode()
    assert "spends credits" in asked.content.decode()
    refused = act(support, in_doubt, "settle_deliveries", confirmed="yes", decision="arrived")
    assert refused.status_code == 422
    assert "Say how you know" in refused.content.decode()
    assert Attempt.objects.get().state == "in_doubt"

    done = act(support, in_doubt, "settle_deliveries", confirmed="yes", decision="arrived", reason="looked")
    work_off()

    assert f"Done: {in_doubt.pk}." in done.content.decode()
    assert (Attempt.objects.get().state, Run.objects.get().status) == ("accepted", "completed")
    event = AuditEvent.objects.get(action="delivery.arrived")
    assert (event.actor_id, event.reason) == ("sam", "looked")
    again = act(support, in_doubt, "settle_deliveries", confirmed="yes", decision="give_up", reason="x")
    assert "This delivery is not in doubt. Settled by sam" in again.content.decode()


def test_runs_are_cancelled_and_retried(support: Client, sam: User, clay: ClaySimulator, in_doubt: Attempt) -> None:
    allow(sam, "operate_run")
    run = Run.objects.get()

    assert "cannot be brought back" in act(support, run, "cancel_runs").content.decode()
    assert Run.objects.get().status == "suspended"
    act(support, run, "cancel_runs", confirmed="yes", reason="a customer asked")
    assert Run.objects.get().status == "cancelled"
    assert AuditEvent.objects.get(action="run.cancel").actor_id == "sam"

    refused = act(support, run, "retry_runs", confirmed="yes").content.decode()
    assert "Only a run that has failed can go on; this one is cancelled." in refused


def test_the_permission_to_operate_is_not_the_one_to_settle(support: Client, sam: User, in_doubt: Attempt) -> None:
    allow(sam, "operate_run")

    act(support, in_doubt, "settle_deliveries", confirmed="yes", decision="arrived", reason="x")

    assert Attempt.objects.get().state == "in_doubt"
