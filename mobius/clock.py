"""The one clock that deadlines are compared by: the database's."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.utils import timezone

_ASK_AGAIN_SECONDS = 2.0

_asked: tuple[datetime, float] = (datetime.min.replace(tzinfo=UTC), float("-inf"))
"""What the database said at which monotonic second of ours."""


def now() -> datetime:
    """The present moment in UTC, in database time.

    SQLite has no clock of its own: it lives in our process, so the process's clock is the database's. PostgreSQL may
    serve processes on machines whose clocks differ, so there it is asked, and for two seconds our own monotonic clock
    goes on from its answer.
    """
    if connection.vendor != "postgresql":
        return timezone.now()
    said, at = _asked
    passed = time.monotonic() - at
    return said + timedelta(seconds=passed) if passed < _ASK_AGAIN_SECONDS else ask()


def ask() -> datetime:
    """As `now`, straight from the database: for those who may just have slept without noticing."""
    global _asked
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    # The database said so a little earlier, so we are late by that: better than to find a deadline passed too early.
    _asked = moment, time.monotonic()
    return moment
