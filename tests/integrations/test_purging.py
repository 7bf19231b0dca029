"""Old bodies are blanked; the log, the counts and the ledger are not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from click.testing import CliRunner

from integrations import delivering
from integrations.delivering import AlreadyAccepted, NotNow
from integrations.models import Attempt, AttemptState, Integration, LedgerEntry, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.purging import through_attempts
from mobius import clock
from mobius.cli import main
from mobius.projects.models import Project
from tests.integrations.rows import begin, deliver, order, reserve


def age(days: int) -> None:
    Attempt.objects.update(created_at=clock.now() - timedelta(days=days))


def purge(days: int = 30, batch: int = 500) -> list[int]:
    pages = through_attempts(batch=batch).pages(clock.now() - timedelta(days=days))
    return [blanked for blanked in pages if blanked]


@pytest.mark.usefixtures("integration")
def test_old_bodies_and_answers_are_blanked_and_everything_else_stays(project: Project) -> None:
    before = deliver(project).attempt
    age(days=31)

    assert purge() == [1]

    after = Attempt.objects.get()
    assert (after.body, after.response) == ("", "")
    assert (after.state, after.request_id, after.body_digest) == ("accepted", "req_123", before.body_digest)
    assert (after.body_size, after.status_code) == (before.body_size, 200)
    assert Webhook.objects.get().used == 1


@pytest.mark.usefixtures("integration")
def test_the_ledger_outlives_the_bodies(project: Project, clay: ClaySimulator) -> None:
    deliver(project)
    age(days=400)
    purge()

    again = reserve(order(project))

    assert isinstance(again, AlreadyAccepted)
    assert again.delivery.output == {"ok": True, "status_code": 200, "request_id": "req_123", "duplicate": True}
    assert LedgerEntry.objects.count() == 1
    assert len(clay.rows) == 1


@pytest.mark.usefixtures("integration")
def test_young_bodies_stay(project: Project) -> None:
    deliver(project)
    age(days=29)

    assert purge() == []
    assert Attempt.objects.get().body


@pytest.mark.usefixtures("integration")
def test_a_row_in_doubt_or_on_its_way_keeps_its_body(project: Project, clay: ClaySimulator) -> None:
    clay.next_answers(Behaviour(reset=True))
    deliver(project)
    begin(order(project, {"payload": {"n": 2}}))
    age(days=400)

    assert purge() == []
    assert all(attempt.body for attempt in Attempt.objects.all())
    again = reserve(order(project))
    assert isinstance(again, NotNow)
    assert again.reason == "same_row"


@pytest.mark.usefixtures("integration")
def test_many_are_blanked_in_bounded_batches_and_only_once(project: Project) -> None:
    for number in range(5):
        deliver(project, {"payload": {"n": number}})
    age(days=31)

    assert purge(batch=2) == [2, 2, 1]
    assert purge(batch=2) == []


@pytest.mark.usefixtures("integration")
def test_an_answer_without_a_body_is_blanked_too(project: Project) -> None:
    deliver(project)
    age(days=31)
    Attempt.objects.update(body="")

    assert purge() == [1]
    assert Attempt.objects.get().response == ""


@pytest.mark.usefixtures("integration")
def test_the_command_honours_the_setting_and_says_what_it_did(project: Project, settings: object) -> None:
    deliver(project)
    age(days=31)

    settings.MOBIUS_RETENTION_DAYS = 0  # type: ignore[attr-defined]
    kept = CliRunner().invoke(main, ["purge"])
    settings.MOBIUS_RETENTION_DAYS = 30  # type: ignore[attr-defined]
    purged = CliRunner().invoke(main, ["purge"])

    assert (kept.exit_code, "kept for ever" in kept.output) == (0, True)
    assert (purged.exit_code, purged.output) == (
        0,
        "Older than 30 days, and forgotten: 1 attempts, 0 runs, 0 callbacks, 0 pushes, 0 bulk jobs, "
        "0 webhook deliveries, 0 alert mails.\n",
    )


def test_the_command_refuses_a_number_that_would_blank_everything() -> None:
    refused = CliRunner().invoke(main, ["purge", "--days", "0"])

    assert refused.exit_code == 2
    assert "0 is not in the range" in refused.output


@pytest.mark.usefixtures("integration")
def test_a_late_answer_after_a_purge_is_recorded_all_the_same(project: Project) -> None:
    sending = begin(order(project))
    delivering.doubt_the_silent(now=clock.now())
    age(days=400)
    purge()
    exchange = delivering.send(sending)

    delivering.record(sending, exchange, delivering.weigh(sending, exchange), now=clock.now())

    assert Attempt.objects.get().state == AttemptState.ACCEPTED


def test_the_switch_never_send_twice_is_on_by_default(integration: Integration) -> None:
    assert integration.never_twice
