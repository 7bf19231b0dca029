"""A bulk job outlives its console: killed in the middle and started again, it goes on and does nothing twice."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.processes.conftest import Console, wait_until

pytestmark = pytest.mark.processes
RUNS = 300
NEVER = {"id": "no", "kind": "check", "config": {"checks": [{"name": "never", "kind": "expr", "expr": "false"}]}}
START = (
    "from mobius.projects.models import Project; from mobius.projects.auditing import SYSTEM; "
    "from mobius import clock; from loops import bulk; from loops.models import BulkDeed; "
    "from loops.selecting import Selection; "
    "project = Project.objects.get(handle='bench'); "
    "bulk.start(project, BulkDeed.RETRY, Selection(), asked_at=clock.now(), reason='', by=SYSTEM)"
)


def read(console: Console, statement: str) -> list[Any]:
    with closing(sqlite3.connect(console.folder / "data" / "mobius.sqlite3")) as database:
        return database.execute(statement).fetchall()


def looked_at(console: Console) -> int:
    return int(read(console, "SELECT done + left_alone FROM loops_bulkjob")[0][0])


def test_kill_9_in_the_middle_of_a_bulk_retry_leaves_no_run_out_and_retries_none_twice(console: Console) -> None:
    console.call("POST", f"{console.root}/loops", {"name": "never", "steps": [NEVER]})
    for _ in range(RUNS):
        console.call("POST", f"{console.root}/loops/never/runs", {"event": {}})
    wait_until(lambda: set(console.runs().values()) == {"failed"}, seconds=60)
    console.django(START)

    for share in (0.1, 0.4, 0.7):
        wait_until(lambda share=share: looked_at(console) >= share * RUNS, seconds=60)  # type: ignore[misc]
        console.kill_console()
        assert looked_at(console) < RUNS, "the kill was to come in the middle"
        console.start_console()

    wait_until(lambda: read(console, "SELECT state FROM loops_bulkjob") == [("completed",)], seconds=60)
    assert read(console, "SELECT total, done, left_alone FROM loops_bulkjob") == [(RUNS, RUNS, 0)]
    wait_until(lambda: set(console.runs().values()) == {"failed"}, seconds=60)
    assert read(console, "SELECT attempt, COUNT(*) FROM loops_run GROUP BY attempt") == [(2, RUNS)]
    retries = "SELECT COUNT(*), COUNT(DISTINCT object_id) FROM projects_auditevent WHERE action = 'run.retry'"
    assert read(console, retries) == [(RUNS, RUNS)]
    assert console.database_fault() == ""
