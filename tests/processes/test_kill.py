"""The process dies with kill -9 in mid-flight and is started again: nothing is lost, nothing is sent twice."""

from __future__ import annotations

import time

import pytest

from tests.processes.conftest import Console, wait_until

pytestmark = pytest.mark.processes
RUNS = 40


@pytest.mark.parametrize("console", [["--slow", "1.0"]], indirect=True)
@pytest.mark.parametrize("arrived", [1, 17, 33])
def test_kill_9_in_mid_flight_loses_nothing_and_sends_nothing_twice(console: Console, arrived: int) -> None:
    started = [console.start(number) for number in range(RUNS)]
    wait_until(lambda: console.rows().total() >= arrived)
    console.kill_console()
    console.start_console()

    def settled() -> bool:
        runs = console.runs()
        return all(runs.get(run) in ("completed", "suspended") for run in started)

    wait_until(settled)
    time.sleep(0.5)  # a second POST of something would come now
    runs, rows = console.runs(), console.rows()
    in_doubt = [run for run in started if runs[run] == "suspended"]
    assert set(runs) == set(started)
    assert [run for run, count in rows.items() if count > 1] == []
    assert all(rows[run] == 1 for run in started if runs[run] == "completed")
    assert 1 <= len(in_doubt) <= 16, "what the 16 workers had on the wire, and nothing else, is in doubt"
    for run in in_doubt:
        (step,) = console.call("GET", f"{console.root}/runs/{run}/steps")["items"]
        assert step["error_type"] == "delivery_in_doubt"


@pytest.mark.parametrize("console", [["--slow", "0.4"]], indirect=True)
def test_what_is_in_doubt_stays_so_over_further_restarts_and_keeps_its_unit(console: Console) -> None:
    run = console.start(1)
    time.sleep(0.2)
    for _ in range(2):
        console.kill_console()
        console.start_console()
    time.sleep(1)
    (integration,) = console.call("GET", f"{console.root}/integrations")["items"]

    assert console.runs() == {run: "suspended"}
    assert console.rows()[run] <= 1
    assert integration["usage"]["possibly_used"] == 1
    assert integration["usage"]["in_flight"] == 0
