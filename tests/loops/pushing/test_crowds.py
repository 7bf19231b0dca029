"""Several processes look after one push at the same time: each row is started once all the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from integrations.models import Integration
from loops.models import Push, PushRow, Run
from loops.pushing.releasing import AHEAD, look_after_pushes
from mobius import clock
from tests.loops.pushing.pushes import leads, started

pytestmark = pytest.mark.django_db(transaction=True)


def test_many_sweepers_start_each_row_once(integration: Integration) -> None:
    push = started(integration, leads(100))

    def look_after() -> None:
        try:
            for _ in range(5):
                Push.objects.filter(pk=push.pk).update(due_at=clock.now())
                look_after_pushes(now=clock.now())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as crowd:
        for one in [crowd.submit(look_after) for _ in range(4)]:
            one.result()

    begun = PushRow.objects.of_push(push.pk).exclude(run_id="")
    assert begun.count() == AHEAD
    assert begun.values("run_id").distinct().count() == Run.objects.count() == AHEAD
    assert list(begun.order_by("number").values_list("number", flat=True)) == list(range(1, AHEAD + 1))
