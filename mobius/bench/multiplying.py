"""One run, many times over, written by the database itself: for benchmarks of what a full one does. SQLite only.

Runs inside Django, in a process beside the console (`Stage.django`).
"""

from __future__ import annotations

import json
import sys
import time

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from integrations.models import Attempt, LedgerEntry
from loops.models import Run, RunEvent, Step, Wait
from loops.sweeping import sweep

_NUMBERS = "WITH RECURSIVE numbers(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM numbers WHERE i < %s - 1) "
_COPIES = (
    # table, the column that names the run, and how the copies' own ids begin ("": they hold the run's, or have none)
    (Run, "id", ""),
    (Step, "run_id", ""),
    (Wait, "run_id", "wait_"),
    (Attempt, "run_id", "att_"),
    (RunEvent, "run_id", ""),
)


def multiply(request_id: str, name: str, count: int) -> None:
    """Copy the run whose row went out under `request_id`; the copies' rows are `<name>-<n in 8 digits>`."""
    attempt = Attempt.objects.get(request_id=request_id)
    with transaction.atomic(), connection.cursor() as cursor:
        for model, column, prefix in _COPIES:
            _copy(cursor, model._meta.db_table, f"{column} = %s", attempt.run_id, prefix, attempt, name, count)
        ledger = LedgerEntry._meta.db_table
        _copy(cursor, ledger, "attempt_id = %s", attempt.pk, "", attempt, name, count)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _copy(
    cursor: CursorWrapper, table: str, where: str, value: str, prefix: str, attempt: Attempt, name: str, count: int
) -> None:
    with connection.cursor() as columns_of:
        columns_of.execute(f"PRAGMA table_info({table})")
        columns = [(row[1], row[2].lower()) for row in columns_of.fetchall()]
    kept = [(column, kind) for column, kind in columns if not (column == "id" and kind == "integer")]
    chosen = ", ".join(_copied(column, kind, prefix, attempt, name) for column, kind in kept)
    names = ", ".join(f'"{column}"' for column, _ in kept)
    statement = f"{_NUMBERS} INSERT INTO {table} ({names}) SELECT {chosen} FROM {table}, numbers WHERE {where}"
    cursor.execute(statement, [count, value])


def _copied(column: str, kind: str, prefix: str, attempt: Attempt, name: str) -> str:
    """What the copy number `i` has in this column."""
    if column == "id" and prefix:
        return _numbered(prefix)
    if column == "attempt_id":
        return _numbered("att_")
    if column == "callback_hash":
        return "CASE WHEN callback_hash = '' THEN '' ELSE printf('%%064d', i) END"
    if not kind.startswith(("varchar", "text")):
        return f'"{column}"'
    run = f"""replace("{column}", '{attempt.run_id}', {_numbered("run_")})"""
    return f"replace({run}, '{attempt.request_id}', printf('{name}-%%08d', i))"


def _numbered(prefix: str) -> str:
    """As long as an id of ours, and older than any."""
    return f"printf('{prefix}0bench%%014d', i)"


def time_sweeps(count: int) -> None:
    """Sweep, and print how many seconds each sweep took, as JSON."""
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        sweep()
        seconds.append(time.perf_counter() - began)
    sys.stdout.write(json.dumps(seconds[count // 10 :]))  # the first ones read the pages from the disk
