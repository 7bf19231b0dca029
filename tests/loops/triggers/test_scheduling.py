"""Schedules fire once, say what they missed, and fire nothing while their loop is paused or gone."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from loops.authoring import delete_loop, update_loop
from loops.models import Loop, Run, SourceEvent, Trigger
from loops.sweeping import sweep
from loops.triggers.firing import fire_due
from mobius.projects.models import Project
from tests.cast import work_off
from tests.loops.flow import FAILS, NAP, begin, loop_of
from tests.loops.runs import wait

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 27, 12, 0, 30, tzinfo=UTC)


def hourly(**fields: Any) -> dict[str, Any]:
    return {"kind": "schedule", "key": "hourly", "config": {"cron": "@hourly"}} | fields


def runs_of(loop: Loop) -> list[Run]:
    return list(Run.objects.of_loop(loop.pk).order_by("pk"))


def trigger_of(loop: Loop) -> Trigger:
    return Trigger.objects.get(loop=loop)


@pytest.fixture
def loop(project: Project) -> Loop:
    with time_machine.travel(NOON, tick=False):
        return loop_of(project, NAP, triggers=[hourly()])


def test_nothing_fires_before_its_time(loop: Loop) -> None:
    with time_machine.travel(NOON + timedelta(minutes=59), tick=False):
        sweep()

    assert runs_of(loop) == []


def test_it_fires_once_and_says_when_next(loop: Loop) -> None:
    with time_machine.travel(NOON + timedelta(hours=1), tick=False):
        sweep()
        sweep()

    (run,) = runs_of(loop)
    trigger = trigger_of(loop)
    source_event = SourceEvent.objects.get(trigger=trigger)
    assert run.event == {"scheduled_at": "2026-11-27T13:00:00.000000Z", "missed": 0}
    assert run.warnings == []
    assert run.source == {"type": "trigger", "id": "hourly", "label": "hourly", "trigger_id": trigger.pk}
    assert run.meta == {"source_event_id": source_event.pk, "trigger": "schedule"}
    assert (run.source_event_id, source_event.run_id, source_event.state) == (source_event.pk, run.pk, "started")
    assert trigger.next_fire_at == datetime(2026, 11, 27, 14, tzinfo=UTC)
    assert (trigger.last_run, trigger.last_remark) == (run.pk, "")


def test_missed_times_have_one_run_for_the_latest_that_says_how_many(loop: Loop) -> None:
    with time_machine.travel(NOON + timedelta(hours=5), tick=False):
        sweep()
        sweep()

    (run,) = runs_of(loop)
    assert run.event == {"scheduled_at": "2026-11-27T17:00:00.000000Z", "missed": 4}
    assert run.warnings == [
        "The schedule's 4 earlier times, from 2026-11-27T13:00:00.000000Z on, had no run: this run is for the latest."
    ]
    assert trigger_of(loop).next_fire_at == datetime(2026, 11, 27, 18, tzinfo=UTC)


def test_a_paused_loop_fires_nothing_and_makes_up_for_nothing(loop: Loop) -> None:
    with time_machine.travel(NOON, tick=False):
        update_loop(loop, {"status": "paused"})
    with time_machine.travel(NOON + timedelta(hours=5), tick=False):
        sweep()
        assert trigger_of(loop).next_fire_at is None
        update_loop(loop, {"status": "active"})
        sweep()

    assert runs_of(loop) == []
    assert trigger_of(loop).next_fire_at == datetime(2026, 11, 27, 18, tzinfo=UTC)


def test_a_deleted_loop_fires_nothing(loop: Loop) -> None:
    delete_loop(loop)
    with time_machine.travel(NOON + timedelta(hours=5), tick=False):
        sweep()

    assert (runs_of(loop), Trigger.objects.count()) == ([], 0)


def test_a_loop_that_pauses_itself_fires_no_more(project: Project) -> None:
    with time_machine.travel(NOON, tick=False):
        loop = loop_of(project, FAILS, triggers=[hourly()], limits={"pause_after_consecutive_failures": 1})
        begin(loop)
        work_off()
    with time_machine.travel(NOON + timedelta(hours=5), tick=False):
        sweep()
        update_loop(Loop.objects.get(pk=loop.pk), {"status": "active"})
        sweep()

    assert len(runs_of(loop)) == 1


def test_a_trigger_that_is_switched_off_fires_nothing(loop: Loop) -> None:
    update_loop(loop, {"triggers": [hourly(enabled=False)]})
    with time_machine.travel(NOON + timedelta(hours=5), tick=False):
        sweep()

    assert runs_of(loop) == []


def test_saving_something_else_keeps_the_next_time(project: Project) -> None:
    with time_machine.travel(NOON, tick=False):
        loop = loop_of(project, NAP, triggers=[{"kind": "schedule", "config": {"interval": "1h"}}])
    with time_machine.travel(NOON + timedelta(minutes=30), tick=False):
        update_loop(loop, {"description": "Another one."})
    assert trigger_of(loop).next_fire_at == NOON + timedelta(hours=1)

    with time_machine.travel(NOON + timedelta(minutes=30), tick=False):
        update_loop(loop, {"triggers": [{"kind": "schedule", "config": {"interval": "2h"}}]})
    assert trigger_of(loop).next_fire_at == NOON + timedelta(minutes=150)


def test_the_trigger_s_own_policy_decides_and_what_it_refuses_is_said(project: Project) -> None:
    with time_machine.travel(NOON, tick=False):
        loop = loop_of(project, wait(), triggers=[hourly(concurrency_policy="skip")])
        by_hand = begin(loop)
    for hours in (1, 2):
        with time_machine.travel(NOON + timedelta(hours=hours), tick=False):
            sweep()
            work_off()

    assert [run.pk for run in runs_of(loop) if run.pk != by_hand.pk] == [
        SourceEvent.objects.exclude(run_id="").get().run_id
    ]
    assert "still active" in trigger_of(loop).last_remark
    assert [one.state for one in SourceEvent.objects.order_by("pk")] == ["started", "refused"]


def test_one_trigger_that_cannot_fire_does_not_keep_the_others_from_it(project: Project, loop: Loop) -> None:
    with time_machine.travel(NOON, tick=False):
        broken = loop_of(project, NAP, triggers=[hourly()])
    Trigger.objects.filter(loop=broken).update(config={"cron": "@hourly", "timezone": "Gone/Away"})
    with time_machine.travel(NOON + timedelta(hours=1), tick=False):
        sweep()

    assert (len(runs_of(loop)), len(runs_of(broken))) == (1, 0)
    assert "no time zone" in trigger_of(broken).last_remark


@pytest.mark.django_db(transaction=True)
def test_it_fires_once_however_many_look_at_the_same_moment(loop: Loop) -> None:
    later, gate = NOON + timedelta(hours=1), threading.Barrier(8)

    def look() -> None:
        gate.wait()
        fire_due(now=later)
        connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(runs_of(loop)) == 1


def test_where_nobody_has_triggers_the_sweep_asks_once_and_by_an_index(project: Project) -> None:
    with CaptureQueriesContext(connection) as asked:
        sweep()
    ours = [one["sql"] for one in asked.captured_queries if "loops_trigger" in one["sql"]]

    assert len(ours) == 1
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {ours[0]}")
            plan = str(cursor.fetchall())
        assert "triggers_by_next_fire" in plan
        assert "source_events_to_fire" in plan
