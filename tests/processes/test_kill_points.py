"""The kill-point matrix: `mobius serve` dies by kill -9 exactly at each point of a row's way, and is started again."""

from __future__ import annotations

import http.client
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from mobius.bench.stage import StageBroken
from tests.processes.conftest import LOOP, Console, wait_until

pytestmark = pytest.mark.processes

DONE = (1, "accepted", "completed")
EMPTY = (0, "in_doubt", "suspended")  # nothing arrived, and nobody but a person can know that
THERE = (1, "in_doubt", "suspended")  # the row arrived, and only a callback or a person can say so
MATRIX = {
    "boot": DONE,
    "before the commit of sending": DONE,
    "after the commit of sending": EMPTY,
    "connected": EMPTY,
    "half the body sent": EMPTY,
    "sent, no answer": THERE,
    "answer read": THERE,
    "before the commit of the outcome": THERE,
    "after the commit of the outcome": DONE,
}


# A start plays its run's first turn in its own commit; after a nap the row goes out in a commit that is a worker's.
NAP = {"id": "nap", "kind": "sleep", "config": {"duration": "200ms"}}
LATER = {"name": "later", "steps": [NAP, *LOOP["steps"]]}


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    """One console for the whole matrix: what it left at one point must not trouble it at the next."""
    with Console() as stage:
        stage.prepare()
        stage.call("POST", f"{stage.root}/loops", LATER)
        yield stage


def start_dying(console: Console, point: str) -> None:
    console.start_console(by=[sys.executable, "-m", "tests.processes.dying", point])


def has_died(console: Console) -> bool:
    return console.console.wait(20) == -signal.SIGKILL


def start_and_die(console: Console, point: str) -> str:
    """The run that was on its way when the console died at `point`."""
    before = set(console.runs())
    console.kill_console()
    start_dying(console, "start committed" if point == "boot" else point)
    with suppress(OSError, http.client.HTTPException):  # it may die before it can answer
        console.call("POST", f"{console.root}/loops/later/runs", {"event": {"email": "ada@example.com"}})
    assert has_died(console)
    if point == "boot":
        with pytest.raises(StageBroken, match="ended with exit code -9"):
            start_dying(console, point)
    console.start_console()
    (run,) = set(console.runs()) - before
    return run


@pytest.mark.parametrize("point", MATRIX)
def test_after_kill_9_at_any_point_no_row_is_lost_and_none_is_sent_twice(console: Console, point: str) -> None:
    run = start_and_die(console, point)
    wait_until(lambda: console.runs()[run] in ("completed", "suspended"))
    time.sleep(0.3)  # a second POST would come now

    (attempt,) = console.call("GET", f"{console.root}/deliveries?request_id={run}")["items"]
    assert (console.rows()[run], attempt["state"], console.runs()[run]) == MATRIX[point]
    (integration,) = console.call("GET", f"{console.root}/integrations")["items"]
    assert integration["usage"]["in_flight"] == 0
    assert console.database_fault() == ""


def test_a_start_that_died_before_its_commit_was_not_accepted_and_may_be_repeated(console: Console) -> None:
    before = set(console.runs())
    console.kill_console()
    start_dying(console, "before the commit of sending")
    start = {"event": {"email": "ada@example.com"}, "idempotency_key": "lead:1"}
    with pytest.raises((OSError, http.client.HTTPException)):
        console.call("POST", f"{console.root}/loops/push/runs", start)
    assert has_died(console)
    console.start_console()
    assert set(console.runs()) == before

    run = console.call("POST", f"{console.root}/loops/push/runs", start)["id"]
    wait_until(lambda: console.runs()[run] == "completed")
    assert console.rows()[run] == 1
