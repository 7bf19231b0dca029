"""`mobius bench pacing`: a backlog at Clay's pace, what else goes on meanwhile, and how fast a pacer decides."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mobius.bench.figures import Figure, shown
from mobius.bench.load import Outcome, closed_loop, counted, drive
from mobius.bench.run_start import LOOP, start_requests
from mobius.bench.stage import PROJECT, Stage, StageBroken, ask

PACED = "paced"
BURST = 18
PATIENCE_SECONDS = 10.0  # without a further row before the rest is given up


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to measure."""

    rows: int = 1000  # the backlog at Clay's pace
    unpaced: int = 100  # integrations beside the paced one
    seconds: float = 10.0  # of each load on them
    connections: int = 16


class PacingBench:
    """The measurements on one stage: `strict` needs a Clay that keeps its limit, `free` one without."""

    def __init__(self, stage: Stage, plan: Plan, say: Callable[[str], None]) -> None:
        self.stage, self.plan, self.say = stage, plan, say

    def strict(self) -> Iterator[Figure]:
        """All rows at once to a Clay that answers 429 to whatever comes too fast."""
        stage, rows = self.stage, self.plan.rows
        self.say(f"backlog: {rows} starts at once, about {rows / 9.9:.0f} s")
        prepare(stage)
        connect(stage, PACED)
        make_loop(stage)
        before = stage.tree.cpu_seconds()
        started = load(stage, "backlog", PACED, rows=rows, connections=self.plan.connections)
        moments = sorted(self.rows(stage, "backlog", started.accepted).values())
        after = stage.tree.cpu_seconds()
        statuses = json.loads(ask(stage.simulator_port, "GET", "/stats")[1])["by_status"]
        seconds = moments[-1] - moments[0]
        cpu = None if before is None or after is None else (after - before) * 1000 / len(moments)
        paced = moments[BURST - 1 :]
        yield Figure("answers 429", str(statuses.get("429", 0)), "0", "0")
        yield Figure("rows that never came", str(started.accepted - len(moments)), "0", "0")
        yield Figure("rows a second, from the first to the last", shown(len(moments) / seconds, digits=2), "9.6", "9.9")
        yield Figure("rows a second after the burst", shown((len(paced) - 1) / (paced[-1] - paced[0]), digits=2), "9.6")
        yield Figure("longest gap between two rows", shown(longest_gap(paced) * 1000, "ms", 0))
        yield Figure("rows that came twice", str(stage.arrivals.duplicates), "0", "0")
        yield Figure("CPU a row, with its waiting", shown(cpu, "ms", 2))

    def free(self) -> Iterator[Figure]:
        """Load on many unpaced integrations, without and with a paced one that has a backlog."""
        stage, plan = self.stage, self.plan
        self.say(f"{plan.unpaced} unpaced integrations, {plan.seconds:g} s alone and {plan.seconds:g} s beside")
        prepare(stage)
        connect(stage, PACED, workspace="acme")
        unpaced = [f"unpaced{number}" for number in range(plan.unpaced)]
        for name in unpaced:
            connect(stage, name, workspace="free", rate_per_second="unlimited", submission_limit="unlimited")
        make_loop(stage)
        load(stage, "warm-up", *unpaced, rows=100, connections=4)
        self.rows(stage, "warm-up", 100)
        alone = self.completed_a_second(stage, "alone", unpaced)
        load(stage, "waiting", PACED, rows=plan.rows, connections=plan.connections)
        beside = self.completed_a_second(stage, "beside", unpaced)
        yield Figure("unpaced rows a second, alone", shown(alone))
        yield Figure("unpaced rows a second, beside a paced backlog", shown(beside))
        yield Figure("beside / alone", shown(beside / alone if alone else None, digits=2), "0.80", "1.00")
        yield Figure("pacing decisions a second", shown(self.decisions(), digits=0), "1,000")

    def completed_a_second(self, stage: Stage, phase: str, integrations: list[str]) -> float:
        plan = self.plan
        requests = spread(stage, phase, integrations)
        outcome = drive(("127.0.0.1", stage.port), requests, closed_loop(plan.seconds), connections=plan.connections)
        moments = self.rows(stage, phase, outcome.accepted).values()
        return len(moments) / (max(moments) - outcome.began_at) if moments else 0.0

    def rows(self, stage: Stage, phase: str, expected: int) -> dict[str, float]:
        """When the rows of `phase` arrived, by request_id; waits for `expected`, as long as they keep coming."""
        count, last_progress = 0, time.monotonic()
        while time.monotonic() - last_progress < PATIENCE_SECONDS:
            stage.arrivals.read()
            found = {key: at for key, at in stage.arrivals.at.items() if key.startswith(f"{phase}-")}
            if len(found) >= expected:
                return found
            if len(found) > count:
                count, last_progress = len(found), time.monotonic()
            time.sleep(0.1)
        if not found:
            raise StageBroken(f"{phase}: not one of {expected} rows came")
        self.say(f"{phase}: only {count} of {expected} rows came")
        return found

    def decisions(self) -> float:
        """Slots granted a second by one pacer, on the stage's database."""
        self.say("pacing decisions: 3 s")
        return float(self.stage.mobius("bench", "decisions", "--seconds", "3"))


