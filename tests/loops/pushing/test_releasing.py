"""A push as it goes: each row once, a few at a time, and what became of each is written down."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest

from integrations.connecting import connect, rename
from integrations.connecting import pause as pause_integration
from integrations.connecting import resume as resume_integration
from integrations.forms import Options
from integrations.models import Attempt, Integration, Webhook
from integrations.providers.clay.simulator import Behaviour, ClaySimulator
from integrations.providers.contract import Connection
from integrations.providers.registry import get_provider
from integrations.settling import Decision
from loops import authoring
from loops import operating as runs_operating
from loops.models import Loop, Push, PushRow, Run
from loops.purging import purge_all
from loops.pushing import operating, releasing
from loops.pushing.checking import NotNow
from loops.pushing.failures import failures_file
from loops.pushing.operating import NotChecked
from loops.pushing.progress import progress_of
from loops.pushing.releasing import AHEAD, BATCH, look_after_pushes
from loops.retrying import retry
from loops.settling import settle
from mobius import clock
from mobius.projects.auditing import SYSTEM
from mobius.projects.models import Project
from tests.cast import work_off
from tests.loops.flow import BROKEN, NO_ANSWER
from tests.loops.pushing.pushes import (
    LEADS,
    checked,
    drafted,
    fresh,
    go_on,
    leads,
    started,
    states,
    to_the_end,
)


def failures(push: Push) -> list[list[str]]:
    raw = b"".join(failures_file(push).streaming_content)  # type: ignore[arg-type]
    return list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))


def test_every_row_is_sent_once_as_it_was_mapped(integration: Integration, clay: ClaySimulator) -> None:
    push = to_the_end(started(integration, keys={"Email": "email"}, external_id="Email"))

    assert push.state == "completed"
    assert push.ended_at is not None
    assert states(push) == ["sent"] * 3
    assert [row.body for row in clay.rows] == [
        {"email": f"{name}@example.com", "request_id": f"r{number}", "external_id": f"{name}@example.com"}
        for number, name in enumerate(("ada", "grace", "alan"), start=1)
    ]
    run = Run.objects.order_by("pk").first()
    assert run is not None
    assert run.source["label"] == "Push of leads.csv"


def test_values_of_json_lines_arrive_with_their_types(integration: Integration, clay: ClaySimulator) -> None:
    to_the_end(started(integration, '{"request_id": 7, "n": 1.5, "on": true, "deep": {"a": [null, "é"]}, "t": "5"}\n'))

    assert [row.body for row in clay.rows] == [
        {"request_id": 7, "n": 1.5, "on": True, "deep": {"a": [None, "é"]}, "t": "5"}
    ]


def test_expressions_and_formulas_in_a_cell_are_data(integration: Integration, clay: ClaySimulator) -> None:
    to_the_end(started(integration, 'Email,b\n${{ meta.run_id }},"=HYPERLINK(""http://x"")"\n'))

    assert clay.rows[0].body == {"Email": "${{ meta.run_id }}", "b": '=HYPERLINK("http://x")'}


def test_only_a_few_rows_are_started_ahead_of_the_pace(integration: Integration) -> None:
    push = started(integration, leads(100))
    for _ in range(5):
        Push.objects.update(due_at=clock.now())
        look_after_pushes(now=clock.now())

    assert Run.objects.count() == AHEAD
    assert states(push).count("started") == AHEAD


def test_rows_go_to_the_same_table_whatever_the_integration_is_called_meanwhile(
    integration: Integration, project: Project, clay: ClaySimulator
) -> None:
    push = started(integration)
    rename(integration, "leads")
    connect(
        project=project,
        provider=get_provider("clay"),
        connection=Connection(webhook_url=clay.url_for("other")),
        options=Options(name="clay"),
    )

    assert to_the_end(push).state == "completed"

    assert states(push) == ["sent"] * 3
    assert len(clay.rows) == 3
    assert "other" not in [row.source for row in clay.rows]


def test_a_batch_is_all_that_one_transaction_starts(integration: Integration) -> None:
    push = started(integration, leads(100))

    look_after_pushes(now=clock.now())

    assert states(push).count("started") == BATCH
    assert fresh(push).due_at is not None


def test_a_large_push_goes_through_in_turns(integration: Integration, clay: ClaySimulator) -> None:
    push = to_the_end(started(integration, leads(150)))

    assert sorted(row.body["request_id"] for row in clay.rows) == sorted(f"r{number}" for number in range(1, 151))
    assert progress_of(push, now=clock.now()).counts == {"sent": 150}


def test_a_turn_that_breaks_leaves_neither_run_nor_mark(
    integration: Integration, monkeypatch: pytest.MonkeyPatch, clay: ClaySimulator
) -> None:
    push = started(integration)
    with monkeypatch.context() as broken:
        broken.setattr(releasing, "_plan", lambda *_, **__: 1 / 0)
        look_after_pushes(now=clock.now())
    assert not Run.objects.exists()
    assert states(push) == ["waiting"] * 3

    to_the_end(push)
    assert len(clay.rows) == 3


def test_a_paused_push_starts_no_further_row_and_goes_on_where_it_was(
    integration: Integration, clay: ClaySimulator
) -> None:
    push = go_on(started(integration, leads(60)))
    operating.pause(push, by=SYSTEM)
    paused = to_the_end(push)
    assert paused.state == "paused"
    assert states(push).count("sent") == len(clay.rows) == BATCH

    operating.resume(push, by=SYSTEM)

    assert to_the_end(push).state == "completed"
    assert len({row.body["request_id"] for row in clay.rows}) == len(clay.rows) == 60


def test_a_cancelled_push_sends_nothing_more_and_says_of_each_row_that_it_was_not_sent(
    integration: Integration, clay: ClaySimulator
) -> None:
    push = go_on(started(integration, leads(60)))
    pause_integration(integration)  # the next rows are in line and cannot leave
    go_on(push, turns=2)
    operating.cancel(push, by=SYSTEM)

    ended = to_the_end(push)

    assert ended.state == "cancelled"
    resume_integration(integration)
    work_off()
    assert len(clay.rows) == BATCH
    assert states(push).count("sent") == BATCH
    assert states(push).count("not_sent") == 40
    assert not Run.objects.active().exists()
    assert len(failures(push)) == 1 + 40


def test_a_push_that_never_started_is_gone_when_it_is_discarded(integration: Integration) -> None:
    operating.cancel(checked(integration), by=SYSTEM)

    assert not Push.objects.exists()
    assert not PushRow.objects.exists()


@pytest.mark.parametrize("verb", [operating.start, operating.pause, operating.resume, operating.cancel])
def test_a_push_that_somebody_has_just_discarded_is_said_to_be(integration: Integration, verb: Any) -> None:
    push = checked(integration)
    operating.cancel(fresh(push), by=SYSTEM)

    with pytest.raises(NotNow, match="was discarded"):
        verb(push, by=SYSTEM)


def test_no_spreadsheet_calculates_the_name_of_a_column(integration: Integration, clay: ClaySimulator) -> None:
    clay.next_answers(Behaviour(fail=400))
    push = to_the_end(started(integration, "request_id,=1+1\nr1,two\n"))

    assert failures(push)[0] == ["push_line", "push_error", "request_id", "'=1+1"]

    again = b"".join(failures_file(push).streaming_content)  # type: ignore[arg-type]
    to_the_end(started(integration, again))

    assert [row.body for row in clay.rows] == [{"request_id": "r1", "=1+1": "two"}]


def test_what_failed_can_be_downloaded_mended_and_pushed_again(integration: Integration, clay: ClaySimulator) -> None:
    clay.next_answers(Behaviour(fail=400))
    text = 'request_id,Email,Note\nr1,ada@example.com,=1+1\nr2,grace@example.com,"\'=2"\n,nobody,-3\n'
    push = to_the_end(started(integration, text))

    assert states(push) == ["failed", "sent", "left_out"]
    header, *rows = failures(push)
    assert header == ["push_line", "push_error", "request_id", "Email", "Note"]
    assert [row[0] for row in rows] == ["2", "4"]
    assert [row[4] for row in rows] == ["'=1+1", "'-3"], "no spreadsheet calculates what somebody else wrote"

    again = b"".join(failures_file(push).streaming_content)  # type: ignore[arg-type]
    to_the_end(started(integration, again.replace(b",nobody", b"r3,nobody")))

    assert [row.body for row in clay.rows] == [
        {"request_id": "r2", "Email": "grace@example.com", "Note": "'=2"},
        {"request_id": "r1", "Email": "ada@example.com", "Note": "=1+1"},
        {"request_id": "r3", "Email": "nobody", "Note": "-3"},
    ]


def test_what_failed_of_json_lines_comes_back_as_json_lines(integration: Integration) -> None:
    push = to_the_end(
        started(integration, '{"request_id": "r1", "a": [1]}\n{"a": \n{"request_id": "", "a": {"b": 1}}\n')
    )

    raw = b"".join(failures_file(push).streaming_content)  # type: ignore[arg-type]
    lines = [json.loads(line) for line in raw.splitlines()]

    assert [line.pop("push_error")[:20] for line in lines] == ["It is not valid JSON", "Its cell request_id "]
    assert lines == [{"push_line": 2, "push_text": '{"a":'}, {"push_line": 3, "request_id": "", "a": {"b": 1}}]


def test_a_row_in_doubt_waits_for_a_person_and_is_not_offered_to_be_pushed_again(
    integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(NO_ANSWER, BROKEN)
    push = go_on(started(integration), turns=3)

    assert states(push) == ["in_doubt", "in_doubt", "sent"]
    assert push.state == "running"
    assert len(failures(push)) == 1
    assert progress_of(push, now=clock.now()).takes is None

    for attempt in Attempt.objects.in_doubt():
        settle(attempt, Decision.ARRIVED, reason="looked into the table", by=SYSTEM)
    assert to_the_end(push).state == "completed"
    assert states(push) == ["sent"] * 3
    assert len(clay.rows) == 3


def test_a_row_that_is_given_up_has_failed(integration: Integration, clay: ClaySimulator) -> None:
    clay.next_answers(NO_ANSWER)
    push = go_on(started(integration), turns=3)

    settle(Attempt.objects.in_doubt().get(), Decision.GIVE_UP, reason="looked into the table", by=SYSTEM)

    to_the_end(push)
    assert states(push) == ["failed", "sent", "sent"]


def test_a_failed_row_whose_run_is_retried_is_open_again(integration: Integration, clay: ClaySimulator) -> None:
    clay.next_answers(Behaviour(fail=400))
    push = to_the_end(started(integration))
    assert states(push) == ["failed", "sent", "sent"]

    retry(Run.objects.get(status="failed"), by=SYSTEM)
    assert states(push)[0] == "started"

    to_the_end(push)
    assert states(push) == ["sent"] * 3
    assert len(failures(push)) == 1
    assert fresh(push).state == "completed"


def test_a_run_that_only_says_it_belongs_to_a_push_changes_none(integration: Integration, push_leads: Loop) -> None:
    push = to_the_end(started(integration))
    stranger = Run.objects.order_by("pk").first()
    assert stranger is not None
    stranger.pk, stranger.meta = "run_other", {"push_id": push.pk, "push_row": 1}

    releasing.take_up(stranger)

    assert states(push) == ["sent"] * 3


def test_a_row_whose_run_somebody_cancels_was_not_sent(integration: Integration) -> None:
    pause_integration(integration)
    push = go_on(started(integration))
    runs_operating.cancel(Run.objects.earliest("pk"), by=SYSTEM)
    resume_integration(integration)

    to_the_end(push)

    assert states(push) == ["not_sent", "sent", "sent"]


def test_a_row_that_was_sent_meanwhile_is_not_sent_again(integration: Integration, clay: ClaySimulator) -> None:
    first, second = checked(integration), checked(integration)
    for push in (first, second):
        to_the_end(operating.start(push, by=SYSTEM))

    assert states(second) == ["duplicate"] * 3
    assert len(clay.rows) == 3


def test_rows_that_keep_failing_pause_the_push_and_leave_the_rest_untouched(
    integration: Integration, clay: ClaySimulator
) -> None:
    clay.next_answers(*[Behaviour(fail=400)] * 200)
    push = to_the_end(started(integration, leads(200)))

    assert push.state == "paused"
    assert push.paused_because.startswith("25 rows in a row did not get through, the last with: ")
    assert states(push).count("waiting") >= 200 - 2 * AHEAD


def test_a_full_webhook_pauses_the_push_and_a_resume_after_that_goes_on(
    integration: Integration, clay: ClaySimulator
) -> None:
    Webhook.objects.update(submission_limit=10)
    push = to_the_end(started(integration, leads(60)))
    assert push.state == "paused"
    assert states(push).count("sent") == 10

    Webhook.objects.update(submission_limit=None)
    operating.resume(push, by=SYSTEM)

    push = to_the_end(push)
    assert push.state == "completed"
    assert states(push).count("sent") + states(push).count("failed") == 60
    assert len(clay.rows) == states(push).count("sent")


@pytest.mark.parametrize("state", ["paused", "deleted"])
def test_a_loop_that_takes_no_starts_pauses_the_push_with_the_reason(integration: Integration, state: str) -> None:
    push = started(integration)
    Loop.objects.update(status=state)

    push = to_the_end(push)

    assert push.state == "paused"
    assert "loop" in push.paused_because
    assert states(push) == ["waiting"] * 3


def test_pushes_share_one_loop_until_somebody_changes_it(integration: Integration) -> None:
    first, second = to_the_end(started(integration)), to_the_end(started(integration, leads(1, first=9)))
    assert first.loop_id == second.loop_id

    authoring.update_loop(Loop.objects.get(), {"description": "mine"})
    third = to_the_end(started(integration, leads(1, first=19)))

    assert third.loop_id != first.loop_id
    assert third.loop is not None
    assert third.loop.name == "push-rows-to-clay-2"


def test_the_verbs_refuse_what_does_not_fit_the_state(integration: Integration) -> None:
    draft = drafted(integration)
    with pytest.raises(NotChecked):
        operating.start(draft, by=SYSTEM)
    push = started(integration)
    for verb in (operating.start, operating.resume):
        with pytest.raises(NotNow):
            verb(push, by=SYSTEM)
    to_the_end(push)
    for verb in (operating.start, operating.pause, operating.resume, operating.cancel):
        with pytest.raises(NotNow):
            verb(push, by=SYSTEM)


def test_the_time_left_is_told_by_the_pace_or_by_what_was_measured(integration: Integration) -> None:
    push = started(integration, leads(100))
    assert progress_of(fresh(push), now=clock.now()).takes is None, "unpaced, and nothing was measured yet"

    integration.pacer.rate_per_second = 10
    integration.pacer.save()
    assert progress_of(fresh(push), now=clock.now()).takes == timedelta(seconds=10)

    PushRow.objects.filter(number__lte=50).update(state="sent")
    Push.objects.update(going_since=clock.now() - timedelta(seconds=50))
    takes = progress_of(fresh(push), now=clock.now()).takes
    assert takes is not None
    assert 49 < takes.total_seconds() < 52


def test_a_file_that_was_cut_off_is_deleted_after_an_hour(integration: Integration) -> None:
    push = drafted(integration)
    Push.objects.update(state="reading", due_at=clock.now() + timedelta(minutes=59))
    look_after_pushes(now=clock.now())
    assert Push.objects.exists()

    look_after_pushes(now=clock.now() + timedelta(hours=1))

    assert not Push.objects.filter(pk=push.pk).exists()
    assert not PushRow.objects.exists()


def test_what_an_old_push_held_is_forgotten_and_its_counts_stay(integration: Integration) -> None:
    push = to_the_end(started(integration, LEADS + ",nobody\n"))
    waiting = started(integration, leads(2, first=50))
    draft = drafted(integration, leads(2, first=60))

    purge_all(before=clock.now() + timedelta(days=1))

    assert fresh(push).purged_at is not None
    assert not PushRow.objects.of_push(push.pk).exclude(content="").exists()
    assert progress_of(push, now=clock.now()).counts == {"sent": 3, "left_out": 1}
    assert len(failures(push)) == 1
    assert fresh(push).report["reasons"]["no_request_id"]["count"] == 1
    assert fresh(push).report["reasons"]["no_request_id"]["examples"] == []
    assert PushRow.objects.of_push(waiting.pk).exclude(content="").count() == 2, "what still waits keeps its rows"
    assert not Push.objects.filter(pk=draft.pk).exists(), "a draft that nobody started is deleted"
