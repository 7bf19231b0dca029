"""The clock of the machine jumps by hours, forward and back, under the real process: nothing is doubled or hangs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.cast import cannot
from tests.processes.conftest import Console, wait_until

pytestmark = pytest.mark.processes

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
SLEEPER = {
    "name": "sleeper",
    "steps": [
        {"id": "nap", "kind": "sleep", "config": {"duration": "3s"}},
        {
            "id": "push",
            "kind": "action",
            "config": {
                "action_name": "clay.webhook.submit",
                "parameters": {"payload": {"email": "${{ event.email }}"}, "request_id": "${{ meta.run_id }}"},
            },
        },
    ],
}


class Traveller(Console):
    """A console whose clock we set while it runs. The monotonic clock goes on as it does on a real machine."""

    def jump(self, hours: float) -> None:
        """Set the clock `hours` apart from ours, and wait until the console goes by it."""
        (self.folder / "clock").write_text(f"{hours:+g}h\n")
        wait_until(lambda: self._hours_ahead() == hours)

    def _hours_ahead(self) -> int:
        with urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=10) as answer:
            theirs = parsedate_to_datetime(answer.headers["Date"])
        return round((theirs - datetime.now(UTC)).total_seconds() / 3600)

    def _environment(self) -> dict[str, str]:
        clock = self.folder / "clock"
        if not clock.exists():
            clock.write_text("+0h\n")
        return super()._environment() | {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@pytest.fixture
def traveller() -> Iterator[Traveller]:
    if LIBRARY is None:
        cannot("There is no libfaketime; on Debian: apt-get install -y --no-install-recommends faketime")
    with Traveller("--slow", "0.2") as stage:
        stage.prepare()
        stage.connect(rate_per_second=9.9)
        stage.call("POST", f"{stage.root}/loops", SLEEPER)
        yield stage


def test_jumps_by_hours_send_nothing_twice_and_leave_nothing_behind(traveller: Traveller) -> None:
    started = []
    for hours in (0, 6, -6, 3, 0):
        traveller.jump(hours)
        started += [traveller.start(number) for number in range(25)]
        nap = {"event": {"email": "sleeper@example.com"}}
        started.append(traveller.call("POST", f"{traveller.root}/loops/sleeper/runs", nap)["id"])
    made = [
        datetime.fromisoformat(str(traveller.call("GET", f"{traveller.root}/runs/{run}")["created_at"]))
        for run in started
    ]
    hours = {round((one - datetime.now(UTC)).total_seconds() / 3600) for one in made}
    assert hours == {0, 6, -6, 3}, "the console believed each of the clocks"

    traveller.jump(7)  # past everything that a clock ahead has put off
    wait_until(lambda: set(traveller.runs().values()) == {"completed"}, seconds=90)

    assert traveller.rows() == dict.fromkeys(started, 1)
    assert traveller.database_fault() == ""


def test_a_clock_that_falls_back_stops_neither_paced_rows_nor_keys(traveller: Traveller) -> None:
    traveller.jump(5)
    first = [traveller.start(number) for number in range(40)]
    traveller.jump(-5)
    second = [traveller.start(number) for number in range(40)]

    wait_until(lambda: len(traveller.rows()) == 80, seconds=60)
    wait_until(lambda: set(traveller.runs().values()) == {"completed"}, seconds=30)
    assert traveller.rows() == dict.fromkeys([*first, *second], 1)
