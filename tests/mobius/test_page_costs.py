"""What every page of the console costs the database: found in the URL configuration, with few rows and with many."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from integrations.connecting import connect
from integrations.forms import UNLIMITED, Options
from integrations.models import Attempt, Integration, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from loops import callbacks
from loops.authoring import create_loop, update_loop
from loops.models import BulkJob, Loop, Run
from mobius import clock
from mobius.alerting.conditions import Condition
from mobius.alerting.models import Alert
from mobius.alerting.recipients import add_recipient
from mobius.notifying.models import Notification
from mobius.notifying.subscribing import create_endpoint
from mobius.projects.auditing import SYSTEM
from mobius.projects.keys import create_key
from mobius.projects.models import Membership, Project
from mobius.projects.roles import Role
from tests.cast import PUSH_LEADS, work_off
from tests.inventory import Things, console_addresses, filled
from tests.loops.flow import BROKEN, NO_ANSWER, begin, loop_of, waiting
from tests.loops.pushing.pushes import drafted, go_on, leads, started
from tests.loops.runs import push

MOST_QUERIES = 12
MANY = 25
"""More than twice as many as there may be queries."""

P = "/projects/<handle>/"
OF_MACHINES = ("/logout/", "/healthz", "/readyz", "/metrics")
FILTERED = [
    f"{P}operate/runs/?status=suspended&loop=<loop_id>&from=2026-01-01&to=2030-01-01",
    f"{P}operate/runs/?status=failed",
    f"{P}operate/runs/?q=<run_id>",
    f"{P}operate/deliveries/?state=in_doubt&integration=<integration_id>&from=2026-01-01",
    f"{P}operate/deliveries/?q=<run_id>",
    f"{P}operate/callbacks/?state=used&q=<run_id>",
    f"{P}operate/pushes/?state=completed",
    f"{P}build/loops/?status=active",
    f"{P}build/loops/<loop_id>/versions/<number>/?against=1",
    f"{P}build/loops/<hooked>/",
    f"{P}build/loops/<hooked>/edit/",
    f"{P}operate/runs/<failed_run>/",
    f"{P}operate/pushes/<running_push>/",
    f"{P}operate/pushes/<paused_push>/",
    f"{P}operate/pushes/new/?integration=<integration_id>",
    f"{P}operate/runs/all/retry/?status=failed",
    f"{P}operate/runs/all/cancel/?status=suspended",
    f"{P}operate/deliveries/all/settle/?state=in_doubt",
    f"{P}operate/runs/new/live/?after=run_",
    f"{P}operate/deliveries/new/live/?after=att_",
    f"{P}govern/integrations/<integration_id>/deliveries/?state=accepted",
    f"{P}govern/integrations/<integration_id>/callbacks/?state=used",
    f"{P}govern/integrations/<integration_id>/?test=<delivery_id>",
    f"{P}govern/webhooks/<webhook_id>/?state=failed",
    f"{P}govern/audit/?q=loop",
]
"""What people ask of pages beyond their bare addresses."""


@pytest.fixture
def visitor(client: Client, db: None) -> Client:
    """A superuser, who sees every project and every button."""
    client.force_login(User.objects.create_superuser("root"))
    return client


def addresses(things: Things) -> list[str]:
    return [filled(path, things) for path in [*console_addresses(), *FILTERED] if path not in OF_MACHINES]


def cost(visitor: Client, address: str) -> int:
    """How many queries the page asks; 0 for what is no page but a file to be saved or takes a form only."""
    with CaptureQueriesContext(connection) as asked:
        answer = visitor.get(address)
        drawn = "" if answer.streaming else answer.content
    assert answer.status_code < 400 or answer.status_code == 405, f"{address}: {answer.status_code}"
    if answer.status_code == 302:
        visitor.get(answer.headers["Location"])  # there stands what it has to say
        return 0
    return len(asked) if drawn and not answer.has_header("Content-Disposition") else 0


def dear(visitor: Client, things: Things) -> dict[str, int]:
    costs = {address: cost(visitor, address) for address in addresses(things)}
    assert sum(1 for queries in costs.values() if queries) > 60, "hardly any page was drawn"
    return {address: queries for address, queries in costs.items() if queries > MOST_QUERIES}


def test_no_page_asks_many_queries_with_few_rows(visitor: Client, inventory: Things) -> None:
    assert dear(visitor, inventory) == {}


def test_no_page_asks_many_queries_with_many_rows(
    visitor: Client, inventory: Things, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    busy = crowd_of_runs(project, clay, inventory)
    crowd_of_people(project)
    crowd_of_integrations(project, integration, clay)
    crowd_of_copies(project, inventory)

    assert dear(visitor, inventory) == {}
    assert dear(visitor, inventory | {"run_id": busy.pk, "loop_id": busy.loop_id}) == {}


# --- many of everything ---


def crowd_of_runs(project: Project, clay: ClaySimulator, things: Things) -> Run:
    """Runs that wait, failed, ended and are in doubt; loops, versions, steps, attempts and callbacks.

    Returns one that waits after many steps, and was called back many times.
    """
    for number in range(MANY):
        create_loop(project=project, authored=PUSH_LEADS | {"name": f"one of many {number}"})
    loop = Loop.objects.get(pk=things["loop_id"])
    for number in range(MANY):
        update_loop(loop, {"description": f"Written for the {number}th time"})
    steps = [push(f"push{number}", retry={"max_attempts": 3}) for number in range(9)]
    busy = loop_of(project, *steps, waiting())
    for answers in ((Behaviour(fail=400),), (NO_ANSWER,), (BROKEN,), ()):
        for _ in range(MANY):
            clay.next_answers(*answers)
            run = begin(busy)
            work_off()
    for number in range(MANY):
        callbacks.receive_by_request_id(project, {"request_id": f"push8-{run.pk}", "score": number})
    for _ in range(MANY):
        begin(loop)
        begin(loop_of(project, push(), waiting()))
    work_off()
    integration = project.integrations.get()
    go_on(started(integration, leads(MANY)), turns=3)
    for _ in range(MANY):
        drafted(integration)
    return run


def crowd_of_people(project: Project) -> None:
    for number in range(MANY):
        user = User.objects.create_user(f"member-{number}")
        Membership.objects.create(project=project, user=user, role=Role.VIEWER)
        create_key(project=project, name=f"key {number}", role=Role.OPERATOR)
        add_recipient(project=project, address=f"{number}@example.com", by=SYSTEM)
        create_endpoint(project=project, name=f"endpoint {number}", by=SYSTEM)
        Project.objects.create(handle=f"project-{number}", name="Another")


def crowd_of_integrations(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    """Several integrations, each with a workspace of its own, and many retired webhooks of the one."""
    for number in range(9):
        connect(
            project=project,
            provider=get_provider("clay"),
            connection=Connection(webhook_url=clay.url_for(f"table-{number}")),
            options=Options(name=f"table-{number}", workspace=f"workspace {number}", rate_per_second=UNLIMITED),
        )
        retired = Webhook.objects.exclude(state="current").first()
        assert retired is not None
        _copy(retired, integration=integration, state="retired", url_fingerprint=f"{number:064x}")


def crowd_of_copies(project: Project, things: Things) -> None:
    for number in range(MANY):
        Alert.objects.create(
            project=project,
            condition=Condition.LOOP_PAUSED,
            object_id=f"loop_{number}",
            object_name=f"loop {number}",
            level=1,
            summary="it paused itself",
            to_do="Look at its last run.",
            opened_at=clock.now(),
        )
        _copy(BulkJob.objects.get(pk=things["job_id"]), asked_at=clock.now())
        _copy(Notification.objects.get(pk=things["notification_id"]))
        _copy(Attempt.objects.get(pk=things["delivery_id"]), number=number + 2, state="refused")


def _copy(thing: Any, **changes: Any) -> None:
    """A row like `thing`, under an id of its own."""
    thing.pk = thing._meta.pk.get_default()
    for name, value in changes.items():
        setattr(thing, name, value)
    thing.save(force_insert=True)
