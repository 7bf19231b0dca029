"""The one clock that deadlines are compared by: the database's."""

from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.utils import timezone


def now() -> datetime:
    """The present moment in UTC, in database time.

    SQLite has no clock of its own: it lives in our process, so the process's clock is the database's. PostgreSQL may
    serve processes on machines whose clocks differ, so there it is asked.
    """
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment
