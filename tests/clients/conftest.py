"""Mobius's own clients, installed from hashed locks beside no package of ours, and driven against the real console."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.cast import cannot
from tests.processes.conftest import Console

FOLDER = Path(__file__).parent
INSTALL_SECONDS = 300


class ClientError(Exception):
    """What the client raised: `type` is the class's name, the rest what it carries."""

    def __init__(self, type: str, message: str, **carried: Any) -> None:
        super().__init__(f"{type}: {message}")
        self.type = type
        self.message = message
        self.status = carried.get("status")
        self.code = carried.get("code")
        self.details = carried.get("details")
        self.request_id = carried.get("request_id")
        self.retry_after = carried.get("retry_after")


class MobiusClient:
    """One of Mobius's clients, in a process of its own; its methods are those of the Python client."""

    def __init__(self, command: list[str], folder: Path, **settings: Any) -> None:
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._say(settings)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **options: self._call(name, args, options)

    def close(self) -> None:
        with self._process as process:
            process.kill()

    def _call(self, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        self._say({"name": name, "args": args, "options": options})
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            pytest.fail(f"the client's process ended: {self._process.stderr.read()[-2000:]}")
        outcome = json.loads(line)
        if "error" in outcome:
            raise ClientError(**outcome["error"])
        return outcome["value"]

    def _say(self, what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()


Connect = Callable[..., MobiusClient]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.processes)


@pytest.fixture(scope="session")
def python_client(request: pytest.FixtureRequest) -> list[str]:
    """The command that drives the Python client."""
    folder = _folder_for(request, "requirements.txt")
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    with _installing(folder) as needed:
        if needed:
            _run([sys.executable, "-m", "venv", "--clear", str(folder / "venv")], folder)
            pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            _run([*pip, "--require-hashes", "-r", str(FOLDER / "requirements.txt")], folder)
    return [str(python), str(FOLDER / "driver.py")]


@pytest.fixture(scope="session")
def npm_client(request: pytest.FixtureRequest) -> list[str]:
    """The command that drives the npm client: from its own folder, where node looks for packages."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        cannot("There is no node with npm; on Debian: apt-get install -y --no-install-recommends nodejs npm")
    folder = _folder_for(request, "package-lock.json")
    with _installing(folder) as needed:
        if needed:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(FOLDER / name, folder / name)
            _run([npm, "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
        shutil.copy(FOLDER / "driver.mjs", folder / "driver.mjs")
    return [node, str(folder / "driver.mjs")]


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    """One for all tests of a module: each uses names of its own."""
    with Console() as stage:
        stage.prepare()
        yield stage


@pytest.fixture(scope="session", params=["python", "npm"])
def command(request: pytest.FixtureRequest) -> list[str]:
    chosen: list[str] = request.getfixturevalue(f"{request.param}_client")
    return chosen


@pytest.fixture(scope="module")
def connect(console: Console, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    """Starts a client: `connect(command, project=…, api_key=…)`. Without further settings it is started once."""
    folder = tmp_path_factory.mktemp("clients")
    usual = {"base_url": f"http://127.0.0.1:{console.port}", "api_key": console.key, "project": "bench", "retry": 0}
    started: dict[str, MobiusClient] = {}
    with ExitStack() as stack:

        def start(command: list[str], **settings: Any) -> MobiusClient:
            name = json.dumps([command, settings])
            if name not in started:
                started[name] = MobiusClient(command, folder, **(usual | settings))
                stack.callback(started[name].close)
            return started[name]

        yield start


@pytest.fixture
def client(connect: Connect, command: list[str]) -> MobiusClient:
    """Each test runs with both clients."""
    return connect(command)


@pytest.fixture
def models(connect: Connect, python_client: list[str]) -> MobiusClient:
    """The Python client, for its strict models: `models.check("LoopRun", body)`."""
    return connect(python_client)


def _folder_for(request: pytest.FixtureRequest, lock: str) -> Path:
    """Kept between runs, for as long as the lock and this Python stay the same."""
    name = hashlib.sha256((FOLDER / lock).read_bytes() + sys.version.encode()).hexdigest()[:16]
    return Path(request.config.cache.mkdir(f"mobius-client-{name}"))  # type: ignore[union-attr]


@contextmanager
def _installing(folder: Path) -> Iterator[bool]:
    """Whether there is anything to install; while tests run side by side, one of them does it."""
    with FileLock(folder / "lock"):
        needed = not (folder / "ready").exists()
        yield needed
        (folder / "ready").touch()


def _run(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        said = str(getattr(error, "stderr", "") or error)[-500:]
        cannot(f"Mobius's client could not be installed here: {said}")
