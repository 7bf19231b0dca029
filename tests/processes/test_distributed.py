"""Several processes on one PostgreSQL: what one of them began another one ends, whatever happens to the first."""

from __future__ import annotations

import http.client
import itertools
import json
import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest

from mobius.bench.stage import ask, free_port
from tests.processes.clusters import ON_POSTGRES, SILENCE, Cluster
from tests.processes.conftest import LOOP, wait_until
from tests.processes.listening import listening
from tests.processes.test_triggers import NAP, assert_each_time_once, fired

pytestmark = ON_POSTGRES

WAITS_BEFORE_IT_SENDS = """
import os, pathlib, time
from mobius.cli import start_django
start_django()
from integrations import outbound
begin = outbound._Attempt.begin
def begin_later(attempt):
    here = pathlib.Path(os.environ["MOBIUS_DATA_DIR"], "before-the-send")
    here.touch()
    while here.exists():
        time.sleep(0.01)
    begin(attempt)
outbound._Attempt.begin = begin_later
from mobius.commands.work import run
run()
"""


@pytest.mark.parametrize("cluster", [{"workers": 0}], indirect=True)
def test_a_worker_that_was_stopped_before_its_send_and_goes_on_later_neither_sends_nor_overwrites(
    cluster: Cluster,
) -> None:
    sleeper = cluster._launch("sleeper", ["-c", WAITS_BEFORE_IT_SENDS], by=[sys.executable])
    before_the_send = cluster.folder / "data" / "before-the-send"
    run = cluster.start(1)
    wait_until(before_the_send.exists)
    sleeper.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    cluster.start_worker()

    wait_until(lambda: cluster.step_of(run).get("error_type") == "delivery_in_doubt")
    assert time.monotonic() - stopped < SILENCE + 5
    assert [one["state"] for one in cluster.attempts()] == ["in_doubt"]
    time.sleep(1)
    assert cluster.rows() == {}

    before_the_send.unlink()
    sleeper.send_signal(signal.SIGCONT)
    wait_until(lambda: cluster.runs() == {run: "completed"})

    # It said that it had not sent, which ended the doubt; the worker that is alive then sent the row.
    assert [one["state"] for one in cluster.attempts()] == ["not_sent", "accepted"]
    assert cluster.rows() == {run: 1}
    (usage,) = [one["usage"] for one in cluster.call("GET", f"{cluster.root}/integrations")["items"]]
    assert (usage["used"], usage["in_flight"], usage["possibly_used"]) == (1, 0, 0)


@pytest.mark.parametrize("cluster", [{"workers": 2, "simulate": ["--slow", "1"]}], indirect=True)
def test_kill_9_of_a_worker_in_mid_flight_loses_nothing_and_sends_nothing_twice(cluster: Cluster) -> None:
    killed, other = cluster.workers
    other.send_signal(signal.SIGSTOP)  # so that it is not this one that has all the rows in hand
    try:
        started = [cluster.start(number) for number in range(60)]
        wait_until(lambda: any(one["state"] == "sending" for one in cluster.attempts()))
    finally:
        other.send_signal(signal.SIGCONT)
    cluster.workers.remove(killed)
    killed.kill()
    killed.wait()
    died = time.monotonic()

    def settled() -> bool:
        runs = cluster.runs()
        return all(runs[run] in ("completed", "suspended") for run in started)

    wait_until(settled)
    assert time.monotonic() - died < SILENCE + 10
    time.sleep(1)  # a second POST of something would come now
    runs, rows = cluster.runs(), cluster.rows()
    in_doubt = [run for run in started if runs[run] == "suspended"]
    assert set(runs) == set(started)
    assert max(rows.values()) == 1
    assert all(rows[run] == 1 for run in started if runs[run] == "completed")
    assert 0 < len(in_doubt) <= 16, "what one worker's threads had on the wire, and no more"
    assert all(cluster.step_of(run).get("error_type") == "delivery_in_doubt" for run in in_doubt)


@pytest.mark.parametrize("cluster", [{"workers": 4, "MOBIUS_WORKERS": "4"}], indirect=True)
def test_pace_and_budget_hold_across_four_workers(cluster: Cluster) -> None:
    cluster.connect(rate_per_second=9.9, submission_limit=150)
    started = [cluster.start(number) for number in range(160)]
    all_wait_since = time.time()

    wait_until(lambda: len(cluster.arrived_at()) >= 150, seconds=60)  # whoever asked the console would slow it down
    wait_until(lambda: set(cluster.runs().values()) <= {"completed", "failed"})
    arrivals = cluster.arrived_at()
    assert len(arrivals) == 150, "the limit was reached and not passed"
    assert max(cluster.rows().values()) == 1
    assert sum(status == "failed" for status in cluster.runs().values()) == len(started) - 150
    for (earlier, began), (later, ended) in itertools.combinations(enumerate(arrivals), 2):
        assert later - earlier + 1 <= 20 + 10 * (ended - began), "10 a second and 20 at once are what Clay takes"
    # What was saved up while starts still came in goes out first, as a burst; then the pace alone holds rows back.
    paced = [at for at in arrivals if at >= all_wait_since][18:]
    assert len(paced) > 60
    assert (len(paced) - 1) / (paced[-1] - paced[0]) >= 9.6


