"""`mobius bench callbacks`: a hundred callbacks a second while runs go on, and how soon each wakes its run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mobius.bench.figures import Figure, milliseconds, shown
from mobius.bench.load import Outcome, counted, drive, paced
from mobius.bench.run_start import Plan, RunStart
from mobius.bench.stage import PROJECT, Stage

CONNECTIONS = 32


def _push(request_id: str, **more: str) -> dict[str, Any]:
    parameters = {"payload": {"email": "${{ event.email }}"}, "request_id": request_id, **more}
    return {"kind": "action", "config": {"action_name": "clay.webhook.submit", "parameters": parameters}}


LOOP = {
    "name": "Enrich leads",
    "schema_version": "1",
    "steps": [
        _push("${{ event.request_id }}", callback_url="${{ callback.url }}"),
        {"kind": "wait_for_event", "config": {"event_type": "clay.callback"}, "timeout": {"duration": "24h"}},
        _push("done-${{ event.request_id }}"),  # its arrival tells when the run went on
    ],
}


@dataclass(frozen=True, kw_only=True)
class CallbackPlan:
    """How much to measure."""

    rate: float = 100.0  # callbacks a second
    seconds: float = 20.0
    busy: float = 20.0  # starts of other runs a second, meanwhile


class Callbacks:
    """Runs that wait, and the callbacks that wake them, on a stage of one's own."""

    def __init__(self, stage: Stage, plan: CallbackPlan, say: Callable[[str], None]) -> None:
        self.stage = stage
        self.plan = plan
        self.say = say
        self.busy = RunStart(stage, Plan(), say)  # what goes on meanwhile
        self.asking = RunStart(stage, Plan(), say)  # the runs that wait

    def figures(self) -> Iterator[Figure]:
        self.prepare()
        count = int(self.plan.rate * self.plan.seconds)
        self.say(f"{count} runs send a row and wait for its callback")
        self.begin("ask", count)
        yield from self.sustained("ask", count)
        yield Figure("rows that came twice", str(self.stage.arrivals.duplicates), "0", "0")

    def prepare(self) -> None:
        self.busy.prepare()
        self.asking.loop = self.stage.call("POST", f"/v1/projects/{PROJECT}/loops", LOOP)["id"]

    def begin(self, phase: str, count: int) -> None:
        """Start runs, and wait until their rows are at Clay and they rest."""
        outcome = self.asking.load(phase, counted(count), connections=16)
        self.asking.rows(phase, outcome.accepted)
        self.busy.settle()

    def sustained(self, phase: str, count: int) -> Iterator[Figure]:
        plan = self.plan
        self.say(f"{plan.rate:g} callbacks and {plan.busy:g} other starts a second, {plan.seconds:g} s")
        before = self.stage.tree.cpu_seconds()
        meanwhile: list[Outcome] = []
        other = threading.Thread(target=lambda: meanwhile.append(self.start_others()))
        other.start()
        outcome = self.answer(self.at_addresses(phase), count, rate=plan.rate)
        other.join()
        yield from self.woken(f"{plan.rate:g}/s", phase, outcome, count)
        rows = self.busy.rows("busy", meanwhile[0].accepted)
        after = self.stage.tree.cpu_seconds()
        cpu = None if before is None or after is None else (after - before) * 1000 / (count + len(rows))
        yield Figure("CPU a callback with its run's next row, or a run", shown(cpu, "ms", 2))
        to_row = [at - meanwhile[0].sent_at[number] for number, at in rows.items()]
        yield Figure("other runs: start to row p50", milliseconds(to_row, 50))
        yield Figure("other runs: start to row p99", milliseconds(to_row, 99))
        yield Figure("other runs without a row", str(meanwhile[0].accepted - len(rows)), "0", "0")

    def start_others(self) -> Outcome:
        return self.busy.load("busy", paced(self.plan.busy, self.plan.seconds), connections=8)

    def answer(self, request: Callable[[int], bytes], count: int, *, rate: float) -> Outcome:
        """Post `count` callbacks evenly, `rate` a second."""
        address = ("127.0.0.1", self.stage.port)
        return drive(address, request, paced(rate, count / rate), connections=CONNECTIONS)

    def woken(self, what: str, phase: str, outcome: Outcome, count: int) -> Iterator[Figure]:
        """How the callbacks were answered, and when the runs that they woke had their next row at Clay."""
        arrived = self.asking.rows(f"done-{phase}", count)
        to_row = [at - outcome.sent_at[number] for number, at in arrived.items()]
        faults = sum(number for status, number in outcome.statuses.items() if status >= 500 or status == 0)
        yield Figure(f"callbacks stored a second, {what}", shown(outcome.accepted_per_second))
        yield Figure(f"callbacks answered with 5xx or not at all, {what}", str(faults), "0", "0")
        yield Figure(f"callbacks refused, {what}", str(count - outcome.accepted - faults), "0", "0")
        yield Figure(f"callback answered p50, {what}", milliseconds(outcome.latency.values(), 50))
        yield Figure(f"callback answered p99, {what}", milliseconds(outcome.latency.values(), 99))
        yield Figure(f"callback to the run's next row p50, {what}", milliseconds(to_row, 50), "50 ms")
        yield Figure(f"callback to the run's next row p99, {what}", milliseconds(to_row, 99))
        yield Figure(f"runs that did not go on, {what}", str(count - len(arrived)), "0", "0")

    def at_addresses(self, phase: str) -> Callable[[int], bytes]:
        """The n-th callback, to the address that the n-th row of `phase` took to Clay."""
        paths = {}
        for line in self.stage.arrivals.log.read_bytes().splitlines():
            row = json.loads(line)["row"]
            name, _, number = str(row.get("request_id")).rpartition("-")
            if name == phase:
                paths[int(number)] = row["callback_url"].partition("/v1/")[2]
        return lambda number: self.post(f"/v1/{paths[number]}", {"score": number})

    def by_request_id(self, phase: str) -> Callable[[int], bytes]:
        """The n-th callback, to the project's door."""
        door = f"/v1/projects/{PROJECT}/callbacks/clay"
        return lambda number: self.post(door, {"request_id": f"{phase}-{number:08d}", "score": number})

    def post(self, path: str, body: dict[str, Any]) -> bytes:
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.stage.port}\r\nAuthorization: Bearer {self.stage.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content
