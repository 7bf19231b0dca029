"""`mobius backup` and `mobius restore` on PostgreSQL, while workers work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.processes.clusters import GIVEN, ON_POSTGRES, Cluster
from tests.processes.conftest import wait_until

pytestmark = ON_POSTGRES


@contextmanager
def put_away(cluster: Cluster) -> Iterator[None]:
    """Another, empty database has the name of the cluster's meanwhile."""
    with psycopg.connect(GIVEN, autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{cluster._name}" RENAME TO "{cluster._name}_old"')
        server.execute(f'CREATE DATABASE "{cluster._name}"')
        try:
            yield
        finally:
            server.execute(f'DROP DATABASE "{cluster._name}_old" WITH (FORCE)')


def test_a_copy_made_under_load_sends_nothing_until_somebody_resumes_it() -> None:
    with Cluster("--slow", "2", database_url=GIVEN, webs=1) as cluster:
        cluster.prepare()
        file = cluster.folder / "console.backup"
        for number in range(80):
            cluster.start(number)
        made = cluster.run("backup", str(file))
        assert made.returncode == 0, made.stderr
        wait_until(lambda: set(cluster.runs().values()) == {"completed"}, seconds=90)
        before = cluster.rows()
        cluster.stop_console()

        assert "a restore overwrites nothing" in cluster.run("restore", str(file)).stderr
        with put_away(cluster):
            restored = cluster.run("restore", str(file))
            assert restored.returncode == 0, restored.stderr
            assert "integrations held: 1" in restored.stdout
            cluster.start_console()
            wait_until(lambda: not {"queued", "running"} & set(cluster.runs().values()))
            assert cluster.rows() == before, "nothing was sent"
            doubts = cluster.call("GET", f"{cluster.root}/deliveries?state=in_doubt&limit=100")["items"]
            waiting = {run for run, status in cluster.runs().items() if status == "suspended"}
            goes = waiting - {one["run_id"] for one in doubts}
            assert goes

            integration = cluster.call("GET", f"{cluster.root}/integrations")["items"][0]
            cluster.call("PUT", f"{cluster.root}/integrations/{integration['id']}", {"status": "active"})
            wait_until(lambda: {cluster.runs()[run] for run in goes} == {"completed"}, seconds=90)
            assert cluster.rows() - before == dict.fromkeys(goes, 1)
            cluster.stop_console()


def test_without_pg_dump_it_says_what_to_install() -> None:
    with Cluster(database_url=GIVEN, webs=1) as cluster:
        refused = cluster.run("backup", str(cluster.folder / "file"), PATH="/nonexistent")

        assert refused.returncode == 1
        assert "pg_dump is not installed here" in refused.stderr
        assert not (cluster.folder / "file").exists()
