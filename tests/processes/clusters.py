"""The real product in several processes, on a PostgreSQL that DATABASE_URL names. Without one its tests are skipped."""

from __future__ import annotations

import atexit
import functools
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from typing import Any, NamedTuple

import pytest

from mobius.bench.stage import MOBIUS, ROOT
from tests.processes.conftest import Console, make_project

pytest.importorskip("psycopg")
import psycopg
from psycopg.sql import SQL, Identifier

from mobius.bench.postgres import PostgresStage

GIVEN = os.environ.get("DATABASE_URL", "")
ON_POSTGRES = [
    pytest.mark.processes,
    pytest.mark.postgres,
    pytest.mark.skipif(
        not GIVEN.startswith("postgres"),
        reason="needs PostgreSQL: set MOBIUS_ENGINE=procrastinate and DATABASE_URL=postgres://user@host/name",
    ),
]
SILENCE = 3.0  # seconds; fifteen in real life


class _Made(NamedTuple):
    """What every cluster begins with a copy of."""

    database: str
    data: tempfile.TemporaryDirectory[str]
    keys: dict[str, str]  # of the installation
    key: str  # of the project's admin


@functools.cache
def _made_once() -> _Made:
    """It goes when this process ends."""
    name, data = f"mobius_made_{secrets.token_hex(6)}", tempfile.TemporaryDirectory(prefix="mobius-data-")
    with PostgresStage(database_url=GIVEN, webs=1, workers=0) as stage:
        key = make_project(stage)
        stage.stop_console()
        shutil.copytree(stage.folder / "data", data.name, dirs_exist_ok=True)
        _tell_server("CREATE DATABASE {} TEMPLATE {}", name, stage._name)
    atexit.register(_tell_server, "DROP DATABASE {}", name)
    keys = {setting: stage._settings[setting] for setting in ("SECRET_KEY", "FIELD_ENCRYPTION_KEY")}
    return _Made(database=name, data=data, keys=keys, key=key)


def _tell_server(statement: str, *names: str) -> None:
    with psycopg.connect(GIVEN, autocommit=True) as server:
        server.execute(SQL(statement).format(*map(Identifier, names)))


class Cluster(PostgresStage, Console):
    """Web processes and workers, with what a `Console` has."""

    def _create(self, server: Any) -> None:
        made = _made_once()
        self._settings |= made.keys
        self.key = made.key
        server.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(self._name), Identifier(made.database)))

    def _make_ready(self) -> None:
        shutil.copytree(_made_once().data.name, self.folder / "data")

    def run(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        environment = self._environment() | changes
        return subprocess.run([*MOBIUS, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)

    def attempts(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.call("GET", f"{self.root}/deliveries")["items"]
        return sorted(items, key=lambda one: str(one["id"]))

    def step_of(self, run: str) -> dict[str, Any]:
        (step,) = self.call("GET", f"{self.root}/runs/{run}/steps")["items"]
        return dict(step)

    def arrived_at(self) -> list[float]:
        return [json.loads(line)["at"] for line in self.arrivals.log.read_text().splitlines()]
