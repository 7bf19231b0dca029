"""What chaos left behind: is every accepted start a row, once, or accounted for?"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from mobius.bench.chaos import Course, is_in_doubt, listed
from mobius.bench.stage import Stage

ENDED = ("completed", "failed", "cancelled")


@dataclass
class Verdict:
    course: Course
    rows: int = 0
    lost: list[str] = field(default_factory=list)  # a sentence each
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # whatever else must not be
    in_doubt: int = 0
    failed: int = 0

    @property
    def faults(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.stuck, *self.broken]

    def lines(self) -> list[str]:
        course = self.course
        return [
            f"started   {len(course.accepted)}  (of {course.sent} tried; {course.unanswered} got no answer)",
            f"rows      {self.rows}",
            f"lost      {len(self.lost)}",
            f"doubled   {len(self.doubled)}",
            f"in doubt  {self.in_doubt}",
            f"stuck     {len(self.stuck)}",
            f"failed    {self.failed}  (each with its reason)",
            f"kills     {course.kills}  (and {course.stops} by SIGTERM)",
        ]


def judge(stage: Stage, course: Course) -> Verdict:
    """Read everything over the API, and the rows from the simulator's log."""
    verdict = Verdict(course=course)
    rows = _rows_by_start(stage)
    runs = {run["id"]: run for run in listed(stage, "runs")}
    deliveries: dict[str, set[str]] = {}
    for delivery in listed(stage, "deliveries"):
        deliveries.setdefault(delivery["run_id"], set()).add(delivery["state"])
        verdict.in_doubt += delivery["state"] == "in_doubt"
    verdict.rows = rows.total()
    verdict.failed = sum(run["status"] == "failed" for run in runs.values())
    verdict.doubled = [f"the row of start {n} arrived {count} times" for n, count in rows.items() if count > 1]
    verdict.stuck = [
        f"the run {run_id} is {run['status']}, and nothing will wake it"
        for run_id, run in runs.items()
        if run["status"] not in ENDED and not is_in_doubt(stage, run_id)
    ]
    for n, run_id in course.accepted.items():
        if rows[n] == 0 and (fault := _unaccounted(runs.get(run_id), deliveries.get(run_id, set()))):
            verdict.lost.append(f"start {n}, run {run_id}: no row arrived, and {fault}")
    verdict.broken = _broken(stage, course)
    return verdict


def _rows_by_start(stage: Stage) -> Counter[int]:
    log = stage.arrivals.log
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(int(json.loads(line)["row"]["n"]) for line in lines)


def _unaccounted(run: dict[str, str] | None, attempts: set[str]) -> str:
    """Why the absence of a row is not explained. "" when it is."""
    if run is None:
        return "there is no such run"
    if "accepted" in attempts or run["status"] == "completed":
        return f"the run is {run['status']} as if it had"
    if run["status"] == "failed" and not run.get("error_type"):
        return "the run failed without a reason"
    return ""  # failed with a reason, or in doubt; what is neither is stuck


def _broken(stage: Stage, course: Course) -> list[str]:
    broken = [f"a repeated key made the further run {run_id}" for run_id in course.disagreeing]
    if course.unclean_stops:
        broken.append(f"{course.unclean_stops} of {course.stops} stops by SIGTERM did not exit with 0")
    states = Counter((one["integration_id"], one["state"]) for one in listed(stage, "deliveries"))
    for integration in listed(stage, "integrations"):
        usage, name = integration["usage"], integration["name"]
        counted = (states[integration["id"], "accepted"], states[integration["id"], "in_doubt"], 0)
        if (usage["used"], usage["possibly_used"], usage["in_flight"]) != counted:
            broken.append(f"the budget of {name} says {usage}, its deliveries say {counted}")
    if fault := stage.database_fault():
        broken.append(f"the database is damaged: {fault}")
    return broken
