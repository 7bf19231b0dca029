"""What `mobius serve --demo` prepares."""

from __future__ import annotations

import pytest

from integrations.providers.clay.simulator import ClaySimulator
from loops.models import Loop, LoopStatus, Run
from mobius.commands import demo

pytestmark = pytest.mark.django_db


def test_a_second_start_makes_nothing_anew_but_a_run(clay: ClaySimulator) -> None:
    demo.prepare(clay.url)
    demo.prepare(clay.url)

    assert (Loop.objects.count(), Run.objects.count()) == (1, 2)


def test_a_paused_loop_is_left_paused_and_told(clay: ClaySimulator, capsys: pytest.CaptureFixture[str]) -> None:
    demo.prepare(clay.url)
    Loop.objects.update(status=LoopStatus.PAUSED)

    demo.prepare(clay.url)

    assert Run.objects.count() == 1
    assert "no run was started: " in capsys.readouterr().out
