"""What support can do: each deed with its own permission, a page that asks, a reason, and a line in the audit."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client

from integrations.models import Attempt, Integration
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops.models import BulkJob, Loop, Push, Run
from loops.pushing import operating
from mobius import clock
from mobius.alerting.models import Mail
from mobius.notifying.models import Notification
from mobius.projects.auditing import SYSTEM
from mobius.projects.key_models import ApiKey
from mobius.projects.models import AuditEvent
from tests.cast import work_off
from tests.loops.flow import begin
from tests.mobius.web.support.doors import act, allow, page, signed_in

DEEDS: list[tuple[type[Model], str, str]] = [
    (Integration, "pause_integrations", "pause_integration"),
    (Integration, "resume_integrations", "resume_integration"),
    (Run, "cancel_runs", "cancel_run"),
    (Run, "retry_runs", "retry_run"),
    (Attempt, "settle_deliveries", "settle_attempt"),
    (Push, "pause_pushes", "pause_push"),
    (Push, "resume_pushes", "steer_push"),
    (Push, "cancel_pushes", "steer_push"),
    (BulkJob, "cancel_jobs", "cancel_bulkjob"),
    (ApiKey, "revoke_keys", "revoke_apikey"),
    (Mail, "resend_mails", "resend_mail"),
    (Notification, "redeliver_notifications", "redeliver_notification"),
]


@pytest.fixture
def stan(db: None) -> User:
    """Staff, and may look at everything; nothing else."""
    user = User.objects.create_user("stan", is_staff=True)
    allow(user, *(f"view_{model._meta.model_name}" for model, _, _ in DEEDS))
    return user


@pytest.fixture
def staff(stan: User) -> Client:
    return signed_in(stan)


def state_of(thing: Any) -> dict[str, Any]:
    return type(thing)._default_manager.filter(pk=thing.pk).values().get()


def test_every_deed_of_the_admin_is_tested_here() -> None:
    offered = {
        (model, name) for model, model_admin in admin.site._registry.items() for name in (model_admin.actions or ())
    }

    assert offered == {(model, action) for model, action, _ in DEEDS}


@pytest.mark.parametrize(("model", "action", "permission"), DEEDS, ids=[action for _, action, _ in DEEDS])
def test_a_deed_needs_its_permission_and_a_reason(
    secrets_planted: list[str], stan: User, staff: Client, model: Any, action: str, permission: str
) -> None:
    thing = model._default_manager.all()[0]
    before, others = state_of(thing), {one for _, _, one in DEEDS} - {permission}
    allow(stan, *others)

    act(staff, thing, action, confirmed="yes", reason="a wish", decision="arrived")
    assert f'value="{action}"' not in staff.get(page(model, "change", thing.pk)).content.decode()
    assert state_of(thing) == before, "it took another permission"

    allow(stan, permission)
    assert f'value="{action}"' in staff.get(page(model, "change", thing.pk)).content.decode()
    asked = act(staff, thing, action)
    refused = act(staff, thing, action, confirmed="yes", reason="   ", decision="arrived")

    assert asked.status_code == 200
    assert page(model, "change", thing.pk) in asked.content.decode()
    assert refused.status_code == 422
    assert "Say " in refused.content.decode()
    assert state_of(thing) == before, "nobody said why"


def test_at_most_a_hundred_at_once(secrets_planted: list[str], lead: Client) -> None:
    key = ApiKey.objects.get()
    for number in range(101):
        key.pk, key.name, key.digest = None, f"key {number}", f"{number:064x}"
        key.pk = ApiKey._meta.pk.get_default()
        key.save(force_insert=True)
    chosen = {"action": "revoke_keys", ACTION_CHECKBOX_NAME: list(ApiKey.objects.values_list("pk", flat=True))}

    answer = lead.post(page(ApiKey, "changelist"), chosen | {"confirmed": "yes", "reason": "x"}, follow=True)

    assert "Choose at most 100 at once." in answer.content.decode()
    assert not ApiKey.objects.exclude(revoked_at=None).exists()


def audited(action: str) -> AuditEvent:
    event = AuditEvent.objects.get(action=action)
    assert (event.actor_kind, event.actor_id, event.ip) == ("user", "lena", "127.0.0.1")
    return event


def do(client: Client, thing: Any, action: str, **more: str) -> str:
    """Answer the page that asks; gives the page that follows."""
    shown: str = act(client, thing, action, confirmed="yes", reason="ticket 7", **more).content.decode()
    return shown


# --- one after the other ---


@pytest.mark.parametrize(
    ("model", "action", "sentence"),
    [
        (Run, "cancel_runs", "It has ended already: it is completed."),
        (Integration, "resume_integrations", "It is neither paused nor flagged."),
        (Integration, "pause_integrations", "It sends nothing already."),
        (ApiKey, "revoke_keys", "It is revoked already."),
        (BulkJob, "cancel_jobs", "It has ended already: it is completed."),
    ],
)
def test_where_there_is_nothing_to_do_the_page_says_so(
    secrets_planted: list[str], lead: Client, model: Any, action: str, sentence: str
) -> None:
    if action == "pause_integrations":
        Integration.objects.update(status="inactive")
    ApiKey.objects.update(revoked_at=clock.now())
    BulkJob.objects.update(state="completed")
    thing = model._default_manager.all()[0]
    before = state_of(thing)

    shown = do(lead, thing, action)

    assert sentence in shown
    assert "Done, " not in shown
    assert state_of(thing) == before


def test_an_integration_is_paused_and_resumed(lead: Client, integration: Integration) -> None:
    shown = do(lead, integration, "pause_integrations")
    integration.refresh_from_db()
    assert (integration.status, integration.attention) == ("inactive", ""), "a person's wish is no failure"
    assert f'Done, 1: <a href="{page(Integration, "change", integration.pk)}">clay</a>.' in shown
    assert audited("integration.pause").reason == "ticket 7"

    do(lead, integration, "resume_integrations")
    integration.refresh_from_db()
    assert integration.status == "active"
    assert audited("integration.resume").reason == "ticket 7"


def test_a_key_is_revoked(lead: Client, api: Any) -> None:
    do(lead, api.key.record, "revoke_keys")

    assert ApiKey.objects.get().revoked_at is not None
    assert api.get(f"{api.root}/runs").status_code == 401
    assert audited("api_key.revoke").reason == "ticket 7"


def test_a_mail_is_sent_again_and_not_when_nobody_would_get_it(
    settings: Any, secrets_planted: list[str], lead: Client
) -> None:
    mail, settings.MOBIUS_SENDS_MAIL = Mail.objects.get(), True

    assert "Done, 1:" in do(lead, mail, "resend_mails")
    mail.refresh_from_db()
    assert (mail.state, mail.attempts, mail.due_at is not None) == ("pending", 0, True)
    assert audited("alert.resend").reason == "ticket 7"
    assert "This mail is under way already." in do(lead, mail, "resend_mails")

    Mail.objects.update(due_at=None, state="failed", recipient=None)
    assert "The recipient was removed" in do(lead, mail, "resend_mails")


def test_without_a_mail_server_or_a_text_no_mail_is_sent_again(
    settings: Any, secrets_planted: list[str], lead: Client
) -> None:
    mail, settings.MOBIUS_SENDS_MAIL = Mail.objects.get(), False
    assert "No mail server is set" in do(lead, mail, "resend_mails")
    Mail.objects.update(text="")
    assert "older than bodies are kept" in do(lead, mail, "resend_mails")

    assert not AuditEvent.objects.filter(action="alert.resend").exists()


def test_a_notification_is_sent_again(secrets_planted: list[str], lead: Client) -> None:
    told = Notification.objects.get()
    Notification.objects.update(state="failed", due_at=None)

    do(lead, told, "redeliver_notifications")

    told.refresh_from_db()
    assert (told.state, told.attempts) == ("pending", 0)
    assert audited("webhook.redeliver").reason == f"{told.pk}. ticket 7"


def test_a_push_is_paused_resumed_and_cancelled(secrets_planted: list[str], lead: Client) -> None:
    push = Push.objects.get()
    assert "Only a push that is running can be paused; this one is checked." in do(lead, push, "pause_pushes")
    operating.start(push, by=SYSTEM)

    for action, state in (("pause_pushes", "paused"), ("resume_pushes", "running"), ("cancel_pushes", "cancelled")):
        do(lead, push, action)
        push.refresh_from_db()
        assert push.state == state
        assert audited(f"push.{action.partition('_')[0]}").reason == "ticket 7"


def test_a_bulk_job_is_cancelled(secrets_planted: list[str], lead: Client) -> None:
    job = BulkJob.objects.get()

    do(lead, job, "cancel_jobs")

    job.refresh_from_db()
    assert job.state == "cancelled"
    assert audited("bulk_job.cancel").reason == "After 0 of 1. ticket 7"


def test_what_was_done_and_what_was_not_is_told_with_links(
    lead: Client, push_leads: Loop, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(fail=400))
    failed, completed = begin(push_leads), begin(push_leads)
    work_off()
    chosen = {"action": "retry_runs", ACTION_CHECKBOX_NAME: [failed.pk, completed.pk]}

    shown = lead.post(
        page(Run, "changelist"), chosen | {"confirmed": "yes", "reason": "x"}, follow=True
    ).content.decode()

    for told, run in (("Done, 1", failed), ("Not done", completed)):
        assert f'{told}: <a href="{page(Run, "change", run.pk)}">{run.pk}</a>.' in shown
    assert "Only a run that has failed" in shown


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

    assert f'Done, 1: <a href="{page(Attempt, "change", in_doubt.pk)}">{in_doubt.pk}</a>.' in done.content.decode()
    assert (Attempt.objects.get().state, Run.objects.get().status) == ("accepted", "completed")
    event = AuditEvent.objects.get(action="delivery.arrived")
    assert (event.actor_id, event.reason) == ("sam", "looked")
    again = act(support, in_doubt, "settle_deliveries", confirmed="yes", decision="give_up", reason="x")
    assert "This delivery is not in doubt. Settled by sam" in again.content.decode()


def test_runs_are_cancelled_and_retried(support: Client, sam: User, clay: ClaySimulator, in_doubt: Attempt) -> None:
    allow(sam, "cancel_run", "retry_run")
    run = Run.objects.get()

    assert "cannot be brought back" in act(support, run, "cancel_runs").content.decode()
    assert Run.objects.get().status == "suspended"
    act(support, run, "cancel_runs", confirmed="yes", reason="a customer asked")
    assert Run.objects.get().status == "cancelled"
    assert AuditEvent.objects.get(action="run.cancel").actor_id == "sam"

    refused = act(support, run, "retry_runs", confirmed="yes", reason="x").content.decode()
    assert "Only a run that has failed can go on; this one is cancelled." in refused


def test_the_permission_to_operate_is_not_the_one_to_settle(support: Client, sam: User, in_doubt: Attempt) -> None:
    allow(sam, "cancel_run", "retry_run")

    act(support, in_doubt, "settle_deliveries", confirmed="yes", decision="arrived", reason="x")

    assert Attempt.objects.get().state == "in_doubt"