@pytest.mark.parametrize("cluster", [{"workers": 2, "simulate": ["--slow", "0.05"]}], indirect=True)
def test_a_rolling_restart_of_web_and_workers_under_load_loses_nothing(cluster: Cluster) -> None:
    ports = [cluster.port, free_port()]
    webs = [cluster.console, cluster.start_web(ports[1])]
    cluster.await_web(webs[1], ports[1])
    load = Load(cluster, ports)
    load.start()
    for number, port in enumerate(ports):
        _end(webs[number].send_signal, webs[number].wait)
        webs[number] = cluster.start_web(port)
        cluster.await_web(webs[number], port)
        worker = cluster.workers.pop(0)
        _end(worker.send_signal, worker.wait)
        cluster.start_worker()
    accepted = load.stop()

    assert len(accepted) > 50
    wait_until(lambda: set(cluster.runs().values()) == {"completed"})
    assert cluster.rows() == dict.fromkeys(accepted, 1)
    assert set(cluster.runs()) == accepted


def _end(send_signal: Callable[[int], None], wait: Callable[[float], int]) -> None:
    send_signal(signal.SIGTERM)
    assert wait(40) == 0


class Load(threading.Thread):
    """Starts run after run as a client behind a load balancer does: what is not answered is asked again elsewhere."""

    def __init__(self, cluster: Cluster, ports: list[int]) -> None:
        super().__init__(daemon=True)
        self._headers = {"Authorization": f"Bearer {cluster.key}", "Content-Type": "application/json"}
        self._path = f"{cluster.root}/loops/{LOOP['name']}/runs"
        self._ports = ports
        self._ending = threading.Event()
        self._accepted: set[str] = set()

    def run(self) -> None:
        number = 0
        while not self._ending.is_set():
            number += 1
            body = {"event": {"email": f"lead{number}@example.com"}, "idempotency_key": f"lead:{number}"}
            self._start(json.dumps(body).encode(), number)
            time.sleep(0.02)

    def stop(self) -> set[str]:
        """The ids of the runs that were accepted."""
        self._ending.set()
        self.join(30)
        return self._accepted

    def _start(self, body: bytes, number: int) -> None:
        for attempt in range(200):
            try:
                status, answer = ask(self._ports[(number + attempt) % 2], "POST", self._path, body, self._headers)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            if status == 409:  # accepted by the process that could not say so any more, and ended meanwhile
                self._accepted.add(json.loads(answer)["error"]["details"]["run_id"])
                return
            assert status == 202, answer
            self._accepted.add(json.loads(answer)["id"])
            return
        raise AssertionError("no web process answered")


@pytest.mark.parametrize("cluster", [{"workers": 3, "webs": 2}], indirect=True)
def test_a_schedule_fires_once_however_many_workers_there_are_and_die(cluster: Cluster) -> None:
    every_second = {"name": "tick", "steps": [NAP], "triggers": [{"kind": "schedule", "config": {"interval": "1s"}}]}
    loop = cluster.call("POST", f"{cluster.root}/loops", every_second)["id"]
    wait_until(lambda: len(fired(cluster, loop)) >= 3)
    killed = cluster.workers.pop(0)
    killed.kill()
    killed.wait()
    wait_until(lambda: len(fired(cluster, loop)) >= 7)

    assert_each_time_once(fired(cluster, loop))


@pytest.mark.parametrize("cluster", [{"workers": 3}], indirect=True)
def test_a_webhook_is_told_once_by_many_workers_while_none_dies(cluster: Cluster) -> None:
    hook = {"name": "crm", "url": cluster.webhook_url, "events": ["run.completed"]}
    webhook = cluster.call("POST", f"{cluster.root}/webhooks", hook)["id"]
    time.sleep(1.5)  # until the workers have asked again who listens
    cluster.call("POST", f"{cluster.root}/loops", {"name": "nap", "steps": [NAP]})
    started = {cluster.call("POST", f"{cluster.root}/loops/nap/runs", {})["id"] for _ in range(30)}

    def told() -> list[str]:
        lines = cluster.arrivals.log.read_text().splitlines() if cluster.arrivals.log.exists() else []
        return [json.loads(line)["row"]["data"]["id"] for line in lines]

    wait_until(lambda: set(told()) == started)
    time.sleep(1)
    assert len(told()) == len(started)
    log = cluster.call("GET", f"{cluster.root}/webhooks/{webhook}/deliveries?limit=100")["items"]
    assert {one["status"] for one in log} == {"delivered"}


def test_an_open_event_stream_does_not_hold_a_web_process_up_and_goes_on_afterwards(cluster: Cluster) -> None:
    steps = [{"id": "answer", "kind": "wait_for_event", "config": {"event_type": "approval"}}]
    cluster.call("POST", f"{cluster.root}/loops", {"name": "waiting", "steps": steps})
    run = cluster.call("POST", f"{cluster.root}/loops/waiting/runs", {})["id"]
    wait_until(lambda: cluster.runs()[run] == "suspended")

    with listening(cluster, run) as listener:
        events = listener.events()
        seen = [next(events) for _ in range(3)]
        code, seconds = cluster.stop_console()
        seen += list(events)
    cluster.start_console()
    cluster.call("POST", f"{cluster.root}/runs/{run}/signals", {"step_key": "answer", "result": {}})
    with listening(cluster, run, last_id=seen[-1][0]) as listener:
        seen += list(listener.events())

    assert (code, seconds < 10) == (0, True)
    assert [number for number, _ in seen] == [1, 2, 3, 4, 5, 6]
