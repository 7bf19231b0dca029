"""What a callback does: which one wins, which row it proves, and who goes on because of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from integrations import delivering
from integrations.models import Attempt, AttemptState, Integration, LedgerEntry, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.usage import usage_of
from loops import callbacks
from loops.advance import advance
from loops.matching import satisfies
from loops.models import Callback, CallbackState, Run, RunStatus, Wait, WaitState
from loops.sweeping import recover, sweep
from mobius import clock
from mobius.errors import Conflict, NotFound
from mobius.projects.auditing import Actor
from mobius.projects.models import ActorKind, Project
from tests.cast import work_off
from tests.loops.flow import (
    NO_ANSWER,
    JsonObject,
    asking,
    begin,
    fresh,
    go,
    loop_of,
    push,
    sleeping,
    step_of,
    token_of,
    waiting,
)

BOB = Actor(kind=ActorKind.USER, id="bob", name="bob")

pytestmark = pytest.mark.django_db


def states() -> list[str]:
    """Of all callbacks, in the order in which they came."""
    return list(Callback.objects.order_by("id").values_list("state", flat=True))


def post(clay: ClaySimulator, *bodies: JsonObject) -> None:
    for body in bodies:
        callbacks.receive_at_address(token_of(clay), body)
        work_off()


def test_whoever_has_the_address_cannot_fill_the_disk_once_the_row_is_answered(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, asking(), waiting())
    post(clay, {"score": 7})
    assert fresh(run).status == RunStatus.COMPLETED

    told = [callbacks.receive_at_address(token_of(clay), {"score": 8, "n": number}) for number in range(120)]

    assert states() == ["used"] + ["late"] * callbacks.MOST_AFTERWARDS
    assert [one.callback.remark for one in told[:100]] == [""] * 100
    assert told[100].callback.remark == "100 callbacks have come for this row since: this one is not kept."
    assert callbacks.receive_at_address(token_of(clay), {"score": 8, "n": 5}).duplicate, "those that are kept are known"
    assert step_of(run, "answer").result == {"score": 7}


def test_nor_can_he_before_the_answer(
    project: Project, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "MOST_BEFORE", 5)
    go(project, asking(), waiting(config={"match": {"kind": "final"}}))

    told = [callbacks.receive_at_address(token_of(clay), {"kind": "draft", "n": number}) for number in range(8)]

    assert len(states()) == 5
    assert [bool(one.callback.remark) for one in told] == [False] * 5 + [True] * 3
    assert (
        told[-1].callback.remark == "5 callbacks have come for this row that nobody waited for: this one is not kept."
    )


# --- match ---


def test_the_first_body_that_matches_wins_and_earlier_ones_are_shown_as_unmatched(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, asking(), waiting(config={"match": {"kind": "final"}}), sleeping(duration="1h"))

    post(clay, {"kind": "draft"}, {"kind": "final", "n": 1}, {"kind": "final", "n": 2}, {"kind": "draft", "n": 3})

    assert step_of(run, "answer").result == {"kind": "final", "n": 1}
    assert states() == ["unmatched", "used", "update", "update"]


def test_bodies_that_came_before_anybody_waited_are_sorted_when_the_wait_begins(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, asking(), sleeping(duration="1m"), waiting(config={"match": {"kind": "final"}}))
    post(clay, {"kind": "draft"}, {"kind": "final", "n": 1}, {"kind": "final", "n": 2})
    assert states() == ["kept", "kept", "kept"]

    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        work_off()

    assert step_of(run, "answer").result == {"kind": "final", "n": 1}
    assert states() == ["unmatched", "used", "update"]


def test_what_one_wait_did_not_want_the_next_may_take(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    first, second = (waiting(key, config={"match": {"kind": key}}) for key in ("a", "b"))
    run = go(project, asking(), first, second)

    post(clay, {"kind": "b"}, {"kind": "a"})

    assert fresh(run).status == RunStatus.COMPLETED
    assert states() == ["used", "used"]


def test_what_two_waits_find_in_one_turn_is_shown_by_the_one_that_used_it(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    first, second = (waiting(key, config={"match": {"kind": key}}) for key in ("a", "b"))
    go(project, asking(), sleeping(duration="1m"), first, second)
    post(clay, {"kind": "b"}, {"kind": "a"})

    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        work_off()

    assert states() == ["used", "used"]


def test_one_callback_ends_one_wait(project: Project, integration: Integration, clay: ClaySimulator) -> None:
    run = go(project, asking(), waiting("a"), waiting("b"))

    post(clay, {"n": 1})
    assert (fresh(run).status, step_of(run, "b").status) == (RunStatus.SUSPENDED, "suspended")
    post(clay, {"n": 2})

    assert (step_of(run, "a").result, step_of(run, "b").result) == ({"n": 1}, {"n": 2})


@pytest.mark.parametrize(
    ("body", "wanted", "fits"),
    [
        ({"n": 7}, {"n": 7}, True),
        ({"n": 7}, {"n": "7"}, True),
        ({"n": "7"}, {"n": 7}, False),
        ({"n": True}, {"n": "true"}, True),
        ({"n": 1}, {"n": True}, False),
        ({"n": True}, {"n": 1}, False),
        ({"n": None}, {"n": ""}, True),
        ({}, {"n": ""}, False),
        ({"n": {"a": [1]}}, {"n": {"a": [1]}}, True),
        ({"n": {"a": [1]}}, {"n": '{"a":[1]}'}, True),
        ({"n": 7, "m": 8}, {"n": 7, "m": 9}, False),
        ({"n": 7}, {}, True),
    ],
)
def test_a_value_matches_when_it_is_equal_or_is_written_alike_by_an_expression(
    body: JsonObject, wanted: JsonObject, fits: bool
) -> None:
    assert satisfies(body, wanted) is fits


# --- whose row is it? ---


def test_the_address_decides_and_a_request_id_of_another_row_is_noted(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    other, run = go(project, asking(), waiting()), go(project, asking(), waiting())

    received = callbacks.receive_at_address(token_of(clay), {"request_id": other.pk})
    work_off()

    assert fresh(run).status == RunStatus.COMPLETED
    assert fresh(other).status == RunStatus.SUSPENDED
    assert received.callback.run_id == run.pk
    assert other.pk in received.callback.remark
    assert "The address decides" in Callback.objects.get().remark


@pytest.mark.parametrize("request_id", [None, True, [1], {"a": 1}, "", "x" * 300])
def test_what_cannot_name_a_row_contradicts_nothing(
    project: Project, integration: Integration, clay: ClaySimulator, request_id: Any
) -> None:
    go(project, asking(), waiting())

    received = callbacks.receive_at_address(token_of(clay), {"request_id": request_id})

    assert received.callback.remark == ""
    assert Callback.objects.get().request_id == ""


def test_a_number_names_a_row_as_text_does(project: Project, integration: Integration) -> None:
    run = go(project, push(row={"payload": {}, "request_id": "77"}), waiting())

    callbacks.receive_by_request_id(project, {"request_id": 77})
    work_off()

    assert fresh(run).status == RunStatus.COMPLETED


def test_a_row_of_a_run_that_has_ended_is_no_candidate(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    ended = go(project, asking(), event={"request_id": "r", "email": "1@b.c"})
    run = go(project, asking(), waiting(), event={"request_id": "r", "email": "2@b.c"})
    assert fresh(ended).status == RunStatus.COMPLETED

    received = callbacks.receive_by_request_id(project, {"request_id": "r"})
    work_off()

    assert not received.ambiguous
    assert fresh(run).status == RunStatus.COMPLETED


def test_a_row_whose_callback_did_not_match_is_still_a_candidate(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, push(), waiting(config={"match": {"kind": "final"}}))

    for kind in ("draft", "final"):
        callbacks.receive_by_request_id(project, {"request_id": run.pk, "kind": kind})
        work_off()

    assert fresh(run).status == RunStatus.COMPLETED


def test_the_same_bytes_for_an_answered_row_are_a_duplicate_at_both_doors(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, asking(), waiting())
    body = {"request_id": run.pk, "score": 7}
    post(clay, body)

    assert callbacks.receive_by_request_id(project, body).duplicate
    assert callbacks.receive_at_address(token_of(clay), body).duplicate
    assert Callback.objects.get().repeats == 2


def test_a_row_whose_run_is_gone_is_not_found(project: Project, integration: Integration) -> None:
    run = go(project, push(), waiting())
    run.delete()

    with pytest.raises(NotFound):
        callbacks.receive_by_request_id(project, {"request_id": run.pk})


# --- several could be meant ---


@pytest.fixture
def alike(project: Project, integration: Integration) -> list[Run]:
    """Two runs that wait for callbacks to rows under one request_id."""
    loop = loop_of(project, push(row={"payload": {"email": "${{ event.email }}"}, "request_id": "r"}), waiting())
    runs = [begin(loop, email=email) for email in ("a@b.c", "d@e.f")]
    work_off()
    return runs


def test_one_more_callback_for_a_row_proves_nothing_about_another_of_the_same_request_id(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    loop = loop_of(project, push(row={"payload": {"email": "${{ event.email }}"}, "request_id": "r"}), waiting())
    clay.next_answers(Behaviour(reset=True, keep_row=False))
    lost = begin(loop, email="a@b.c")
    work_off()
    there = begin(loop, email="d@e.f")
    work_off()
    first = callbacks.receive_by_request_id(project, {"request_id": "r", "score": 7})
    callbacks.assign(first.callback, step_id=f"{there.pk}:push", by=BOB)

    again = callbacks.receive_by_request_id(project, {"request_id": "r", "score": 8})

    assert again.ambiguous
    assert Attempt.objects.get(run_id=lost.pk).state == AttemptState.IN_DOUBT
    assert len(clay.rows) == 1


def test_an_ambiguous_callback_is_kept_once_however_often_it_comes(project: Project, alike: list[Run]) -> None:
    for _ in range(3):
        received = callbacks.receive_by_request_id(project, {"request_id": "r", "score": 7})
        assert received.ambiguous
    callbacks.receive_by_request_id(project, {"request_id": "r", "score": 8})
    work_off()

    assert [fresh(run).status for run in alike] == [RunStatus.SUSPENDED] * 2
    assert states() == ["ambiguous", "ambiguous"]
    assert Callback.objects.order_by("id")[0].repeats == 2


def test_a_person_gives_an_ambiguous_callback_to_a_row_and_its_run_goes_on(project: Project, alike: list[Run]) -> None:
    callback = callbacks.receive_by_request_id(project, {"request_id": "r", "score": 7}).callback
    step_id = f"{alike[1].pk}:push"
    assert step_id in [row.step_id for row in callbacks.candidates_for(callback)]

    callbacks.assign(callback, step_id=step_id, by=BOB)
    work_off()

    assert [fresh(run).status for run in alike] == [RunStatus.SUSPENDED, RunStatus.COMPLETED]
    assert (fresh(alike[1]).result or {})["answer"] == {"request_id": "r", "score": 7}
    callback.refresh_from_db()
    assert (callback.state, callback.remark) == (CallbackState.USED, "bob said which row it answers.")


def test_an_ambiguous_callback_is_given_away_once_and_only_to_a_row_of_its_request_id(
    project: Project, alike: list[Run]
) -> None:
    callback = callbacks.receive_by_request_id(project, {"request_id": "r"}).callback
    stranger = go(project, push(), waiting())

    with pytest.raises(NotFound):
        callbacks.assign(callback, step_id=f"{stranger.pk}:push", by=BOB)
    callbacks.assign(callback, step_id=f"{alike[0].pk}:push", by=BOB)
    with pytest.raises(Conflict):
        callbacks.assign(callback, step_id=f"{alike[1].pk}:push", by=BOB)
    work_off()

    assert [fresh(run).status for run in alike] == [RunStatus.COMPLETED, RunStatus.SUSPENDED]


def test_a_callback_that_a_row_has_had_already_is_not_given_to_it_again(project: Project, alike: list[Run]) -> None:
    body = {"request_id": "r"}
    callback = callbacks.receive_by_request_id(project, body).callback
    Callback.objects.create(
        project=project,
        run=alike[0],
        step_id=f"{alike[0].pk}:push",
        body=body,
        body_digest=callback.body_digest,
        received_at=clock.now(),
    )

    with pytest.raises(Conflict):
        callbacks.assign(callback, step_id=f"{alike[0].pk}:push", by=BOB)


def test_a_request_id_that_very_many_rows_share_costs_no_more_than_a_hundred(
    project: Project, integration: Integration
) -> None:
    run = go(project, push(row={"payload": {}, "request_id": "r"}), waiting())
    attempt = Attempt.objects.get()
    Attempt.objects.bulk_create(
        Attempt(
            **{field.attname: getattr(attempt, field.attname) for field in Attempt._meta.concrete_fields}
            | {"id": f"att_000{number:03d}", "run_id": f"run_{number}", "step_id": f"run_{number}:push"}
        )
        for number in range(300)
    )

    assert len(delivering.rows_sent_as(project.pk, "r")) == 100
    received = callbacks.receive_by_request_id(project, {"request_id": "r"})

    assert received.callback.run_id == run.pk


# --- what it proves ---


def doubtful_run(project: Project, clay: ClaySimulator, *steps: JsonObject) -> Run:
    clay.next_answers(NO_ANSWER)
    run = go(project, *(steps or (asking(), waiting())))
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT
    return run


@pytest.mark.parametrize("door", ["address", "request_id"])
def test_arrival_is_proven_in_the_counts_the_ledger_and_the_webhook_s_last_success(
    project: Project, integration: Integration, clay: ClaySimulator, door: str
) -> None:
    run = doubtful_run(project, clay)
    Webhook.objects.update(refusals_in_a_row=2)
    before = Webhook.objects.get()
    assert before.last_success_at is None
    assert usage_of(before, now=clock.now()).possibly_used == 1

    if door == "address":
        callbacks.receive_at_address(token_of(clay), {"score": 7})
    else:
        callbacks.receive_by_request_id(project, {"request_id": run.pk})
    work_off()

    after, attempt = Webhook.objects.get(), Attempt.objects.get()
    usage = usage_of(after, now=clock.now())
    assert (usage.used, usage.possibly_used, usage.in_flight) == (1, 0, 0)
    assert after.last_success_at is not None
    assert after.refusals_in_a_row == 0
    assert (attempt.state, attempt.error_message) == (AttemptState.ACCEPTED, "Settled by a callback: the row arrived.")
    assert LedgerEntry.objects.get().attempt_id == attempt.pk
    assert fresh(run).status == RunStatus.COMPLETED


def test_a_doubt_is_settled_once_however_many_callbacks_come(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    doubtful_run(project, clay, asking(), waiting(config={"match": {"kind": "final"}}))

    post(clay, {"n": 1}, {"n": 2}, {"n": 2})

    webhook = Webhook.objects.get()
    assert (webhook.used, webhook.in_flight) == (1, 0)


def test_the_same_row_of_another_run_goes_on_when_a_callback_proves_the_first(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    row = {"payload": {"email": "${{ event.email }}"}, "request_id": "r"}
    doubtful_run(project, clay, push(row=row))
    second = go(project, push(row=row))
    assert step_of(second).error_type == "same_row"

    callbacks.receive_by_request_id(project, {"request_id": "r"})
    sweep()
    work_off()

    assert (fresh(second).result or {})["push"]["duplicate"] is True
    assert len(clay.rows) == 1


def test_a_callback_after_the_end_settles_the_doubt_that_a_5xx_left(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(Behaviour(fail=503, keep_row=True))
    run = go(project, asking(), waiting())
    assert run.status == RunStatus.FAILED

    received = callbacks.receive_by_request_id(project, {"request_id": run.pk})

    assert received.callback.state == CallbackState.LATE
    assert Attempt.objects.get().state == AttemptState.ACCEPTED
    assert fresh(run).status == RunStatus.FAILED


def test_a_callback_that_came_before_the_process_died_settles_the_doubt_at_the_next_start(
    project: Project, integration: Integration, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = delivering.send

    class Killed(BaseException):
        pass

    def call_back_and_die(sending: Any, **options: Any) -> Any:
        send(sending, **options)
        callbacks.receive_at_address(token_of(clay), {"score": 7})
        raise Killed

    run = begin(loop_of(project, asking(), waiting()))
    with monkeypatch.context() as patch:
        patch.setattr(delivering, "send", call_back_and_die)
        with pytest.raises(Killed):
            advance(run.pk)

    recover()
    work_off()

    assert fresh(run).status == RunStatus.COMPLETED
    assert Attempt.objects.get().state == AttemptState.ACCEPTED
    assert len(clay.rows) == 1


# --- the end of a wait ---


def test_a_run_that_runs_out_of_time_does_not_go_on_waiting_for_a_callback(
    project: Project, integration: Integration, clay: ClaySimulator
) -> None:
    run = go(project, asking(), waiting(), limits={"wall_clock_timeout": "5m"})

    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        work_off()

    assert fresh(run).stop_reason == "wall_clock_exceeded"
    assert Wait.objects.get().state == WaitState.CANCELLED
