"""Following a run to its end, over broken connections and restarts of the console: no event lost, none repeated."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

import click

from mobius.remote.client import Client
from mobius.remote.printing import JsonObject
from mobius.remote.troubles import Trouble, Unreachable

SILENCE_SECONDS = 35.0
"""The console says something every 10 seconds, if only a ping: after three of them the connection is dead."""
GIVE_UP_SECONDS = 300.0
"""For so long the console may be away."""

ENDED = ("completed", "failed", "cancelled")
_ENDINGS = tuple(f"run.{status}" for status in ENDED)
_LONGEST_PAUSE = 5.0


def follow(client: Client, run_id: str, *, after: int = 0) -> Iterator[JsonObject]:
    """Every event after the one numbered `after`, once and in order, until the run has ended.

    Raises Trouble when the console refuses, or has been away for five minutes.
    """
    path = client.in_project("runs", run_id, "events")
    last: JsonObject = {"sequence": after, "event_type": ""}
    attempts, away_since = 0, 0.0
    while True:
        lost: Trouble | None = None
        try:
            with client.stream(path, after=last["sequence"], seconds=SILENCE_SECONDS) as lines:
                for event in read_events(lines):
                    attempts = 0
                    if event["sequence"] > last["sequence"]:
                        last = event
                        yield event
        except Trouble as trouble:
            if not (trouble.passes or (attempts and _is_restarting(trouble))):
                raise
            lost = trouble
        # The console ends a stream when the run has ended, but also when it stops; and a run that was retried has
        # such an ending in the midst of its log.
        if lost is None and _has_ended(client, run_id, last):
            return
        attempts += 1
        away_since = time.monotonic() if attempts == 1 else away_since
        if lost is not None and time.monotonic() - away_since > GIVE_UP_SECONDS:
            raise lost
        _wait(attempts, last["sequence"], lost)


def read_events(lines: Iterable[bytes]) -> Iterator[JsonObject]:
    """The data of each whole event of a stream (HTML Living Standard §9.2). A last one that was cut off is left out."""
    data: list[str] = []
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            yield json.loads("\n".join(data))
            data = []


def said(event: JsonObject) -> str:
    """What one event tells beyond its name, in a few words."""
    payload: JsonObject = event.get("payload") or {}
    match event["event_type"]:
        case "run.failed" | "step.failed" | "action.failed":
            return _joined(payload, "error_type", "error")
        case "action.called":
            return _joined(payload, "action")
        case "action.completed":
            return _answered(payload.get("result") or {})
        case "step.started" | "step.skipped":
            return _joined(payload, "kind", "reason")
        case "wait.opened":
            until = str(payload.get("expires_at") or "")[:19].replace("T", " ")
            waits = f"waits for {payload.get('event_type') or payload.get('wait_kind') or 'an event'}"
            return f"{waits} until {until}" if until else waits
        case "step.retried" | "action.retried" | "run.resumed":
            attempt = payload.get("attempt")
            return ", ".join(
                filter(None, [f"attempt {attempt}" if attempt else "", _joined(payload, "reason", "error")])
            )
    return _joined(payload, "reason", "message")


def _joined(payload: JsonObject, *names: str) -> str:
    return ": ".join(str(payload[name]) for name in names if payload.get(name))


def _answered(result: Any) -> str:
    if not isinstance(result, dict):
        return ""
    code = result.get("status_code")
    answered = f"answered {code}" if code else ""
    return f"{answered}; was sent before, not sent again".lstrip("; ") if result.get("duplicate") else answered


def _is_restarting(trouble: Trouble) -> bool:
    """Nothing listens where the console was a moment ago."""
    return isinstance(trouble, Unreachable) and trouble.refused


def _has_ended(client: Client, run_id: str, last: JsonObject) -> bool:
    """Whether `last` is the end of the run, and not one that a retry has undone."""
    if last["event_type"] and last["event_type"] not in _ENDINGS:
        return False
    try:
        return client.get(client.in_project("runs", run_id)).json["status"] in ENDED
    except Unreachable:
        return False


def _wait(attempts: int, sequence: int, lost: Trouble | None) -> None:
    """Longer each time. Says why, once."""
    if attempts == 1:
        why = lost.first_line if lost else "The console has closed the stream."
        click.echo(f"{why} Going on after event {sequence} as soon as it can be reached …", err=True)
    pause = min(0.5 * 2 ** (attempts - 1), _LONGEST_PAUSE)
    if lost is not None and lost.retry_after:
        pause = lost.retry_after
    time.sleep(pause)
