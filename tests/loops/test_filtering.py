"""The lists of runs, deliveries and callbacks: their filters in the address, what they count, and what is new."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from integrations.connecting import pause
from integrations.models import Attempt, AttemptState, Integration
from integrations.providers.clay.simulator import ClaySimulator
from loops import selecting
from loops.callbacks import receive_by_request_id
from loops.console import filtering
from loops.models import Run, RunStatus
from loops.selecting import Selection
from mobius.ids import first_id
from mobius.projects.models import Project
from tests.loops.flow import LOST, NAP, begin, go, loop_of, push

pytestmark = pytest.mark.django_db
RUNS = "/projects/platform/operate/runs/"
DELIVERIES = "/projects/platform/operate/deliveries/"
CALLBACKS = "/projects/platform/operate/callbacks/"
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def viewer(client: Client, vera: User) -> Client:
    client.force_login(vera)
    return client


def text(response: Any) -> str:
    return str(response.content.decode())


def pills(response: Any) -> dict[str, str]:
    return {pill.word: pill.count for pill in response.context["pills"]}


def listed(response: Any) -> list[str]:
    return [one.pk for one in response.context["page"].items]


def run_of(project: Project, moment: datetime, status: RunStatus = RunStatus.COMPLETED) -> Run:
    """A run that has the id of one that was started at `moment`."""
    run = begin(loop_of(project, NAP))
    old, new = run.pk, first_id("run", moment)
    Run.objects.filter(pk=old).delete()
    run.pk, run.status = new, status
    run.save(force_insert=True)
    return run


def test_days_are_of_utc_and_both_belong_to_the_range(viewer: Client, project: Project) -> None:
    before = run_of(project, MONDAY - timedelta(milliseconds=1))
    first = run_of(project, MONDAY)
    last = run_of(project, MONDAY + timedelta(days=2) - timedelta(milliseconds=1))
    after = run_of(project, MONDAY + timedelta(days=2))

    assert listed(viewer.get(RUNS, {"from": "2026-03-02", "to": "2026-03-03"})) == [last.pk, first.pk]
    assert listed(viewer.get(RUNS, {"from": "2026-03-02"})) == [after.pk, last.pk, first.pk]
    assert listed(viewer.get(RUNS, {"to": "2026-03-01"})) == [before.pk]


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "0001-01-01", "9999-12-31", "2026-03-02T10:00"])
@pytest.mark.parametrize("address", [RUNS, DELIVERIES, CALLBACKS])
def test_a_day_that_is_none_is_refused_with_how_to_write_one(
    viewer: Client, project: Project, address: str, day: str
) -> None:
    answer = viewer.get(address, {"from": day})

    assert answer.status_code == 422
    assert "like 2026-11-28" in text(answer)


@pytest.mark.parametrize("address", [f"{RUNS}?status=lost", f"{DELIVERIES}?state=lost"])
def test_a_state_that_there_is_not_is_named_above_the_list(viewer: Client, project: Project, address: str) -> None:
    answer = viewer.get(address)

    assert answer.status_code == 422
    assert re.search("There is no (status|state) “lost”", text(answer))
    assert "The list below does without it." in text(answer)


def test_each_status_says_how_many_it_has_among_what_the_other_filters_leave(viewer: Client, project: Project) -> None:
    run_of(project, MONDAY, RunStatus.FAILED)
    run_of(project, MONDAY + timedelta(hours=1), RunStatus.FAILED)
    tuesday = run_of(project, MONDAY + timedelta(days=1))

    page = viewer.get(RUNS, {"status": "failed"})
    assert (pills(page)["Failed"], pills(page)["Completed"], pills(page)["Queued"]) == ("2", "1", "0")
    assert len(listed(page)) == 2
    assert pills(viewer.get(RUNS, {"from": "2026-03-03"}))["Failed"] == "0"
    assert pills(viewer.get(RUNS, {"loop": tuesday.loop_id}))["Completed"] == "1"


def test_what_is_many_is_not_counted_to_its_end(
    viewer: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filtering, "COUNTED_AT_MOST", 2)
    for hour in range(4):
        run_of(project, MONDAY + timedelta(hours=hour))

    assert pills(viewer.get(RUNS))["Completed"] == "2+"


def test_a_filter_can_be_taken_away_and_the_others_stay(viewer: Client, project: Project) -> None:
    run = run_of(project, MONDAY)
    page = viewer.get(RUNS, {"status": "completed", "loop": run.loop_id, "from": "2026-03-02", "q": "nothing"})

    chips = {chip.word: (chip.value, chip.address) for chip in page.context["chips"]}
    assert chips["Loop"] == (run.loop.name, "?status=completed&from=2026-03-02&q=nothing")
    assert chips["From"] == ("2026-03-02", f"?status=completed&loop={run.loop_id}&q=nothing")
    assert listed(viewer.get(RUNS + chips["Search"][1])) == [run.pk]
    assert not re.search(r'<ul class="chips"', text(viewer.get(RUNS)))


@pytest.fixture
def attempt(project: Project, integration: Integration, clay: ClaySimulator) -> Attempt:
    row = {"payload": {"email": "a@b.c"}, "request_id": "req-1", "external_id": "ext-1"}
    clay.next_answers(LOST)
    go(project, push(row=row))
    return Attempt.objects.get()


@pytest.mark.parametrize("known_as", ["request_id", "external_id"])
def test_a_run_is_found_by_what_its_row_is_known_as(viewer: Client, attempt: Attempt, known_as: str) -> None:
    assert listed(viewer.get(RUNS, {"q": getattr(attempt, known_as)})) == [attempt.run_id]


def test_deliveries_are_filtered_by_integration_state_and_day(
    viewer: Client, attempt: Attempt, integration: Integration
) -> None:
    today = attempt.created_at.date().isoformat()
    assert listed(viewer.get(DELIVERIES, {"integration": integration.pk, "state": "in_doubt"})) == [attempt.pk]
    assert listed(viewer.get(DELIVERIES, {"from": today, "to": today})) == [attempt.pk]
    assert listed(viewer.get(DELIVERIES, {"integration": "intg_another"})) == []
    assert listed(viewer.get(DELIVERIES, {"to": "2020-01-01"})) == []
    page = viewer.get(DELIVERIES, {"integration": integration.pk})
    assert (pills(page)["In doubt"], pills(page)["Accepted"]) == ("1", "0")
    assert page.context["chips"][0].value == integration.name


@pytest.fixture(params=[1_000, 0], ids=["few", "many"])
def _through(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows went through an integration, and more than can be named."""
    monkeypatch.setattr(selecting, "_FOUND_AT_MOST", request.param)


