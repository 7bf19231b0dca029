"""The doorbell: "run N is ready". All that is ever enqueued; the database remembers everything else.

A ring is a hint. A lost one is found by the sweep, a duplicate one finds nothing to do. This package knows no app of
ours: `loops` says at start-up what answers a ring and what a sweep is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django_tasks import default_task_backend, task

GoOn = Callable[[], bool]
"""Asked between two steps of a run: False when this process is about to end."""
Work = Callable[[GoOn], None]
"""Something to do; it asks between two steps whether it may go on."""


def _unknown(*_: object) -> Any:
    raise NotImplementedError("this answer is for the embedded engine")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What `loops` hands to the engine."""

    advance: Callable[[str, GoOn], None]  # take one run as far as it goes
    recover: Callable[[], None]  # once, when every earlier worker is known to be dead
    sweep: Callable[[], float]  # ring what is due; returns the seconds until it wants to be called again
    # Where several processes work (mobius/engine/worker.py and liveness.py):
    begin_all: Callable[[list[str], GoOn, int], dict[str, Work]] = _unknown  # those, and so many whose time has come
    count_due: Callable[[int], int] = _unknown  # runs whose time has come and that nobody has taken; so many at most
    beat: Callable[[str], str] = _unknown  # the worker of this name is alive; returns the name that it goes on under
    leave: Callable[[str], None] = _unknown  # the worker of this name works no more


_answers: list[Answer] = []


def answer_with(answer: Answer) -> None:
    """Say what answers the doorbell. Called once, when the apps are ready."""
    _answers[:] = [answer]


def current_answer() -> Answer:
    return _answers[0]


@task()
def advance(run_id: str) -> None:
    current_answer().advance(run_id, lambda: True)


def is_heard() -> bool:
    """Are workers awake anyway, so that a run that is due is found within milliseconds and needs no ring?"""
    return bool(getattr(default_task_backend, "is_heard", bool)())


def make_way() -> None:
    """Before a start: wait a moment if workers are behind. While more is started than is worked off, starts are slowed
    down, and never kept out; the embedded engine has its own way (mobius/engine/crowd.py)."""
    getattr(default_task_backend, "make_way", lambda: None)()


def ring(run_id: str) -> None:
    """Say that a run is ready. Inside a transaction it is heard when that commits, and never if it does not."""
    advance.enqueue(run_id)
