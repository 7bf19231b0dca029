"""Loops that listen: to the ends of runs, and to callbacks; and circles of them come to an end."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrations.models import Integration
from integrations.providers.clay.simulator import ClaySimulator
from loops import callbacks
from loops.authoring import create_loop, update_loop
from loops.models import Loop, Run, SourceEvent, Trigger
from loops.operating import cancel
from loops.retrying import retry
from loops.starting import DEEPEST
from loops.sweeping import sweep
from mobius.errors import InvalidFields
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from tests.cast import work_off
from tests.loops.flow import FAILS, NAP, asking, begin, fresh, loop_of, token_of, waiting
from tests.loops.runs import wait

pytestmark = pytest.mark.django_db


def listener(event_type: str = "run.completed", **config: Any) -> list[dict[str, Any]]:
    return [{"kind": "event", "key": "listen", "config": {"event_type": event_type} | config}]


def play(times: int = 1) -> None:
    for _ in range(times):
        work_off()
        sweep()
    work_off()


def runs_of(loop: Loop) -> list[Run]:
    return list(Run.objects.of_loop(loop.pk).order_by("pk"))


@pytest.fixture
def source(project: Project) -> Loop:
    return loop_of(project, NAP)


def test_the_end_of_a_run_starts_a_run_of_the_loop_that_listens(project: Project, source: Loop) -> None:
    heard = loop_of(project, NAP, triggers=listener())
    run = begin(source)
    play()

    (started,) = runs_of(heard)
    assert started.event["run_id"] == run.pk
    assert started.event["type"] == "run.completed"
    assert started.event["event"] == {"email": "ada@example.com"}
    assert started.event["result"] == {"nap": {}}
    assert started.depth == 1
    assert started.meta["trigger"] == "event"
    assert fresh(started).status == "completed"


def test_each_type_is_heard_by_those_who_asked_for_it(project: Project, source: Loop) -> None:
    failing = loop_of(project, FAILS)
    completed, failed = (
        loop_of(project, NAP, triggers=listener(kind, source_id=one))
        for kind, one in (("run.completed", source.pk), ("run.failed", failing.name))
    )
    begin(source)
    run = begin(failing)
    cancel(begin(source), by=SYSTEM)
    play()

    assert len(runs_of(completed)) == 1
    (started,) = runs_of(failed)
    assert (started.event["run_id"], started.event["error_type"]) == (run.pk, "check_failed")


def test_a_run_that_is_retried_is_heard_again(project: Project) -> None:
    failing = loop_of(project, FAILS)
    heard = loop_of(project, NAP, triggers=listener("run.failed"))
    run = begin(failing)
    play()
    retry(fresh(run), by=SYSTEM)
    play()

    assert len(runs_of(heard)) == 2


def test_a_condition_lets_through_what_fits(project: Project, source: Loop) -> None:
    heard = loop_of(
        project, NAP, triggers=listener(source_id=source.pk, condition='event.event.email == "ada@example.com"')
    )
    deaf = loop_of(
        project, NAP, triggers=listener(source_id=source.pk, condition='event.event.email == "bob@example.com"')
    )
    begin(source)
    play()

    assert (len(runs_of(heard)), len(runs_of(deaf))) == (1, 0)
    assert SourceEvent.objects.filter(trigger__loop=deaf).count() == 0


def test_a_condition_that_cannot_be_evaluated_is_said(project: Project, source: Loop) -> None:
    heard = loop_of(project, NAP, triggers=listener(condition='event.nothing.there == "x"'))
    begin(source)
    play()

    assert runs_of(heard) == []
    assert "condition cannot be evaluated" in Trigger.objects.get(loop=heard).last_remark


def test_a_paused_loop_hears_nothing(project: Project, source: Loop) -> None:
    heard = loop_of(project, NAP, triggers=listener())
    update_loop(heard, {"status": "paused"})
    begin(source)
    play()
    update_loop(heard, {"status": "active"})
    play()

    assert runs_of(heard) == []


def test_another_project_hears_nothing(source: Loop, other_project: Project) -> None:
    heard = loop_of(other_project, NAP, triggers=listener())
    begin(source)
    play()

    assert runs_of(heard) == []


def test_two_loops_that_start_each_other_come_to_an_end_and_say_so(project: Project) -> None:
    ping = loop_of(project, NAP, triggers=listener())
    pong = loop_of(project, NAP, triggers=listener(source_id=ping.pk))
    update_loop(ping, {"triggers": listener(source_id=pong.pk)})
    begin(ping)
    play(times=DEEPEST * 2)

    assert len(runs_of(ping)) + len(runs_of(pong)) == DEEPEST + 1
    assert max(run.depth for run in Run.objects.all()) == DEEPEST
    remarks = Trigger.objects.exclude(last_remark="").values_list("last_remark", flat=True)
    assert [remark for remark in remarks if "circle" in remark]


def test_a_loop_hears_its_own_runs_only_by_its_name(project: Project) -> None:
    loop = loop_of(project, NAP, triggers=listener())
    begin(loop)
    play(times=3)
    assert len(runs_of(loop)) == 1

    update_loop(loop, {"triggers": listener(source_id=loop.name)})
    begin(loop)
    play(times=DEEPEST * 2)
    assert len(runs_of(loop)) == 2 + DEEPEST


def test_a_callback_starts_a_run_with_its_body(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    enrich = loop_of(project, asking(), waiting())
    heard = loop_of(project, NAP, triggers=listener("clay.callback", source_id=enrich.pk))
    run = begin(enrich)
    work_off()
    body = {"score": 9}
    for _ in range(2):  # the second is a duplicate
        callbacks.receive_at_address(token_of(clay), body)
    play()

    (started,) = runs_of(heard)
    assert (started.event["run_id"], started.event["step_key"], started.event["body"]) == (run.pk, "push", body)


def test_what_was_heard_survives_a_crash_before_the_sweep(project: Project, source: Loop) -> None:
    heard = loop_of(project, NAP, triggers=listener())
    begin(source)
    work_off()
    assert SourceEvent.objects.get().state == "pending"
    sweep()
    sweep()

    assert len(runs_of(heard)) == 1
    assert SourceEvent.objects.get().event == {}


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({}, "triggers[0].config.event_type"),
        ({"event_type": "run.started"}, "triggers[0].config.event_type"),
        ({"event_type": "run.failed", "source_id": "nobody"}, "triggers[0].config.source_id"),
        ({"event_type": "run.failed", "condition": "event."}, "triggers[0].config.condition"),
        ({"event_type": "run.failed", "condition": "steps.a.output"}, "triggers[0].config.condition"),
    ],
)
def test_what_cannot_be_listened_to_is_refused_naming_the_place(
    project: Project, config: dict[str, Any], place: str
) -> None:
    with pytest.raises(InvalidFields) as refusal:
        create_loop(
            project=project, authored={"name": "x", "steps": [NAP], "triggers": [{"kind": "event", "config": config}]}
        )

    assert place in refusal.value.fields


def test_where_nobody_listens_a_run_asks_the_database_nothing_for_it(project: Project, source: Loop) -> None:
    loop_of(project, NAP)
    begin(source)
    work_off()  # asks who listens, for the next second
    second = begin(source)
    with CaptureQueriesContext(connection) as asked:
        work_off()

    assert fresh(second).status == "completed"
    assert not [one["sql"] for one in asked.captured_queries if "trigger" in one["sql"].partition(" FROM ")[2]]


def test_a_waiting_run_that_is_cancelled_is_not_heard(project: Project) -> None:
    heard = loop_of(project, NAP, triggers=listener())
    run = begin(loop_of(project, wait()))
    work_off()
    cancel(fresh(run), by=SYSTEM)
    play()

    assert runs_of(heard) == []
