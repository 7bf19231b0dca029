"""After a restore nothing goes out until somebody resumes; nothing else is taken for that word."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integrations import connecting
from integrations.holding import hold_all
from integrations.models import Integration, Webhook
from integrations.probing import probe
from integrations.providers.clay.simulator import ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from loops.models import Loop, Run
from loops.starting import Start, start_run
from loops.sweeping import sweep
from mobius import clock
from mobius.projects.auditing import person
from mobius.projects.models import AuditEvent, Project
from tests.cast import Api, work_off


@pytest.fixture
def held(integration: Integration) -> Integration:
    assert hold_all(taken_at=clock.now(), now=clock.now()) == 1
    integration.refresh_from_db()
    return integration


def start(push_leads: Loop) -> Run:
    run = start_run(loop=push_leads, start=Start(event={"email": "a@b.c"}, meta={}, config={}, source={})).run
    work_off()
    return run


def test_rows_wait_and_go_once_somebody_resumes(
    held: Integration, push_leads: Loop, clay: ClaySimulator, alice: User
) -> None:
    run = start(push_leads)
    sweep()
    work_off()
    assert (clay.rows, Run.objects.get(pk=run.pk).waits_for) == ([], held.pk)

    connecting.resume(held, by=person(alice))
    sweep()
    work_off()
    assert len(clay.rows) == 1
    assert not Integration.objects.get().held


def test_a_test_a_new_header_and_a_new_webhook_do_not_resume(
    held: Integration, project: Project, push_leads: Loop, clay: ClaySimulator
) -> None:
    start(push_leads)
    assert probe(held).ok
    connecting.rotate(held, auth_header_name="x-clay-webhook-auth", auth_header_value="anything")
    connecting.connect(project=project, provider=get_provider("clay"), connection=Connection(webhook_url=clay.url))
    connecting.pause(held)
    sweep()
    work_off()

    still = Integration.objects.get()
    assert (still.status, still.held) == ("inactive", True)
    assert "restored from a backup" in still.attention
    assert len(clay.rows) == 1, "the test alone"


def test_an_unreadable_secret_connected_again_is_still_held(
    integration: Integration, project: Project, clay: ClaySimulator
) -> None:
    Integration.objects.update(status="expired")
    hold_all(taken_at=clock.now(), now=clock.now())
    assert Integration.objects.get().status == "expired"

    connecting.connect(project=project, provider=get_provider("clay"), connection=Connection(webhook_url=clay.url))

    assert Integration.objects.get().status == "inactive"
    assert Webhook.objects.current_of(integration) is not None


def test_the_pages_say_why_and_what_to_do(client: Client, held: Integration, alice: User) -> None:
    client.force_login(alice)
    root = f"/projects/platform/govern/integrations/{held.pk}/"
    for path in (root, f"{root}queue/"):
        page = client.get(path).content.decode()
        assert "Held since this console was restored from a backup" in page
        assert "rows that wait may have been sent already" in page
        assert "Paused by itself" not in page

    client.post(f"{root}resume/")

    assert "Held since" not in client.get(root).content.decode()


def test_the_api_says_why_and_put_active_resumes(api: Api, held: Integration) -> None:
    path = f"{api.root}/integrations/{held.pk}"
    assert "restored from a backup" in api.get(path).json()["config"]["attention"]

    api.put(path, {"status": "active"})

    assert not Integration.objects.get().held


def test_holding_is_in_the_audit(held: Integration) -> None:
    assert AuditEvent.objects.get(action="integration.hold").object_id == held.pk
