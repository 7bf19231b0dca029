"""GET /v1/projects/{project}/deliveries: what became of every row."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrations.models import Attempt
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops.models import Loop
from loops.starting import Start, start_run
from tests.cast import Api, work_off


@pytest.fixture
def two_rows(push_leads: Loop, integration: object, clay: ClaySimulator) -> list[str]:
    """An accepted row and a refused one, by run."""
    clay.next_answers(Behaviour(), Behaviour(fail=404))
    runs = []
    for email in ("ada@example.com", "bob@example.com"):
        start = Start(event={"email": email}, meta={}, config={}, source={})
        runs.append(start_run(loop=push_leads, start=start).run.pk)
        work_off()
    return runs


def test_rows_are_listed_newest_first_without_their_bodies(api: Api, two_rows: list[str]) -> None:
    items = api.get(f"{api.root}/deliveries").json()["items"]

    assert [(item["run_id"], item["state"], item["status_code"]) for item in items] == [
        (two_rows[1], "refused", 404),
        (two_rows[0], "accepted", 200),
    ]
    assert "body" not in items[0]
    assert "There is no webhook at this URL" in items[0]["error_message"]


@pytest.mark.parametrize(("name", "value"), [("state", "accepted"), ("run_id", None), ("request_id", None)])
def test_rows_are_found_by_state_run_and_request_id(api: Api, two_rows: list[str], name: str, value: str) -> None:
    items = api.get(f"{api.root}/deliveries", {name: value or two_rows[0]}).json()["items"]

    assert [item["run_id"] for item in items] == [two_rows[0]]


def test_one_row_shows_what_was_sent_and_answered(api: Api, two_rows: list[str]) -> None:
    attempt = Attempt.objects.get(run_id=two_rows[0])
    shown = api.get(f"{api.root}/deliveries/{attempt.pk}").json()

    assert "ada@example.com" in shown["body"]
    assert shown["response"] == '{"success": true}'


def test_an_unknown_state_is_refused_with_the_choices(api: Api) -> None:
    answer = api.get(f"{api.root}/deliveries", {"state": "lost"})

    assert answer.status_code == 400
    assert "accepted" in answer.json()["error"]["details"]["fields"]["state"][0]


def test_strangers_find_nothing(api: Api, stranger_api: Api, two_rows: list[str]) -> None:
    attempt = Attempt.objects.get(run_id=two_rows[0])

    assert stranger_api.get(f"{api.root}/deliveries").status_code == 404
    assert stranger_api.get(f"{stranger_api.root}/deliveries/{attempt.pk}").status_code == 404


@pytest.mark.parametrize("name", ["request_id", "external_id"])
def test_looking_for_an_id_reads_its_index_only(api: Api, name: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plan")
    with CaptureQueriesContext(connection) as asked:
        api.get(f"{api.root}/deliveries", {name: "wanted"})
    (search,) = [one["sql"] for one in asked.captured_queries if "wanted" in one["sql"]]

    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {search}")
        plan = str(cursor.fetchall())

    assert f"attempts_by_{name}" in plan
