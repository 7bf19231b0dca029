"""What the next process makes of what a dead, or a closing, one left behind. Found by tests/rules; pinned here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from integrations import connecting, delivering
from integrations.models import Attempt, AttemptState, Integration
from integrations.providers.clay.simulator import ClaySimulator
from loops import callbacks
from loops.advance import advance
from loops.models import Run, RunStatus, Step, Wait, WaitState
from loops.sweeping import recover, sweep
from mobius.projects.models import Project
from tests.cast import work_off
from tests.loops.flow import asking, begin, fresh, loop_of, token_of, waiting


class Killed(BaseException):
    """kill -9: no code of ours may catch it."""


def die_after_sending(
    run: Run, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """The row goes out for real; `meanwhile` something happens; the process never comes to read the answer."""
    send = delivering.send

    def send_and_die(*arguments: Any, **options: Any) -> None:
        send(*arguments, **options)
        meanwhile()
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(delivering, "send", send_and_die)
        with pytest.raises(Killed):
            advance(run.pk)


def test_a_callback_that_was_quicker_than_the_crash_leaves_no_doubt(
    project: Project, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(loop_of(project, asking(), waiting()))
    die_after_sending(run, monkeypatch, meanwhile=lambda: callbacks.receive_at_address(token_of(clay), {"score": 7}))
    assert Attempt.objects.get().state == AttemptState.SENDING

    recover()
    work_off()

    run = fresh(run)
    assert Attempt.objects.get().state == AttemptState.ACCEPTED
    assert (run.status, (run.result or {})["answer"]) == (RunStatus.COMPLETED, {"score": 7})
    assert len(clay.rows) == 1


def test_a_doubt_after_a_crash_does_not_outlast_the_run_s_wall_clock(
    project: Project, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(loop_of(project, asking(), limits={"wall_clock_timeout": "10m"}))
    die_after_sending(run, monkeypatch)
    recover()
    assert fresh(run).wake_at == run.wall_clock_deadline_at

    with time_machine.travel(timezone.now() + timedelta(minutes=11)):
        work_off()

    assert fresh(run).error_type == "wall_clock_exceeded"
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT


def test_a_run_that_ends_while_it_waits_leaves_no_open_wait(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    begin(loop_of(project, asking(), waiting(), limits={"wall_clock_timeout": "10m"}))
    work_off()
    assert Wait.objects.get().state == WaitState.OPEN

    with time_machine.travel(timezone.now() + timedelta(minutes=11)):
        work_off()

    assert Wait.objects.get().state == WaitState.CANCELLED


def test_a_row_that_is_put_down_at_closing_keeps_its_place(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    connecting.pause(integration)
    run = begin(loop_of(project, asking()))
    work_off()
    place = fresh(run).waits_since
    assert place is not None
    connecting.resume(integration)
    sweep()

    advance(run.pk, lambda: False)  # it was woken, and the process is told to close
    assert (fresh(run).status, fresh(run).waits_since) == (RunStatus.SUSPENDED, place)
    recover()
    work_off()

    assert Step.objects.get().status == "completed"
    assert fresh(run).waits_since is None
