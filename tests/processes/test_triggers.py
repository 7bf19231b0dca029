"""Schedules and webhooks over the death of their process: each time fires once, and what is to be told is told."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import pytest

from tests.processes.conftest import Console, wait_until

pytestmark = pytest.mark.processes
NAP = {"id": "nap", "kind": "sleep", "config": {"duration": "0s"}}
EVERY_SECOND = {"name": "tick", "steps": [NAP], "triggers": [{"kind": "schedule", "config": {"interval": "1s"}}]}


def fired(console: Console, loop: str) -> list[dict[str, Any]]:
    """The events of the runs that its schedule started, the oldest first."""
    items = console.call("GET", f"{console.root}/runs?loop_id={loop}&limit=100")["items"]
    return [dict(run["event"]) for run in reversed(items)]


def assert_each_time_once(events: list[dict[str, Any]]) -> None:
    """No time fired twice, and those that had no run were counted: not one of them is unaccounted for."""
    times = [event["scheduled_at"] for event in events]
    assert len(set(times)) == len(times)
    seconds = [time.mktime(time.strptime(one[:19], "%Y-%m-%dT%H:%M:%S")) for one in times]
    assert seconds == sorted(seconds)
    accounted = sum(1 + event["missed"] for event in events[1:])
    assert accounted == round(seconds[-1] - seconds[0])


def test_a_schedule_goes_on_after_kill_9_and_says_what_it_missed(console: Console) -> None:
    loop = console.call("POST", f"{console.root}/loops", EVERY_SECOND)["id"]
    wait_until(lambda: len(fired(console, loop)) >= 2)
    console.kill_console()
    time.sleep(3)
    console.start_console()
    before = len(fired(console, loop))
    wait_until(lambda: len(fired(console, loop)) >= before + 2)

    events = fired(console, loop)
    assert_each_time_once(events)
    assert sum(event["missed"] for event in events) >= 2
    last = console.call("GET", f"{console.root}/runs?loop_id={loop}&status=completed&limit=1")["items"]
    assert last


def test_what_is_to_be_told_is_told_at_least_once_over_kill_9(console: Console) -> None:
    """The simulated table stands in for the receiver: it takes any JSON and writes down what came."""
    hook = {"name": "crm", "url": console.webhook_url, "events": ["run.completed"]}
    webhook = console.call("POST", f"{console.root}/webhooks", hook)["id"]
    console.call("POST", f"{console.root}/loops", {"name": "nap", "steps": [NAP]})
    started = {console.call("POST", f"{console.root}/loops/nap/runs", {})["id"] for _ in range(30)}
    console.kill_console()
    console.start_console()

    def told() -> Counter[str]:
        log = console.arrivals.log
        rows = [json.loads(line)["row"] for line in log.read_text().splitlines()] if log.exists() else []
        return Counter(str(row["data"]["id"]) for row in rows)

    wait_until(lambda: set(told()) == started)
    assert sum(told().values()) <= len(started) + 6, "only what the couriers had in hand may come twice"
    states = {one["status"] for one in console.call("GET", f"{console.root}/webhooks/{webhook}/deliveries")["items"]}
    assert states <= {"delivered", "processing"}
