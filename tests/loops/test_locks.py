"""Who waits for whom where several processes write: two transactions at once, held open where it hurts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from integrations.models import Integration, IntegrationStatus
from integrations.providers.clay.simulator import ClaySimulator
from loops import queue
from loops.advance import advance
from loops.models import Loop, Run, RunStatus
from loops.operating import signal
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from tests.cast import work_off
from tests.loops.flow import begin, fresh, loop_of
from tests.loops.runs import wait

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def uncommitted(deed: Callable[[], object]) -> Iterator[None]:
    """`deed` is done in another transaction, which commits only when somebody has waited for it for a while."""
    done = threading.Event()

    def run() -> None:
        try:
            with transaction.atomic():
                deed()
                done.set()
                threading.Event().wait(0.4)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert done.wait(10)
    yield
    thread.join(10)


def test_a_start_beside_the_end_of_a_run_is_not_left_in_the_queue(project: Project) -> None:
    loop = loop_of(project, wait(), concurrency="queue")
    first = begin(loop)
    work_off()
    signal(fresh(first), step_key="wait", result={}, by=SYSTEM)

    started: list[Run] = []
    with uncommitted(lambda: started.append(begin(loop))):
        advance(first.pk)  # ends the run

    assert fresh(first).status == RunStatus.COMPLETED
    assert fresh(started[0]).queue_reason == ""


def test_a_row_that_a_worker_takes_just_now_is_not_discarded(
    integration: Integration, push_leads: Loop, clay: ClaySimulator
) -> None:
    Integration.objects.update(status=IntegrationStatus.INACTIVE)
    run = begin(push_leads)
    work_off()

    with uncommitted(lambda: Run.objects.filter(pk=run.pk).update(status=RunStatus.RUNNING)):
        discarded = queue.discard(integration, by=SYSTEM)

    assert (discarded, fresh(run).status) == (0, RunStatus.RUNNING)
