"""The real product in several processes, on a PostgreSQL that DATABASE_URL names. Without one its tests are skipped."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from mobius.bench.stage import MOBIUS, ROOT
from tests.processes.conftest import Console

pytest.importorskip("psycopg")
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


class Cluster(PostgresStage, Console):
    """Web processes and workers, with what a `Console` has."""

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
