"""What a push keeps in memory has a bound, however many rows it releases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings

from integrations.models import Integration
from loops.advance import advance
from loops.models import Push, Run
from loops.pushing.releasing import AHEAD, BATCH, look_after_pushes
from mobius import clock
from mobius.engine import embedded
from mobius.engine.doorbell import Answer, Work
from mobius.engine.pool import _MOST_IN_MEMORY, Pool
from tests.loops.pushing.pushes import leads, started

pytestmark = pytest.mark.django_db(transaction=True)
if settings.MOBIUS_ENGINE != "embedded":
    pytest.skip("a worker of another process reads its runs anew", allow_module_level=True)


class Stuck(Pool):
    """Its threads take nothing; it notes the runs that it is given to keep, and those that it was rung for."""

    def __init__(self) -> None:
        super().__init__(Answer(advance=advance, recover=lambda: None, sweep=lambda: 1.0), threads=1)
        self.kept: list[str] = []
        self.rung: list[str] = []

    def put(self, run_id: str, work: Work | None = None) -> None:
        (self.kept if work else self.rung).append(run_id)
        super().put(run_id, work)


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    pool = Stuck()
    embedded.use_pool(pool)
    yield pool
    embedded.use_pool(None)


def test_runs_that_no_worker_takes_are_kept_in_memory_only_up_to_a_number(
    integration: Integration, stuck: Stuck
) -> None:
    for first in range(1, 6):
        started(integration, leads(AHEAD, first=first * 100))
    for _ in range(AHEAD // BATCH):
        Push.objects.filter(due_at__isnull=False).update(due_at=clock.now())
        look_after_pushes(now=clock.now())

    assert Run.objects.count() == 5 * AHEAD == stuck._rung.qsize()
    assert 0 < len(stuck.kept) < _MOST_IN_MEMORY + BATCH
    assert stuck.rung
