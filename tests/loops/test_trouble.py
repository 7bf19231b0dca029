"""Trouble that a run must survive: odd answers, ill-timed callbacks, a clock that jumps, a busy database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from integrations import delivering
from integrations.models import Attempt, AttemptState, Integration, Pacer, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from loops import acting, callbacks
from loops.advance import advance
from loops.authoring import create_loop
from loops.models import Loop, Run, RunStatus, Step
from loops.operating import cancel
from loops.starting import Start, start_run
from loops.sweeping import sweep
from mobius import clock
from mobius.engine import trouble
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from tests.cast import Api, work_off

ADA = Start(event={"email": "ada@example.com"}, meta={}, config={}, source={})


@pytest.mark.parametrize(
    "answer",
    [
        b'{"a":' + b"[" * 970 + b"]" * 970 + b"}",
        b'{"a": 1e999}',
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\u0000"}',
        b'{"a": [' + b"1," * 20_000 + b"1]}",
        b"[1, 2]",
        b"OK",
    ],
    ids=["deep", "infinite", "not a number", "half a character", "NUL", "long", "a list", "text"],
)
def test_an_accepted_row_completes_its_step_whatever_the_answer_is(
    api: Api, push_leads: Loop, integration: Integration, clay: ClaySimulator, answer: bytes
) -> None:
    clay.next_answers(Behaviour(body=answer))
    run = start_run(loop=push_leads, start=ADA).run
    work_off()

    assert Run.objects.get(pk=run.pk).status == RunStatus.COMPLETED
    for path in ("runs", f"runs/{run.pk}", f"runs/{run.pk}/steps"):
        assert api.get(f"{api.root}/{path}").status_code == 200
    assert "response" not in Step.objects.get().result


def test_a_provider_whose_own_code_breaks_loses_no_outcome(
    push_leads: Loop, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "weigh", lambda *_: 1 / 0)
    run = start_run(loop=push_leads, start=ADA).run
    work_off()

    assert Run.objects.get(pk=run.pk).status == RunStatus.COMPLETED
    assert Attempt.objects.get().state == AttemptState.ACCEPTED
    assert Webhook.objects.get().in_flight == 0


def push(key: str, **more: Any) -> dict[str, Any]:
    parameters = {"payload": {"email": "${{ event.email }}", "step": key}, **more.pop("parameters", {})}
    config = {"action_name": "clay.webhook.submit", "parameters": parameters}
    return {"id": key, "kind": "action", "config": config, **more}


def test_callbacks_do_not_cut_short_a_retry_s_back_off(
    project: Project, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting.secrets, "randbelow", lambda below: below - 1)  # no jitter
    retried = push("two", retry={"max_attempts": 5, "delay": "50s"})
    steps = [push("one", parameters={"callback_url": "${{ callback.url }}"}), retried]
    loop = create_loop(project=project, authored={"name": "two rows", "steps": steps})
    clay.next_answers(Behaviour(), Behaviour(fail=429))
    run = start_run(loop=loop, start=ADA).run
    work_off()
    address = clay.rows[0].body["callback_url"].rpartition("/")[2]

    for score in range(4):
        callbacks.receive_at_address(address, {"score": score})
        work_off()

    assert Attempt.objects.filter(step_id=f"{run.pk}:two").count() == 1
    run.refresh_from_db()
    assert run.status == RunStatus.SUSPENDED
    assert run.wake_at is not None
    assert run.wake_at > clock.now() + timedelta(seconds=30)


def test_a_clock_that_stepped_back_does_not_stop_a_workspace(
    push_leads: Loop, integration: Integration, clay: ClaySimulator
) -> None:
    Pacer.objects.update(rate_per_second=9.9, tat=clock.now().timestamp() + 900)
    run = start_run(loop=push_leads, start=ADA).run
    work_off()
    assert Step.objects.get().error_type == "paced"

    sweep()

    assert Pacer.objects.get().tat < clock.now().timestamp() + 1
    assert Run.objects.get(pk=run.pk).status == RunStatus.SUSPENDED


def test_an_outcome_is_kept_until_the_database_can_be_written_again(
    push_leads: Loop, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trouble, "_MOMENT_SECONDS", 0.01)
    record, tries = delivering.record, []

    def busy_at_first(*args: Any, **options: Any) -> None:
        tries.append(1)
        if len(tries) < 4:
            raise OperationalError("database is locked")
        record(*args, **options)

    monkeypatch.setattr(delivering, "record", busy_at_first)
    run = start_run(loop=push_leads, start=ADA).run
    advance(run.pk)

    assert len(tries) == 4
    assert Run.objects.get(pk=run.pk).status == RunStatus.COMPLETED
    assert Attempt.objects.get().state == AttemptState.ACCEPTED
    assert len(clay.rows) == 1


def test_the_outcome_for_a_run_cancelled_meanwhile_is_kept_until_it_can_be_written(
    push_leads: Loop, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trouble, "_MOMENT_SECONDS", 0.01)
    record, send, tries = delivering.record, delivering.send, []

    def cancelled_meanwhile(*args: Any, **options: Any) -> Any:
        cancel(run, by=SYSTEM)
        return send(*args, **options)

    def busy_at_first(*args: Any, **options: Any) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("database is locked")
        record(*args, **options)

    monkeypatch.setattr(delivering, "send", cancelled_meanwhile)
    monkeypatch.setattr(delivering, "record", busy_at_first)
    run = start_run(loop=push_leads, start=ADA).run
    advance(run.pk)

    assert len(tries) == 3
    assert Run.objects.get(pk=run.pk).status == RunStatus.CANCELLED
    assert Attempt.objects.get().state == AttemptState.ACCEPTED
    assert Webhook.objects.values_list("used", "in_flight").get() == (1, 0)


def test_a_place_in_the_queue_outlives_a_pause(push_leads: Loop, integration: Integration, clay: ClaySimulator) -> None:
    Pacer.objects.update(rate_per_second=9.9, tat=clock.now().timestamp() + 60, held_until=clock.now().timestamp() + 60)
    run = start_run(loop=push_leads, start=ADA).run
    work_off()
    place = Run.objects.get(pk=run.pk).waits_since

    Pacer.objects.update(tat=0, held_until=0)
    Integration.objects.update(status="inactive")
    sweep()
    work_off()

    waiting = Run.objects.get(pk=run.pk)
    assert waiting.waits_for == integration.pk
    assert waiting.waits_since == place
