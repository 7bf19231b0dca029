"""`mobius serve` as a newcomer, an operator and a process manager meet it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from mobius.bench.stage import MOBIUS, ROOT, Stage, ask, free_port
from mobius.engine import one_cpu
from tests.processes.conftest import Console, wait_until

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("console", [["--slow", "1.0"]], indirect=True)
def test_sigterm_waits_for_the_sends_in_flight_exits_0_and_loses_nothing(console: Console) -> None:
    started = [console.start(number) for number in range(60)]
    code, seconds = console.stop_console()
    rows = console.rows()

    assert code == 0
    assert seconds < 25
    assert 0 < sum(rows.values()) < 60, "some were in flight, the others had not been claimed"

    console.start_console()
    wait_until(lambda: all(status == "completed" for status in console.runs().values()))
    assert console.rows() == dict.fromkeys(started, 1)


@pytest.mark.skipif(not one_cpu.can_share(), reason="a choice of CPUs is Linux's, where there are several")
def test_its_threads_share_a_cpu_unless_they_are_told_not_to(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until(lambda: [len(cpus) for cpus in _cpus_of_threads(console)] == [1])

    console.stop_console()
    monkeypatch.setenv("MOBIUS_ONE_CPU", "off")
    console.start_console()
    time.sleep(one_cpu.LOOKS_AFTER_SECONDS[1] + 0.5)
    assert _cpus_of_threads(console) == {frozenset(os.sched_getaffinity(0))}


def test_a_second_serve_on_the_same_data_directory_refuses_to_start(console: Console) -> None:
    second = _run(console, "serve", "--port", str(free_port()))

    assert second.returncode == 1
    assert "another `mobius serve` runs on" in second.stderr
    assert "Traceback" not in second.stderr


def test_the_first_start_prints_the_password_once_and_a_second_start_recreates_nothing() -> None:
    with Stage() as stage:
        first = stage.log_of("serve")
        stage.mobius("project", "create", "kept")
        stage.stop_console()
        stage.start_console()
        both = stage.log_of("serve")

        assert re.search(r"^user: admin$", first, re.M)
        assert re.search(r"^password: \S{12,}$", first, re.M)
        assert both.count("password:") == 1
        late = ("key", "create", "--project", "kept", "--name", "late", "--role", "viewer")
        assert stage.mobius(*late), "the project is there still"


def test_the_data_directory_and_its_keys_are_private(console: Console) -> None:
    data = console.folder / "data"

    assert data.stat().st_mode & 0o777 == 0o700
    for name in ("secret_key", "field_encryption_key"):
        assert (data / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (Fernet.generate_key().decode(), "is not the key that this database's secrets are encrypted with"),
        ("garbage", "FIELD_ENCRYPTION_KEY"),
    ],
    ids=["another", "none"],
)
def test_a_wrong_encryption_key_refuses_to_start_with_a_sentence(console: Console, key: str, sentence: str) -> None:
    console.stop_console()
    refused = _run(console, "serve", "--port", str(free_port()), FIELD_ENCRYPTION_KEY=key)

    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_missing_encryption_key_is_told_to_every_command(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "MOBIUS_DATA_DIR": str(tmp_path / "nothing"),
        "SECRET_KEY": "",
        "FIELD_ENCRYPTION_KEY": "",
    }
    refused = subprocess.run(
        [*MOBIUS, "project", "create", "platform"], cwd=ROOT, env=environment, capture_output=True, text=True
    )

    assert refused.returncode == 1
    assert "Run `python3 -m mobius serve` once" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_taken_port_is_told_in_a_sentence(console: Console, tmp_path: Path) -> None:
    refused = _run(console, "serve", "--port", str(console.port), MOBIUS_DATA_DIR=str(tmp_path), DATABASE_URL="")

    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{console.port}" in refused.stderr


def test_commands_work_while_serve_runs(console: Console) -> None:
    person = _run(console, "user", "create", "dora", "--password-stdin", "--support", stdin="a long and odd password\n")

    assert person.returncode == 0, person.stderr
    assert _run(console, "check").returncode == 0
    assert (
        "There is no project nowhere"
        in _run(console, "key", "create", "--project", "nowhere", "--name", "n", "--role", "run").stderr
    )
    assert "Use lower-case letters" in _run(console, "project", "create", "Bad Handle").stderr
    assert "too short" in _run(console, "user", "create", "eve", "--password-stdin", stdin="short\n").stderr


def test_the_demo_shows_a_row_that_went_out_and_came_back(tmp_path: Path) -> None:
    port = free_port()
    environment = {**os.environ, "MOBIUS_DATA_DIR": str(tmp_path / "data")}
    for name in ("SECRET_KEY", "FIELD_ENCRYPTION_KEY", "MOBIUS_PUBLIC_URL"):
        environment.pop(name, None)
    log = (tmp_path / "log").open("w+")
    demo = subprocess.Popen(
        [*MOBIUS, "serve", "--demo", "--port", str(port)], cwd=ROOT, env=environment, stdout=log, stderr=log
    )
    try:
        wait_until(lambda: "api key" in (tmp_path / "log").read_text())
        key = re.search(r"api key for the project platform: (\S+)", (tmp_path / "log").read_text())
        assert key is not None

        def came_back() -> bool:
            status, body = ask(port, "GET", "/v1/projects/platform/runs", None, {"Authorization": f"Bearer {key[1]}"})
            return status == 200 and b'"completed"' in body and b'"enriched"' in body

        wait_until(came_back)
    finally:
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(40) == 0
        log.close()


def _run(console: Console, *arguments: str, stdin: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in (console._environment() | changes).items() if value or name in changes
    }
    return subprocess.run(
        [*MOBIUS, *arguments], cwd=ROOT, env=environment, input=stdin, capture_output=True, text=True, timeout=60
    )


def _cpus_of_threads(console: Console) -> set[frozenset[int]]:
    cpus: set[frozenset[int]] = set()
    for thread in os.listdir(f"/proc/{console.console.pid}/task"):
        with suppress(ProcessLookupError):
            cpus.add(frozenset(os.sched_getaffinity(int(thread))))
    return cpus
