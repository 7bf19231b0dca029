"""`mobius bench run-start`: how fast a started run becomes a row at the (simulated) Clay, and what that costs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mobius.bench.figures import Figure, milliseconds, shown
from mobius.bench.load import Outcome, Schedule, closed_loop, counted, drive, paced
from mobius.bench.stage import PROJECT, Stage, StageBroken

PATIENCE_SECONDS = 10.0  # without a further row before the rest is given up
MIB = 1024 * 1024
LOOP: dict[str, Any] = {
    "name": "Push leads",
    "schema_version": "1",
    "steps": [
        {
            "id": "push",
            "kind": "action",
            "retry": {"max_attempts": 1},
            "config": {
                "action_name": "clay.webhook.submit",
                "parameters": {"payload": {"email": "${{ event.email }}"}, "request_id": "${{ event.request_id }}"},
            },
        }
    ],
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to measure."""

    seconds: float = 10.0  # of each timed phase
    connections: int = 16
    rate: float = 20.0  # starts a second, for the latencies
    backlog: int = 1000  # runs


def start_requests(port: int, key: str, loop: str, phase: str, *, integration: str = "") -> Callable[[int], bytes]:
    """The bytes of the n-th start of `phase`; its row carries the request_id `<phase>-<n in 8 digits>`.

    The event names `integration`, for a loop that asks for it.
    """
    event = {"email": "lead.00000000@example.com", "request_id": f"{phase}-00000000"}
    event |= {"integration": integration} if integration else {}
    body = json.dumps({"event": event}).encode()
    head = (
        f"POST /v1/projects/{PROJECT}/loops/{loop}/runs HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    parts = body.split(b"00000000")
    return lambda n: head + (b"%08d" % n).join(parts)


class RunStart:
    """The measurements, each on the same console and in the order in which they stand here."""

    def __init__(self, stage: Stage, plan: Plan, say: Callable[[str], None]) -> None:
        self.stage = stage
        self.plan = plan
        self.say = say

    def figures(self) -> Iterator[Figure]:
        self.prepare()
        yield from self.idle()
        yield from self.throughput()
        yield from self.latency()
        yield from self.backlog()
        yield self.memory("memory after load")
        yield from self.second_start()
        yield Figure("rows that came twice", str(self.stage.arrivals.duplicates), "0", "0")

    def prepare(self) -> None:
        """A project, a key, a connected and unpaced Clay, a loop, and a console that is warm."""
        stage = self.stage
        stage.mobius("project", "create", PROJECT)
        stage.key = stage.mobius("key", "create", "--project", PROJECT, "--name", "bench", "--role", "admin")
        connection = {
            "webhook_url": stage.webhook_url,
            "workspace": "unpaced-sim",
            "submission_limit": "unlimited",
            "rate_per_second": "unlimited",
        }
        connected = stage.call("POST", f"/v1/projects/{PROJECT}/integrations/providers/clay/connect", connection)
        self.integration = connected["integration"]["id"]
        self.loop = stage.call("POST", f"/v1/projects/{PROJECT}/loops", LOOP)["id"]
        self.load("warm-up", counted(50), connections=4)
        self.rows("warm-up", 50)

    def load(self, phase: str, schedule: Schedule, *, connections: int) -> Outcome:
        """Start runs. Raises StageBroken when not one is accepted."""
        requests = start_requests(self.stage.port, self.stage.key, self.loop, phase)
        outcome = drive(("127.0.0.1", self.stage.port), requests, schedule, connections=connections)
        if outcome.refused:
            self.say(f"{phase}: starts that were not accepted, by status (0: no answer): {outcome.refused}")
        if not outcome.accepted:
            raise StageBroken(f"{phase}: no start was accepted")
        return outcome

    def rows(self, phase: str, expected: int) -> dict[int, float]:
        """When the rows of `phase` arrived, by number; waits for `expected`, as long as they keep coming."""
        arrivals, prefix = self.stage.arrivals, f"{phase}-"
        count, last_progress = 0, time.monotonic()
        while time.monotonic() - last_progress < PATIENCE_SECONDS:
            arrivals.read()
            found = {int(key.removeprefix(prefix)): at for key, at in arrivals.at.items() if key.startswith(prefix)}
            if len(found) >= expected:
                return found
            if len(found) > count:
                count, last_progress = len(found), time.monotonic()
            time.sleep(0.05)
        self.say(f"{phase}: only {count} of {expected} rows came")
        return found

    def idle(self) -> Iterator[Figure]:
        self.say("idle: 5 s")
        time.sleep(2.0)  # what starting and warming up left behind
        before = self.stage.tree.cpu_seconds()
        time.sleep(5.0)
        after = self.stage.tree.cpu_seconds()
        used = None if before is None or after is None else (after - before) / 5.0 * 100
        yield Figure("idle CPU, % of a core", shown(used, "%"), "1 %", "0.3 %")
        yield self.memory("memory, idle")

    def memory(self, name: str) -> Figure:
        used = self.stage.tree.memory_bytes()
        return Figure(name, shown(None if used is None else used / MIB, "MiB", 0), "160 MiB", "100 MiB")

    def throughput(self) -> Iterator[Figure]:
        plan = self.plan
        self.say(f"throughput: {plan.connections} connections, {plan.seconds:g} s, then until the last row")
        before = self.stage.cpu_seconds()
        outcome = self.load("throughput", closed_loop(plan.seconds), connections=plan.connections)
        arrived = self.rows("throughput", outcome.accepted)
        time.sleep(0.5)  # the last outcomes are recorded after their rows arrived
        after = self.stage.cpu_seconds()
        completed = len(arrived) / (max(arrived.values()) - outcome.began_at) if arrived else 0.0
        cpu = None if before is None or after is None or not arrived else (after - before) * 1000 / len(arrived)
        accepted = outcome.accepted_per_second
        latencies = outcome.latency.values()
        yield Figure("runs accepted a second", shown(accepted), *self.stage.must)
        yield Figure("runs completed a second", shown(completed), *self.stage.must)
        yield Figure("completed / accepted", shown(completed / accepted, digits=3), "0.98", "1.00")
        yield Figure("accepted runs without a row", str(outcome.accepted - len(arrived)), "0", "0")
        yield Figure(f"accept p50, {plan.connections} connections", milliseconds(latencies, 50))
        yield Figure(f"accept p99, {plan.connections} connections", milliseconds(latencies, 99), "60 ms", "21 ms")
        yield Figure("CPU a run", shown(cpu, "ms", 2), self.stage.must_take[2], "1.3 ms")

    def latency(self) -> Iterator[Figure]:
        plan = self.plan
        self.say(f"latency: {plan.rate:g} starts a second, {plan.seconds:g} s")
        outcome = self.load("latency", paced(plan.rate, plan.seconds), connections=plan.connections)
        arrived = self.rows("latency", outcome.accepted)
        to_row = [at - outcome.sent_at[number] for number, at in arrived.items()]
        accepting = outcome.latency.values()
        yield Figure(f"start to row p50, {plan.rate:g}/s", milliseconds(to_row, 50), self.stage.must_take[0], "3.8 ms")
        yield Figure(f"start to row p99, {plan.rate:g}/s", milliseconds(to_row, 99), self.stage.must_take[1], "7 ms")
        yield Figure(f"accept p50, {plan.rate:g}/s", milliseconds(accepting, 50))
        yield Figure(f"accept p99, {plan.rate:g}/s", milliseconds(accepting, 99))

    def backlog(self) -> Iterator[Figure]:
        self.say(f"backlog: {self.plan.backlog} runs wait for a paused integration")
        integration = f"/v1/projects/{PROJECT}/integrations/{self.integration}"
        self.stage.call("PUT", integration, {"status": "inactive"})
        outcome = self.load("backlog", counted(self.plan.backlog), connections=self.plan.connections)
        self.settle()
        self.stage.arrivals.read()
        early = sum(key.startswith("backlog-") for key in self.stage.arrivals.at)
        resumed_at = time.time()
        self.stage.call("PUT", integration, {"status": "active"})
        arrived = self.rows("backlog", outcome.accepted)
        rate = (len(arrived) - early) / (max(arrived.values()) - resumed_at) if len(arrived) > early else 0.0
        yield Figure("rows a second from a backlog", shown(rate), *self.stage.must)
        yield Figure("backlog runs without a row", str(outcome.accepted - len(arrived)), "0", "0")
        yield Figure("rows while paused", str(early), "0", "0")

    def settle(self) -> None:
        """Wait until the console has nothing more to do, half a minute at most."""
        for _ in range(60):
            before = self.stage.tree.cpu_seconds()
            time.sleep(0.5)
            after = self.stage.tree.cpu_seconds()
            if before is not None and after is not None and after - before < 0.05:
                return

    def second_start(self) -> Iterator[Figure]:
        self.say("second start")
        code, seconds = self.stage.stop_console()
        yield Figure("exit code after SIGTERM", str(code), "0", "0")
        yield Figure("time to stop", shown(seconds, "s", 2))
        began = time.time()
        to_page = self.stage.start_console()
        self.load("restarted", counted(1), connections=1)
        arrived = self.rows("restarted", 1)
        to_row = arrived[0] - began if arrived else None
        yield Figure("second start to first page", shown(to_page, "s", 2), "2 s", "1 s")
        yield Figure("second start to first row", shown(to_row, "s", 2), "2 s", "1 s")
