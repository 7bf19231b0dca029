"""The stage of a benchmark: a simulated Clay and a console, each a process of its own, on a fresh data directory."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from mobius.bench.figures import Processes, ProcessTree

ROOT = Path(__file__).resolve().parents[2]
MOBIUS = [sys.executable, "-m", "mobius.cli"]
PROJECT = "bench"
START_SECONDS = 60.0  # for a process to answer; the first start migrates
STOP_SECONDS = 40.0  # what compose.yaml grants, too
# The developer's own settings must not reach the console under test, least of all their database: what stands in the
# environment is left out, and what `.env` may say is overruled, because the environment wins over it.
INHERITED = ("MOBIUS_WORKERS", "MOBIUS_ONE_CPU")
NOT_INHERITED = ("SECRET_KEY", "FIELD_ENCRYPTION_KEY")
OVERRULED = {
    "MOBIUS_ENGINE": "embedded",
    "MOBIUS_PUBLIC_URL": "",
    "ALLOWED_HOSTS": "127.0.0.1,localhost",
    "HTTPS": "False",
    "DEBUG": "False",
    "SENTRY_DSN": "",
}


class StageBroken(Exception):
    """Something that the benchmark stands on did not work. The text says what, with the last lines of the log."""


@dataclass
class Arrivals:
    """The rows in the simulator's log, as far as it has been read."""

    log: Path
    at: dict[str, float] = field(default_factory=dict)  # time.time() of the first arrival, by request_id
    rows: int = 0
    offset: int = 0

    def read(self) -> None:
        """Take in what has been written since the last reading."""
        if not self.log.exists():
            return
        with self.log.open("rb") as log:
            log.seek(self.offset)
            fresh = log.read()
        fresh = fresh[: fresh.rfind(b"\n") + 1]  # the last line may still be on its way
        self.offset += len(fresh)
        for line in fresh.splitlines():
            entry = json.loads(line)
            self.rows += 1
            self.at.setdefault(str(entry["row"].get("request_id")), entry["at"])

    @property
    def duplicates(self) -> int:
        return self.rows - len(self.at)


