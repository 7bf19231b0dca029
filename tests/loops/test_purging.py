"""What old runs were given, what they gave and what came back is forgotten; that they were is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from integrations.models import Attempt, Integration, LedgerEntry
from loops import purging
from loops.authoring import create_loop
from loops.callbacks import receive_by_request_id
from loops.models import BulkJob, Callback, Chore, Loop, Run, RunEvent, Step
from loops.operating import cancel
from loops.purging import HourlyPurge, purge_all
from loops.retrying import CannotGoOn, retry
from loops.starting import Start, start_run
from mobius import clock
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import AuditEvent, Project
from tests.cast import PUSH_LEADS, Api, work_off
from tests.loops.runs import bulk_job_of

SECRET = "ada@example.com"
MONTH = timedelta(days=30)
NOTHING = dict.fromkeys(
    ("attempts", "runs", "callbacks", "pushes", "bulk jobs", "webhook deliveries", "alert mails"), 0
)


def start(loop: Loop) -> Run:
    run = start_run(loop=loop, start=Start(event={"email": SECRET}, meta={"m": SECRET}, config={}, source={})).run
    work_off()
    return Run.objects.get(pk=run.pk)


def age(days: int = 31) -> None:
    past = clock.now() - timedelta(days=days)
    for model in (Run, Attempt):
        model.objects.update(created_at=past)
    Run.objects.exclude(completed_at=None).update(completed_at=past)
    Callback.objects.update(received_at=past)


def purge() -> dict[str, int]:
    return purge_all(before=clock.now() - MONTH)


@pytest.fixture
def ask(project: Project) -> Loop:
    wait: dict[str, Any] = {"id": "back", "kind": "wait_for_event", "config": {"event_type": "clay.callback"}}
    return create_loop(project=project, authored=PUSH_LEADS | {"name": "ask", "steps": [PUSH_LEADS["steps"][0], wait]})


@pytest.fixture
def answered(ask: Loop, integration: Integration, project: Project) -> Run:
    """A run that is done, with a callback that holds somebody's data."""
    run = start(ask)
    receive_by_request_id(project, {"request_id": run.pk, "email": SECRET})
    work_off()
    done = Run.objects.get(pk=run.pk)
    assert done.status == "completed"
    return done


def test_nothing_of_what_people_sent_is_left_and_everything_else_is(answered: Run) -> None:
    before = (RunEvent.objects.count(), LedgerEntry.objects.count(), AuditEvent.objects.count())
    age()

    assert purge() == NOTHING | {"attempts": 1, "runs": 1, "callbacks": 1}

    for model in (Run, Step, RunEvent, Callback, Attempt):
        assert SECRET not in str(list(model.objects.values())), model
    assert (RunEvent.objects.count(), LedgerEntry.objects.count(), AuditEvent.objects.count()) == before
    after = Run.objects.get()
    assert (after.status, after.completed_at is not None, after.purged_at is not None) == ("completed", True, True)
    assert Step.objects.count() == 2
    assert purge() == NOTHING


def test_what_is_young_or_not_over_stays(ask: Loop, integration: Integration, project: Project) -> None:
    waits = start(ask)
    age()
    young = start(ask)
    Callback.objects.create(
        project=project,
        run=waits,
        step_id=f"{waits.pk}:push",
        body={"e": SECRET},
        body_digest="d",
        received_at=clock.now() - timedelta(days=99),
    )

    assert purge() == NOTHING | {"attempts": 1}

    assert [run.event["email"] for run in Run.objects.filter(pk__in=[waits.pk, young.pk])] == [SECRET, SECRET]
    assert Callback.objects.get().body == {"e": SECRET}


def test_the_pages_and_the_api_say_purged_where_a_body_was(
    answered: Run, client: Client, alice: User, api: Api
) -> None:
    age()
    purge()
    client.force_login(alice)
    root = "/projects/platform/operate"
    for path in (
        f"runs/{answered.pk}/",
        f"deliveries/{Attempt.objects.get().pk}/",
        f"callbacks/{Callback.objects.get().pk}/",
    ):
        page = client.get(f"{root}/{path}").content.decode()
        assert "Purged: it was older" in page, path
        assert SECRET not in page
    assert api.get(f"{api.root}/runs/{answered.pk}").json()["event"] == {}


def test_a_bulk_job_is_forgotten_once_it_is_old_and_over(project: Project) -> None:
    past = clock.now() - timedelta(days=31)
    old, running = bulk_job_of(project), bulk_job_of(project)
    BulkJob.objects.filter(pk=old.pk).update(created_at=past)
    BulkJob.objects.filter(pk=running.pk).update(created_at=past, state="running", ended_at=None)
    young = bulk_job_of(project)

    assert purge() == NOTHING | {"bulk jobs": 1}

    assert set(BulkJob.objects.all()) == {running, young}


def test_a_run_whose_event_is_purged_cannot_be_retried(ask: Loop, integration: Integration) -> None:
    run = start(ask)
    Run.objects.update(status="failed", completed_at=clock.now())
    age()
    purge()

    with pytest.raises(CannotGoOn, match="is purged: start a new run"):
        retry(Run.objects.get(pk=run.pk), by=SYSTEM)


def test_a_batch_is_bounded(answered: Run, monkeypatch: pytest.MonkeyPatch, ask: Loop) -> None:
    for _ in range(4):
        cancel(start(ask), by=SYSTEM, reason="")
    age()
    monkeypatch.setattr(purging, "BATCH", 2)
    pages = next(walk for walk in purging.walks() if walk.objects.model is Run).pages(clock.now() - MONTH)

    assert list(pages) == [2, 2, 1]


def test_the_ticker_forgets_once_an_hour_a_page_at_a_time(answered: Run, settings: Any) -> None:
    settings.MOBIUS_RETENTION_DAYS = 30
    age()
    ours, theirs = HourlyPurge(), HourlyPurge()
    now = clock.now()
    for _ in range(5):
        ours.go_on(now=now)
        theirs.go_on(now=now)

    assert Run.objects.get().purged_at is not None
    assert theirs._rounds == 0, "one of them does it"
    assert Chore.objects.get().due_at == now + timedelta(hours=1)
    theirs._looks_at = 0
    theirs.go_on(now=now + timedelta(hours=1))
    assert theirs._rounds == 1


def test_a_clock_that_was_ahead_does_not_put_it_off(db: None, settings: Any) -> None:
    Chore.objects.create(name="purge", due_at=clock.now() + timedelta(days=400))
    ours = HourlyPurge()
    ours.go_on(now=clock.now())

    assert ours._rounds == 1


def test_nothing_is_forgotten_when_bodies_are_kept_for_ever(answered: Run, settings: Any) -> None:
    settings.MOBIUS_RETENTION_DAYS = 0
    age(4000)
    ours = HourlyPurge()
    for _ in range(5):
        ours.go_on(now=clock.now())

    assert Run.objects.get().event == {"email": SECRET}
