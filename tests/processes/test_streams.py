"""Event streams and direct calls of the real process: restarts, kills, full houses."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from typing import Any

import pytest

from mobius.bench.stage import StageBroken, ask
from tests.processes.conftest import Console, wait_until
from tests.processes.listening import listening

pytestmark = pytest.mark.processes

JsonObject = dict[str, Any]

STEPS = [{"id": one, "kind": "wait_for_event", "config": {"event_type": "approval"}} for one in ("first", "second")]
SLOW = pytest.mark.parametrize("console", [["--slow", "2"]], indirect=True)
INVOKE = "actions/clay.webhook.submit/invoke"


@pytest.fixture(scope="module")
def console(request: pytest.FixtureRequest) -> Iterator[Console]:
    """Shared by the tests of a parameter: each uses names of its own, and leaves the console running."""
    with Console(*getattr(request, "param", [])) as stage:
        stage.prepare()
        yield stage


@pytest.fixture
def waiting(console: Console) -> str:
    name = f"waiting-{uuid.uuid4()}"
    console.call("POST", f"{console.root}/loops", {"name": name, "steps": STEPS})
    run = str(console.call("POST", f"{console.root}/loops/{name}/runs", {})["id"])
    wait_until(lambda: console.runs()[run] == "suspended")
    return run


def signal(console: Console, run: str, step: str) -> None:
    console.call("POST", f"{console.root}/runs/{run}/signals", {"step_key": step, "result": {"ok": True}})


def test_no_event_is_lost_or_repeated_across_a_restart(console: Console, waiting: str) -> None:
    with listening(console, waiting) as listener:
        events = listener.events()
        seen = [next(events) for _ in range(3)]
        # An orderly end of the stream, and not of the connection alone.
        code, seconds = console.stop_console()
        seen += list(events)
    console.start_console()
    signal(console, waiting, "first")
    with listening(console, waiting, last_id=seen[-1][0]) as listener:
        events = listener.events()
        seen += [next(events) for _ in range(3)]
        console.kill_console()
        seen += list(events)
    console.start_console()
    signal(console, waiting, "second")
    with listening(console, waiting, last_id=seen[-1][0]) as listener:
        seen += list(listener.events())

    assert (code, seconds < 5) == (0, True), "an open stream does not hold the console up"
    whole = console.call("GET", f"{console.root}/runs/{waiting}/events?limit=100")["items"]
    assert [event for _, event in seen] == whole
    assert [number for number, _ in seen] == list(range(1, len(whole) + 1))
    assert seen[-1][1]["event_type"] == "run.completed"


def test_an_event_is_heard_soon_after_it_happened(console: Console, waiting: str) -> None:
    with listening(console, waiting, last_id=3) as listener:
        events = listener.events()
        began = time.monotonic()
        signal(console, waiting, "first")
        next(events)
        took = time.monotonic() - began

    assert took < 3


def test_eight_streams_leave_the_console_at_everybody_s_service(console: Console, waiting: str) -> None:
    with ExitStack() as stack:
        opened = [_opened(stack, console, waiting, address) for address in ["events", "events.stream"] * 4]
        headers = {"Authorization": f"Bearer {console.key}"}
        refused, answer = ask(console.port, "GET", f"{console.root}/runs/{waiting}/events.stream", headers=headers)
        run = console.start(1)
        wait_until(lambda: console.runs()[run] == "completed")

    assert [one.response.status for one in opened] == [200] * 8
    assert (refused, json.loads(answer)["error"]["code"]) == (429, "rate_limit_exceeded")
    # Those that hung up are noticed when something is next said to them, a ping at the latest.
    signal(console, waiting, "first")
    wait_until(lambda: _signalled(console, waiting, "second"))
    wait_until(lambda: _listens(console, waiting), seconds=25)


def _opened(stack: ExitStack, console: Console, run: str, address: str) -> Any:
    """A stream; whoever hung up in another test is noticed, and makes room, within three pings."""
    for _ in range(80):
        listener = stack.enter_context(listening(console, run, address=address))
        if listener.response.status != 429:
            return listener
        time.sleep(0.5)
    raise AssertionError("no place became free")


def _signalled(console: Console, run: str, step: str) -> bool:
    try:
        signal(console, run, step)
    except StageBroken:  # the run has not come to this step yet
        return False
    return True


def _listens(console: Console, run: str) -> bool:
    with listening(console, run) as listener:
        return listener.response.status == 200


def test_a_quiet_stream_is_kept_alive(console: Console, waiting: str) -> None:
    with listening(console, waiting, last_id=3) as listener:
        began = time.monotonic()
        said = list(islice(listener.frames(), 2))
        took = time.monotonic() - began

    assert said == [": here you are", ": ping"]
    assert 9 < took < 13


@SLOW
def test_a_direct_call_that_a_kill_cuts_off_is_in_doubt_and_never_sent_again(console: Console) -> None:
    row = {"payload": {"email": "ada@example.com"}, "request_id": "killed"}

    called = console.call("POST", f"{console.root}/{INVOKE}", {"input": row, "timeout_seconds": 1})
    console.kill_console()
    console.start_console()

    listed = console.call("GET", f"{console.root}/action-invocations/{called['job_id']}")
    again = console.call("POST", f"{console.root}/{INVOKE}", {"input": row, "timeout_seconds": 5})
    assert called["status"] == "active"
    assert (listed["status"], listed["error_type"]) == ("failed", "delivery_in_doubt")
    assert (again["status"], "in doubt" in again["error"]) == ("failed", True)
    assert console.rows()["killed"] <= 1


@SLOW
def test_sigterm_waits_for_a_direct_call_whose_row_is_on_its_way(console: Console) -> None:
    row = {"payload": {}, "request_id": "stopped"}

    called = console.call("POST", f"{console.root}/{INVOKE}", {"input": row, "timeout_seconds": 1})
    code, _ = console.stop_console()
    console.start_console()

    listed = console.call("GET", f"{console.root}/action-invocations/{called['job_id']}")
    assert (called["status"], code, listed["status"]) == ("active", 0, "success")
    assert console.rows()["stopped"] == 1


@SLOW
def test_a_ninth_direct_call_is_asked_to_come_back_while_eight_wait(console: Console) -> None:
    headers = {"Authorization": f"Bearer {console.key}", "Content-Type": "application/json"}
    answers: list[int] = []

    def call() -> None:
        body = b'{"input": {"payload": {"email": "nobody told them apart"}}}'
        answers.append(ask(console.port, "POST", f"{console.root}/{INVOKE}", body, headers)[0])

    threads = [threading.Thread(target=call) for _ in range(10)]
    for thread in threads:
        thread.start()
    healthy = ask(console.port, "GET", "/healthz")[0]
    for thread in threads:
        thread.join()

    assert healthy == 200
    assert sorted(answers) == [200] * 8 + [429] * 2
    assert console.rows()["None"] == 8
