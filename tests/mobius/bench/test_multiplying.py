"""What `mobius bench suspended` stands on: copies of a waiting run that are as good as the run itself."""

from __future__ import annotations

import json

import pytest
from django.db import connection

from integrations.models import Attempt, Integration
from loops import callbacks
from loops.models import Run, RunStatus, Step, Wait
from mobius.bench.multiplying import multiply, time_sweeps
from mobius.projects.models import Project
from tests.cast import work_off
from tests.loops.flow import asking, begin, loop_of, push, waiting

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite only"),
]


@pytest.fixture
def copied(project: Project, integration: Integration) -> Run:
    """A run that waits, of which there are thirty copies."""
    run = begin(loop_of(project, asking(), waiting(), push("done")), request_id="real-00000000")
    work_off()
    multiply("real-00000000", "many", 30)
    return run


def test_every_copy_waits_like_the_run_itself(copied: Run) -> None:
    assert Run.objects.filter(status=RunStatus.SUSPENDED).count() == 31
    assert Step.objects.filter(key="answer", status="suspended").count() == 31
    assert Wait.objects.filter(state="open").count() == 31
    assert Attempt.objects.filter(state="accepted").count() == 31
    assert Run.objects.exclude(pk=copied.pk).filter(event__request_id="many-00000029").count() == 1


def test_a_callback_wakes_the_copy_that_it_means_and_no_other(project: Project, copied: Run) -> None:
    callbacks.receive_by_request_id(project, {"request_id": "many-00000007"})
    work_off()

    done = Run.objects.get(status=RunStatus.COMPLETED)
    assert done.event["request_id"] == "many-00000007"
    assert done.result["done"]["ok"] is True
    assert Run.objects.filter(status=RunStatus.SUSPENDED).count() == 30


def test_sweeps_are_timed_one_by_one(copied: Run, capsys: pytest.CaptureFixture[str]) -> None:
    time_sweeps(20)

    seconds = json.loads(capsys.readouterr().out)
    assert len(seconds) == 18
    assert all(0 < one < 10 for one in seconds)