class Stage:
    """The processes of a benchmark, or of a test. A context manager: whatever happens, nothing of it stays.

    `simulate` are further switches of the simulator, which takes rows at any pace unless it is `strict`.
    """

    def __init__(self, *simulate: str, strict: bool = False) -> None:
        self._simulate = [*simulate, *([] if strict else ["--unpaced"])]
        self.cleaning = ExitStack()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.port = free_port()
        self.simulator_port = free_port()
        self.key = ""

    def __enter__(self) -> Self:
        try:
            self.folder = Path(self.cleaning.enter_context(tempfile.TemporaryDirectory(prefix="mobius-bench-")))
            self.cleaning.callback(self._end_all)
            self.arrivals = Arrivals(self.folder / "rows.jsonl")
            simulate = ["clay", "simulate", "--port", str(self.simulator_port)]
            simulate += ["--limit", str(10**9), "--log", str(self.arrivals.log)]  # a long run passes Clay's 50,000
            simulate += self._simulate
            simulator = self._launch("simulator", simulate)
            self._await(simulator, "simulator", self.simulator_port, "/stats")
            self.start_console()
        except BaseException:
            self.cleaning.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.cleaning.close()

    @property
    def server(self) -> str:
        """Whose log tells why a call was refused."""
        return "serve"

    @property
    def webhook_url(self) -> str:
        return f"http://127.0.0.1:{self.simulator_port}/v3/sources/webhook/demo"

    @property
    def must(self) -> tuple[str, str]:
        """Runs a second that this console must hold, and that it aims at (performance.md of the design)."""
        return "400", "800"

    @property
    def must_take(self) -> tuple[str, str, str]:
        """How long a start may take to its row at 20 a second, p50 and p99, and the processor time of a run."""
        return "5 ms", "12 ms", "3 ms"

    def cpu_seconds(self) -> float | None:
        """Processor time of all that a run costs so far, the database included."""
        return self.tree.cpu_seconds()

    def start_console(self, *, by: Sequence[str] = MOBIUS) -> float:
        """Start `mobius serve`; seconds until it answered. `by` is the command that stands for `mobius`."""
        began = time.monotonic()
        self.console = self._launch("serve", ["serve", "--port", str(self.port)], by=by)
        self._await(self.console, "serve", self.port, "/healthz")
        self.tree: ProcessTree | Processes = ProcessTree(self.console.pid)
        return time.monotonic() - began

    def stop_console(self) -> tuple[int, float]:
        """Ask `serve` to end; its exit code and the seconds it took. Raises StageBroken when it does not."""
        began = time.monotonic()
        self.console.send_signal(signal.SIGTERM)
        try:
            return self.console.wait(STOP_SECONDS), time.monotonic() - began
        except subprocess.TimeoutExpired:
            raise self._broken("serve", f"did not end within {STOP_SECONDS:.0f} s of SIGTERM") from None

    def kill_console(self) -> None:
        """kill -9: nothing of the console gets to tidy up."""
        self.console.kill()
        self.console.wait()

    def database_fault(self) -> str:
        """What SQLite finds wrong with its file; "" when it is whole."""
        with closing(sqlite3.connect(self.folder / "data" / "mobius.sqlite3")) as database:
            found = [str(row[0]) for row in database.execute("PRAGMA integrity_check")]
        return "" if found == ["ok"] else "; ".join(found)

    def log_of(self, name: str) -> str:
        """What the process `serve` or `simulator` has printed so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def mobius(self, *arguments: str) -> str:
        """The standard output of a mobius command. Raises StageBroken when it fails."""
        done = subprocess.run([*MOBIUS, *arguments], cwd=ROOT, env=self._environment(), capture_output=True, text=True)
        if done.returncode:
            raise StageBroken(f"mobius {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def django(self, statements: str) -> str:
        """What Python statements print that run beside the console, on its database. Raises StageBroken."""
        setup = (
            "import os, django; os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mobius.settings'); django.setup(); "
        )
        done = subprocess.run(
            [sys.executable, "-c", setup + statements],
            cwd=ROOT,
            env=self._environment(),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise StageBroken(f"the statements failed:\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The console's answer to an API call. Raises StageBroken unless it is a success."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        status, answer = ask(self.port, method, path, None if body is None else json.dumps(body).encode(), headers)
        if not 200 <= status < 300:
            raise self._broken(self.server, f"answered {status} to {method} {path}: {answer.decode(errors='replace')}")
        return json.loads(answer) if answer else None

    def _launch(self, name: str, arguments: list[str], *, by: Sequence[str] = MOBIUS) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            # A session of its own: Ctrl-C reaches the benchmark alone, which then ends everything in order.
            process = subprocess.Popen(
                [*by, *arguments],
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in INHERITED or not (name in NOT_INHERITED or name.startswith("MOBIUS_"))
        }
        data = self.folder / "data"
        return (
            kept
            | OVERRULED
            | {
                "DATABASE_URL": f"sqlite:///{data / 'mobius.sqlite3'}",
                "MOBIUS_DATA_DIR": str(data),
                "MOBIUS_OUTBOUND_ALLOW": f"127.0.0.1/32:{self.simulator_port}",
            }
        )

    def _await(self, process: subprocess.Popen[bytes], name: str, port: int, path: str) -> None:
        give_up_at = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up_at:
            if process.poll() is not None:
                raise self._broken(name, f"ended with exit code {process.returncode}")
            try:
                if ask(port, "GET", path)[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.01)
        raise self._broken(name, f"did not answer {path} within {START_SECONDS:.0f} s")

    def _broken(self, name: str, what: str) -> StageBroken:
        log = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
        return StageBroken("\n".join([f"{name} {what}", *log[-20:]]))

    def _end_all(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # its own session, hence its own group
                process.wait()


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and body of one call to 127.0.0.1. Raises OSError and HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        with connection.getresponse() as response:
            return response.status, response.read()
    finally:
        connection.close()
