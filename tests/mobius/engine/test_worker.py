"""A worker of the distributed engine, whatever happens to its ear or to the database meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from django.conf import settings
from django.db import OperationalError

from loops.models import Loop, Run, RunStatus
from loops.starting import Start, start_run
from mobius.engine.doorbell import GoOn, Work, current_answer
from tests.cast import wait_until
from tests.mobius.engine.conftest import Engine

if settings.MOBIUS_ENGINE == "embedded":
    pytest.skip("the embedded engine has a pool", allow_module_level=True)

from mobius.engine.worker import Worker


@pytest.fixture
def run(engine: Engine, push_leads: Loop) -> Run:
    """One that only its ring leads to."""
    run = start_run(loop=push_leads, start=Start(event={"email": "ada@example.com"}, meta={}, config={}, source={})).run
    engine.forget()
    return run


@contextmanager
def working(worker: Worker) -> Iterator[None]:
    worker.start()
    try:
        yield
    finally:
        assert worker.stop(patience_seconds=10)


def has_ended(run: Run) -> bool:
    return Run.objects.get(pk=run.pk).status == RunStatus.FAILED  # nothing is connected


def test_what_was_rung_while_the_database_did_not_answer_is_taken_as_soon_as_it_does(run: Run) -> None:
    asked: list[list[str]] = []

    def begin_all(run_ids: list[str], go_on: GoOn, due: int) -> dict[str, Work]:
        asked.append(run_ids)
        if len(asked) == 1:
            raise OperationalError("the server closed the connection")
        return current_answer().begin_all(run_ids, go_on, due)

    worker = Worker(replace(current_answer(), begin_all=begin_all), threads=2)
    carried = worker.put(run.pk)
    with working(worker):
        wait_until(lambda: has_ended(run))
        carried.result(timeout=5)


def test_a_thread_goes_on_although_nobody_waits_for_its_work_any_more(engine: Engine) -> None:
    def begin_all(run_ids: list[str], _go_on: GoOn, _due: int) -> dict[str, Work]:
        return dict.fromkeys(run_ids, lambda _go_on: None)

    worker = Worker(replace(current_answer(), begin_all=begin_all), threads=1)
    worker.put("run_1").cancel()
    with working(worker):
        worker.put("run_2").result(timeout=5)
