"""The real product, in processes of its own, on a stage that leaves nothing behind."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from mobius.bench.stage import MOBIUS, PROJECT, Stage

if TYPE_CHECKING:
    from tests.processes.clusters import Cluster  # which needs psycopg

pytestmark = pytest.mark.processes

PUSH = {
    "action_name": "clay.webhook.submit",
    "parameters": {"payload": {"email": "${{ event.email }}"}, "request_id": "${{ meta.run_id }}"},
}
LOOP = {"name": "push", "steps": [{"id": "push", "kind": "action", "config": PUSH}]}


class Console(Stage):
    """A stage with a project, a key, a connected simulator and a loop that pushes one row.

    Its data directory is a copy of one that was made once: that of a first start takes three seconds.
    """

    def start_console(self, *, by: Sequence[str] = MOBIUS) -> float:
        data = self.folder / "data"
        if not (data / "mobius.sqlite3").exists():
            made, self.key = _made_once()
            shutil.copytree(made.name, data, dirs_exist_ok=True)
        return super().start_console(by=by)

    def prepare(self) -> None:
        self.key = self.key or make_project(self)
        self.connect()
        self.call("POST", f"{self.root}/loops", LOOP)

    @property
    def root(self) -> str:
        return f"/v1/projects/{PROJECT}"

    def connect(self, **fields: Any) -> Any:
        wanted = {"webhook_url": self.webhook_url, "rate_per_second": "unlimited"} | fields
        return self.call("POST", f"{self.root}/integrations/providers/clay/connect", wanted)

    def start(self, number: int) -> str:
        run = self.call("POST", f"{self.root}/loops/push/runs", {"event": {"email": f"lead{number}@example.com"}})
        return str(run["id"])

    def runs(self) -> dict[str, str]:
        """Status by run id."""
        found: dict[str, str] = {}
        cursor = ""
        while True:
            page = self.call("GET", f"{self.root}/runs?limit=100{cursor}")
            found |= {run["id"]: run["status"] for run in page["items"]}
            if not page["has_more"]:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def rows(self) -> Counter[str]:
        """How often each request_id arrived at the simulator."""
        arrived: Counter[str] = Counter()
        for line in self.arrivals.log.read_text().splitlines() if self.arrivals.log.exists() else []:
            arrived[str(json.loads(line)["row"].get("request_id"))] += 1
        return arrived


def make_project(stage: Stage) -> str:
    """The key of its admin."""
    stage.mobius("project", "create", PROJECT)
    return stage.mobius("key", "create", "--project", PROJECT, "--name", "test", "--role", "admin")


@functools.cache
def _made_once() -> tuple[tempfile.TemporaryDirectory[str], str]:
    """A data directory with a project, and its admin's key. It goes when this process ends."""
    made = tempfile.TemporaryDirectory(prefix="mobius-data-", ignore_cleanup_errors=True)
    with Stage() as stage:
        key = make_project(stage)
        stage.stop_console()
        shutil.copytree(stage.folder / "data", made.name, dirs_exist_ok=True)
    return made, key


def wait_until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.05)


@pytest.fixture
def console(request: pytest.FixtureRequest) -> Iterator[Console]:
    """`@pytest.mark.parametrize("console", [["--slow", "0.5"]], indirect=True)` gives the simulator switches."""
    with Console(*getattr(request, "param", [])) as stage:
        stage.prepare()
        yield stage


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """`@pytest.mark.parametrize("cluster", [{"workers": 4}], indirect=True)` gives it switches."""
    from tests.processes.clusters import GIVEN, SILENCE, Cluster

    switches: dict[str, Any] = dict(getattr(request, "param", {}))
    simulate = switches.pop("simulate", [])
    options = {"webs": 1, "MOBIUS_SILENCE_SECONDS": str(SILENCE)} | switches
    with Cluster(*simulate, database_url=GIVEN, **options) as stage:
        stage.prepare()
        yield stage
