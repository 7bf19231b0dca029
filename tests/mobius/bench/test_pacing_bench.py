"""The pacing benchmark's own arithmetic, and what it asks for."""

from __future__ import annotations

import json

import pytest

from mobius.bench.pacing import decide, longest_gap, spread
from mobius.bench.stage import Stage
from mobius.projects.models import Project


def test_the_longest_gap_is_between_neighbours() -> None:
    assert longest_gap([1.0, 1.5, 4.0, 4.1]) == 2.5


def test_starts_are_spread_over_the_integrations_in_turn() -> None:
    stage = Stage()
    request = spread(stage, "beside", ["a", "b"])

    events = [json.loads(request(number).partition(b"\r\n\r\n")[2])["event"] for number in range(3)]

    assert [event["integration"] for event in events] == ["a", "b", "a"]
    assert [event["request_id"] for event in events] == [f"beside-0000000{number}" for number in range(3)]


def test_a_strict_simulator_is_not_told_to_be_unpaced() -> None:
    assert "--unpaced" in Stage()._simulate
    assert Stage("--slow", "1", strict=True)._simulate == ["--slow", "1"]


@pytest.mark.django_db(transaction=True)
def test_slots_are_granted_to_as_many_threads_as_the_pool_has(project: Project) -> None:
    assert decide(0.2) > 0
    assert project.pacers.get().tat > 0
