"""A push outlives its console: killed in the middle and started again, no row is lost and none is sent twice."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.processes.conftest import Console, wait_until

pytestmark = pytest.mark.processes
ROWS = 240


def file_of(folder: Path, rows: int) -> Path:
    file = folder / "leads.csv"
    with file.open("w", newline="") as written:
        csv.writer(written).writerows(
            [["Email", "Name"], *([f"lead{n}@example.com", f"Lead {n}"] for n in range(rows))]
        )
    return file


def push(console: Console, rows: int = ROWS) -> str:
    """The path of a push that has been started."""
    given = [{"request_id": f"r{number}", "email": f"lead{number}@example.com"} for number in range(rows)]
    one = (
        f"{console.root}/pushes/"
        + console.call("POST", f"{console.root}/pushes", {"integration": "clay", "rows": given})["id"]
    )
    assert console.call("POST", f"{one}/check")["check"]["ready"] == rows
    console.call("POST", f"{one}/start")
    return one


def done(console: Console, one: str) -> int:
    counts: Counter[str] = Counter(console.call("GET", one)["counts"])
    return counts["sent"] + counts["in_doubt"]


@pytest.mark.parametrize("console", [["--slow", "0.05"]], indirect=True)
def test_kill_9_in_the_middle_of_a_push_loses_no_row_and_sends_none_twice(console: Console) -> None:
    one = push(console)
    for share in (0.1, 0.4, 0.7):
        wait_until(lambda share=share: done(console, one) >= share * ROWS, seconds=60)  # type: ignore[misc]
        console.kill_console()
        console.start_console()

    def settled() -> bool:
        counts = console.call("GET", one)["counts"]
        return not counts.get("waiting") and not counts.get("started")

    wait_until(settled, seconds=90)
    time.sleep(0.5)  # a second POST of something would come now
    counts, arrived = Counter(console.call("GET", one)["counts"]), console.rows()

    assert set(counts) <= {"sent", "in_doubt"}
    assert counts.total() == ROWS
    assert [row for row, times in arrived.items() if times > 1] == []
    assert counts["sent"] <= len(arrived) <= ROWS
    assert counts["in_doubt"] <= 3 * 16, "what the workers had on the wire at each kill, and nothing else"
    assert console.database_fault() == ""
    # Whoever looks settles what is in doubt, and then the push is complete.
    for delivery in doubts(console):
        arrived_there = arrived[delivery["request_id"]] == 1
        decision = "arrived" if arrived_there else "give_up"
        body = {"decision": decision, "reason": "looked into the table"}
        console.call("POST", f"{console.root}/deliveries/{delivery['id']}/settle", body)
    wait_until(lambda: console.call("GET", one)["state"] == "completed")
    assert console.call("GET", one)["counts"].get("sent") == len(arrived)


def doubts(console: Console) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = console.call("GET", f"{console.root}/deliveries?state=in_doubt&limit=100")["items"]
    return found


def test_a_paused_push_stays_paused_over_a_restart_and_goes_on_where_it_was(console: Console) -> None:
    one = push(console)
    wait_until(lambda: done(console, one) >= 20)
    console.call("POST", f"{one}/pause")
    wait_until(lambda: not console.call("GET", one)["counts"].get("started"))
    before = console.rows()
    console.stop_console()
    console.start_console()
    time.sleep(1)
    assert console.call("GET", one)["state"] == "paused"
    assert console.rows() == before

    console.call("POST", f"{one}/resume")

    wait_until(lambda: console.call("GET", one)["state"] == "completed", seconds=60)
    assert console.rows() == {f"r{number}": 1 for number in range(ROWS)}


def command(console: Console, *arguments: str) -> subprocess.CompletedProcess[str]:
    where = ["--api-url", f"http://127.0.0.1:{console.port}", "--project", "bench", "--api-key", console.key]
    return subprocess.run(
        [sys.executable, "-m", "mobius.cli", "clay", "push", *arguments, *where], capture_output=True, text=True
    )


def test_the_command_pushes_a_file_and_shows_how_far_it_is(console: Console, tmp_path: Path) -> None:
    file = file_of(tmp_path, 60)
    failed = tmp_path / "failed.csv"

    dry = command(console, str(file), "--request-id", "Email", "--dry-run")
    assert (dry.returncode, console.rows().total()) == (0, 0), dry.stderr
    assert "60 rows, read as CSV, UTF-8, separated by commas." in dry.stderr
    assert console.call("GET", f"{console.root}/pushes")["items"] == [], "a dry run leaves nothing behind"

    ran = command(console, str(file), "--request-id", "Email", "--key", "Email=email", "--yes", "--failed", str(failed))

    assert ran.returncode == 0, ran.stderr
    assert "60 sent" in ran.stderr
    assert console.rows() == {f"lead{number}@example.com": 1 for number in range(60)}
    assert failed.read_text(encoding="utf-8-sig") == "push_line,push_error,Email,Name\n"

    again = command(console, str(file), "--request-id", "Email", "--key", "Email=email", "--yes")
    assert again.returncode == 1
    assert "60 sent before, exactly as they are" in again.stderr
    assert console.rows().total() == 60


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--request-id", "Emial"], 'There is no column "Emial".'),
        (["--integration", "nobody"], "There is no such integration. There is: clay."),
        (["--key", "Email"], "Write --key as COLUMN=KEY, not Email."),
        ([], "Nobody can be asked here: add --yes."),
    ],
)
def test_the_command_says_what_is_wrong_and_leaves_nothing_behind(
    console: Console, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    ran = command(console, str(file_of(tmp_path, 3)), *arguments)

    assert ran.returncode != 0
    assert sentence in ran.stderr
    assert console.call("GET", f"{console.root}/pushes")["items"] == []
    assert not console.rows()
