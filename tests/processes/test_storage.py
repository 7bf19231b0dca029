"""A database that is full, refuses writes or is locked: the real process says so, loses nothing, and recovers."""

from __future__ import annotations

import json
import re
import resource
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from mobius.bench.stage import MOBIUS
from tests.cast import cannot
from tests.processes.conftest import Console, wait_until

pytestmark = pytest.mark.processes

ASK = {
    "name": "ask",
    "steps": [
        {
            "id": "push",
            "kind": "action",
            "config": {
                "action_name": "clay.webhook.submit",
                "parameters": {
                    "payload": {"email": "${{ event.email }}", "back": "${{ callback.url }}"},
                    "request_id": "${{ meta.run_id }}",
                },
            },
        },
        {"id": "back", "kind": "wait_for_event", "config": {"event_type": "clay.callback"}},
    ],
}


class Vessel(Console):
    """A console that waits for a lock for two seconds only; on a file system of its own where that is to be full."""

    small = False

    def start_console(self, *, by: Sequence[str] = MOBIUS) -> float:
        data = self.folder / "data"
        if self.small and not data.exists():
            data.mkdir()
            mounted = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(data)], check=False
            )
            if mounted.returncode:
                cannot("A file system of its own can be mounted by root only.")
            self.cleaning.callback(subprocess.run, ["umount", "--lazy", str(data)], check=False)
            self.cleaning.callback(self._end_all)
        return super().start_console(by=by)

    @property
    def database(self) -> Path:
        return self.folder / "data" / "mobius.sqlite3"

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"DATABASE_URL": f"sqlite:///{self.database}?timeout=2"}

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        with closing(connection):
            sent = headers.pop("raw", None) or (None if body is None else json.dumps(body))
            connection.request(method, path, sent, {"Content-Type": "application/json"} | headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()

    def try_to_start(self, number: int, ballast: int = 0) -> tuple[int, dict[str, str], str]:
        event = {"email": f"lead{number}@example.com", "ballast": "x" * ballast}
        return self.send("POST", f"{self.root}/loops/push/runs", {"event": event}, Authorization=f"Bearer {self.key}")

    def callback_address(self) -> str:
        """Of a run that waits for its callback."""
        self.call("POST", f"{self.root}/loops", ASK)
        self.call("POST", f"{self.root}/loops/ask/runs", {"event": {"email": "waits@example.com"}})
        wait_until(lambda: "/v1/callbacks/" in self.arrivals.log.read_text() if self.arrivals.log.exists() else False)
        wait_until(lambda: "suspended" in self.runs().values())
        found = re.search(r"/v1/callbacks/[\w-]+", self.arrivals.log.read_text())
        assert found is not None
        return found[0]


@contextmanager
def full(console: Vessel) -> Iterator[None]:
    filler = console.folder / "data" / "filler"
    filler.write_bytes(b"x" * shutil.disk_usage(console.folder / "data").free)
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def refusing(console: Vessel) -> Iterator[None]:
    """No file of the console's takes a byte more."""
    _, most = resource.prlimit(console.console.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(console.console.pid, resource.RLIMIT_FSIZE, (0, most))
    try:
        yield
    finally:
        resource.prlimit(console.console.pid, resource.RLIMIT_FSIZE, (most, most))


@contextmanager
def locked(console: Vessel) -> Iterator[None]:
    with closing(sqlite3.connect(console.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


Fault = Callable[[Vessel], AbstractContextManager[None]]
FAULTS = pytest.mark.parametrize("fault", [full, refusing, locked])


@pytest.fixture
def vessel(request: pytest.FixtureRequest, fault: Fault) -> Iterator[Vessel]:
    stage = Vessel(*getattr(request, "param", []))
    stage.small = fault is full
    with stage:
        stage.prepare()
        yield stage


@FAULTS
def test_it_says_503_or_429_loses_nothing_that_was_accepted_and_recovers(vessel: Vessel, fault: Fault) -> None:
    address = vessel.callback_address()
    accepted = 0
    with fault(vessel):
        # A log that is there already may have room for a little more.
        for number in range(200):
            status, headers, body = vessel.try_to_start(number, ballast=100_000)
            if status == 503:
                break
            assert status == 202, body
            accepted += 1
        assert (status, headers["Retry-After"]) == (503, "1")
        assert json.loads(body)["error"]["code"] == "service_unavailable"

        status, headers, body = vessel.send("POST", address, {"enriched": "x" * 100_000})
        assert (status, headers["Retry-After"]) == (429, "1"), body
        login = vessel.send("GET", "/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', login[2])
        assert login[0] == 200
        assert token is not None
        status, headers, page = vessel.send(
            "POST",
            "/login/",
            raw=f"csrfmiddlewaretoken={token[1]}&username=nobody&password={'x' * 50_000}",
            **{"Content-Type": "application/x-www-form-urlencoded", "Cookie": login[1]["Set-Cookie"].partition(";")[0]},
        )
        assert (status, headers["Retry-After"]) == (503, "1"), page
        assert "Traceback" not in page
        assert "cannot be used just now" in page

    wait_until(lambda: vessel.try_to_start(999)[0] == 202)
    assert vessel.send("POST", address, {"enriched": "yes"})[0] == 200
    wait_until(lambda: set(vessel.runs().values()) == {"completed"}, seconds=90)
    assert len(vessel.runs()) == accepted + 2
    assert vessel.rows() == dict.fromkeys(vessel.runs(), 1)
    assert vessel.database_fault() == ""


@pytest.mark.parametrize("vessel", [["--slow", "1.5"]], indirect=True)
@FAULTS
def test_an_outcome_that_cannot_be_written_is_kept_and_written_later(vessel: Vessel, fault: Fault) -> None:
    runs = {vessel.start(number) for number in range(3)}
    with fault(vessel):
        for number in range(100 if fault is full else 0):  # use up what room is left
            if vessel.try_to_start(number, ballast=100_000)[0] == 503:
                break
        wait_until(lambda: runs <= set(vessel.rows()))
        time.sleep(3)
        assert {status for run, status in vessel.runs().items() if run in runs} == {"running"}
    wait_until(lambda: {status for run, status in vessel.runs().items() if run in runs} == {"completed"})
    assert all(times == 1 for times in vessel.rows().values())


@pytest.mark.parametrize("fault", [refusing, locked])
def test_a_readiness_probe_says_that_nothing_can_be_written_and_that_it_can_again(vessel: Vessel, fault: Fault) -> None:
    assert vessel.send("GET", "/readyz")[0] == 200
    with fault(vessel):
        wait_until(lambda: vessel.send("GET", "/readyz")[0] == 503)
        assert vessel.send("GET", "/healthz")[0] == 200
    wait_until(lambda: vessel.send("GET", "/readyz")[0] == 200)
