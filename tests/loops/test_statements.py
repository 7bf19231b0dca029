"""How many statements a run costs: what a crowd of runs decides is written by one statement a table."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrations.models import Integration, IntegrationStatus, Pacer
from integrations.providers.clay.simulator import ClaySimulator
from loops.advance import begin_all
from loops.models import Run, RunStatus
from loops.sweeping import sweep
from mobius.projects.models import Project
from tests.cast import work_off
from tests.loops.flow import begin, loop_of, push

pytestmark = pytest.mark.django_db(transaction=True)

# The run itself is read, its unit is taken and its row enters the ledger; PostgreSQL does the first for all of them,
# and the others at once.
EACH = 1 if connection.vendor == "postgresql" else 3


@pytest.mark.usefixtures("integration")
def test_a_run_that_is_begun_together_with_others_takes_no_statement_but_those_that_are_answered(
    project: Project, clay: ClaySimulator
) -> None:
    loop = loop_of(project, push())

    def statements_for(runs: int) -> int:
        ids = [begin(loop).pk for _ in range(runs)]
        with CaptureQueriesContext(connection) as queries:
            works = begin_all(ids, lambda: True)
        for work in works.values():
            work(lambda: True)
        return len(queries)

    statements_for(1)  # statements are prepared, and what is shared is read
    two, twelve = statements_for(2), statements_for(12)

    assert twelve - two == 10 * EACH
    assert Run.objects.filter(status=RunStatus.COMPLETED).count() == len(clay.rows) == 15


def test_however_many_wait_for_the_same_they_are_woken_by_one_statement(
    integration: Integration, project: Project, clay: ClaySimulator
) -> None:
    loop = loop_of(project, push())
    Pacer.objects.update(rate_per_second=None)
    Integration.objects.update(status=IntegrationStatus.INACTIVE)
    runs = [begin(loop) for _ in range(5)]
    work_off()
    Integration.objects.update(status=IntegrationStatus.ACTIVE)

    with CaptureQueriesContext(connection) as queries:
        sweep()

    waking = [one for one in queries if one["sql"].startswith('UPDATE "loops_run"') and "wake_at" in one["sql"]]
    assert len(waking) == 1
    assert Run.objects.filter(wake_at__isnull=False).count() == len(runs)
