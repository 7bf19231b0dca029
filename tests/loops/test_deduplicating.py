"""The switch "this table deduplicates request_id": a row in doubt may be sent again, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from integrations import connecting, delivering
from integrations.models import Attempt, AttemptState, Integration, LedgerEntry, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from loops import callbacks
from loops.advance import advance
from loops.models import Run, RunStatus
from loops.sweeping import recover, sweep
from mobius import clock
from mobius.projects.models import Project
from tests.cast import work_off
from tests.loops.flow import NO_ANSWER, asking, begin, fresh, go, loop_of, push, step_of, token_of, waiting

pytestmark = pytest.mark.django_db

RETRY = {"max_attempts": 3, "delay": "5s"}
ERROR = Behaviour(fail=503, keep_row=True)
REFUSAL = Behaviour(fail=400)


@pytest.fixture(autouse=True)
def _deduplicates(integration: Integration) -> None:
    Integration.objects.update(deduplicates=True)


@pytest.fixture
def hours() -> Iterator[Any]:
    """Lets an hour pass and the engine work, at each call."""
    with time_machine.travel(timezone.now(), tick=False) as now:

        def pass_one() -> None:
            now.shift(timedelta(hours=1))
            sweep()
            work_off()

        yield pass_one


def test_the_page_says_that_the_row_is_sent_again_and_why(
    project: Project, clay: ClaySimulator, client: Client, vera: User
) -> None:
    clay.next_answers(NO_ANSWER)
    run = go(project, push(retry=RETRY))
    client.force_login(vera)

    page = client.get(f"/projects/platform/operate/runs/{run.pk}/").content.decode()

    assert "It is sent again under the same request_id" in page
    assert "The next attempt is due at" in page


def attempts() -> list[tuple[int, str]]:
    return list(Attempt.objects.order_by("id").values_list("number", "state"))


@pytest.mark.parametrize("far_side", [NO_ANSWER, ERROR], ids=["no answer", "503"])
def test_a_row_in_doubt_is_sent_again_under_the_same_request_id(
    project: Project, clay: ClaySimulator, hours: Any, far_side: Behaviour
) -> None:
    clay.next_answers(far_side)
    run = go(project, push(retry=RETRY))
    assert step_of(run).error_type == "retrying"

    hours()

    assert fresh(run).status == RunStatus.COMPLETED
    assert [row.body["request_id"] for row in clay.rows] == [run.pk, run.pk]
    assert attempts() == [(1, "accepted"), (2, "accepted")]
    assert "Sent again as attempt 2" in Attempt.objects.order_by("id")[0].error_message
    webhook = Webhook.objects.get()
    assert (webhook.used, webhook.in_flight) == (2, 0), "Clay counts both"
    assert LedgerEntry.objects.get().attempt.number == 2


def test_within_the_step_s_retry_and_then_it_waits_for_somebody_who_knows(
    project: Project, clay: ClaySimulator, hours: Any
) -> None:
    clay.change(reset=True)
    run = go(project, push(retry=RETRY))

    for _ in range(5):
        hours()

    assert (fresh(run).status, step_of(run).error_type) == (RunStatus.SUSPENDED, "delivery_in_doubt")
    assert attempts() == [(1, "in_doubt"), (2, "in_doubt"), (3, "in_doubt")]


def test_after_the_last_5xx_the_step_fails(project: Project, clay: ClaySimulator, hours: Any) -> None:
    clay.change(fail=502)
    run = go(project, push(retry=RETRY))

    for _ in range(5):
        hours()

    assert (fresh(run).status, fresh(run).error_type) == (RunStatus.FAILED, "delivery_in_doubt")
    assert len(attempts()) == 3


@pytest.mark.parametrize(
    ("switch", "step"),
    [
        (False, push(retry=RETRY)),
        (True, push()),
        (True, push(row={"payload": {"email": "a"}}, retry=RETRY)),
    ],
    ids=["the switch is off", "no retry", "no request_id"],
)
def test_otherwise_nothing_is_sent_again(
    project: Project, clay: ClaySimulator, hours: Any, switch: bool, step: dict[str, Any]
) -> None:
    Integration.objects.update(deduplicates=switch)
    clay.next_answers(NO_ANSWER)
    run = go(project, step)

    for _ in range(3):
        hours()

    assert step_of(run).error_type == "delivery_in_doubt"
    assert attempts() == [(1, "in_doubt")]
    assert len(clay.rows) == 1


def test_not_when_the_switch_was_turned_off_meanwhile(project: Project, clay: ClaySimulator, hours: Any) -> None:
    clay.next_answers(NO_ANSWER)
    run = go(project, push(retry=RETRY))
    Integration.objects.update(deduplicates=False)

    hours()

    assert (fresh(run).status, step_of(run).error_type) == (RunStatus.SUSPENDED, "delivery_in_doubt")
    assert len(clay.rows) == 1


def test_not_to_another_table_which_does_not_know_the_first_row(
    project: Project, clay: ClaySimulator, hours: Any
) -> None:
    clay.next_answers(NO_ANSWER)
    run = go(project, push(retry=RETRY))
    connection = Connection(webhook_url=clay.url_for("another"))
    connecting.connect(project=project, provider=get_provider("clay"), connection=connection)
    Integration.objects.update(deduplicates=True)

    hours()

    assert (fresh(run).status, step_of(run).error_type) == (RunStatus.SUSPENDED, "delivery_in_doubt")
    assert len(clay.rows) == 1


def test_a_callback_during_the_back_off_spares_the_second_post(project: Project, clay: ClaySimulator) -> None:
    clay.next_answers(NO_ANSWER)
    run = go(project, asking(retry={"max_attempts": 3, "delay": "1h"}), waiting())

    callbacks.receive_at_address(token_of(clay), {"score": 7})
    work_off()

    assert fresh(run).status == RunStatus.COMPLETED
    assert attempts() == [(1, "accepted")]
    assert len(clay.rows) == 1


def test_a_callback_proves_every_attempt_of_its_step(project: Project, clay: ClaySimulator, hours: Any) -> None:
    clay.change(reset=True)
    run = go(project, asking(retry={"max_attempts": 2}), waiting())
    hours()
    assert attempts() == [(1, "in_doubt"), (2, "in_doubt")]

    callbacks.receive_at_address(token_of(clay), {"score": 7})
    work_off()

    assert fresh(run).status == RunStatus.COMPLETED
    assert attempts() == [(1, "accepted"), (2, "accepted")]
    assert Webhook.objects.get().used == 2


def test_a_refusal_of_the_second_does_not_free_the_first(project: Project, clay: ClaySimulator, hours: Any) -> None:
    clay.next_answers(NO_ANSWER, REFUSAL)
    row = {"payload": {"email": "${{ event.email }}"}, "request_id": "r"}
    run = go(project, push(row=row, retry=RETRY))
    hours()
    assert fresh(run).status == RunStatus.FAILED
    assert attempts() == [(1, "in_doubt"), (2, "refused")]

    same_row = go(project, push(row=row))

    assert step_of(same_row).error_type == "same_row"
    assert LedgerEntry.objects.get().attempt.number == 1
    assert Webhook.objects.get().used == 1


def test_without_a_ledger_it_is_the_same(project: Project, clay: ClaySimulator, hours: Any) -> None:
    Integration.objects.update(never_twice=False)
    clay.next_answers(NO_ANSWER)
    run = go(project, push(retry=RETRY))

    hours()

    assert fresh(run).status == RunStatus.COMPLETED
    assert attempts() == [(1, "accepted"), (2, "accepted")]


class Killed(BaseException):
    """The process dies."""


def die_while_sending(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(delivering, "send", die)
        with pytest.raises(Killed):
            advance(run.pk)


@pytest.mark.parametrize(("retry", "status", "rows"), [(RETRY, "completed", 1), ({"max_attempts": 1}, "suspended", 0)])
def test_what_a_dead_process_left_on_the_wire_is_sent_again_at_the_next_start(
    project: Project, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch, retry: Any, status: str, rows: int
) -> None:
    run = begin(loop_of(project, push(retry=retry)))
    die_while_sending(run, monkeypatch)

    recover()
    work_off()

    assert fresh(run).status == status
    assert len(clay.rows) == rows


# --- doubts that end otherwise ---


@pytest.mark.parametrize(
    ("answer", "status", "error_type"),
    [
        (Behaviour(), "completed", ""),
        (REFUSAL, "failed", "delivery_refused"),
        (Behaviour(fail=429), "failed", "rate_limited"),
    ],
    ids=["accepted", "refused", "too fast"],
)
def test_a_late_definite_answer_of_its_own_sender_settles_the_doubt(
    project: Project,
    clay: ClaySimulator,
    monkeypatch: pytest.MonkeyPatch,
    answer: Behaviour,
    status: str,
    error_type: str,
) -> None:
    """It was held for dead while its row was on the wire."""
    Integration.objects.update(deduplicates=False)
    clay.next_answers(answer)
    send = delivering.send

    def send_while_held_for_dead(sending: Any, **options: Any) -> Any:
        recover()
        work_off()
        assert step_of(Run.objects.get()).error_type == "delivery_in_doubt"
        return send(sending, **options)

    monkeypatch.setattr(delivering, "send", send_while_held_for_dead)
    run = go(project, push())

    assert (run.status, run.error_type) == (status, error_type)
    assert len(attempts()) == 1
    webhook = Webhook.objects.get()
    assert (webhook.used, webhook.in_flight) == (1 if status == "completed" else 0, 0)


def test_a_late_silence_leaves_the_doubt_as_it_was(
    project: Project, clay: ClaySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    Integration.objects.update(deduplicates=False)
    clay.next_answers(NO_ANSWER)
    send = delivering.send

    def send_while_held_for_dead(sending: Any, **options: Any) -> Any:
        recover()
        return send(sending, **options)

    monkeypatch.setattr(delivering, "send", send_while_held_for_dead)
    run = go(project, push())

    assert (run.status, step_of(run).error_type) == (RunStatus.SUSPENDED, "delivery_in_doubt")
    assert Attempt.objects.get().state == AttemptState.IN_DOUBT
    assert Webhook.objects.get().used == 1


def test_a_step_does_not_repeat_a_row_that_is_known_to_have_arrived(project: Project, clay: ClaySimulator) -> None:
    run = go(project, push())
    attempt = Attempt.objects.get()
    again = delivering.Order(
        project_id=project.pk,
        action="clay.webhook.submit",
        parameters={"payload": {"email": "changed"}, "request_id": "changed"},
        run_id=run.pk,
        step_id=attempt.step_id,
        number=2,
    )

    answer = delivering.reserve(delivering.prepare(again), now=clock.now())

    assert isinstance(answer, delivering.AlreadyAccepted)
    assert answer.delivery.output["request_id"] == run.pk
