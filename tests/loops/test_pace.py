"""The real engine against a Clay that keeps its limits: many threads, one socket each, and a clock that runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from integrations import pacing
from integrations.connecting import connect
from integrations.forms import UNLIMITED, Options
from integrations.models import Attempt, Integration, Pacer, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from loops.authoring import create_loop
from loops.models import Loop, Run, RunStatus
from loops.starting import Start, start_run
from mobius import clock
from mobius.projects.models import Project
from mobius.working import Works
from tests.cast import PUSH_LEADS, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def engine() -> Iterator[None]:
    """Sixteen workers and the clock, as `serve` has them, of whichever engine."""
    works = Works()
    works.start()
    yield
    assert works.stop()


@pytest.fixture
def strict_clay(settings: Any) -> Iterator[ClaySimulator]:
    """A workspace that takes 10 rows a second and 20 at once, and answers 429 to everything beyond."""
    with ClaySimulator(answer="json") as simulator:
        settings.MOBIUS_OUTBOUND_ALLOW = [f"127.0.0.1/32:{simulator.port}"]
        yield simulator


def connect_as(project: Project, clay: ClaySimulator, name: str, **options: Any) -> Integration:
    return connect(
        project=project,
        provider=get_provider("clay"),
        connection=Connection(webhook_url=clay.url_for(name)),
        options=Options(name=name, **options),
    )


def loop_to(project: Project, integration: str) -> Loop:
    step = PUSH_LEADS["steps"][0]
    parameters = step["config"]["parameters"] | {"integration": integration}
    steps = [step | {"config": step["config"] | {"parameters": parameters}}]
    return create_loop(project=project, authored=PUSH_LEADS | {"name": f"to {integration}", "steps": steps})


def start(loop: Loop, email: str) -> None:
    start_run(loop=loop, start=Start(event={"email": email}, meta={}, config={}, source={}))


def rate_after_the_burst(moments: list[float], burst: int = 18) -> float:
    paced = moments[burst - 1 :]
    return (len(paced) - 1) / (paced[-1] - paced[0])


@pytest.mark.usefixtures("engine")
def test_a_backlog_causes_no_429_and_runs_at_the_pace(project: Project, strict_clay: ClaySimulator) -> None:
    connect_as(project, strict_clay, "clay")
    loop = loop_to(project, "clay")

    for number in range(60):
        start(loop, str(number))
    rows = strict_clay.wait_for_rows(60, timeout_seconds=15)

    assert strict_clay.stats["by_status"] == {"200": 60}
    assert rate_after_the_burst([row.at for row in rows]) >= 9.6
    assert Run.objects.filter(status=RunStatus.FAILED).count() == 0


@pytest.mark.usefixtures("engine")
def test_integrations_of_one_workspace_share_its_pace(project: Project, strict_clay: ClaySimulator) -> None:
    loops = []
    for name in ("clay", "sales", "events"):
        connect_as(project, strict_clay, name, workspace="acme")
        loops.append(loop_to(project, name))

    for number in range(30):
        start(loops[number % 3], str(number))
    strict_clay.wait_for_rows(30)

    assert strict_clay.stats["by_status"] == {"200": 30}


@pytest.mark.usefixtures("engine")
def test_no_thread_waits_for_a_slot(project: Project, strict_clay: ClaySimulator, settings: Any) -> None:
    with ClaySimulator(unpaced=True) as other:
        settings.MOBIUS_OUTBOUND_ALLOW = [f"127.0.0.1/32:{one.port}" for one in (strict_clay, other)]
        connect_as(project, strict_clay, "clay")
        connect_as(project, other, "free", workspace="elsewhere", rate_per_second=UNLIMITED)
        slow, free = loop_to(project, "clay"), loop_to(project, "free")
        for number in range(200):  # many more than there are threads; they take eighteen seconds
            start(slow, str(number))

        for number in range(20):
            start(free, str(number))
        other.wait_for_rows(20)

        assert len(strict_clay.rows) < 150


@pytest.mark.usefixtures("engine")
def test_an_outage_is_not_followed_by_more_than_a_burst(project: Project, strict_clay: ClaySimulator) -> None:
    connect_as(project, strict_clay, "clay")
    Pacer.objects.update(tat=clock.now().timestamp() - 30)  # nothing went out for half a minute
    loop = loop_to(project, "clay")

    for number in range(30):
        start(loop, str(number))
    rows = strict_clay.wait_for_rows(30)

    first_half_second = [row for row in rows if row.at - rows[0].at < 0.5]
    assert len(first_half_second) <= 18 + 5
    assert strict_clay.stats["by_status"] == {"200": 30}


@pytest.mark.usefixtures("engine")
def test_a_429_that_others_caused_holds_the_group_for_as_long_as_clay_asks(
    project: Project, strict_clay: ClaySimulator
) -> None:
    connect_as(project, strict_clay, "clay")
    loop = loop_to(project, "clay")
    strict_clay.next_answers(Behaviour(fail=429, headers=(("Retry-After", "2"),)))
    start(loop, "refused")
    wait_until(lambda: Attempt.objects.filter(status_code=429).exists())
    refused_at = time.time()

    for number in range(5):
        start(loop, str(number))
    rows = strict_clay.wait_for_rows(5)

    assert rows[0].at - refused_at > 1.8
    assert strict_clay.stats["by_status"] == {"429": 1, "200": 5}


@pytest.mark.usefixtures("engine", "integration")
def test_a_crowd_of_sends_never_passes_the_limit_and_refuses_no_row_that_fits(
    clay: ClaySimulator, push_leads: Loop
) -> None:
    Webhook.objects.update(submission_limit=40, used=5)
    clay.change(slow=0.05)  # many are on their way at once

    for number in range(60):
        start(push_leads, str(number))
    wait_until(lambda: not Run.objects.active().exists())

    assert len(clay.rows) == 35
    assert Run.objects.filter(status=RunStatus.COMPLETED).count() == 35
    assert set(Run.objects.filter(status=RunStatus.FAILED).values_list("error_type", flat=True)) == {
        "submission_limit_reached"
    }
    assert (Webhook.objects.get().used, Webhook.objects.get().in_flight) == (40, 0)


@pytest.mark.usefixtures("engine", "integration")
def test_units_that_refused_rows_give_back_are_used_by_others(clay: ClaySimulator, push_leads: Loop) -> None:
    Webhook.objects.update(submission_limit=10)
    clay.change(slow=0.05)
    clay.next_answers(*[Behaviour(fail=400, slow=0.2)] * 6)

    for number in range(16):
        start(push_leads, str(number))
    wait_until(lambda: not Run.objects.active().exists())

    assert len(clay.rows) == 10, "the six that were refused took nothing from the budget"
    assert set(Run.objects.filter(status=RunStatus.FAILED).values_list("error_type", flat=True)) == {"delivery_refused"}


@pytest.mark.usefixtures("engine", "integration")
def test_the_same_row_from_many_runs_at_once_is_one_row(project: Project, clay: ClaySimulator) -> None:
    clay.change(slow=0.1)
    config = {
        "action_name": "clay.webhook.submit",
        "parameters": {"payload": {"email": "${{ event.email }}"}, "request_id": "the-same"},
    }
    steps = [{"id": "push", "kind": "action", "config": config}]
    loop = create_loop(project=project, authored={"name": "same", "steps": steps})

    for _ in range(20):
        start(loop, "ada@example.com")
    wait_until(lambda: Run.objects.filter(status=RunStatus.COMPLETED).count() == 20)

    assert len(clay.rows) == 1
    duplicates = [run.result["push"].get("duplicate", False) for run in Run.objects.all()]
    assert sorted(duplicates) == [False] + [True] * 19


def test_two_takers_never_get_the_same_slot(project: Project) -> None:
    pacer = Pacer.objects.create(project=project, label="crowded", rate_per_second=0.01, burst=25)
    pace, taken = pacing.Pace(rate_per_second=0.01, burst=25), []

    def take() -> None:
        now = time.time()
        taken.extend(pacing.take_slot(pacer.pk, pace, now=now) for _ in range(10))
        connections.close_all()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(taken) == 25
