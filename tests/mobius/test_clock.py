"""The one clock: the database's."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from mobius import clock


@pytest.mark.django_db
def test_it_is_the_database_s_and_goes_on_by_itself_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no clock of its own")
    monkeypatch.setattr(clock, "_asked", (timezone.now() - timedelta(hours=1), float("-inf")))
    asked = clock.now()
    assert abs(asked - timezone.now()) < timedelta(seconds=5), "it was so long ago that the database is asked again"

    ahead = asked + timedelta(hours=3)
    monkeypatch.setattr(clock, "_asked", (ahead, time.monotonic()))
    moments = [clock.now() for _ in range(3)]
    assert moments == sorted(moments)
    assert timedelta() <= moments[-1] - ahead < timedelta(seconds=2)
    assert abs(clock.ask() - timezone.now()) < timedelta(seconds=5), "whoever may have slept asks"


def test_on_sqlite_it_is_this_process_s() -> None:
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL has a clock of its own")
    assert abs(clock.now() - timezone.now()) < timedelta(seconds=1)