def prepare(stage: Stage) -> None:
    stage.mobius("project", "create", PROJECT)
    stage.key = stage.mobius("key", "create", "--project", PROJECT, "--name", "bench", "--role", "admin")


def connect(stage: Stage, name: str, **options: Any) -> None:
    wanted = {"webhook_url": stage.webhook_url.replace("demo", name), "name": name} | options
    stage.call("POST", f"/v1/projects/{PROJECT}/integrations/providers/clay/connect", wanted)


def make_loop(stage: Stage) -> None:
    """The loop of `run-start`, with the integration chosen by the event."""
    step = LOOP["steps"][0]
    parameters = {**step["config"]["parameters"], "integration": "${{ event.integration }}"}
    config = {**step["config"], "parameters": parameters}
    stage.call("POST", f"/v1/projects/{PROJECT}/loops", {**LOOP, "name": "push", "steps": [{**step, "config": config}]})


def spread(stage: Stage, phase: str, integrations: list[str]) -> Callable[[int], bytes]:
    """The bytes of the n-th start of `phase`; one integration after the other."""
    each = [start_requests(stage.port, stage.key, "push", phase, integration=name) for name in integrations]
    return lambda n: each[n % len(each)](n)


def load(stage: Stage, phase: str, *integrations: str, rows: int, connections: int) -> Outcome:
    """Start so many runs at once. Raises StageBroken unless all are accepted."""
    requests = spread(stage, phase, list(integrations))
    outcome = drive(("127.0.0.1", stage.port), requests, counted(rows), connections=connections)
    if outcome.accepted < rows:
        raise StageBroken(f"{phase}: starts that were not accepted, by status (0: no answer): {outcome.refused}")
    return outcome


def longest_gap(moments: list[float]) -> float:
    return max(later - earlier for earlier, later in itertools.pairwise(moments))


def decide(seconds: float) -> float:
    """Slots granted a second by one pacer to as many threads as the pool has, committed together as runs are."""
    from django.conf import settings
    from django.db import connections

    from integrations.models import Pacer
    from integrations.pacing import Pace, take_slot
    from mobius.engine.crowd import together
    from mobius.projects.models import Project

    pace = Pace(rate_per_second=1e6, burst=1000)
    project = Project.objects.order_by("pk")[0]
    pacer = Pacer.objects.create(project=project, label="bench decisions", rate_per_second=1e6, burst=1000)
    granted: list[int] = []
    began = time.perf_counter()

    def ask_for_slots() -> None:
        mine = 0
        while time.perf_counter() - began < seconds:
            mine += together(lambda: take_slot(pacer.pk, pace, now=time.time()), working=True)
        granted.append(mine)
        connections.close_all()

    threads = [threading.Thread(target=ask_for_slots) for _ in range(settings.MOBIUS_WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(granted) / (time.perf_counter() - began)
