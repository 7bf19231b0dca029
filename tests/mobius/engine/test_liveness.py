"""Whether a process may still send: its last word must be young, and under the name that its run was taken under."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from mobius.engine import liveness
from mobius.engine.doorbell import Answer
from mobius.engine.liveness import Heart, Permit

ANSWER = Answer(advance=lambda run_id, go_on: None, recover=lambda: None, sweep=lambda: 1.0)


@pytest.fixture(autouse=True)
def _unknown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "_last", ("", 0.0))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic second, to be set."""
    moment = [1000.0]
    monkeypatch.setattr(liveness.time, "monotonic", lambda: moment[0])
    return moment


def known_as(monkeypatch: pytest.MonkeyPatch, name: str, at: float) -> None:
    monkeypatch.setattr(liveness, "_last", (name, at))


def test_the_embedded_engine_always_may(now: list[float]) -> None:
    assert liveness.worker() == ""
    assert Permit("")()


def test_a_word_of_seven_seconds_is_young_enough_and_one_of_eight_is_not(
    now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    known_as(monkeypatch, "wrk_1", 1000.0)
    now[0] = 1007.9
    assert Permit("wrk_1")()
    now[0] = 1008.0
    late = Permit("wrk_1")
    assert not late()
    assert late.refused


def test_who_was_given_up_and_lives_again_may_not_send_what_was_taken_under_the_old_name(
    now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    known_as(monkeypatch, "wrk_2", 1000.0)
    assert not Permit("wrk_1")()
    assert Permit("wrk_2")()


def test_the_heart_beats_until_it_is_stopped_and_survives_a_database_that_is_away(settings: Any) -> None:
    settings.MOBIUS_SILENCE_SECONDS = 0.1
    beats, left = threading.Semaphore(0), []

    def beat(name: str) -> str:
        beats.release()
        if name == "wrk_1":
            raise OSError("the database is away")
        return "wrk_1"

    heart = Heart(replace(ANSWER, beat=beat, leave=left.append))
    heart.start()
    assert liveness.worker() == "wrk_1"
    assert all(beats.acquire(timeout=5) for _ in range(4))
    heart.stop()

    assert left == ["wrk_1"]
    assert liveness.worker() == ""
