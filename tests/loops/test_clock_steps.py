"""A clock that was hours ahead and falls back leaves nobody waiting until that time comes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine

from loops.authoring import create_loop
from loops.clock_steps import ClockWatch, bring_forward
from loops.models import Run, Step, Wait
from loops.starting import Start, start_run
from mobius import clock
from mobius.projects.models import Project
from tests.cast import work_off

START = Start(event={}, meta={}, config={}, source={})
NAP: dict[str, Any] = {"id": "nap", "kind": "sleep", "config": {"duration": "10s"}}
WAIT: dict[str, Any] = {
    "id": "back", "kind": "wait_for_event", "timeout": {"duration": "60s"}, "config": {"event_type": "order.paid"}
}  # fmt: skip


def start(project: Project, step: dict[str, Any]) -> Run:
    loop = create_loop(project=project, authored={"name": f"one {step['id']}", "steps": [step]})
    run = start_run(loop=loop, start=START).run
    work_off()
    return Run.objects.get(pk=run.pk)


def test_a_sleep_that_began_under_a_clock_ahead_ends_after_its_own_time(project: Project) -> None:
    present, watch = clock.now(), ClockWatch()
    with time_machine.travel(present + timedelta(hours=6), tick=False):
        run = start(project, NAP)
        watch.look(now=clock.now())

    with time_machine.travel(present, tick=False) as traveller:
        watch.look(now=clock.now())
        work_off()
        assert Run.objects.get(pk=run.pk).status == "suspended"
        traveller.shift(timedelta(seconds=12))
        work_off()
        assert Run.objects.get(pk=run.pk).status == "completed"


def test_a_wait_keeps_its_own_time_out(project: Project) -> None:
    present = clock.now()
    with time_machine.travel(present + timedelta(hours=6), tick=False):
        run = start(project, WAIT)
    bring_forward(timedelta(hours=6), now=present)

    for moment in (Wait.objects.get().expires_at, Step.objects.get().deadline_at, Run.objects.get(pk=run.pk).wake_at):
        assert moment is not None
        assert abs(moment - (present + timedelta(seconds=60))) < timedelta(seconds=1)
    assert Run.objects.get(pk=run.pk).wake_at is not None


def test_it_is_done_once_however_many_processes_notice(project: Project) -> None:
    present = clock.now()
    with time_machine.travel(present + timedelta(hours=6), tick=False):
        start(project, NAP)
    bring_forward(timedelta(hours=6), now=present)
    first = Run.objects.values("wake_at", "revision").get()
    bring_forward(timedelta(hours=6), now=present)

    assert Run.objects.values("wake_at", "revision").get() == first


def test_what_was_written_in_time_is_left_alone(project: Project) -> None:
    run = start(project, NAP | {"config": {"duration": "2h"}})
    watch = ClockWatch()
    watch.look(now=clock.now())
    watch.look(now=clock.now() + timedelta(hours=6))  # forward: as if time had passed
    watch.look(now=clock.now())

    assert Run.objects.get(pk=run.pk).wake_at == run.wake_at


@pytest.mark.parametrize("seconds", [0, 3])
def test_a_small_correction_changes_nothing(db: None, seconds: int, django_assert_num_queries: Any) -> None:
    watch = ClockWatch()
    with django_assert_num_queries(0):
        watch.look(now=clock.now())
        watch.look(now=clock.now() - timedelta(seconds=seconds))
