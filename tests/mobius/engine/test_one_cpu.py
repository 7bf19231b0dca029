"""On which CPU a process goes on with all of its threads."""

from __future__ import annotations

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


@ON_LINUX
def test_what_each_cpu_has_rested_is_read_from_the_system() -> None:
    before = one_cpu.idle_seconds()

    assert set(before) >= one_cpu.allowed()
    assert all(now >= before[cpu] for cpu, now in one_cpu.idle_seconds().items())
