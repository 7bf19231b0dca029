"""Django admin for support staff: every page opens, nothing can be written, and no page shows a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from integrations.models import Attempt, Integration, KeyCheck, LedgerEntry, Pacer, Webhook, WebhookSecret
from integrations.settling import Decision
from loops.models import BulkJob, Callback, Loop, Push, PushRow, Run, RunEvent, SourceEvent, Trigger, TriggerSecret
from loops.settling import settle
from mobius import clock
from mobius.alerting.models import Alert, Mail, Recipient
from mobius.notifying.models import Endpoint, Notification, SigningSecret
from mobius.projects.auditing import SYSTEM
from mobius.projects.key_models import ApiKey, ServicePrincipal
from mobius.projects.models import AuditEvent, Membership, Project
from mobius.projects.roles import Role
from mobius.web.support.reading import masked, masked_text, preformatted
from tests.cast import PASSWORD
from tests.loops.pushing.pushes import checked
from tests.mobius.web.support.doors import page

REGISTERED: list[type[Model]] = [model for model in admin.site._registry if model not in (User, Group)]
NEEDED = {Project, ApiKey, AuditEvent, Integration, Attempt, LedgerEntry, Loop, Run, Callback, Alert, Mail, Recipient}
NEEDED |= {Push, PushRow, BulkJob, Trigger, SourceEvent, Endpoint, Notification}
HISTORY = [model for model in REGISTERED if model not in (Project, ServicePrincipal, Pacer)]


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
    assert set(REGISTERED) >= NEEDED
    assert set(REGISTERED).isdisjoint({WebhookSecret, KeyCheck, TriggerSecret, SigningSecret})


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
    assert re.search(r"\d+ [A-Z][a-z]+ 20\d\d, \d\d:\d\d:\d\d UTC", shown), "times to the second, in UTC"


def test_the_page_of_a_delivery_tells_its_story(in_doubt: Attempt, support: Client) -> None:
    settle(in_doubt, Decision.ARRIVED, reason="looked into the table", by=SYSTEM)
    body = {"body": {"score": 7}, "body_digest": "x", "received_at": clock.now()}
    came = Callback.objects.create(project_id=in_doubt.project_id, step_id=in_doubt.step_id, **body)

    shown = support.get(page(Attempt, "change", in_doubt.pk)).content.decode()

    assert "attempt 1: Accepted" in shown
    assert page(Callback, "change", came.pk) in shown
    assert page(Run, "change", in_doubt.run_id) in shown
    assert "looked into the table" in shown


def test_a_story_of_more_than_twenty_lines_leads_to_all_of_it(secrets_planted: list[str], support: Client) -> None:
    run = Run.objects.get()
    for number in range(30):
        RunEvent.objects.create(run=run, sequence=100 + number, event_type="run.retried", created_at=clock.now())

    shown = support.get(page(Run, "change", run.pk)).content.decode()

    assert shown.count("run.retried") == 20
    assert f"{page(RunEvent, 'changelist')}?q={run.pk}" in shown


def test_rows_of_a_push_that_did_not_arrive_are_listed_and_lead_to_all_of_them(
    support: Client, integration: Integration
) -> None:
    push = checked(integration, "email\n" + "ada@example.com\n" * 30)
    PushRow.objects.exclude(number=1).update(state="failed")

    shown = support.get(page(Push, "change", push.pk)).content.decode()

    assert shown.count(" Failed ") == 20
    every_one = re.search(r'<a href="([^"]+)">All of them</a>', shown)
    assert every_one is not None
    assert len(support.get(unescape(every_one[1])).context["cl"].result_list) == 29


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
    assert ">set<" in shown
    assert Webhook.objects.get().url_fingerprint[:12] in shown
    assert f"{WebhookSecret.objects.only('updated_at').get().updated_at:%H:%M:%S} UTC" in shown, "last rotated"


def test_a_state_has_one_word_in_its_filter_and_in_its_badge(support: Client, integration: Integration) -> None:
    Integration.objects.update(status="inactive")

    shown = support.get(page(Integration, "changelist")).content.decode()

    assert ">Paused</a>" in shown
    assert "</svg>Paused</span>" in shown


def test_what_is_empty_looks_the_same_wherever_it_stands(support: Client, integration: Integration) -> None:
    shown = support.get(page(Integration, "change", integration.pk)).content.decode()

    empty = re.findall(r'<div class="readonly">([-–—])</div>', shown)
    assert len(empty) > 3, "some by Django, some by us"
    assert set(empty) == {"—"}


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


@pytest.mark.parametrize("name", ["Support", "Support lead"])
def test_the_groups_may_view_and_do_what_asks_first_and_nothing_else(support_group: Group, name: str) -> None:
    allowed = set(Group.objects.get(name=name).permissions.values_list("codename", flat=True))

    assert not {one for one in allowed if one.startswith(("add_", "change_", "delete_"))}
    assert {f"view_{model._meta.model_name}" for model in [*REGISTERED, Membership, Webhook]} <= allowed
    secrets = {"view_webhooksecret", "view_keycheck", "view_triggersecret", "view_signingsecret"}
    assert allowed.isdisjoint(secrets | {"view_user", "view_session"})


def test_support_may_do_what_sends_nothing_and_the_lead_all_of_it(support_group: Group) -> None:
    deeds = {
        group.name: {one.codename for one in group.permissions.all() if not one.codename.startswith("view_")}
        for group in Group.objects.all()
    }

    assert deeds["Support"] == {"pause_integration", "pause_push", "revoke_apikey", "resend_mail"}
    assert deeds["Support lead"] - deeds["Support"] == {
        *("resume_integration", "steer_push", "cancel_bulkjob", "cancel_run", "retry_run", "settle_attempt"),
        "redeliver_notification",
    }


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
    changes = {"handle": "other", "name": "Other"}

    assert superuser.post(page(Project, "change", project.pk), changes).status_code == 302

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
        ({}, "—"),
        (None, "—"),
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
    [("", "—"), ("OK", "OK"), ("x" * 100, "x" * 20 + "… (100 characters)"), ('{"a": "bcd"}', '"b… (3 characters)"')],
)
def test_a_body_is_shown_by_its_shape(text: str, shown: str) -> None:
    assert shown in masked_text(text)


def test_a_long_body_is_cut_and_says_how_long_it_is() -> None:
    whole = masked({f"key {number}": number for number in range(10_000)})

    shown = preformatted(whole)

    assert len(shown) < len(whole) / 10
    assert shown.endswith(f"… ({len(whole):,} characters in all)</pre>")
