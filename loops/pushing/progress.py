"""How far a push is, and how long it will take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from integrations.pacing import pace_of
from loops.models import Push, PushRow, PushState, RowState
from loops.pushing.operating import settled

_ENOUGH = 20
"""Rows from which a rate can be told."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """`counts` has the rows in each state that any is in."""

    counts: dict[str, int]
    takes: timedelta | None  # until the last row has left; None when nobody can tell

    def __getitem__(self, state: RowState) -> int:
        return self.counts.get(state, 0)

    @property
    def to_send(self) -> int:
        """Rows that are to be sent, or were: all but those that were left out."""
        return sum(self.counts.values()) - self[RowState.LEFT_OUT]

    @property
    def open(self) -> int:
        """Rows that wait or are on their way."""
        return self[RowState.WAITING] + self[RowState.STARTED]

    @property
    def done(self) -> int:
        """Rows that have an outcome, those in doubt included."""
        return self.to_send - self.open

    @property
    def did_not_arrive(self) -> int:
        return sum(self[state] for state in RowState.did_not_arrive())


def progress_of(push: Push, *, now: datetime) -> Progress:
    return progress_of_each([push], now=now)[0]


def progress_of_each(pushes: Sequence[Push], *, now: datetime) -> list[Progress]:
    """In their order."""
    counts = PushRow.objects.counts_by_push(push.pk for push in pushes)
    return [_progress(push, counts[push.pk], now) for push in pushes]


def _progress(push: Push, counts: dict[str, int], now: datetime) -> Progress:
    rows = counts.get(RowState.WAITING, 0) + counts.get(RowState.STARTED, 0)
    rate = _rate(push, settled(counts), now) if push.state == PushState.RUNNING and rows else None
    return Progress(counts=counts, takes=timedelta(seconds=rows / rate) if rate else None)


def _rate(push: Push, done: int, now: datetime) -> float | None:
    """Rows a second: the pace, or what was measured since the last start or resume, whichever is slower."""
    pace = pace_of(push.integration.pacer) if push.integration else None
    measured = None
    if push.going_since is not None and done - push.settled_before >= _ENOUGH:
        seconds = max((now - push.going_since).total_seconds(), 0.1)
        measured = (done - push.settled_before) / seconds
    known = [rate for rate in (pace.rate_per_second if pace else None, measured) if rate]
    return min(known, default=None)