@pytest.mark.usefixtures("_through")
def test_runs_are_filtered_by_the_integration_that_their_rows_went_through(
    viewer: Client, project: Project, attempt: Attempt, integration: Integration
) -> None:
    without_a_row = run_of(project, MONDAY)

    page = viewer.get(RUNS, {"integration": integration.pk})

    assert listed(page) == [attempt.run_id]
    assert pills(page)["Completed"] == "0"
    (chip,) = page.context["chips"]
    assert (chip.word, chip.value) == ("Integration", integration.name)
    assert listed(viewer.get(RUNS + chip.address)) == [attempt.run_id, without_a_row.pk]
    assert listed(viewer.get(RUNS, {"integration": "intg_another"})) == []


@pytest.mark.usefixtures("_through")
def test_a_run_whose_row_waits_at_an_integration_is_among_its_runs(
    viewer: Client, project: Project, integration: Integration
) -> None:
    pause(integration)
    run = go(project, push())

    assert listed(viewer.get(RUNS, {"integration": integration.pk})) == [run.pk]


@pytest.mark.usefixtures("_through")
def test_callbacks_are_filtered_by_integration_state_and_day(
    viewer: Client, project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, push())
    callback = receive_by_request_id(project, {"request_id": run.pk}).callback
    today = callback.received_at.date().isoformat()

    def found(**query: str) -> list[str]:
        return listed(viewer.get(CALLBACKS, query))

    assert found(integration=integration.pk, state="late", **{"from": today, "to": today}) == [callback.pk]
    assert found(integration="intg_another") == found(to="2020-01-01") == found(state="used") == []
    page = viewer.get(CALLBACKS, {"integration": integration.pk, "from": today})
    assert [chip.value for chip in page.context["chips"]] == [integration.name, today]
    assert viewer.get(CALLBACKS, {"state": "lost"}).status_code == 422
    its_own = f"/projects/platform/govern/integrations/{integration.pk}/callbacks/"
    assert listed(viewer.get(its_own, {"state": "late", "from": today})) == [callback.pk]
    assert listed(viewer.get(its_own, {"to": "2020-01-01"})) == []


