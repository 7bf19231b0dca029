"""Callbacks that should have come: which are overdue, and how that is told over the API and on the page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils.html import escape

from integrations.models import Integration
from integrations.providers.clay.simulator import ClaySimulator
from loops import callbacks
from loops.awaiting import WHEN_NOTHING_IS_KNOWN, overdue_in, usual_times
from loops.models import Callback, Loop, Run, Wait, WaitState
from mobius import clock
from mobius.ids import new_id
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import Api, work_off
from tests.loops.flow import asking, begin, fresh, loop_of, push, token_of, waiting

pytestmark = pytest.mark.django_db

OVERDUE = "/projects/platform/operate/callbacks/overdue/"
CALLBACKS = "/projects/platform/operate/callbacks/"
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def enrich(project: Project, integration: Integration) -> Loop:
    return loop_of(project, asking(), waiting(timeout={"duration": "72h"}))


@pytest.fixture
def run(enrich: Loop) -> Run:
    """It waits for its callback since a moment ago."""
    started = begin(enrich)
    work_off()
    return started


def answered_in(run: Run, *seconds: float) -> None:
    """Earlier waits of the same loop, each answered after so many seconds."""
    now = clock.now()
    Wait.objects.bulk_create(
        Wait(
            id=new_id("wait"),
            run=run,
            loop_id=run.loop_id,
            step_id=f"{run.pk}:answer",
            source_step_id=f"{run.pk}:push",
            event_type="clay.callback",
            state=WaitState.RESUMED,
            created_at=now - timedelta(hours=2),
            closed_at=now - timedelta(hours=2) + timedelta(seconds=one),
        )
        for one in seconds
    )


def later(**distance: float) -> datetime:
    return clock.now() + timedelta(**distance)


# --- which ---


def test_the_usual_time_is_that_within_which_95_of_100_answers_came(run: Run) -> None:
    answered_in(run, *range(1, 101))

    assert usual_times([run.loop_id])[run.loop_id] == timedelta(seconds=95)


def test_few_answers_tell_nothing_and_only_the_latest_hundred_count(run: Run) -> None:
    assert usual_times([run.loop_id])[run.loop_id] is None
    answered_in(run, 1, 2, 3, 4)
    assert usual_times([run.loop_id])[run.loop_id] is None
    answered_in(run, *[10] * 200)

    assert usual_times([run.loop_id])[run.loop_id] == timedelta(seconds=10)


def test_a_wait_is_overdue_once_it_takes_longer_than_usual(project: Project, run: Run) -> None:
    answered_in(run, *[30] * 10)

    assert overdue_in(project, now=later(seconds=20)).items == []
    (one,) = overdue_in(project, now=later(seconds=60)).items

    assert one.wait.run_id == run.pk
    assert one.usual == one.expected_within == timedelta(seconds=30)
    assert one.age == pytest.approx(timedelta(seconds=60), abs=timedelta(seconds=5))
    assert one.source_key == "push"


def test_where_nothing_is_known_an_hour_is_expected(project: Project, run: Run) -> None:
    assert overdue_in(project, now=later(minutes=55)).items == []

    (one,) = overdue_in(project, now=later(minutes=65)).items

    assert (one.usual, one.expected_within) == (None, WHEN_NOTHING_IS_KNOWN)


def test_an_answer_takes_the_run_off_the_list(project: Project, run: Run, clay: ClaySimulator) -> None:
    callbacks.receive_at_address(token_of(clay), {"score": 1})
    work_off()

    assert overdue_in(project, now=later(days=1)).items == []


def test_waits_for_other_events_are_not_awaited_from_clay(project: Project, integration: Integration) -> None:
    begin(loop_of(project, waiting(config={"event_type": "approval"})))
    work_off()
    assert Wait.objects.filter(state=WaitState.OPEN).exists()

    assert overdue_in(project, now=later(days=1)).items == []


def test_the_oldest_are_listed_first_and_never_more_than_asked_for(
    project: Project, other_project: Project, enrich: Loop
) -> None:
    runs = [begin(enrich, email=f"{number}@b.c") for number in range(4)]
    other = begin(loop_of(project, asking(), waiting()), email="other@b.c")
    work_off()
    Wait.objects.filter(run=other).update(created_at=clock.now() - timedelta(hours=5))

    found = overdue_in(project, now=later(hours=2), most=3)

    assert [one.wait.run_id for one in found.items] == [other.pk, runs[0].pk, runs[1].pk]
    assert found.has_more
    assert overdue_in(other_project, now=later(hours=2)).items == []


def test_three_statements_find_them_however_many_loops_and_runs_wait(
    project: Project, enrich: Loop, django_assert_num_queries: Any
) -> None:
    for loop in (enrich, loop_of(project, asking(), waiting()), loop_of(project, asking(), waiting())):
        for number in range(10):
            begin(loop, email=f"{number}@{loop.pk}.c")
    work_off()

    with django_assert_num_queries(3):
        assert len(overdue_in(project, now=later(hours=2)).items) == 30


@pytest.mark.parametrize(
    ("queryset", "index"),
    [
        (Wait.objects.awaiting_callback("loop_1"), "waits_for_callbacks"),
        (Wait.objects.answered("loop_1"), "answered_waits"),
    ],
)
def test_both_look_ups_are_answered_by_an_index_that_holds_nothing_else(queryset: Any, index: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plan")
    plan = queryset.explain()

    assert index in plan
    assert "TEMP B-TREE" not in plan


# --- over the API ---


def age(run: Run, **distance: float) -> None:
    """Let the run have waited for so long."""
    Wait.objects.filter(run=run, state=WaitState.OPEN).update(created_at=clock.now() - timedelta(**distance))


def test_the_api_lists_overdue_callbacks_with_their_age_and_expected_time(
    api_as: Callable[[Role], Api], run: Run
) -> None:
    viewer = api_as(Role.VIEWER)
    assert viewer.get(f"{viewer.root}/callbacks/overdue").json() == {"items": [], "has_more": False}
    answered_in(run, *[30] * 10)
    age(run, hours=3)
    wait = Wait.objects.get(state=WaitState.OPEN)

    (item,) = viewer.get(f"{viewer.root}/callbacks/overdue").json()["items"]

    assert item["run_id"] == run.pk
    assert item["loop_id"] == run.loop_id
    assert (item["step_key"], item["source_step_key"]) == ("answer", "push")
    assert item["age_seconds"] == pytest.approx(3 * 3600, abs=60)
    assert item["usual_seconds"] == 30
    assert datetime.fromisoformat(item["expected_at"]) - datetime.fromisoformat(item["waiting_since"]) == timedelta(
        seconds=30
    )
    assert datetime.fromisoformat(item["gives_up_at"]) == wait.expires_at


# --- on the page ---


@pytest.fixture
def viewer(client: Client, vera: User) -> Client:
    client.force_login(vera)
    return client


def text(response: Any) -> str:
    return str(response.content.decode())


def test_the_page_shows_who_waits_for_how_long_and_what_to_do(viewer: Client, run: Run) -> None:
    assert "No callback is overdue" in text(viewer.get(OVERDUE))
    assert "longer than usual" not in text(viewer.get(CALLBACKS))
    age(run, hours=3)

    page = text(viewer.get(OVERDUE))

    assert "3 h 0 min" in page
    assert "too few answers to know better" in page
    assert f'href="/projects/platform/operate/runs/{run.pk}/"' in page
    assert "the last HTTP API column" in page
    assert "longer than usual" in text(viewer.get(CALLBACKS))


def test_an_operator_may_signal_or_cancel_from_there(client: Client, bob: User, vera: User, run: Run) -> None:
    age(run, hours=3)
    deeds = [f'href="/projects/platform/operate/runs/{run.pk}/{deed}/"' for deed in ("signal", "cancel")]

    client.force_login(bob)
    assert all(deed in text(client.get(OVERDUE)) for deed in deeds)
    client.force_login(vera)
    assert not any(deed in text(client.get(OVERDUE)) for deed in deeds)


def test_the_page_survives_hostile_names(viewer: Client, run: Run) -> None:
    age(run, hours=3)
    Loop.objects.update(name=EVIL)

    page = text(viewer.get(OVERDUE))
    assert EVIL not in page
    assert escape(EVIL) in page


def test_strangers_do_not_see_it(client: Client, charlie: User, run: Run) -> None:
    assert client.get(OVERDUE).status_code == 302
    client.force_login(charlie)

    assert client.get(OVERDUE).status_code == 404


# --- placing an ambiguous callback by hand ---


@pytest.fixture
def ambiguous(project: Project, integration: Integration) -> Callback:
    """One that could answer either of two runs."""
    loop = loop_of(project, push(row={"payload": {"email": "${{ event.email }}"}, "request_id": "r"}), waiting())
    for email in ("a@b.c", "d@e.f"):
        begin(loop, email=email)
    work_off()
    return callbacks.receive_by_request_id(project, {"request_id": "r", "score": 7}).callback


def address_of(callback: Callback) -> str:
    return f"{CALLBACKS}{callback.pk}/"


def test_an_operator_gives_an_ambiguous_callback_to_its_row(client: Client, bob: User, ambiguous: Callback) -> None:
    client.force_login(bob)
    page = text(client.get(address_of(ambiguous)))
    first, second = Run.objects.order_by("id")
    assert "Which row does it answer?" in page
    assert page.count("It answers this row") == 2

    answer = client.post(f"{address_of(ambiguous)}assign/", {"step_id": f"{second.pk}:push"}, follow=True)
    work_off()

    assert "The callback is given to the row" in text(answer)
    assert "bob said which row it answers." in text(client.get(address_of(ambiguous)))
    assert (fresh(first).status, fresh(second).status) == ("suspended", "completed")


def test_two_who_place_a_callback_at_once_both_see_what_became_of_it(
    client: Client, bob: User, ambiguous: Callback
) -> None:
    first, second = Run.objects.order_by("id")
    client.force_login(bob)
    quicker: list[Callback] = []

    def somebody_is_quicker(execute: Any, sql: str, *arguments: Any) -> Any:
        if not quicker and '"integrations_attempt"' in sql:  # the page has read the callback already
            quicker.append(ambiguous)
            callbacks.assign(ambiguous, step_id=f"{first.pk}:push", by=SYSTEM)
        return execute(sql, *arguments)

    with connection.execute_wrapper(somebody_is_quicker):
        answer = client.post(f"{address_of(ambiguous)}assign/", {"step_id": f"{second.pk}:push"})

    assert quicker
    assert answer.status_code == 409
    assert "Somebody has said already which row this callback answers." in text(answer)
    assert "It answers this row" not in text(answer)
    assert "said which row it answers." in text(answer)


def test_a_row_that_is_no_candidate_is_refused_with_the_reason(client: Client, bob: User, ambiguous: Callback) -> None:
    client.force_login(bob)

    answer = client.post(f"{address_of(ambiguous)}assign/", {"step_id": "run_x:push"})

    assert answer.status_code == 404
    assert "This row was not sent under the callback&#x27;s request_id." in text(answer)


def test_who_may_only_look_cannot_place_a_callback(viewer: Client, ambiguous: Callback) -> None:
    page = text(viewer.get(address_of(ambiguous)))

    assert "It answers this row" not in page
    assert "An operator can choose." in page
    assert viewer.post(f"{address_of(ambiguous)}assign/", {"step_id": "x"}).status_code == 403


def test_a_stranger_s_callback_cannot_be_placed(
    client: Client, charlie: User, other_project: Project, ambiguous: Callback
) -> None:
    client.force_login(charlie)

    for handle in ("platform", "elsewhere"):
        address = f"/projects/{handle}/operate/callbacks/{ambiguous.pk}/assign/"
        assert client.post(address, {"step_id": "x"}).status_code == 404
