"""What needs a person about loops."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrations.models import Integration
from integrations.providers.clay.simulator import ClaySimulator
from loops import conditions
from loops.authoring import update_loop
from loops.awaiting import UsualTimes
from loops.conditions import find
from mobius import clock
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from tests.cast import work_off
from tests.loops.flow import FAILS, begin, go, loop_of, push, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "_usual_times", UsualTimes())


def found(later: timedelta = timedelta()) -> list[tuple[str, str, str]]:
    return [(one.condition, one.object_name, one.summary) for one in find(clock.now() + later)]


def test_a_loop_that_paused_itself_is_found_until_somebody_switches_it_on(project: Project) -> None:
    loop = loop_of(project, FAILS, limits={"pause_after_consecutive_failures": 1})
    begin(loop)
    work_off()
    assert found() == [("loop_paused", loop.name, "paused after too many failed runs")]

    loop.refresh_from_db()
    update_loop(loop, {"status": "active"}, by=SYSTEM)
    assert found() == []


def test_a_person_s_pause_is_nobody_s_alarm(project: Project) -> None:
    update_loop(loop_of(project, FAILS), {"status": "paused"}, by=SYSTEM)
    assert found() == []


def test_a_callback_is_overdue_after_the_usual_time(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, push(), waiting())
    assert found(timedelta(minutes=59)) == []
    assert found(timedelta(minutes=61)) == [("callbacks_overdue", run.loop.name, "a callback is overdue")]


def test_what_is_usual_is_remembered(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    for _ in range(3):
        go(project, push(), waiting())
    found()
    with CaptureQueriesContext(connection) as asked:
        found()

    assert len(asked) == 2