def test_what_is_picked_is_what_is_listed_and_counted(
    viewer: Client, attempt: Attempt, project: Project, clay: ClaySimulator
) -> None:
    clay.next_answers(LOST)
    go(project, push(row={"payload": {}, "request_id": "req-2"}))
    receive_by_request_id(project, {"request_id": "req-1"})
    Attempt.objects.update(state=AttemptState.IN_DOUBT)

    found = viewer.get(DELIVERIES, {"id": attempt.pk})

    assert listed(found) == [attempt.pk]
    assert pills(found)["In doubt"] == "1"
    assert listed(viewer.get(RUNS, {"id": attempt.run_id})) == [attempt.run_id]
    assert listed(viewer.get(CALLBACKS)) != []
    assert listed(viewer.get(CALLBACKS, {"id": "cbk_another"})) == []


def test_the_deliveries_of_an_integration_keep_to_it_and_need_not_say_so(
    viewer: Client, attempt: Attempt, integration: Integration
) -> None:
    page = viewer.get(f"/projects/platform/govern/integrations/{integration.pk}/deliveries/")

    assert pills(page)["In doubt"] == "1"
    assert 'href="?state=in_doubt"' in text(page)
    assert page.context["chips"] == []


def test_the_list_says_how_many_are_newer_than_what_it_shows(viewer: Client, attempt: Attempt) -> None:
    page = text(viewer.get(RUNS))
    news = re.search(r'hx-get="([^"]+)"', page)
    assert news is not None
    address = news[1].replace("&amp;", "&")
    assert text(viewer.get(address)).strip() == ""

    run = Run.objects.get()
    begin(run.loop)
    begin(run.loop)

    assert "2 new" in text(viewer.get(address))
    assert "new" not in text(viewer.get(f"{address}&status=failed"))
    older = viewer.get(RUNS, {"cursor": "cnVuXzE"})
    assert "new/live/" not in text(older)


def test_an_empty_list_too_says_what_is_new(viewer: Client, project: Project) -> None:
    news = re.search(r'hx-get="([^"]+)"', text(viewer.get(RUNS)))
    begin(loop_of(project, NAP))

    assert news is not None
    assert "1 new" in text(viewer.get(news[1].replace("&amp;", "&")))


@pytest.mark.parametrize("address", [RUNS, DELIVERIES, CALLBACKS])
def test_a_filtered_page_asks_few_questions(viewer: Client, attempt: Attempt, address: str) -> None:
    asked_for = {"integration": "intg_another", "status": "failed", "state": "in_doubt", "q": "req-1"}
    asked_for |= {"from": "2026-01-01", "to": "2099-01-01"}
    with CaptureQueriesContext(connection) as asked:
        viewer.get(address, asked_for)

    assert len(asked) <= 12


def test_whether_a_run_went_through_an_integration_is_answered_by_the_index_of_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plan")
    monkeypatch.setattr(selecting, "found_ids", lambda *_: ["too", "many"])
    monkeypatch.setattr(selecting, "_FOUND_AT_MOST", 1)
    for found in (
        selecting.runs_selected(project, Selection(through="intg_1")),
        selecting.callbacks_selected(project, Selection(of="intg_1")),
    ):
        plan = found.order_by("-pk").explain()
        assert re.search(r"integrations_attempt_run_id", plan), plan
        assert "TEMP B-TREE" not in plan


def plan_of(sql: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        return str(cursor.fetchall())


def test_the_counts_are_answered_by_indexes(project: Project, viewer: Client) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plan")
    for address in (RUNS, DELIVERIES):
        with CaptureQueriesContext(connection) as asked:
            viewer.get(address, {"from": "2026-01-01"})
        (counting,) = [query["sql"] for query in asked if "COUNT(" in query["sql"]]
        plan = plan_of(counting)
        assert re.findall(r"INDEX (runs_by_status|attempts_not_accepted)", plan), plan
        assert not re.search(r"SCAN (loops_run|integrations_attempt)\b", plan), plan


@pytest.mark.parametrize("address", [RUNS, DELIVERIES, CALLBACKS])
def test_a_search_is_answered_by_the_index_of_what_is_looked_for(viewer: Client, address: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plan")
    with CaptureQueriesContext(connection) as asked:
        viewer.get(address, {"q": "nothing"})
    (look_up,) = [query["sql"] for query in asked if "UNION ALL" in query["sql"]]
    plan = plan_of(look_up)
    assert "by_project" not in plan, plan


def test_states_of_rows_are_all_there(viewer: Client, attempt: Attempt) -> None:
    assert set(pills(viewer.get(DELIVERIES))) == {"All", *AttemptState.labels}
