"""`/v1/projects/{project}/runs/{run}/events`: the log in pages and as a stream (mobius-contract §8)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connections

from integrations.models import Integration
from loops.authoring import create_loop
from loops.models import Loop, Run, Wait
from loops.operating import cancel, signal
from mobius import clock
from mobius.api import streaming
from mobius.api.serializing import timestamp
from mobius.projects.auditing import SYSTEM
from mobius.projects.keys import revoke
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import Api, work_off
from tests.loops.flow import FAILS, go

JsonObject = dict[str, Any]

REQUIRED = {"id", "run_id", "sequence", "event_type", "created_at"}
OPTIONAL = {"step_id", "step_key", "payload"}
LIFE_OF_A_PUSH = [
    *("run.started", "step.started", "action.called", "action.completed", "step.completed", "run.completed"),
]
WAITING: JsonObject = {
    "name": "waiting",
    "steps": [{"id": "answer", "kind": "wait_for_event", "config": {"event_type": "anything"}}],
}


@pytest.fixture
def run(api: Api, push_leads: Loop, integration: Integration) -> str:
    """A run that has ended."""
    run_id = api.post(f"{api.root}/loops/push-leads/runs", {"event": {"email": "ada@example.com"}}).json()["id"]
    work_off()
    return str(run_id)


@pytest.fixture
def waiting(api: Api, project: Project) -> Run:
    """A run that waits for a signal."""
    create_loop(project=project, authored=WAITING)
    run_id = api.post(f"{api.root}/loops/waiting/runs", {}).json()["id"]
    work_off()
    return Run.objects.get(pk=run_id)


def frames(answer: Any) -> list[JsonObject]:
    """The events of a stream that has ended, as an EventSource reads them."""
    assert answer.headers["Content-Type"] == "text/event-stream"
    return [parsed for frame in answer.getvalue().decode().split("\n\n") if (parsed := parse(frame)) is not None]


def parse(frame: str) -> JsonObject | None:
    fields = dict(line.split(": ", 1) for line in frame.splitlines() if line and line[0] != ":")
    if not fields:
        return None
    event: JsonObject = json.loads(fields["data"])
    assert (int(fields["id"]), fields["event"]) == (event["sequence"], event["event_type"])
    return event


def hang_up(answer: Any) -> None:
    """What the server does with a stream whose listener is gone; Django's own `close` would end the test's database."""
    for close in answer._resource_closers:
        close()


def types(events: list[JsonObject]) -> list[str]:
    return [event["event_type"] for event in events]


# --- pages ---


def test_the_log_tells_the_life_of_a_run_in_order(api: Api, run: str) -> None:
    page = api.get(f"{api.root}/runs/{run}/events").json()

    assert set(page) == {"items", "next_sequence", "has_more"}
    assert (page["next_sequence"], page["has_more"]) == (6, False)
    assert types(page["items"]) == LIFE_OF_A_PUSH
    assert [event["sequence"] for event in page["items"]] == [1, 2, 3, 4, 5, 6]
    for event in page["items"]:
        assert set(event) >= REQUIRED
        assert set(event) <= REQUIRED | OPTIONAL
        assert event["id"] == f"{run}:evt:{event['sequence']:06d}"
        assert event["created_at"].endswith("Z")


def test_payloads_say_what_happened(api: Api, run: str) -> None:
    events = {one["event_type"]: one for one in api.get(f"{api.root}/runs/{run}/events").json()["items"]}

    called, done = events["action.called"], events["step.completed"]
    assert called["payload"]["action"] == "clay.webhook.submit"
    assert called["payload"]["parameters"]["payload"] == {"email": "ada@example.com"}
    assert (called["step_key"], called["step_id"]) == ("push", f"{run}:push")
    assert done["payload"]["output"]["ok"] is True
    assert events["action.completed"]["payload"]["result"] == done["payload"]["output"]
    assert events["run.completed"]["payload"]["output"] == {"push": done["payload"]["output"]}
    assert events["run.started"]["payload"]["loop_id"] == Run.objects.get().loop_id


def test_pages_go_on_after_the_last_sequence(api: Api, run: str) -> None:
    seen: list[JsonObject] = []
    after = 0
    for _ in range(3):
        page = api.get(f"{api.root}/runs/{run}/events?limit=2&after_sequence={after}").json()
        seen += page["items"]
        after = page["next_sequence"]

    assert types(seen) == LIFE_OF_A_PUSH
    assert page["has_more"] is False
    nothing = api.get(f"{api.root}/runs/{run}/events?after_sequence=6").json()
    assert nothing == {"items": [], "next_sequence": 6, "has_more": False}


@pytest.mark.parametrize("query", ["after_sequence=-1", "after_sequence=x", "limit=0", "limit=101", "limit=1.5"])
def test_a_bad_place_or_limit_is_refused(api: Api, run: str, query: str) -> None:
    answer = api.get(f"{api.root}/runs/{run}/events?{query}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert list(answer.json()["error"]["details"]["fields"]) == [query.partition("=")[0]]


@pytest.mark.parametrize("address", ["events", "events.stream"])
def test_the_log_of_another_project_s_run_is_not_found(stranger_api: Api, run: str, address: str) -> None:
    answer = stranger_api.get(f"{stranger_api.root}/runs/{run}/{address}")

    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "There is no such run.")


@pytest.mark.parametrize("address", ["events", "events.stream"])
def test_a_narrow_key_reads_no_log(api_as: Callable[[Role], Api], run: str, address: str) -> None:
    assert api_as(Role.RUN).get(f"/v1/projects/platform/runs/{run}/{address}").status_code == 403


# --- streams ---


def test_a_stream_of_an_ended_run_replays_it_and_ends(api: Api, run: str) -> None:
    answer = api.get(f"{api.root}/runs/{run}/events", headers={"Accept": "text/event-stream"})

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-ID"].startswith("req_")
    assert frames(answer) == api.get(f"{api.root}/runs/{run}/events").json()["items"]


def test_the_older_address_streams_without_payloads(api: Api, run: str) -> None:
    events = frames(api.get(f"{api.root}/runs/{run}/events.stream"))

    assert types(events) == LIFE_OF_A_PUSH
    assert not any("payload" in event for event in events)


@pytest.mark.parametrize(
    ("query", "last_id", "first"),
    [
        ("", "", 1),
        ("?after_sequence=2", "", 3),
        ("", "4", 5),
        ("?after_sequence=2", "4", 5),
        ("?after_sequence=5", "4", 6),
    ],
)
def test_a_stream_goes_on_from_the_larger_place(api: Api, run: str, query: str, last_id: str, first: int) -> None:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    events = frames(api.get(f"{api.root}/runs/{run}/events.stream{query}", headers=headers))

    assert [event["sequence"] for event in events] == list(range(first, 7))


def test_a_place_that_is_none_is_refused(api: Api, run: str) -> None:
    answer = api.get(f"{api.root}/runs/{run}/events.stream", headers={"Last-Event-ID": "six"})

    assert list(answer.json()["error"]["details"]["fields"]) == ["Last-Event-ID"]


def test_a_stream_follows_a_run_until_it_ends(api: Api, waiting: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "POLL_SECONDS", 0.001)
    lines = iter(api.get(f"{api.root}/runs/{waiting.pk}/events.stream"))
    seen = [parse(next(lines).decode()) for _ in range(4)]  # the greeting, and three events

    signal(waiting, step_key="answer", result={"yes": True}, by=SYSTEM)
    work_off()
    seen += [parse(line.decode()) for line in lines]

    assert types([event for event in seen if event]) == [
        *("run.started", "step.started", "wait.opened"),
        *("wait.resumed", "step.completed", "run.completed"),
    ]


def test_a_quiet_stream_says_now_and_then_that_it_lives(
    api: Api, waiting: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PING_SECONDS", 0.0)
    monkeypatch.setattr(streaming, "POLL_SECONDS", 0.001)
    answer = api.get(f"{api.root}/runs/{waiting.pk}/events.stream?after_sequence=3")
    lines = iter(answer)

    assert [next(lines) for _ in range(3)] == [b": here you are\n\n", b": ping\n\n", b": ping\n\n"]
    hang_up(answer)


@pytest.fixture
def full(api: Api, waiting: Run) -> Iterator[list[Any]]:
    """As many streams as a process has."""
    opened = [api.get(f"{api.root}/runs/{waiting.pk}/events.stream") for _ in range(8)]
    yield opened
    for one in opened:
        hang_up(one)


def test_a_ninth_stream_is_asked_to_come_back_and_gets_the_place_of_one_that_ends(
    api: Api, waiting: Run, full: list[Any]
) -> None:
    refused = api.get(f"{api.root}/runs/{waiting.pk}/events.stream")

    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(refused.headers["Retry-After"]) >= 1
    assert "8 event streams are under way" in refused.json()["error"]["message"]

    hang_up(full[0])
    hang_up(full[0])
    again = api.get(f"{api.root}/runs/{waiting.pk}/events.stream")
    assert again.status_code == 200
    assert api.get(f"{api.root}/runs/{waiting.pk}/events.stream").status_code == 429
    hang_up(again)


def test_a_stream_ends_when_its_key_is_revoked(api: Api, waiting: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "POLL_SECONDS", 0.001)
    lines = iter(api.get(f"{api.root}/runs/{waiting.pk}/events.stream"))
    seen = [next(lines) for _ in range(4)]
    revoke(api.key.record)
    signal(waiting, step_key="answer", result={"yes": True}, by=SYSTEM)

    assert len(seen) == 4
    assert [line for line in lines if b"event:" in line] == []  # it ends, and tells nothing more


def test_a_page_of_the_log_needs_no_stream(api: Api, waiting: Run, full: list[Any]) -> None:
    assert api.get(f"{api.root}/runs/{waiting.pk}/events").status_code == 200


def test_a_head_opens_no_stream(api: Api, waiting: Run) -> None:
    for _ in range(9):
        assert api.head(f"{api.root}/runs/{waiting.pk}/events.stream").status_code == 200


def test_streams_end_when_the_process_does(api: Api, waiting: Run) -> None:
    answer = api.get(f"{api.root}/runs/{waiting.pk}/events.stream?after_sequence=3")
    lines = iter(answer)
    next(lines)

    streaming.end_all()

    assert list(lines) == []


@pytest.mark.django_db(transaction=True)
def test_a_stream_holds_no_database_connection_between_two_looks(
    api: Api, waiting: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "POLL_SECONDS", 0.001)
    answer = api.get(f"{api.root}/runs/{waiting.pk}/events.stream")
    lines = iter(answer)
    for _ in range(4):
        next(lines)
        held = connections["default"].connection
    hang_up(answer)

    assert held is None


def test_a_cancelled_run_says_why(api: Api, waiting: Run) -> None:
    cancel(waiting, by=SYSTEM, reason="a wrong list")

    last = frames(api.get(f"{api.root}/runs/{waiting.pk}/events", headers={"Accept": "text/event-stream"}))[-1]

    assert last["event_type"] == "run.cancelled"
    assert last["payload"] == {"reason": "a wrong list"}


def test_a_wait_says_what_it_waits_for_and_what_ended_it(api: Api, project: Project) -> None:
    awaited = {"event_type": "anything", "match": {"list": "leads"}}
    steps = [WAITING["steps"][0] | {"config": awaited, "timeout": {"duration": "1h"}}]
    run = go(project, *steps)
    signal(run, step_key="answer", result={"yes": True}, by=SYSTEM)
    work_off()

    events = {one["event_type"]: one["payload"] for one in api.get(f"{api.root}/runs/{run.pk}/events").json()["items"]}

    wait, step = Wait.objects.get(), {"step": "answer", "kind": "wait_for_event"}
    expected = awaited | {"wait_id": wait.pk, "expires_at": timestamp(wait.expires_at)}
    assert events["wait.opened"] == step | expected
    assert events["wait.resumed"] == step | {"wait_id": wait.pk, "payload": {"yes": True}}


def test_a_wait_that_was_in_vain_says_so(api: Api, project: Project) -> None:
    run = go(project, WAITING["steps"][0] | {"timeout": {"duration": "1h"}})
    with time_machine.travel(clock.now() + timedelta(hours=2), tick=False):
        work_off()

    events = {one["event_type"]: one["payload"] for one in api.get(f"{api.root}/runs/{run.pk}/events").json()["items"]}

    wait = Wait.objects.get()
    ended = {"wait_id": wait.pk, "reason": events["step.failed"]["error"]}
    assert events["wait.timed_out"] == {"step": "answer", "kind": "wait_for_event"} | ended


def test_a_retry_says_in_the_log_that_it_was_one(api: Api, project: Project) -> None:
    run = go(project, FAILS)
    for deed in ("retry", "resume"):
        assert api.post(f"{api.root}/runs/{run.pk}/{deed}", {}).status_code == 202
        work_off()

    events = api.get(f"{api.root}/runs/{run.pk}/events").json()["items"]
    retried = [one["payload"]["recovery_action"] for one in events if one["event_type"] == "step.retried"]
    assert retried == ["retry", "resume"]
