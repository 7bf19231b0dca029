"""Keys, limits and a rotation where several web processes and workers share one PostgreSQL."""

from __future__ import annotations

import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from cryptography.fernet import Fernet

from mobius.bench.stage import StageBroken, ask, free_port
from tests.processes.clusters import ON_POSTGRES, Cluster
from tests.processes.conftest import wait_until

pytestmark = ON_POSTGRES


def status(cluster: Cluster, key: str) -> int:
    return ask(cluster.port, "GET", "/v1/projects", None, {"Authorization": f"Bearer {key}"})[0]


@pytest.mark.parametrize("cluster", [{"webs": 3}], indirect=True)
def test_web_processes_share_the_limit_of_wrong_keys(cluster: Cluster) -> None:
    began = time.time()
    with ThreadPoolExecutor(12) as pool:
        answers = Counter(pool.map(lambda _: status(cluster, "mbx_wrong"), range(300)))
    passed = time.time() - began

    assert set(answers) == {401, 429}
    assert 60 <= answers[401] <= 61 + passed, "each by itself would have let sixty through"
    assert status(cluster, cluster.key) == 200


@pytest.mark.parametrize("cluster", [{"webs": 3, "MOBIUS_KEY_REQUESTS_PER_MINUTE": "1200"}], indirect=True)
def test_web_processes_share_the_limit_of_a_key(cluster: Cluster) -> None:
    def until_refused(_: int) -> int:
        return next(number for number in range(100_000) if status(cluster, cluster.key) == 429)

    began = time.time()
    with ThreadPoolExecutor(12) as pool:
        answered = sum(pool.map(until_refused, range(12)))
    passed = time.time() - began

    # Each process may hold a block of two of which it has used one; what was asked before is gone, too.
    assert 1200 - 50 <= answered <= 1200 + 20 * passed + 12


def test_whoever_sends_half_a_request_holds_no_thread_of_a_web_process(cluster: Cluster) -> None:
    head = b"POST /v1/projects/bench/loops/push/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"
    with ExitStack() as open_until_the_end:
        for _ in range(60):
            half = open_until_the_end.enter_context(socket.create_connection(("127.0.0.1", cluster.port), timeout=5))
            half.sendall(head)

        answers = Counter(status(cluster, cluster.key) for _ in range(30))

    assert answers == {200: 30}


@pytest.mark.parametrize("cluster", [{"webs": 3}], indirect=True)
def test_a_revoked_key_opens_no_web_process_any_more(cluster: Cluster) -> None:
    fresh = cluster.mobius("key", "create", "--project", "bench", "--name", "short", "--role", "viewer")
    assert {status(cluster, fresh) for _ in range(20)} == {200}
    (record,) = [one for one in cluster.call("GET", f"{cluster.root}/api-keys")["items"] if one["name"] == "short"]

    cluster.call("DELETE", f"{cluster.root}/api-keys/{record['id']}")

    assert {status(cluster, fresh) for _ in range(20)} == {401}


def test_web_processes_and_workers_refuse_to_start_with_a_wrong_key(cluster: Cluster) -> None:
    cluster._settings["FIELD_ENCRYPTION_KEY"] = Fernet.generate_key().decode()

    port = free_port()
    web = cluster.start_web(port)
    assert web.wait(30) != 0
    assert "is not the key that this database's secrets are encrypted with" in cluster.log_of(f"web-{port}")
    with pytest.raises(StageBroken, match="is not the key that this database's secrets are encrypted with"):
        cluster.start_worker()


@pytest.mark.parametrize("cluster", [{"workers": 2, "simulate": ["--slow", "0.1"]}], indirect=True)
def test_the_key_is_rotated_while_workers_send_and_not_one_row_is_lost_or_sent_twice(cluster: Cluster) -> None:
    old, new = cluster._settings["FIELD_ENCRYPTION_KEY"], Fernet.generate_key().decode()
    cluster.stop_console()
    cluster._settings["FIELD_ENCRYPTION_KEY"] = f"{new},{old}"
    cluster.start_console()
    started = [cluster.start(number) for number in range(60)]

    said = cluster.mobius("secrets", "rotate")

    started += [cluster.start(number) for number in range(60, 80)]
    wait_until(lambda: all(one == "completed" for one in cluster.runs().values()), seconds=60)
    assert "1 secrets are under the first key now" in said
    assert cluster.rows() == dict.fromkeys(started, 1)
