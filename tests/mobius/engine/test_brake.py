"""Starts make way for workers that are behind."""

from __future__ import annotations

from datetime import timedelta

import pytest

from loops.due import count_due
from loops.models import Run
from mobius import clock
from mobius.engine import brake
from mobius.engine.brake import Brake
from mobius.projects.models import Project
from tests.loops.flow import NAP, begin, loop_of

KEEPING_UP = 10
FAR_BEHIND = 1024


class Due:
    """What the database says, and how often it was asked; and how long starts waited."""

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.asked = 0
        self.waited: list[float] = []
        self.brake = Brake(self.count, sleep=self.waited.append)

    def count(self, most: int) -> int:
        self.asked += 1
        return min(self.runs, most)

    def start(self, times: int) -> None:
        for _ in range(times):
            self.brake.wait()


def test_nobody_waits_while_workers_keep_up_and_few_ask() -> None:
    due = Due(KEEPING_UP)
    due.start(80)

    assert due.waited == []
    assert due.asked == 10


def test_starts_wait_the_longer_the_more_runs_are_due() -> None:
    some, many = Due(60), Due(100)
    some.start(16)
    many.start(16)

    assert 0 < some.waited[-1] < many.waited[-1]


def test_a_start_waits_for_a_tenth_of_a_second_at_most() -> None:
    due = Due(1_000_000)
    due.start(100)

    assert max(due.waited) == pytest.approx(0.1)


def test_once_workers_have_caught_up_the_next_start_goes_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    due = Due(FAR_BEHIND)
    due.start(9)
    assert due.waited
    due.waited.clear()

    due.runs = KEEPING_UP
    monkeypatch.setattr(brake, "_LOOKS_AGAIN_SECONDS", 0.0)
    due.start(1)

    assert due.waited == []


@pytest.mark.django_db
def test_what_is_due_is_counted_up_to_a_limit(project: Project) -> None:
    loop = loop_of(project, NAP)
    runs = [begin(loop) for _ in range(4)]
    Run.objects.update(ring_due_at=clock.now() - timedelta(seconds=1))
    Run.objects.filter(pk=runs[0].pk).update(ring_due_at=clock.now() + timedelta(hours=1))

    assert (count_due(2), count_due(10)) == (2, 3)
