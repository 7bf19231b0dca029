"""What is asked for every row, every callback or four times a second is answered by an index, never by a scan."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from integrations import conditions
from integrations.models import Attempt, LedgerEntry, Webhook
from loops import due, sweeping
from loops.models import Callback, Loop, Run, SourceEvent, Step, Trigger
from mobius import clock
from mobius.notifying import couriers
from mobius.notifying.models import Notification

QUESTIONS: dict[str, Callable[[], QuerySet]] = {  # type: ignore[type-arg]
    "which runs wait for this pacer": lambda: Run.objects.waiters_of("pac_1", clock.now()),
    "which rows wait at this integration": lambda: Run.objects.queue_at("intg_1"),
    "does anybody wait for it": lambda: Run.objects.waiting_for("pac_1"),
    "which runs are to be rung": lambda: Run.objects.to_ring(clock.now()),
    "who holds this idempotency key": lambda: Run.objects.filter(project="prj_1").holding_key("key"),
    "whose callback address is this": lambda: Step.objects.with_address("hash"),
    "what was posted to this step": lambda: Callback.objects.to_step("run_1:push"),
    "which rows went out under this request_id": lambda: Attempt.objects.arrived("prj_1", "req_1"),
    "how many rows went out lately": lambda: Attempt.objects.made_since(clock.now()).filter(webhook="wbh_1"),
    "which rows of this run went out": lambda: Attempt.objects.of_run("run_1"),
    "which loop has this name": lambda: Loop.objects.present().filter(project="prj_1", name="push"),
    "what was sent under this request_id": lambda: LedgerEntry.objects.filter(destination="dst_1", request_id="req_1"),
    "which trigger is called": lambda: Trigger.objects.at("handle"),
    "whose time has come": lambda: Trigger.objects.due(clock.now()),
    "who hears of it": lambda: Trigger.objects.hearing("run.failed", project_id="prj_1", loop_id="loop_1"),
    "what was heard": lambda: SourceEvent.objects.due(clock.now()),
    "what was started for it": lambda: Run.objects.from_source_event("sevt_1"),
    "which runs did this one start": lambda: Run.objects.children_of("run_1"),
    "what is to be told": lambda: Notification.objects.due_for("wbh_1", clock.now()),
    "where do rows go": lambda: Webhook.objects.filter(integration="intg_1", state="current"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("question", QUESTIONS)
def test_an_index_answers(question: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plan")
    plan = QUESTIONS[question]().explain()

    assert not re.search(r"\bSCAN\b", plan), plan


@pytest.mark.django_db
@pytest.mark.parametrize("statement", [due._TO_RING, sweeping._NEXT_SUBJECT, couriers._NEXT_ENDPOINT])
def test_an_index_answers_the_sweep(statement: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plan")
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", ["", 200][: statement.count("%s")])
        plan = str(cursor.fetchall())

    assert re.search(r"USING (COVERING )?INDEX (runs_to_ring|waiting_runs|notifications_due)", plan), plan


@pytest.mark.django_db
@pytest.mark.parametrize("queryset", ["sending", "in_doubt"])
def test_open_attempts_have_an_index_that_holds_none_that_was_accepted(queryset: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plan")
    plan = getattr(Attempt.objects, queryset)().explain()

    assert re.search(r"attempts_(not_accepted|gone_wrong) \(state=\?", plan), plan


@pytest.mark.django_db
def test_doubts_are_counted_by_what_their_index_holds() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plan")
    with CaptureQueriesContext(connection) as asked:
        list(conditions._doubts(clock.now()))
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {asked[0]['sql']}")
        plan = str(cursor.fetchall())

    assert "COVERING INDEX attempts_not_accepted" in plan
    assert "created_at" not in asked[0]["sql"], "the row itself would have to be read for that"
