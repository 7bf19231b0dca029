"""What a Prometheus server reads: the numbers somebody is woken up by, of one project or of all."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from integrations.models import Integration, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops.authoring import create_loop
from loops.callbacks import receive_by_request_id
from loops.models import Loop, Run, Worker
from loops.pushing import operating as pushing
from loops.starting import Start, start_run
from mobius import clock
from mobius.api.requests import ApiMiddleware
from mobius.metrics import of_console
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import PUSH_LEADS, Api, work_off
from tests.loops.pushing.pushes import leads, started

LINE = re.compile(r'^[a-z0-9_]+(\{([a-z_]+="(\\.|[^"\\])*",?)*\})? -?[0-9.e+-]+$')


def start(loop: Loop) -> Run:
    run = start_run(loop=loop, start=Start(event={"email": "ada@example.com"}, meta={}, config={}, source={})).run
    work_off()
    return run


def read(client: Client, **headers: str) -> dict[str, float]:
    answer = client.get("/metrics", **headers)
    assert answer.status_code == 200, answer.content
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.content.decode().splitlines() if not line.startswith("#")]
    assert all(LINE.match(line) for line in lines), lines
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_rows_of_pushes_that_wait_for_their_start_are_counted(api: Api, integration: Integration) -> None:
    for number, deed in enumerate((pushing.resume, pushing.cancel), start=1):
        push = pushing.pause(started(integration, leads(3 * number)), by=SYSTEM)
        deed(push, by=SYSTEM)
    pushing.pause(started(integration, leads(5)), by=SYSTEM)

    found = read(api)

    assert found['mobius_push_rows{project="platform",push="running"}'] == 3
    assert found['mobius_push_rows{project="platform",push="paused"}'] == 5


def test_a_project_s_key_shows_what_became_of_its_rows(
    api: Api, push_leads: Loop, integration: Integration, clay: ClaySimulator
) -> None:
    start(push_leads)
    clay.next_answers(Behaviour(fail=429), Behaviour(reset=True))
    start(push_leads)
    start(push_leads)
    Webhook.objects.update(submission_limit=100)

    found = read(api)

    mine = 'project="platform"'
    assert found[f'mobius_recent_attempts{{{mine},outcome="accepted",status_code="200"}}'] == 1
    assert found[f'mobius_recent_attempts{{{mine},outcome="refused",status_code="429"}}'] == 1
    assert found[f"mobius_recent_429_ratio{{{mine}}}"] == pytest.approx(1 / 3)
    assert found[f"mobius_in_doubt{{{mine}}}"] == 1
    assert found[f'mobius_budget_left{{{mine},integration="clay"}}'] == 98
    assert found[f'mobius_runs{{{mine},status="suspended"}}'] == 1
    assert found[f'mobius_recent_runs{{{mine},status="completed"}}'] == 1
    assert found[f'mobius_integration_active{{{mine},integration="clay"}}'] == 1


def test_a_queue_has_a_length_and_an_age(api: Api, push_leads: Loop, integration: Integration) -> None:
    Integration.objects.update(status="inactive")
    start(push_leads)
    start(push_leads)

    found = read(api)

    labels = '{project="platform",integration="clay"}'
    assert found[f"mobius_queue_rows{labels}"] == 2
    assert 0 <= found[f"mobius_queue_oldest_seconds{labels}"] < 60
    assert found[f"mobius_integration_active{labels}"] == 0


def test_a_worker_counts_as_alive_for_as_long_as_the_settings_say(db: None, settings: Any) -> None:
    Worker.objects.create(beaten_at=clock.now() - timedelta(seconds=20))
    for silence, alive in ((15.0, 0), (30.0, 1)):
        settings.MOBIUS_SILENCE_SECONDS = silence
        assert [one.value for one in of_console() if one.name == "mobius_workers"] == [alive]


def test_callbacks_have_a_latency_and_may_be_overdue(
    api: Api, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    push = PUSH_LEADS["steps"][0]
    wait: dict[str, Any] = {"id": "back", "kind": "wait_for_event", "config": {"event_type": "clay.callback"}}
    loop = create_loop(project=project, authored=PUSH_LEADS | {"name": "ask", "steps": [push, wait]})
    run = start(loop)
    receive_by_request_id(project, {"request_id": run.pk})
    start(loop)
    loop.waits.filter(state="open").update(created_at="2020-01-01T00:00:00Z")

    found = read(api)

    assert 0 <= found['mobius_callback_latency_seconds{project="platform",quantile="0.95"}'] < 60
    assert found['mobius_callbacks_overdue{project="platform"}'] == 1


def test_names_cannot_break_the_format(api: Api, integration: Integration) -> None:
    Integration.objects.update(name='a"b\\c\nd')

    assert 'mobius_queue_rows{project="platform",integration="a\\"b\\\\c\\nd"}' in read(api)


def test_the_console_s_own_key_shows_every_project(
    client: Client, settings: Any, project: Project, other_project: Project
) -> None:
    settings.MOBIUS_METRICS_KEY = "a-long-and-random-text-for-tests"

    found = read(client, HTTP_AUTHORIZATION="Bearer a-long-and-random-text-for-tests")

    assert {'mobius_in_doubt{project="platform"}', 'mobius_in_doubt{project="elsewhere"}'} <= set(found)
    assert "mobius_throttled_requests_total" in found


def test_a_key_sees_its_own_project_alone(stranger_api: Api, project: Project, integration: Integration) -> None:
    assert not [name for name in read(stranger_api) if "platform" in name]


def test_strangers_wrong_keys_and_narrow_roles_are_refused(
    client: Client, api_as: Callable[[Role], Api], project: Project, settings: Any
) -> None:
    for headers in ({}, {"HTTP_AUTHORIZATION": "Bearer nonsense"}, {"HTTP_AUTHORIZATION": "Basic YTpi"}):
        refused = client.get("/metrics", **headers)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == "Bearer"
    settings.MOBIUS_METRICS_KEY = "a-long-and-random-text-for-tests"
    assert client.get("/metrics", HTTP_AUTHORIZATION="Bearer a-long-and-random-text").status_code == 401
    for role in Role:
        expected = 403 if role in (Role.RUN, Role.CALLBACK) else 200
        assert api_as(role).get("/metrics").status_code == expected, role


def test_of_people_only_a_superuser_sees_them(client: Client, alice: User, admin_user: User) -> None:
    client.force_login(alice)
    assert client.get("/metrics").status_code == 403
    client.force_login(admin_user)
    assert 'mobius_in_doubt{project="platform"}' in read(client)


def test_what_is_answered_with_429_is_counted(
    project: Project, client: Client, rf: RequestFactory, settings: Any
) -> None:
    settings.MOBIUS_METRICS_KEY = "a-long-and-random-text-for-tests"
    bearer = {"HTTP_AUTHORIZATION": "Bearer a-long-and-random-text-for-tests"}
    before = read(client, **bearer)["mobius_throttled_requests_total"]

    ApiMiddleware(lambda _: HttpResponse(status=429))(rf.get("/v1/anything"))

    assert read(client, **bearer)["mobius_throttled_requests_total"] == before + 1


def test_no_table_that_grows_is_scanned(api: Api, push_leads: Loop, integration: Integration) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plan")
    start(push_leads)
    with CaptureQueriesContext(connection) as asked:
        read(api)

    with connection.cursor() as cursor:
        for query in asked.captured_queries:
            if query["sql"].startswith("SELECT"):
                cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                plan = " | ".join(str(row[3]) for row in cursor.fetchall())
                assert not re.search(r"SCAN (loops_run|loops_callback|loops_wait|integrations_attempt)\b", plan), plan
