"""A project is deleted: nothing begins there by itself any more, what runs goes on, and its secrets go in the end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from integrations.models import Integration, LedgerEntry, WebhookSecret
from integrations.providers.clay.simulator import ClaySimulator
from loops import bulk
from loops.authoring import create_loop
from loops.closing import LONGEST_DRAIN, erase_secrets_of_deleted
from loops.models import BulkDeed, BulkJob, Loop, Run, SourceEvent, Trigger, TriggerSecret
from loops.purging import HourlyPurge
from loops.selecting import Selection
from loops.triggers.calling import demand_signature
from loops.triggers.firing import fire_due
from mobius import clock
from mobius.notifying.models import Endpoint, Notification, SigningSecret
from mobius.notifying.subscribing import create_endpoint
from mobius.projects.auditing import SYSTEM
from mobius.projects.founding import delete_project
from mobius.projects.models import AuditEvent, Project
from tests.cast import PUSH_LEADS, work_off
from tests.loops.flow import begin, go, loop_of, push, waiting
from tests.loops.pushing.pushes import go_on, leads, started, states
from tests.loops.runs import wait

pytestmark = pytest.mark.django_db
TRIGGERS = [
    {"kind": "http", "key": "form"},
    {"kind": "schedule", "key": "often", "config": {"interval": "10m"}},
    {"kind": "event", "key": "after", "config": {"event_type": "run.completed"}},
]


def delete(project: Project) -> None:
    delete_project(project, by=SYSTEM)
    project.refresh_from_db()


def the_hour_comes(after: timedelta = timedelta(hours=1)) -> None:
    HourlyPurge().go_on(now=clock.now() + after)


# --- nothing new begins ---


def test_no_trigger_of_a_deleted_project_fires(project: Project, integration: Integration, client: Client) -> None:
    loop_of(project, wait(), name="called", triggers=TRIGGERS)
    handle = Trigger.objects.get(key="form").http_handle
    begun = begin(create_loop(project=project, authored=PUSH_LEADS), email="ada@example.com")
    delete(project)

    called = client.post(f"/v1/triggers/http/{handle}", {}, content_type="application/json")
    work_off()
    fire_due(now=clock.now() + timedelta(hours=1))

    assert (called.status_code, called.json()["error"]["message"]) == (404, "There is no such trigger.")
    assert list(Run.objects.values_list("pk", "status")) == [(begun.pk, "completed")], "what ran has gone on, alone"


def test_what_was_heard_before_the_deletion_starts_nothing_after_it(project: Project, integration: Integration) -> None:
    loop_of(project, wait(), name="hears", triggers=TRIGGERS[2:])
    go(project, push())
    assert SourceEvent.objects.filter(state="pending").count() == 1
    delete(project)

    fire_due(now=clock.now() + timedelta(hours=1))

    assert Run.objects.count() == 1


def test_of_a_push_only_the_rows_that_were_started_are_sent(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    running = started(integration, leads(60))
    go_on(running)
    sent = len(clay.rows)
    delete(project)

    done = go_on(running, turns=5)

    assert 0 < sent == len(clay.rows) < 60
    assert (done.state, done.due_at) == ("completed", None)
    assert states(done).count("sent") == sent
    assert states(done).count("not_sent") == 60 - sent


def test_a_bulk_job_ends(project: Project, integration: Integration, push_leads: Loop) -> None:
    for email in "abc":
        begin(push_leads, email=email)
    Run.objects.update(status="failed", completed_at=clock.now())
    job = bulk.start(project, BulkDeed.RETRY, Selection(), asked_at=clock.now(), reason="", by=SYSTEM)
    delete(project)

    assert bulk.work_off() is False
    assert BulkJob.objects.get(pk=job.pk).state == "cancelled"
    assert set(Run.objects.values_list("status", flat=True)) == {"failed"}


# --- its secrets ---


@pytest.fixture
def secretive(project: Project, integration: Integration) -> Project:
    """A project with a secret of every kind, and a row that went out and came back."""
    loop = loop_of(project, wait(), name="called", triggers=TRIGGERS[:1])
    demand_signature(Trigger.objects.get(loop=loop), by=SYSTEM)
    create_endpoint(project=project, name="crm", url="https://crm.example.com/planted", by=SYSTEM)
    go(project, push(row={"payload": {"email": "a"}, "request_id": "r1"}))
    return project


def everybody_was_told() -> None:
    Notification.objects.update(state="delivered", due_at=None)


def secrets_left() -> dict[str, int]:
    models: list[Any] = [WebhookSecret, Endpoint, SigningSecret, TriggerSecret]
    return {model.__name__: model._default_manager.count() for model in models if model._default_manager.exists()}


@pytest.mark.parametrize("days", [90, 0])
def test_the_secrets_of_a_deleted_project_are_erased_within_the_hour(
    secretive: Project, settings: Any, days: int
) -> None:
    settings.MOBIUS_RETENTION_DAYS = days
    assert set(secrets_left()) == {"WebhookSecret", "Endpoint", "SigningSecret", "TriggerSecret"}
    delete(secretive)
    the_hour_comes()
    assert secrets_left(), "somebody is still to be told how the run ended"

    everybody_was_told()
    the_hour_comes(timedelta(hours=2))

    assert secrets_left() == {}
    assert LedgerEntry.objects.count() == 1, "what was sent is known for ever"
    deeds = AuditEvent.objects.filter(project=secretive, actor_kind="system").values_list("action", flat=True)
    assert {"project.delete", "integration.disconnect", "webhook.delete"} <= set(deeds)


def test_a_project_that_is_there_keeps_its_own(secretive: Project, other_project: Project) -> None:
    before = secrets_left()
    delete(other_project)
    the_hour_comes()

    assert secrets_left() == before


def test_a_run_that_goes_on_keeps_what_it_needs_and_its_end_lets_it_go(
    secretive: Project, clay: ClaySimulator, client: Client
) -> None:
    ask = loop_of(
        secretive, push(row={"payload": {"u": "${{ callback.url }}"}, "request_id": "r2"}), waiting(), push("again")
    )
    run = begin(ask, email="a")
    work_off()
    everybody_was_told()
    delete(secretive)
    the_hour_comes()
    assert WebhookSecret.objects.exists()

    address = clay.rows[-1].body["u"].removeprefix("http://console.test")
    assert client.post(address, {"score": 7}, content_type="application/json").status_code == 200
    work_off()

    assert Run.objects.get(pk=run.pk).status == "completed"
    everybody_was_told()
    the_hour_comes(timedelta(hours=2))
    assert secrets_left() == {}


def test_a_run_that_waits_for_ever_keeps_them_for_thirty_days(secretive: Project) -> None:
    begin(loop_of(secretive, waiting()), email="a")
    work_off()
    delete(secretive)
    the_hour_comes(LONGEST_DRAIN - timedelta(days=1))
    assert WebhookSecret.objects.exists()

    the_hour_comes(LONGEST_DRAIN + timedelta(days=1))

    assert secrets_left() == {}


def test_a_console_without_deleted_projects_asks_one_question(
    secretive: Project, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1):
        erase_secrets_of_deleted(now=clock.now())
