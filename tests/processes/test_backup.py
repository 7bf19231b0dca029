"""`mobius backup` and `mobius restore`: a copy made while the console works, sending nothing until somebody resumes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mobius.bench.stage import MOBIUS, ROOT, Stage
from tests.processes.conftest import Console, wait_until

pytestmark = pytest.mark.processes

WITH_LITTLE_ROOM = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
os.execv(sys.argv[1], sys.argv[1:])
"""
"""No file of the command that follows grows beyond 100 kB: it meets an error, as on a full disk."""


def run(console: Stage, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in (console._environment() | changes).items() if value or name in changes
    }
    return subprocess.run([*MOBIUS, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90)


@contextmanager
def load(console: Console) -> Iterator[None]:
    """Runs are started one after the other, all the time."""
    stopping = threading.Event()

    def start() -> None:
        number = 1000
        while not stopping.is_set():
            console.start(number)
            number += 1

    thread = threading.Thread(target=start)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def move_away(console: Console) -> None:
    """The original is gone, but for its key."""
    data = console.folder / "data"
    data.rename(console.folder / "original")
    data.mkdir(mode=0o700)
    (data / "field_encryption_key").write_bytes((console.folder / "original" / "field_encryption_key").read_bytes())


@pytest.mark.parametrize("console", [["--slow", "0.3"]], indirect=True)
def test_a_copy_made_under_load_sends_nothing_until_somebody_resumes_it(console: Console) -> None:
    file = console.folder / "console.backup"
    with load(console):
        wait_until(lambda: len(console.rows()) > 20)
        made = run(console, "backup", str(file))
    assert made.returncode == 0, made.stderr
    assert "The encryption key is not in it" in made.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    wait_until(lambda: set(console.runs().values()) == {"completed"})
    sent_by_the_original = console.rows()
    console.stop_console()

    move_away(console)
    restored = run(console, "restore", str(file))
    assert restored.returncode == 0, restored.stderr
    assert "integrations held: 1" in restored.stdout
    checked = run(console, "check")
    assert checked.returncode == 0, checked.stdout
    assert "nothing goes out of bench/clay since this console was restored" in checked.stdout

    console.start_console()
    fresh = console.start(1)
    wait_until(lambda: console.runs()[fresh] == "suspended")
    integration = console.call("GET", f"{console.root}/integrations")["items"][0]
    assert integration["status"] == "inactive"
    console.call("POST", f"{console.root}/integrations/{integration['id']}/test", {})
    wait_until(lambda: not {"queued", "running"} & set(console.runs().values()))
    tested = 1
    assert sum(console.rows().values()) == sum(sent_by_the_original.values()) + tested, "nothing but the test was sent"
    assert console.call("GET", f"{console.root}/integrations")["items"][0]["status"] == "inactive", "a test is no yes"

    doubts = console.call("GET", f"{console.root}/deliveries?state=in_doubt&limit=100")["items"]
    waiting = {run for run, status in console.runs().items() if status == "suspended"}
    assert doubts
    assert {one["run_id"] for one in doubts} < waiting, "what was on the wire is in doubt"
    before = console.rows()
    console.call("PUT", f"{console.root}/integrations/{integration['id']}", {"status": "active"})
    goes = waiting - {one["run_id"] for one in doubts}
    wait_until(lambda: {console.runs()[run] for run in goes} == {"completed"})
    assert console.rows() - before == dict.fromkeys(goes, 1), "each row that waited goes once"
    assert console.database_fault() == ""


def test_the_key_is_in_the_file_only_when_asked_for_and_with_a_warning(console: Console) -> None:
    plain, whole = console.folder / "plain", console.folder / "whole"
    key = (console.folder / "data" / "field_encryption_key").read_text().strip()
    run(console, "backup", str(plain))
    made = run(console, "backup", str(whole), "--include-key")
    assert "warning: the file holds the encryption key" in made.stderr
    for file, holds in ((plain, False), (whole, True)):
        with tarfile.open(file) as tar:
            assert ("field_encryption_key" in tar.getnames()) is holds
            members = [tar.extractfile(name) for name in tar.getnames()]
            assert any(key.encode() in member.read() for member in members if member) is holds
    console.stop_console()

    (console.folder / "data").rename(console.folder / "original")
    refused = run(console, "restore", str(plain))
    assert refused.returncode == 1
    assert "the backup holds no encryption key, and there is none here" in refused.stderr
    assert run(console, "restore", str(whole)).returncode == 0
    assert (console.folder / "data" / "field_encryption_key").read_text().strip() == key
    assert stat.S_IMODE((console.folder / "data" / "field_encryption_key").stat().st_mode) == 0o600
    assert stat.S_IMODE((console.folder / "data" / "mobius.sqlite3").stat().st_mode) == 0o600
    console.start_console()
    assert console.call("GET", f"{console.root}/integrations")["items"][0]["status"] == "inactive"


def test_neither_overwrites_anything(console: Console) -> None:
    file = console.folder / "there"
    file.write_text("precious")
    refused = run(console, "backup", str(file))
    assert refused.returncode == 1
    assert "exists already; a backup overwrites nothing" in refused.stderr
    assert file.read_text() == "precious"

    backup = console.folder / "backup"
    run(console, "backup", str(backup))
    assert "Stop it first" in run(console, "restore", str(backup)).stderr
    console.stop_console()
    refused = run(console, "restore", str(backup))
    assert refused.returncode == 1
    assert "exists already, and a restore overwrites nothing" in refused.stderr
    assert console.database_fault() == ""


def test_what_is_no_whole_backup_or_needs_another_key_is_refused_and_leaves_nothing(console: Console) -> None:
    backup, cut, other = (console.folder / name for name in ("backup", "cut", "other"))
    run(console, "backup", str(backup))
    console.stop_console()
    cut.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])
    other.write_text("something else")
    move_away(console)
    data = console.folder / "data"

    for file in (cut, other, console.folder / "nowhere"):
        refused = run(console, "restore", str(file))
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr
    assert "not a whole backup" in run(console, "restore", str(cut)).stderr
    (data / "field_encryption_key").write_text("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    refused = run(console, "restore", str(backup))
    assert "is not the key that this database's secrets are encrypted with" in refused.stderr
    assert {path.name for path in data.iterdir()} <= {"field_encryption_key", "secret_key", "lock"}


def test_a_place_that_is_not_there_is_told(console: Console, tmp_path: Path) -> None:
    refused = run(console, "backup", str(tmp_path / "missing" / "file"))

    assert refused.returncode == 1
    assert "cannot write" in refused.stderr


def test_a_disk_without_room_is_told_and_leaves_no_half_backup(console: Console, tmp_path: Path) -> None:
    limited = [sys.executable, "-c", WITH_LITTLE_ROOM, *MOBIUS, "backup", str(tmp_path / "file")]
    refused = subprocess.run(
        limited, cwd=ROOT, env=console._environment(), capture_output=True, text=True, timeout=90, check=False
    )

    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "the database cannot be copied" in refused.stderr
    assert os.listdir(tmp_path) == []
