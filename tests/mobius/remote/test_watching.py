"""Following a run: frames, broken streams, restarts, endings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mobius.remote import watching
from mobius.remote.telling import said
from mobius.remote.watching import read_events
from tests.mobius.remote.scripted import HANGS_UP, RUN, Says, console, page, refusal


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_LONGEST_PAUSE", 0.0)


def event(sequence: int, name: str, **payload: Any) -> dict[str, Any]:
    shown = {"sequence": sequence, "event_type": name, "created_at": "2026-11-28T09:30:05.1Z"}
    return shown | ({"payload": payload} if payload else {})


def frame(one: dict[str, Any]) -> bytes:
    return f"id: {one['sequence']}\nevent: {one['event_type']}\ndata: {json.dumps(one)}\n\n".encode()


def stream(*events: dict[str, Any], rest: bytes = b"", cut_off: bool = False) -> Says:
    body = b": here you are\n\n" + b"".join(map(frame, events)) + rest
    return Says(body=body, headers={"Content-Type": "text/event-stream"}, cut_off=cut_off)


STARTED, STEP, DONE = event(1, "run.started"), event(2, "step.started", kind="action"), event(3, "run.completed")
COMPLETED, FAILED = Says(body=RUN | {"status": "completed"}), Says(body=RUN | {"status": "failed"})
RUNNING = Says(body=RUN | {"status": "running"})
NO_MORE, MORE = page(), page(DONE)


def test_a_run_is_followed_to_its_end() -> None:
    with console(stream(STARTED, STEP, DONE), COMPLETED, NO_MORE, COMPLETED) as api:
        done = api.mobius("runs", "watch", "run_1")

    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "09:30:05  run.started",
        "09:30:05  step.started                    action",
        "09:30:05  run.completed",
        "run run_1 completed",
    ]
    assert api.asked[0].headers["Accept"] == "text/event-stream"


def test_a_broken_stream_goes_on_after_the_last_whole_event() -> None:
    half = frame(DONE)[:30]
    with console(
        stream(STARTED, STEP, rest=half, cut_off=True),
        RUNNING,
        HANGS_UP,
        stream(STEP, DONE),
        COMPLETED,
        NO_MORE,
        COMPLETED,
    ) as api:
        done = api.mobius("runs", "watch", "run_1", "--json")

    assert done.exit_code == 0
    assert [json.loads(line) for line in done.stdout.splitlines()] == [STARTED, STEP, DONE]
    assert "Going on after event 2 as soon as it can be reached" in done.stderr
    resumed = [asked.headers["Last-Event-ID"] for asked in api.asked if asked.headers["Accept"] == "text/event-stream"]
    assert resumed == [None, "2", "2"]


def test_a_stream_that_the_console_closed_before_the_end_is_asked_for_the_rest() -> None:
    with console(stream(STARTED), COMPLETED, MORE, stream(STEP, DONE), COMPLETED, NO_MORE, COMPLETED) as api:
        done = api.mobius("runs", "watch", "run_1")

    assert (done.exit_code, "run.completed" in done.stdout) == (0, True)


def test_a_run_that_failed_ends_with_1_and_what_to_do() -> None:
    failed = event(2, "run.failed", error_type="delivery_refused", error="Clay said no.")
    with console(stream(STARTED, failed), FAILED, NO_MORE, FAILED) as api:
        done = api.mobius("runs", "watch", "run_1")

    assert done.exit_code == 1
    assert "run.failed                      delivery_refused: Clay said no." in done.stdout
    assert "mobius runs retry run_1" in done.stdout


def test_full_house_waits_as_long_as_the_console_says() -> None:
    full = refusal(429, "rate_limit_exceeded", "Eight streams are open.", Retry_After="0")
    with console(full, stream(STARTED, DONE), COMPLETED, NO_MORE, COMPLETED) as api:
        done = api.mobius("runs", "watch", "run_1")

    assert (done.exit_code, "Eight streams are open." in done.stderr) == (0, True)


def test_a_wait_that_is_longer_than_the_watch_is_given_up_at_once() -> None:
    full = refusal(429, "rate_limit_exceeded", "Eight streams are open.", Retry_After="999999")
    with console(full) as api:
        done = api.mobius("runs", "watch", "run_1")

    assert (done.exit_code, len(api.asked)) == (1, 1)
    assert "Try again in 999999 seconds." in done.stderr


@pytest.mark.parametrize(
    "answer", [refusal(404, "not_found", "There is no such run."), refusal(401, "unauthorized", "No.")]
)
def test_what_does_not_pass_ends_the_watch(answer: Says) -> None:
    with console(answer) as api:
        done = api.mobius("runs", "watch", "run_1")

    assert (done.exit_code, len(api.asked)) == (1, 1)


def test_a_key_that_is_revoked_meanwhile_ends_the_watch() -> None:
    with console(stream(STARTED), refusal(401, "unauthorized", "Revoked.")) as api:
        done = api.mobius("runs", "watch", "run_1")

    assert (done.exit_code, "Revoked." in done.stderr) == (1, True)


def test_a_console_that_is_away_for_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "GIVE_UP_SECONDS", 0.0)
    with console(HANGS_UP) as api:
        done = api.mobius("runs", "watch", "run_1")

    assert done.exit_code == 1
    assert "broke off" in done.stderr


def test_start_and_watch_are_one_command() -> None:
    with console(Says(status=202, body=RUN), stream(STARTED, DONE), COMPLETED, NO_MORE, COMPLETED) as api:
        done = api.mobius("runs", "start", "push-lead", "--set", "email=ada@example.com", "--watch")

    assert done.exit_code == 0
    assert api.asked[0].body["event"] == {"email": "ada@example.com"}
    assert done.stdout.splitlines()[0] == "run  run_1"


def test_comments_and_half_frames_are_no_events() -> None:
    lines = [b": ping\n", b"\n", *frame(STARTED).splitlines(keepends=True), b"id: 2\n", b"data: {"]

    assert list(read_events(lines)) == [STARTED]


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (event(1, "action.called", action="clay.webhook.submit"), "clay.webhook.submit"),
        (event(1, "action.completed", result={"status_code": 200}), "answered 200"),
        (
            event(1, "action.completed", result={"status_code": 200, "duplicate": True}),
            "answered 200; was sent before, not sent again",
        ),
        (event(1, "step.failed", error="No.", error_type="refused"), "refused: No."),
        (event(1, "step.retried", attempt=2, error="429"), "attempt 2, 429"),
        (
            event(1, "wait.opened", event_type="approval", expires_at="2026-11-28T10:00:00Z"),
            "waits for approval until 2026-11-28 10:00:00",
        ),
        (event(1, "run.cancelled", reason="no more"), "no more"),
        (event(1, "check.verdict", verdict="fail", failed=["score"]), "fail: score"),
        (event(1, "check.verdict", verdict="pass", failed=[]), "pass"),
        (event(1, "limit.reached"), ""),
    ],
)
def test_each_event_tells_what_matters(one: dict[str, Any], words: str) -> None:
    assert said(one) == words
