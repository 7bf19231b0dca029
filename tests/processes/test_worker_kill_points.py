"""The kill-point matrix of the distributed engine: a worker dies by kill -9 exactly at each point, another goes on."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator

import pytest

from tests.processes.clusters import GIVEN, ON_POSTGRES, SILENCE, Cluster
from tests.processes.conftest import wait_until
from tests.processes.test_kill_points import MATRIX

pytestmark = ON_POSTGRES

# A worker that starts recovers nothing, for others may live; what is like that is to die with a run taken in hand.
POINTS = ["run taken" if point == "boot" else point for point in MATRIX]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One for the whole matrix: what was left at one point must not trouble it at the next."""
    with Cluster(database_url=GIVEN, webs=1, workers=0, MOBIUS_SILENCE_SECONDS=str(SILENCE)) as stage:
        stage.prepare()
        yield stage


def start_and_die(cluster: Cluster, point: str) -> str:
    """The run that was on its way when its worker died at `point`."""
    dying = cluster.start_worker(by=[sys.executable, "-m", "tests.processes.dying", point])
    run = cluster.start(1)
    assert dying.wait(20) == -signal.SIGKILL
    cluster.workers.remove(dying)
    return run


def came_of(cluster: Cluster, run: str) -> tuple[int, list[str], str]:
    """Its rows, the states of its attempts, and its status."""
    attempts = cluster.call("GET", f"{cluster.root}/deliveries?request_id={run}")["items"]
    return cluster.rows()[run], [one["state"] for one in attempts], cluster.runs()[run]


@pytest.mark.parametrize("point", POINTS)
def test_after_kill_9_of_its_worker_at_any_point_no_row_is_lost_and_none_is_sent_twice(
    cluster: Cluster, point: str
) -> None:
    run = start_and_die(cluster, point)
    other = cluster.start_worker()
    rows, state, status = MATRIX["boot" if point == "run taken" else point]
    wait_until(lambda: came_of(cluster, run)[2] in ("completed", "suspended"))
    time.sleep(0.5)  # a second POST would come now

    assert came_of(cluster, run) == (rows, [state], status)
    (integration,) = cluster.call("GET", f"{cluster.root}/integrations")["items"]
    assert integration["usage"]["in_flight"] == 0
    other.send_signal(signal.SIGTERM)
    assert other.wait(40) == 0
    cluster.workers.remove(other)
