"""The stage of the distributed engine: web processes and workers beside each other, on a PostgreSQL that is given."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import psycopg
from cryptography.fernet import Fernet
from psycopg.sql import SQL, Identifier

from mobius.bench.figures import Processes, ProcessTree
from mobius.bench.stage import MOBIUS, ROOT, STOP_SECONDS, Stage

GUNICORN = [sys.executable, "-m", "gunicorn", "--config", "mobius/gunicorn.py", "mobius.wsgi:application"]


class PostgresStage(Stage):
    """Web processes under one gunicorn, and workers, on a database that is made for them and dropped afterwards.

    `settings` are further settings for all of them.
    """

    def __init__(self, *simulate: str, database_url: str, webs: int = 2, workers: int = 1, **settings: str) -> None:
        super().__init__(*simulate)
        self._given = database_url
        self._name = f"mobius_stage_{secrets.token_hex(6)}"
        self._webs = webs
        self._settings = settings | {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "FIELD_ENCRYPTION_KEY": Fernet.generate_key().decode(),
            "MOBIUS_PUBLIC_URL": "http://127.0.0.1:1",
        }
        self._worker_count = workers
        self.workers: list[subprocess.Popen[bytes]] = []
        self._number = 0
        self._database: ProcessTree | None = None

    def __enter__(self) -> Self:
        with psycopg.connect(self._given, autocommit=True) as database:
            self._create(database)
            if database.info.host in ("127.0.0.1", "localhost", "::1") or database.info.host.startswith("/"):
                self._database = _postmaster_of(database.info.backend_pid)
        self.cleaning.callback(self._drop)
        return super().__enter__()

    @property
    def server(self) -> str:
        return f"web-{self.port}"

    @property
    def must(self) -> tuple[str, str]:
        return "300", "1,000"

    @property
    def must_take(self) -> tuple[str, str, str]:
        return "10 ms", "25 ms", "4 ms"

    @property
    def database_url(self) -> str:
        return urlunsplit(urlsplit(self._given)._replace(path=f"/{self._name}"))

    def cpu_seconds(self) -> float | None:
        ours = self.tree.cpu_seconds()
        database = self._database.cpu_seconds() if self._database is not None else 0.0
        return None if ours is None or database is None else ours + database

    def start_console(self, *, by: Sequence[str] = MOBIUS) -> float:
        """Start web processes and workers; seconds until both answered. `by` stands for `mobius` in the workers."""
        if not self._number:
            self._make_ready()
        began = time.monotonic()
        self.console = self.start_web(self.port, processes=self._webs)
        for worker in [self.start_worker(wait=False, by=by) for _ in range(self._worker_count)]:
            self.await_worker(worker)
        self._await(self.console, f"web-{self.port}", self.port, "/readyz")
        self.tree = Processes([ProcessTree(one.pid) for one in (self.console, *self.workers)])
        return time.monotonic() - began

    def start_web(self, port: int, *, processes: int = 1) -> subprocess.Popen[bytes]:
        return self._launch(f"web-{port}", ["--bind", f"127.0.0.1:{port}", "--workers", str(processes)], by=GUNICORN)

    def await_web(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._await(process, f"web-{port}", port, "/readyz")

    def start_worker(self, *, wait: bool = True, by: Sequence[str] = MOBIUS) -> subprocess.Popen[bytes]:
        self._number += 1
        worker = self._launch(f"worker-{self._number}", ["work"], by=by)
        self.workers.append(worker)
        if wait:
            self.await_worker(worker)
        return worker

    def await_worker(self, worker: subprocess.Popen[bytes]) -> None:
        """Returns once it works. Raises StageBroken."""
        name = f"worker-{self._number - len(self.workers) + self.workers.index(worker) + 1}"
        give_up_at = time.monotonic() + STOP_SECONDS
        while "Mobius worker" not in self.log_of(name):
            if worker.poll() is not None or time.monotonic() > give_up_at:
                raise self._broken(name, "did not start to work")
            time.sleep(0.01)

    def stop_console(self) -> tuple[int, float]:
        """Ask all of them to end; their worst exit code and the seconds it took."""
        began = time.monotonic()
        ended = [self.console, *self.workers]
        for process in ended:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(STOP_SECONDS) for process in ended]
        self.workers.clear()
        return max(codes, key=abs), time.monotonic() - began

    def kill_console(self) -> None:
        """kill -9 of all of them at once."""
        for process in (self.console, *self.workers):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # gunicorn's web processes with it
            process.wait()
        self.workers.clear()

    def database_fault(self) -> str:
        """A PostgreSQL that answers finds nothing wrong with itself."""
        with psycopg.connect(self.database_url) as database:
            database.execute("SELECT count(*) FROM loops_run")
        return ""

    def _create(self, server: psycopg.Connection) -> None:
        server.execute(SQL("CREATE DATABASE {}").format(Identifier(self._name)))

    def _make_ready(self) -> None:
        (self.folder / "data").mkdir(exist_ok=True)
        self._manage("migrate")
        self._manage("collectstatic")

    def _manage(self, command: str) -> None:
        subprocess.run(
            [sys.executable, "manage.py", command, "--no-input", "--verbosity", "0"],
            cwd=ROOT,
            env=self._environment(),
            check=True,
        )

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {
            **{"MOBIUS_ENGINE": "procrastinate", "DATABASE_URL": self.database_url},
            **self._settings,
        }

    def _drop(self) -> None:
        with psycopg.connect(self._given, autocommit=True) as database:
            database.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(self._name)))


def _postmaster_of(backend: int) -> ProcessTree | None:
    """The database server's processes, when they are on this machine."""
    stat = Path(f"/proc/{backend}/stat")
    if not stat.exists():
        return None
    parent = int(stat.read_text().rpartition(")")[2].split()[1])
    return ProcessTree(parent) if parent > 1 and parent != os.getpid() else None
