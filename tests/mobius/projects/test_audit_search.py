"""Looking something up in the audit, on the page and over the API, and saving it as a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from mobius.projects import audit_export, auditing
from mobius.projects.auditing import SYSTEM, person
from mobius.projects.models import AuditEvent, Project
from mobius.projects.roles import Role
from tests.cast import Api

pytestmark = pytest.mark.django_db
PAGE = "/projects/platform/govern/audit/"
API = "/v1/projects/platform/audit"


def record(project: Project, action: str, day: int, **more: Any) -> None:
    """One line of November 2026, at noon."""
    with time_machine.travel(datetime(2026, 11, day, 12, tzinfo=UTC), tick=False):
        given = {"by": SYSTEM, "kind": "run", "id": f"run_{day}"} | more
        by = given.pop("by")
        auditing.record(by, action, project_id=project.pk, **given)


@pytest.fixture
def lines(project: Project, alice: User) -> list[str]:
    """Four lines, oldest first: their actions with the day."""
    record(project, "run.cancel", 1, by=person(alice, ip="192.0.2.1"), name="push-leads", reason="enough")
    record(project, "run.retry", 2, by=person(alice))
    record(project, "loop.pause", 3, kind="loop", id="loop_1", name="push-leads")
    record(project, "runner.odd", 4, changed=["name", "description"])
    return ["run.cancel", "run.retry", "loop.pause", "runner.odd"]


FOUND = [
    ("", [0, 1, 2, 3]),
    ("actor=alice", [0, 1]),
    ("actor=Mobius console", [2, 3]),
    ("actor=ali", []),
    ("action=run.cancel", [0]),
    ("action=run", [0, 1]),
    ("action=run.", []),
    ("object=push-leads", [0, 2]),
    ("object=run_2", [1]),
    ("since=2026-11-02", [1, 2, 3]),
    ("until=2026-11-02", [0, 1]),
    ("since=2026-11-02&until=2026-11-03", [1, 2]),
    ("since=2026-11-03&until=2026-11-02", []),
    ("until=9999-12-31", [0, 1, 2, 3]),
    ("since=0001-01-01", [0, 1, 2, 3]),
    ("actor=alice&action=run&object=push-leads&since=2026-11-01&until=2026-11-01", [0]),
]


@pytest.mark.parametrize(("query", "wanted"), FOUND)
def test_page_api_and_files_find_the_same(
    api: Api, client: Client, vera: User, lines: list[str], query: str, wanted: list[int]
) -> None:
    client.force_login(vera)
    actions = [lines[index] for index in wanted]

    def of_ours(found: list[str]) -> list[str]:
        return [action for action in found if action in lines]

    items = api.get(f"{API}?limit=100&{query}").json()["items"]
    on_page = [event.action for event in client.get(f"{PAGE}?limit=100&{query}").context["page"].items]
    saved = [json.loads(line)["action"] for line in read(client.get(f"{PAGE}export.jsonl?{query}")).splitlines()]
    table = list(csv.DictReader(io.StringIO(read(api.get(f"{API}/export.csv?{query}")))))

    assert of_ours([item["action"] for item in items]) == actions[::-1]
    assert of_ours(on_page) == actions[::-1]
    assert of_ours(saved) == actions
    assert of_ours([row["action"] for row in table]) == actions


def read(response: Any) -> str:
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode()


@pytest.mark.parametrize(
    "query", ["since=yesterday", "until=2026-13-01", "actor=" + "x" * 201, "action=a%00b", "since=2026-11-02T00:00:00Z"]
)
def test_a_search_that_makes_no_sense_is_explained(
    api: Api, client: Client, vera: User, lines: list[str], query: str
) -> None:
    client.force_login(vera)

    for address in (API, f"{API}/export.csv"):
        answer = api.get(f"{address}?{query}")
        assert answer.status_code == 400
        assert "error" in answer.json()
    page = client.get(f"{PAGE}?{query}")
    assert page.status_code == 422
    assert "Please check what you entered" in page.content.decode()
    assert client.get(f"{PAGE}export.csv?{query}").status_code == 400


def test_the_page_keeps_the_search_in_its_links(client: Client, vera: User, lines: list[str]) -> None:
    client.force_login(vera)

    shown = client.get(f"{PAGE}?action=run&limit=1").content.decode()

    assert "export.csv?action=run&amp;limit=1" in shown
    assert "action=run&amp;limit=1&amp;cursor=" in shown
    assert 'value="run"' in shown
    assert "Nothing fits" in client.get(f"{PAGE}?actor=nobody").content.decode()


# --- files ---


def test_a_file_is_saved_under_the_project_s_name_and_stays_in_no_cache(
    api: Api, client: Client, vera: User, lines: list[str]
) -> None:
    client.force_login(vera)
    for answer in (client.get(f"{PAGE}export.csv"), api.get(f"{API}/export.csv")):
        assert answer.headers["Content-Disposition"] == 'attachment; filename="audit-platform.csv"'
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        answer.close()


def test_a_line_of_the_table_has_every_column(api: Api, lines: list[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(read(api.get(f"{API}/export.csv?action=run.cancel")))))

    assert rows == [
        {
            "id": AuditEvent.objects.get(action="run.cancel").pk,
            "created_at": "2026-11-01T12:00:00.000000Z",
            "actor_kind": "user",
            "actor_id": "alice",
            "actor_name": "alice",
            "ip": "192.0.2.1",
            "action": "run.cancel",
            "object_kind": "run",
            "object_id": "run_1",
            "object_name": "push-leads",
            "changed": "",
            "reason": "enough",
        }
    ]


def test_json_lines_are_what_the_list_shows(api: Api, lines: list[str]) -> None:
    listed = api.get(f"{API}?limit=100").json()["items"]
    saved = [json.loads(line) for line in read(api.get(f"{API}/export.jsonl")).splitlines()]

    assert saved == listed[::-1]


EVIL = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", '=HYPERLINK("http://evil.example")']


@pytest.mark.parametrize("text", EVIL)
def test_no_cell_is_a_formula(api: Api, project: Project, text: str) -> None:
    auditing.record(
        replace(SYSTEM, name=text), "x.y", project_id=project.pk, kind="k", id="i", name=text, reason=f'{text}", "b\nc'
    )

    row = next(
        iter(
            csv.DictReader(
                io.StringIO(
                    read(
                        api.get(f"{API}/export.csv?action=x.y"),
                    ),
                    newline="",
                )
            )
        )
    )

    for column in ("actor_name", "object_name", "reason"):
        assert row[column].startswith("'"), column
    assert row["reason"] == f'\'{text}", "b\nc'
    assert json.loads(read(api.get(f"{API}/export.jsonl?action=x.y")))["actor"]["name"] == text


def test_harmless_texts_stay_as_they_are() -> None:
    for text in ("", "alice", "a=1", "1-2", "{'a'}", "Ünï ☃", "x\ny"):
        assert audit_export.harmless(text) == text


def test_a_large_file_is_read_in_batches_and_no_further_than_somebody_takes_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_export, "BATCH", 10)
    for number in range(35):
        auditing.record(SYSTEM, "x.y", project_id=project.pk, kind="k", id=str(number))
    events = AuditEvent.objects.of_project(project)

    with CaptureQueriesContext(connection) as captured:
        parts = iter(audit_export.export(events, format="jsonl", name="x").streaming_content)
        first = next(parts)
        assert first.count(b"\n") == 10  # type: ignore[union-attr]
        assert len(captured) == 2  # where it ends, and the first batch
        auditing.record(SYSTEM, "x.y", project_id=project.pk, kind="k", id="too late")
        rest = b"".join(parts)  # type: ignore[arg-type]

    assert rest.count(b"\n") == 25
    assert b"too late" not in rest


def test_an_unknown_kind_of_file_is_not_found(api: Api, client: Client, vera: User) -> None:
    client.force_login(vera)

    assert api.get(f"{API}/export.pdf").status_code == 404
    assert client.get(f"{PAGE}export.pdf").status_code == 404


def test_files_are_not_for_strangers(
    client: Client,
    stranger_api: Api,
    api_as: Callable[[Role], Api],
    charlie: User,
    lines: list[str],
) -> None:
    for kind in ("csv", "jsonl"):
        assert client.get(f"{PAGE}export.{kind}").status_code == 302
        assert client.get(f"{API}/export.{kind}").status_code == 401
        assert stranger_api.get(f"{API}/export.{kind}").status_code == 404
        assert api_as(Role.RUN).get(f"{API}/export.{kind}").status_code == 403
        assert "run.cancel" not in read(stranger_api.get(f"/v1/projects/elsewhere/audit/export.{kind}"))
    client.force_login(charlie)
    assert client.get(f"{PAGE}export.csv").status_code == 404


def test_what_concerns_the_whole_console_is_in_no_project_s_audit(api: Api, project: Project) -> None:
    auditing.record(SYSTEM, "user.create", project_id=None, kind="user", id="dora")

    assert "user.create" not in str(api.get(f"{API}?limit=100").json())
    assert AuditEvent.objects.get(action="user.create").project_id is None
