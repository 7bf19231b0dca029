"""A list of one state reads what is in that state, however much else there is: its index holds nothing else."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from integrations.models import Attempt, AttemptState, Integration
from integrations.providers.clay.simulator import ClaySimulator
from loops.models import CallbackState, Loop, RunStatus
from mobius.projects.models import Project
from tests.cast import Api
from tests.loops.flow import NAP, go, loop_of, push

pytestmark = pytest.mark.django_db
CONSOLE, API = "/projects/platform/operate", "/v1/projects/platform"
NOT_ACCEPTED = [state for state in AttemptState if state != AttemptState.ACCEPTED]
NOT_USED = [state for state in CallbackState if state != CallbackState.USED]
NOT_COMPLETED = [status for status in RunStatus if status != RunStatus.COMPLETED]


@pytest.fixture
def viewer(client: Client, vera: User) -> Client:
    client.force_login(vera)
    return client


@pytest.fixture
def loop(project: Project) -> Loop:
    return loop_of(project, NAP)


def plans(client: Client | Api, address: str, table: str) -> list[str]:
    """How SQLite answers what the page asks of the table. (PostgreSQL goes by what it counted: see the last test.)"""
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plan")
    with CaptureQueriesContext(connection) as asked:
        assert client.get(address).status_code == 200
    sent = [one["sql"] for one in asked if f'FROM "{table}"' in one["sql"] and one["sql"].startswith("SELECT")]
    assert sent, address
    return [plan_of(sql) for sql in sent]


def plan_of(sql: str) -> str:
    explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {sql}".replace("%", "%%"))
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def sorts(plan: str) -> bool:
    return "TEMP B-TREE" in plan


@pytest.mark.parametrize("state", NOT_ACCEPTED)
@pytest.mark.parametrize("list_of", [f"{CONSOLE}/deliveries/", f"{API}/deliveries"])
def test_deliveries_that_were_not_accepted(
    viewer: Client, api: Api, integration: Integration, list_of: str, state: str
) -> None:
    client = viewer if list_of.startswith(CONSOLE) else api
    *_, listing = plans(client, f"{list_of}?state={state}", "integrations_attempt")

    assert "attempts_not_accepted" in listing
    assert not sorts(listing)


@pytest.mark.parametrize("state", AttemptState.gone_wrong())
def test_deliveries_through_an_integration_that_went_wrong(
    viewer: Client, api: Api, integration: Integration, state: str
) -> None:
    for client, address in (
        (viewer, f"{CONSOLE}/deliveries/?state={state}&integration={integration.pk}"),
        (viewer, f"/projects/platform/govern/integrations/{integration.pk}/deliveries/?state={state}"),
        (api, f"{API}/deliveries?state={state}&integration_id={integration.pk}"),
    ):
        assert any("attempts_gone_wrong" in plan for plan in plans(client, address, "integrations_attempt")), address


@pytest.mark.parametrize("one", ["run_id=run_1", "request_id=r1", "external_id=e1"])
def test_a_state_of_few_deliveries_is_looked_for_among_those(api: Api, integration: Integration, one: str) -> None:
    (plan,) = plans(api, f"{API}/deliveries?state=refused&{one}", "integrations_attempt")

    assert one.partition("=")[0] in plan


@pytest.mark.parametrize("status", RunStatus)
def test_runs_of_a_status(viewer: Client, api: Api, loop: Loop, status: str) -> None:
    for client, address in ((viewer, f"{CONSOLE}/runs/?status={status}"), (api, f"{API}/runs?status={status}")):
        *_, listing = plans(client, address, "loops_run")
        assert "runs_by_status" in listing
        assert not sorts(listing)


@pytest.mark.parametrize("status", NOT_COMPLETED)
def test_runs_of_a_loop_are_told_by_the_index_of_statuses(viewer: Client, api: Api, loop: Loop, status: str) -> None:
    for client, address in (
        (viewer, f"{CONSOLE}/runs/?status={status}&loop={loop.pk}"),
        (api, f"{API}/runs?status={status}&loop_id={loop.pk}"),
    ):
        counting, *_ = found = plans(client, address, "loops_run")
        assert "runs_by_status" in found[-1]
        if client is viewer:
            assert counting.count("COVERING INDEX runs_by_status") == len(NOT_COMPLETED)
            assert "runs_by_loop" in counting


def test_completed_runs_of_a_loop_are_shown_by_its_newest(viewer: Client, api: Api, loop: Loop) -> None:
    for client, address in (
        (viewer, f"{CONSOLE}/runs/?status=completed&loop={loop.pk}"),
        (api, f"{API}/runs?status=completed&loop_id={loop.pk}"),
    ):
        assert "runs_by_loop" in plans(client, address, "loops_run")[-1]


@pytest.mark.parametrize("state", NOT_USED)
def test_callbacks_that_are_no_result(viewer: Client, integration: Integration, state: str) -> None:
    (listing,) = plans(viewer, f"{CONSOLE}/callbacks/?state={state}", "loops_callback")

    assert "callbacks_not_used" in listing
    assert not sorts(listing)


def test_a_row_that_is_accepted_is_in_no_index_of_what_went_wrong(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    go(project, push())
    conditions = {index.name: index.condition for index in Attempt._meta.indexes if index.condition is not None}
    accepted = Attempt.objects.filter(state=AttemptState.ACCEPTED)
    assert accepted.exists()

    for name in ("attempts_not_accepted", "attempts_gone_wrong"):
        assert not accepted.filter(conditions[name]).exists()
    accepted.update(state=AttemptState.SENDING)
    assert not Attempt.objects.filter(conditions["attempts_gone_wrong"]).exists()


@pytest.mark.postgres
@pytest.mark.parametrize("state", NOT_ACCEPTED)
def test_on_postgresql_the_same_index_answers_once_there_are_many_rows(
    viewer: Client, project: Project, integration: Integration, clay: ClaySimulator, state: str
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("reads PostgreSQL's plan")
    go(project, push())
    others = [field.column for field in Attempt._meta.concrete_fields if not field.primary_key]
    columns = ", ".join(f'"{column}"' for column in others)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO integrations_attempt (id, {columns}) SELECT id || again, {columns} "
            "FROM integrations_attempt, generate_series(1, 3000) AS again"
        )
        # What is joined, too: earlier tests may have left PostgreSQL other figures of it.
        cursor.execute("ANALYZE integrations_attempt, integrations_webhook, integrations_integration")
    with CaptureQueriesContext(connection) as asked:
        viewer.get(f"{CONSOLE}/deliveries/?state={state}")
    (listing,) = [one["sql"] for one in asked if one["sql"].startswith('SELECT "integrations_attempt"')]

    plan = plan_of(listing)
    assert "attempts_not_accepted" in plan, plan
