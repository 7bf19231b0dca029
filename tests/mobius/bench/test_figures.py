"""The figures of a benchmark: percentiles, processes, the table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mobius.bench.figures import Figure, ProcessTree, milliseconds, percentile, shown, table

LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc here")


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        (range(1, 101), 50, 50),
        (range(1, 101), 99, 99),
        (range(1, 101), 100, 100),
        ([3, 1, 2], 50, 2),
        ([1, 2], 50, 1),
        ([7], 99, 7),
        ([1, 2], 0, 1),
        ([], 50, None),
    ],
)
def test_a_percentile_is_one_of_the_values(values: list[float], percent: float, expected: float | None) -> None:
    assert percentile(values, percent) == expected


def test_what_could_not_be_read_is_told() -> None:
    assert shown(None, "MiB") == "n/a"
    assert milliseconds([], 99) == "n/a"


def test_figures_are_shown_with_their_unit() -> None:
    assert shown(1234.56) == "1,234.6"
    assert shown(0.98765, digits=3) == "0.988"
    assert milliseconds([0.001, 0.0025], 99) == "2.50 ms"


def test_the_columns_of_the_table_are_aligned() -> None:
    printed = table([Figure("runs a second", "1,250.0", "250", "800"), Figure("p50", "4.20 ms")])

    assert printed.splitlines() == [
        "figure         measured  must  aim",
        "-------------  --------  ----  ---",
        "runs a second   1,250.0   250  800",
        "p50             4.20 ms",
    ]


@LINUX
def test_a_tree_counts_the_processor_time_of_descendants() -> None:
    before = ProcessTree(os.getpid()).cpu_seconds()
    burn = "import time\nwhile time.process_time() < 0.2: pass\nprint('burnt', flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        living = ProcessTree(os.getpid()).cpu_seconds()
    ended = ProcessTree(os.getpid()).cpu_seconds()

    assert before is not None
    assert living is not None
    assert ended is not None
    assert living - before >= 0.15
    assert ended >= living


@LINUX
def test_a_tree_counts_memory() -> None:
    used = ProcessTree(os.getpid()).memory_bytes()

    assert used is not None
    assert 5_000_000 < used < 5_000_000_000


@LINUX
def test_a_process_that_has_ended_uses_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass

    assert ProcessTree(child.pid).cpu_seconds() == 0
    assert ProcessTree(child.pid).memory_bytes() == 0


def test_without_proc_nothing_is_read(tmp_path: Path) -> None:
    tree = ProcessTree(os.getpid(), tmp_path)

    assert tree.cpu_seconds() is None
    assert tree.memory_bytes() is None


def test_odd_command_names_do_not_confuse_the_reading(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    for pid, parent, name in ((7, 1, "mobius"), (8, 7, "a) R 99 (b"), (9, 1, "stranger")):
        folder = tmp_path / str(pid)
        folder.mkdir()
        fields = ["S", str(parent), *["0"] * 9, str(ticks), str(ticks), "0", "0", *["0"] * 30]
        (folder / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
        (folder / "status").write_text("Name:\tx\nVmRSS:\t    10 kB\n")
    (tmp_path / "self").symlink_to(tmp_path / "7")

    assert ProcessTree(7, tmp_path).cpu_seconds() == 4.0
    assert ProcessTree(7, tmp_path).memory_bytes() == 20 * 1024
