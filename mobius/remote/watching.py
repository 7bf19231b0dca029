"""Following a run to its end, over broken connections and restarts of the console: no event lost, none repeated."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator

import click

from mobius.remote.client import Client
from mobius.remote.printing import JsonObject
from mobius.remote.troubles import Trouble, Unreachable

SILENCE_SECONDS = 35.0
"""The console says something every 10 seconds, if only a ping: after three of them the connection is dead."""
GIVE_UP_SECONDS = 300.0
"""For so long the console may be away."""

ENDED = ("completed", "failed", "cancelled")
_LONGEST_PAUSE = 5.0
_LIVED_SECONDS = 15.0  # a stream that was open for longer was a good one


def follow(client: Client, run_id: str, *, after: int = 0) -> Iterator[JsonObject]:
    """Every event after the one numbered `after`, once and in order, until the run has ended.

    Raises Trouble when the console refuses, or has been away for five minutes.
    """
    path = client.in_project("runs", run_id, "events")
    place, heard = after, False
    attempts, away_since = 0, time.monotonic()
    while True:
        lost: Trouble | None = None
        asked_at = time.monotonic()
        try:
            with client.stream(path, after=place, seconds=SILENCE_SECONDS) as lines:
                heard = True
                for event in read_events(lines):
                    attempts = 0
                    if event["sequence"] > place:
                        place = event["sequence"]
                        yield event
        except Trouble as trouble:
            if not (trouble.passes or _is_away(trouble, heard=heard)):
                raise
            lost = trouble
        if lost is None and _has_ended(client, run_id, place):
            return
        attempts = 1 if time.monotonic() - asked_at > _LIVED_SECONDS else attempts + 1
        away_since = time.monotonic() if attempts == 1 else away_since
        if lost is not None and time.monotonic() - away_since + (lost.retry_after or 0) > GIVE_UP_SECONDS:
            raise lost
        _wait(attempts, place, lost)


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


def _is_away(trouble: Trouble, *, heard: bool) -> bool:
    """A console that was heard before may restart, or be out of reach, or hang; one that never was is not there."""
    return heard and isinstance(trouble, Unreachable)


def _has_ended(client: Client, run_id: str, place: int) -> bool:
    """Whether the run has ended and nothing comes after this event: the console closes a stream also when it stops."""
    try:
        if client.get(client.in_project("runs", run_id)).json["status"] not in ENDED:
            return False
        rest = client.get(client.in_project("runs", run_id, "events"), {"after_sequence": place, "limit": 1})
    except Trouble as trouble:
        if trouble.passes or isinstance(trouble, Unreachable):
            return False
        raise
    return not rest.json["items"]


def _wait(attempts: int, place: int, lost: Trouble | None) -> None:
    """Longer each time. Says why, once."""
    if attempts == 1:
        why = lost.lines[0] if lost else "The console has closed the stream."
        click.echo(f"{why} Going on after event {place} as soon as it can be reached …", err=True)
    pause = min(0.5 * 2 ** (attempts - 1), _LONGEST_PAUSE)
    if lost is not None and lost.retry_after:
        pause = lost.retry_after
    time.sleep(pause)
