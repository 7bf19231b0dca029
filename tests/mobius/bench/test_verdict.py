"""Chaos is judged by these rules: what counts as lost, doubled, stuck or broken, and what is accounted for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mobius.bench.chaos import Course
from mobius.bench.stage import Arrivals
from mobius.bench.verdict import Verdict, judge


class Told:
    """A stage that tells what a test says; only its answers matter to the verdict."""

    def __init__(self, folder: Path) -> None:
        self.arrivals = Arrivals(folder / "rows.jsonl")
        self.runs: list[dict[str, Any]] = []
        self.deliveries: list[dict[str, Any]] = []
        self.suspended_for: dict[str, str] = {}
        self.usage = {"used": 0, "possibly_used": 0, "in_flight": 0}
        self.damage = ""

    def run(self, run_id: str, status: str, attempt: str = "", error_type: str = "", waits: str = "") -> None:
        self.runs.append({"id": run_id, "status": status, "error_type": error_type})
        self.suspended_for[run_id] = waits
        if attempt:
            self.deliveries.append({"run_id": run_id, "state": attempt, "integration_id": "intg_1"})
            self.usage["used"] += attempt == "accepted"
            self.usage["possibly_used"] += attempt == "in_doubt"

    def rows(self, *numbers: int) -> None:
        self.arrivals.log.write_text("".join(json.dumps({"row": {"n": n}}) + "\n" for n in numbers))

    def call(self, _method: str, path: str) -> dict[str, Any]:
        kind = path.partition("?")[0].rpartition("/")[2]
        if kind == "steps":
            reason = self.suspended_for[path.split("/")[-2]]
            return {"items": [{"status": "suspended", "error_type": reason}]}
        integrations = [{"id": "intg_1", "name": "clay", "usage": self.usage}]
        items = {"runs": self.runs, "deliveries": self.deliveries, "integrations": integrations}[kind]
        return {"items": items, "has_more": False}

    def database_fault(self) -> str:
        return self.damage


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def verdict_on(told: Told, *accepted: str, **course: Any) -> Verdict:
    return judge(told, Course(accepted=dict(enumerate(accepted)), **course))  # type: ignore[arg-type]


def test_a_row_for_every_start_is_no_fault(told: Told) -> None:
    told.run("run_a", "completed", "accepted")
    told.run("run_b", "completed", "accepted")
    told.rows(0, 1)

    verdict = verdict_on(told, "run_a", "run_b")

    assert verdict.faults == []
    assert verdict.rows == 2


@pytest.mark.parametrize(
    ("status", "attempt", "error_type", "waits"),
    [
        ("failed", "refused", "delivery_refused", ""),
        ("failed", "in_doubt", "delivery_in_doubt", ""),
        ("suspended", "in_doubt", "", "delivery_in_doubt"),
    ],
)
def test_a_row_that_did_not_arrive_is_accounted_for_by_a_reason_or_a_doubt(
    told: Told, status: str, attempt: str, error_type: str, waits: str
) -> None:
    told.run("run_a", status, attempt, error_type, waits)

    assert verdict_on(told, "run_a").faults == []


@pytest.mark.parametrize(
    ("status", "attempt", "error_type"),
    [("completed", "accepted", ""), ("failed", "", ""), ("failed", "accepted", "wait_timed_out")],
)
def test_a_row_that_did_not_arrive_and_is_not_accounted_for_is_lost(
    told: Told, status: str, attempt: str, error_type: str
) -> None:
    told.run("run_a", status, attempt, error_type)

    assert len(verdict_on(told, "run_a").lost) == 1


def test_a_start_that_was_accepted_and_is_not_there_is_lost(told: Told) -> None:
    assert "no such run" in verdict_on(told, "run_a").lost[0]


def test_a_row_that_arrived_twice_is_doubled(told: Told) -> None:
    told.run("run_a", "completed", "accepted")
    told.rows(0, 0)

    assert len(verdict_on(told, "run_a").doubled) == 1


@pytest.mark.parametrize("status", ["queued", "running", "suspended"])
def test_a_run_that_has_not_ended_and_is_not_in_doubt_is_stuck(told: Told, status: str) -> None:
    told.run("run_a", status, waits="paced")

    assert len(verdict_on(told, "run_a").stuck) == 1


def test_a_wrong_count_a_second_run_an_unclean_stop_and_a_damaged_database_are_faults(told: Told) -> None:
    told.run("run_a", "completed", "accepted")
    told.rows(0)
    told.usage["in_flight"] = 1
    told.damage = "page 7"

    verdict = verdict_on(told, "run_a", disagreeing=["run_z"], stops=2, unclean_stops=1)

    assert len(verdict.broken) == 4
