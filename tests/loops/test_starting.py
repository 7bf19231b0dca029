"""`start_run` itself: insert first, then look; who holds a key gets it back, whatever happens in between."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from loops import starting
from loops.authoring import create_loop, update_loop
from loops.models import Loop, LoopStatus, Run, RunStatus
from loops.starting import IdempotencyKeyConflict, LoopPaused, Start, StartedRun, find_loop, start_run
from mobius.errors import Conflict, InvalidFields, NotFound
from mobius.projects.models import Project
from tests.cast import PUSH_LEADS


def start_of(**given: Any) -> Start:
    return Start(**({"event": {}, "meta": {}, "config": {}, "source": {}} | given))


def start(loop: Loop, **given: Any) -> StartedRun:
    return start_run(loop=loop, start=start_of(**given))


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that the doorbell was rung for."""
    runs: list[str] = []
    monkeypatch.setattr(starting, "ring", runs.append)
    return runs


@pytest.fixture(autouse=True)
def _nobody_has_rung_just_now(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that were rung a moment ago are awake, so that the next start need not ring."""
    if settings.MOBIUS_ENGINE == "procrastinate":
        monkeypatch.setattr("mobius.engine.procrastinate._rung_at", [float("-inf")])


def test_a_start_stores_a_queued_run_and_rings(push_leads: Loop, rung: list[str]) -> None:
    started = start(push_leads, event={"a": 1}, meta={"b": 2}, config={"c": 3}, source={"type": "api"})

    run = Run.objects.get()
    assert started.created
    assert (run.status, run.attempt, run.claim, run.revision) == (RunStatus.QUEUED, 1, 0, 0)
    assert (run.event, run.meta, run.config, run.source) == ({"a": 1}, {"b": 2}, {"c": 3}, {"type": "api"})
    assert (run.project_id, run.loop_version_id) == (push_leads.project_id, push_leads.current_version_id)
    assert rung == [run.pk]


def test_a_lost_ring_is_due_again_in_a_minute(push_leads: Loop) -> None:
    run = start(push_leads).run

    assert run.ring_due_at == run.created_at + timedelta(seconds=60)


def test_a_repeated_key_rings_nobody(push_leads: Loop, rung: list[str]) -> None:
    first = start(push_leads, idempotency_key="k")

    again = start(push_leads, idempotency_key="k")

    assert (again.created, again.run.pk) == (False, first.run.pk)
    assert rung == [first.run.pk]


def test_runs_without_a_key_are_all_different(push_leads: Loop) -> None:
    assert len({start(push_leads).run.pk for _ in range(3)}) == 3


def test_a_key_that_is_repeated_inside_a_transaction_does_not_break_it(push_leads: Loop) -> None:
    with transaction.atomic():
        start(push_leads, idempotency_key="k")
        again = start(push_leads, idempotency_key="k")
        other = start(push_leads)

    assert not again.created
    assert other.created


@pytest.mark.parametrize(
    ("status", "words"),
    [("completed", "has completed already"), ("failed", "has failed already"), ("cancelled", "has been cancelled")],
)
def test_after_the_end_the_conflict_says_how_it_ended(push_leads: Loop, status: str, words: str) -> None:
    run = start(push_leads, idempotency_key="k").run
    Run.objects.update(status=status)

    with pytest.raises(IdempotencyKeyConflict, match=words) as conflict:
        start(push_leads, idempotency_key="k")

    assert conflict.value.details == {"run_id": run.pk, "status": status}


def test_a_holder_that_gives_its_key_away_between_insert_and_look_is_no_error(
    push_leads: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(push_leads, idempotency_key="k").run
    new_run = starting._new_run
    tries: list[int] = []

    def new_run_after_the_key_was_freed(*arguments: Any) -> Run:
        tries.append(1)
        if len(tries) == 2:
            Run.objects.filter(pk=first.pk).update(idempotency_key="")
        return new_run(*arguments)

    monkeypatch.setattr(starting, "_new_run", new_run_after_the_key_was_freed)
    monkeypatch.setattr(starting, "_answer_for", lambda *_: None)

    assert start(push_leads, idempotency_key="k").created
    assert len(tries) == 2


def test_after_three_tries_it_is_a_conflict_and_never_a_fault(
    push_leads: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(push_leads, idempotency_key="k")
    monkeypatch.setattr(starting, "_answer_for", lambda *_: None)

    with pytest.raises(Conflict, match="try again"):
        start(push_leads, idempotency_key="k")


def test_a_paused_loop_starts_nothing_not_even_for_a_key_that_it_knows(push_leads: Loop) -> None:
    start(push_leads, idempotency_key="k")
    loop = update_loop(push_leads, {"status": "paused"})

    with pytest.raises(LoopPaused):
        start(loop, idempotency_key="k")


def test_what_the_loop_declares_as_required_must_be_given(project: Project) -> None:
    declared = {"email": {"required": True}, "name": {"required": True, "default": "nobody"}}
    loop = create_loop(
        project=project, authored=PUSH_LEADS | {"event": declared, "config": {"key": {"required": True}}}
    )

    with pytest.raises(InvalidFields) as invalid:
        start(loop)

    assert list(invalid.value.fields) == ["event.email", "config.key"]


@pytest.mark.parametrize(("length", "taken"), [(255, True), (256, False)])
def test_a_key_has_at_most_255_characters(push_leads: Loop, length: int, taken: bool) -> None:
    if taken:
        assert start(push_leads, idempotency_key="x" * length).created
        return
    with pytest.raises(InvalidFields, match="255"):
        start(push_leads, idempotency_key="x" * length)


def test_the_wall_clock_begins_with_the_start(project: Project) -> None:
    loop = create_loop(project=project, authored=PUSH_LEADS | {"limits": {"wall_clock_timeout": "10m"}})

    run = start(loop).run

    assert run.wall_clock_deadline_at == run.created_at + timedelta(minutes=10)


def test_a_name_is_cut_to_what_the_contract_takes(project: Project) -> None:
    naming = {"template": "${{ event.text }}", "description_template": "${{ event.text }}"}
    loop = create_loop(project=project, authored=PUSH_LEADS | {"run_name": naming})

    run = start(loop, event={"text": "x" * 500}).run

    assert (len(run.name), len(run.description)) == (160, 320)


def test_a_loop_is_found_by_id_before_name(project: Project, push_leads: Loop) -> None:
    confusing = create_loop(project=project, authored=PUSH_LEADS | {"name": push_leads.pk})

    assert find_loop(project, push_leads.pk) == push_leads
    assert find_loop(project, confusing.pk) == confusing
    assert find_loop(project, "push-leads") == push_leads


@pytest.mark.parametrize("name", ["", "Push-leads", "push-leads ", "nothing"])
def test_a_name_must_be_exact(project: Project, push_leads: Loop, name: str) -> None:
    with pytest.raises(NotFound):
        find_loop(project, name)


def test_another_project_s_loop_and_a_deleted_one_are_not_found(other_project: Project, push_leads: Loop) -> None:
    with pytest.raises(NotFound):
        find_loop(other_project, push_leads.pk)
    Loop.objects.update(status=LoopStatus.DELETED)
    with pytest.raises(NotFound):
        find_loop(push_leads.project, push_leads.pk)
