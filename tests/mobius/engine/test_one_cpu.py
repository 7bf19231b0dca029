"""On which CPU a process goes on with all of its threads."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from mobius.engine import one_cpu
from mobius.engine.one_cpu import choose

ON_LINUX = pytest.mark.skipif(not one_cpu.can_share(), reason="a choice of CPUs is Linux's, where there are several")


def test_it_begins_where_there_is_most_room() -> None:
    assert choose({0: 0.2, 1: 0.9, 2: 0.5}, here=None, own=0.0) == 1


def test_it_stays_where_nobody_but_itself_is_busy() -> None:
    assert choose({0: 0.05, 1: 1.0}, here=0, own=0.95) == 0


def test_it_goes_where_more_is_left_for_it_when_others_work_beside_it() -> None:
    assert choose({0: 0.0, 1: 0.9}, here=0, own=0.5) == 1


def test_it_does_not_move_for_a_little_more_room() -> None:
    assert choose({0: 0.0, 1: 0.65}, here=0, own=0.5) == 0


def test_it_does_not_move_while_it_has_nothing_to_do() -> None:
    assert choose({0: 0.0, 1: 1.0}, here=0, own=0.01) == 0


def test_it_chooses_anew_when_the_cpu_it_was_on_is_gone() -> None:
    assert choose({1: 0.3, 2: 0.6}, here=0, own=0.5) == 2


def test_slow_cpus_that_save_power_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_cpu, "_CPUS", tmp_path)
    for cpu, capacity in enumerate((1024, 1000, 400)):
        (tmp_path / f"cpu{cpu}").mkdir()
        (tmp_path / f"cpu{cpu}" / "cpu_capacity").write_text(f"{capacity}\n")

    assert one_cpu.fastest({0, 1, 2}) == {0, 1}
    assert one_cpu.fastest({2}) == {2}
    assert one_cpu.fastest({5, 6}) == {5, 6}, "where nobody says how fast they are"


def test_what_each_cpu_has_rested_is_read_from_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "stat"
    monkeypatch.setattr(one_cpu, "_STAT", stat)
    monkeypatch.setattr(one_cpu, "_TICKS_A_SECOND", 100)
    assert one_cpu.idle_seconds() == {}

    stat.write_text("cpu  9 9 9 9 9 9 9 9\ncpu0 1 2 3 500 25 0 0 0\ncpu11 1 2 3 70 0 0 0 0\nintr 5\n")
    assert one_cpu.idle_seconds() == {0: 5.25, 11: 0.7}


@ON_LINUX
def test_all_threads_go_there() -> None:
    before, begun, over = os.sched_getaffinity(0), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        over.wait(10)

    other = threading.Thread(target=work)
    other.start()
    begun.wait(10)
    try:
        there = max(before)
        one_cpu._move_to(there)
        assert [os.sched_getaffinity(int(thread)) for thread in (0, other.native_id or 0)] == [{there}] * 2
    finally:
        over.set()
        other.join()
        for thread in os.listdir("/proc/self/task"):
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread), before)
